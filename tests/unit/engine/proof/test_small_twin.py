"""Small twins against the models that they stand for, which transformers builds without memory, and against itself."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file
from transformers import AutoConfig, AutoTokenizer

from landscape_ray.engine.proof.small_twin import write_small_twin
from landscape_ray.errors import CheckpointError

# Default configurations but for what follows; with the number of layers that it takes to have seen each kind.
MODELS: dict[str, tuple[str, str, dict[str, Any], int]] = {
    "biases": ("llama", "LlamaForCausalLM", {"attention_bias": True, "mlp_bias": True}, 2),
    "tied, soft caps, sliding windows": ("gemma2", "Gemma2ForCausalLM", {}, 2),
    "a dense layer among experts": ("qwen3_moe", "Qwen3MoeForCausalLM", {"mlp_only_layers": [3]}, 4),
    "experts with sinks": ("gpt_oss", "GptOssForCausalLM", {}, 2),
    "first layers dense, low ranks": ("deepseek_v3", "DeepseekV3ForCausalLM", {"num_hidden_layers": 8}, 4),
    "periods of attention and of experts": ("jamba", "JambaForCausalLM", {"num_hidden_layers": 16}, 5),
    "state space": ("mamba2", "Mamba2ForCausalLM", {"num_hidden_layers": 4}, 2),
    "names of its own": ("gpt2", "GPT2LMHeadModel", {}, 2),
    "few heads of keys": ("qwen3", "Qwen3ForCausalLM", {"num_key_value_heads": 8, "vocab_size": 32007}, 2),
}


def write_config(folder: Path, model_type: str, architecture: str, settings: dict[str, Any]) -> Path:
    config = AutoConfig.for_model(model_type, architectures=[architecture], **settings)
    config.save_pretrained(folder)
    return folder


def kinds_of_tensors(names: Any) -> set[str]:
    return {re.sub(r"\.\d+\.", ".N.", name) for name in names}


@pytest.mark.slow
@pytest.mark.parametrize("kind", MODELS)
def test_a_twin_has_each_kind_of_tensor_few_layers_and_all_switches(kind: str, tmp_path: Path) -> None:
    model_type, architecture, settings, num_layers = MODELS[kind]
    folder = write_config(tmp_path / "model", model_type, architecture, settings)
    write_small_twin(folder, tmp_path / "twin")
    with torch.device("meta"):
        model = getattr(transformers, architecture)._from_config(AutoConfig.from_pretrained(folder))
    twin, loading = getattr(transformers, architecture).from_pretrained(
        tmp_path / "twin", output_loading_info=True, attn_implementation="eager"
    )
    assert not any(loading.values())
    assert kinds_of_tensors(dict(twin.named_parameters())) == kinds_of_tensors(dict(model.named_parameters()))
    assert twin.config.num_hidden_layers == num_layers
    assert sum(p.numel() for p in twin.parameters()) < 2e7
    before, after = (json.loads((tmp_path / name / "config.json").read_text()) for name in ("model", "twin"))
    switches = {name: value for name, value in before.items() if isinstance(value, bool | str | float | dict)}
    assert {name: after[name] for name in switches} == switches
    tokens = torch.arange(5, 17)[None]
    logits = twin(tokens).logits
    assert logits.isfinite().all()
    for name, parameter in twin.named_parameters():  # each counts
        with torch.no_grad():
            kept = parameter.clone()
            parameter.copy_(kept.flatten().roll(1).view_as(kept))
            assert (twin(tokens).logits - logits).abs().max() > 1e-4 or name.endswith("k_proj.bias"), name
            parameter.copy_(kept)


def test_a_twin_keeps_what_engines_decide_by(tmp_path: Path) -> None:
    settings = {
        "hidden_size": 5120,
        "num_attention_heads": 64,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "intermediate_size": 5120,
        "vocab_size": 50257,
    }
    folder = write_config(tmp_path / "model", "qwen3", "Qwen3ForCausalLM", settings)
    for tensor_parallel, heads, kv_heads in ((1, 4, 2), (4, 8, 4), (16, 16, 8)):
        write_small_twin(folder, tmp_path / "twin", tensor_parallel=tensor_parallel)
        twin = AutoConfig.from_pretrained(tmp_path / "twin")
        assert (twin.num_attention_heads, twin.num_key_value_heads) == (heads, kv_heads)
        assert twin.hidden_size == twin.intermediate_size  # square stays square
        assert twin.hidden_size != heads * 128
        assert twin.hidden_size % tensor_parallel == 0
        assert (twin.head_dim, twin.vocab_size % 64) == (128, 50257 % 64)


def test_the_same_configuration_gives_the_same_twin(tmp_path: Path) -> None:
    folder = write_config(tmp_path / "model", "olmoe", "OlmoeForCausalLM", {"dtype": "bfloat16"})
    for name in ("one", "other"):
        write_small_twin(folder, tmp_path / name)
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "other"))
    assert one.keys() == other.keys()
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())
    assert {tensor.dtype for tensor in one.values()} == {torch.bfloat16}
    # Experts are one by one, as in checkpoints; and no two tensors are alike.
    assert "model.layers.1.mlp.experts.3.up_proj.weight" in one
    assert len({tensor.double().sum().item() for tensor in one.values()}) == len(one)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "one")
    assert len(tokenizer) <= AutoConfig.from_pretrained(tmp_path / "one").vocab_size


def test_an_architecture_that_transformers_lacks_is_refused(tmp_path: Path) -> None:
    folder = write_config(tmp_path / "model", "llama", "NewModelForCausalLM", {})
    with pytest.raises(CheckpointError, match=r"NewModelForCausalLM, which transformers .* has not.*verify --full"):
        write_small_twin(folder, tmp_path / "twin")
