"""Tensors that transformers fuses or renames: a placed point is what a fresh load of the same weights is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from landscape_ray.config import RunConfig
from landscape_ray.engine import EngineSpec
from landscape_ray.engine.hf.engine import TransformersEngine
from landscape_ray.engine.hf.layout import Place, _place, checkpoint_places, live_tensors
from landscape_ray.planning import ORIGIN, Perturbation, RandomVector

SIZES: dict[str, Any] = {
    "vocab_size": 93,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 64,
    "tie_word_embeddings": False,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": None,
}
EXPERTS = {"num_experts": 4, "num_local_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
POINT = Perturbation.of([(RandomVector(seed=1, normalization="layer", excluded=()), 0.2)])


def build(folder: Path) -> TransformersEngine:
    spec = EngineSpec(engine="transformers", model=str(folder), revision=None, dtype="float32", run=RunConfig())
    return TransformersEngine(spec)


@pytest.mark.parametrize(
    ("model_type", "settings", "whole"),
    [
        ("gpt_neox", {}, "embed_out.weight"),
        ("mixtral", EXPERTS, "model.layers.0.block_sparse_moe.experts.3.w3.weight"),
        ("qwen3_moe", EXPERTS | {"head_dim": 16}, "model.layers.1.mlp.experts.2.down_proj.weight"),
        ("gpt_oss", EXPERTS | {"head_dim": 16, "num_key_value_heads": 2}, "model.layers.1.mlp.experts.down_proj_bias"),
        ("granitemoe", EXPERTS, "model.layers.0.block_sparse_moe.input_linear.weight"),
        (
            "deepseek_v3",
            EXPERTS
            | {"n_routed_experts": 4, "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1, "q_lora_rank": 8}
            | {"kv_lora_rank": 8, "qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "v_head_dim": 8},
            "model.layers.1.mlp.experts.2.up_proj.weight",
        ),
    ],
)
def test_placed_as_loaded_afresh(
    model_type: str, settings: dict[str, Any], whole: str, make_random_model: Callable[[Any], Path], tmp_path: Path
) -> None:
    folder = make_random_model(transformers.AutoConfig.for_model(model_type, **SIZES | settings))
    stored = load_file(folder / "model.safetensors")
    assert whole in stored
    engine = build(folder)
    engine.place(POINT)
    perturbed = dict(engine._perturber.tensors(POINT))
    assert perturbed.keys() == stored.keys()  # buffers of models such as DeepSeek's among them
    assert not torch.equal(perturbed[whole], stored[whole])
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    save_file(perturbed, tmp_path / "model.safetensors", metadata={"format": "pt"})
    fresh = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    live = live_tensors(engine.model)
    for name, tensor in live_tensors(fresh).items():
        assert torch.equal(live[name], tensor), name
    engine.place(ORIGIN)
    assert all(torch.equal(engine._parameters[name], tensor) for name, tensor in stored.items())


def test_each_element_of_a_model_is_one_of_its_checkpoint() -> None:
    config = transformers.AutoConfig.for_model("mixtral", **SIZES | EXPERTS)
    model = transformers.AutoModelForCausalLM.from_config(config)
    live = live_tensors(model)
    seen = {name: torch.zeros(tensor.shape) for name, tensor in live.items()}
    for place in checkpoint_places(model).values():
        place.view(seen[place.within]).add_(1)
    assert all((tensor == 1).all() for tensor in seen.values())


def test_what_is_mixed_has_no_place() -> None:
    numbers = torch.arange(12).view(3, 4)
    assert _place("w", numbers.T) == Place(within="w", shape=(4, 3), steps=(1, 4), offset=0)
    assert _place("w", numbers[1:, ::2]) == Place(within="w", shape=(2, 2), steps=(4, 2), offset=4)
    assert _place("w", numbers[[2, 0, 1]]) is None
    assert _place("w", numbers.flip(0)) is None
    assert _place("w", numbers[:0]) is None
