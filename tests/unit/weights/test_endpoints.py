"""Points between checkpoints: each checkpoint to the bit, the formula elsewhere, and what is refused."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from landscape_ray.errors import CheckpointError
from landscape_ray.planning import CheckpointDelta, Perturbation, RandomVector
from landscape_ray.weights import BaseWeights, Perturber, direction, open_endpoint, perturbation

MakeSibling = Callable[..., Path]
MakeAdapter = Callable[..., tuple[Path, Path]]
Weights = dict[str, torch.Tensor]
CPU = torch.device("cpu")
FIRST, SECOND = (CheckpointDelta(fingerprint=name, location=name, revision=None) for name in ("first", "second"))
RANDOM = RandomVector(seed=3, normalization="layer", excluded=("norm",))
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"


def weights_of(folder: Path) -> Weights:
    weights: Weights = load_file(folder / "model.safetensors")
    return weights


def rewrite(folder: Path, change: Callable[[Weights], Weights]) -> Path:
    save_file(change(weights_of(folder)), folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def load(folder: Path, *, tied: bool = False) -> BaseWeights:
    return BaseWeights.load(folder, device=CPU, location="device", tied_head=tied)


def perturber(base: BaseWeights, *folders: Path, dtype: torch.dtype = torch.float32) -> Perturber:
    endpoints = {delta: open_endpoint(folder, base) for delta, folder in zip((FIRST, SECOND), folders, strict=False)}
    return Perturber(base, dtype=dtype, device=CPU, endpoints=endpoints)


def place(builder: Perturber, *terms: tuple[Any, float]) -> Weights:
    return dict(builder.tensors(Perturbation.of(terms)))


def equal(placed: Weights, expected: Weights, dtype: torch.dtype) -> bool:
    """Tell whether all tensors are equal to the bit, which 0.0 and -0.0 are not."""
    return placed.keys() == expected.keys() and all(
        torch.equal(placed[name].view(torch.uint8), tensor.to(dtype).view(torch.uint8))
        for name, tensor in expected.items()
    )


# --- points between checkpoints ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bfloat16_checkpoint(untied_checkpoint: Path, make_sibling: MakeSibling) -> Path:
    return make_sibling(untied_checkpoint, seed=0, share=0.0, dtype="bfloat16")


@pytest.mark.parametrize("stored", ["float32", "bfloat16"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_each_checkpoint_is_reached_to_the_bit(
    stored: str, dtype: torch.dtype, untied_checkpoint: Path, bfloat16_checkpoint: Path, make_sibling: MakeSibling
) -> None:
    folder = untied_checkpoint if stored == "float32" else bfloat16_checkpoint
    # Far apart, with zeros of both signs: `base + 1 * (other - base)` would miss many of these weights.
    first, second = make_sibling(folder, seed=1, share=30.0), make_sibling(folder, seed=2, share=0.01)

    def with_zeros(weights: Weights) -> Weights:
        weights[EMBEDDING][0, :2] = torch.tensor([0.0, -0.0])
        return weights

    rewrite(first, with_zeros)
    builder = perturber(load(folder), first, second, dtype=dtype)
    naive = {
        name: w0 + 1.0 * (weights_of(first)[name].float() - w0)
        for name, w0 in ((name, tensor.float()) for name, tensor in weights_of(folder).items())
    }
    assert stored == "bfloat16" or not equal(naive, weights_of(first), torch.float32)
    assert equal(place(builder), weights_of(folder), dtype)
    assert equal(place(builder, (FIRST, 1.0)), weights_of(first), dtype)
    assert equal(place(builder, (SECOND, 1.0)), weights_of(second), dtype)
    assert equal(place(builder, (FIRST, 1.0), (SECOND, 0.0)), weights_of(first), dtype)
    assert equal(place(builder, (FIRST, 0.0), (SECOND, 1.0)), weights_of(second), dtype)


@pytest.mark.parametrize(
    ("first", "second", "random"),
    [
        (0.3, 0.0, 0.0),
        (0.7, 0.0, 0.0),
        (-0.5, 0.0, 0.0),
        (1.5, 0.0, 0.0),
        (0.4, 0.5, 0.0),
        (-1.0, 1.7, 0.0),
        (0.25, 0.0, 0.4),
        (1.0, 0.0, -0.2),
        (0.6, -0.3, 0.1),
    ],
)
def test_a_point_is_the_sum_in_float64(  # noqa: PLR0917  (pytest passes them by name)
    first: float,
    second: float,
    random: float,
    untied_checkpoint: Path,
    make_sibling: MakeSibling,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(perturbation, "BLOCK_CPU", 5000)  # blocks of rows that divide no tensor
    folders = make_sibling(untied_checkpoint, seed=1), make_sibling(untied_checkpoint, seed=2)
    placed = place(perturber(load(untied_checkpoint), *folders), (FIRST, first), (SECOND, second), (RANDOM, random))
    base, one, other = (weights_of(folder) for folder in (untied_checkpoint, *folders))
    for name, w0 in base.items():
        expected = w0.double() + first * (one[name].double() - w0.double())
        expected += second * (other[name].double() - w0.double())
        expected += random * direction(RANDOM, name, w0).double()
        np.testing.assert_allclose(placed[name].numpy(), expected.numpy(), rtol=3e-6, atol=3e-6)


def test_a_line_is_the_same_from_both_of_its_ends(untied_checkpoint: Path, make_sibling: MakeSibling) -> None:
    other = make_sibling(untied_checkpoint, seed=1)
    forth, back = perturber(load(untied_checkpoint), other), perturber(load(other), untied_checkpoint)
    for t in (-0.5, 0.0, 0.25, 0.75, 1.0, 1.5):
        assert equal(place(forth, (FIRST, t)), place(back, (FIRST, 1 - t)), torch.float32)


def test_a_difference_that_was_not_opened_is_refused(untied_checkpoint: Path) -> None:
    with pytest.raises(ValueError, match="The checkpoint first"):
        place(perturber(load(untied_checkpoint)), (FIRST, 0.5))


def test_the_base_and_the_files_stay_as_they_are(untied_checkpoint: Path, make_sibling: MakeSibling) -> None:
    other = make_sibling(untied_checkpoint, seed=1)
    base = load(untied_checkpoint)
    builder = perturber(base, other)
    for t in (0.0, 0.3, 1.0, 0.9):
        for tensor in place(builder, (FIRST, t)).values():
            tensor.add_(1.0)  # whoever takes a tensor may write to it
    assert equal(place(builder), weights_of(untied_checkpoint), torch.float32)
    assert equal(place(builder, (FIRST, 1.0)), weights_of(other), torch.float32)
    assert equal(dict(base.tensors), weights_of(untied_checkpoint), torch.float32)


# --- what is refused --------------------------------------------------------------------------------------------------


def refusal(folder: Path, base: BaseWeights) -> str:
    with pytest.raises(CheckpointError) as caught:
        open_endpoint(folder, base)
    return str(caught.value)


def test_a_resized_vocabulary_is_named(untied_checkpoint: Path, make_sibling: MakeSibling) -> None:
    def resize(weights: Weights) -> Weights:
        return weights | {name: torch.cat([weights[name], weights[name][:3]]) for name in (EMBEDDING, HEAD)}

    message = refusal(rewrite(make_sibling(untied_checkpoint, seed=1), resize), load(untied_checkpoint))
    assert f"{HEAD} (96, 64) instead of (93, 64), {EMBEDDING} (96, 64) instead of (93, 64)" in message
    assert "one of the two vocabularies was resized" in message


def test_missing_and_surplus_tensors_are_named(untied_checkpoint: Path, make_sibling: MakeSibling) -> None:
    def shift_layers(weights: Weights) -> Weights:
        return {name.replace("layers.1.", "layers.2."): tensor for name, tensor in weights.items()}

    message = refusal(rewrite(make_sibling(untied_checkpoint, seed=1), shift_layers), load(untied_checkpoint))
    assert "it lacks model.layers.1.input_layernorm.weight, model.layers.1.mlp.down_proj.weight" in message
    assert "only it has model.layers.2.input_layernorm.weight" in message
    assert message.count("and 6 more") == 2


def test_heads_that_are_tied_in_one_only_are_named(tied_checkpoint: Path, make_sibling: MakeSibling) -> None:
    def untie(weights: Weights) -> Weights:
        return weights | {HEAD: weights[EMBEDDING] + 1}

    untied = rewrite(make_sibling(tied_checkpoint, seed=1), untie)
    message = refusal(untied, load(tied_checkpoint, tied=True))
    assert f"only it has {HEAD}; the model shares its head with the embedding and the other does not" in message
    message = refusal(tied_checkpoint, load(untied))
    assert f"it lacks {HEAD}; the checkpoint shares its head with the embedding and the other does not" in message


def test_a_redundant_copy_of_a_tied_head_is_no_difference(tied_checkpoint: Path, make_sibling: MakeSibling) -> None:
    def copy_head(weights: Weights) -> Weights:
        return weights | {HEAD: weights[EMBEDDING].clone()}

    sibling = make_sibling(tied_checkpoint, seed=1)
    expected = weights_of(sibling)
    redundant = rewrite(sibling, copy_head)
    placed = place(perturber(load(tied_checkpoint, tied=True), redundant), (FIRST, 1.0))
    assert equal(placed, expected, torch.float32)


# --- LoRA adapters ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stored", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"use_rslora": True},
        {"rank_pattern": {"layers.1.self_attn.q_proj": 7, "v_proj": 2}, "alpha_pattern": {r"layers\.\d\.mlp.*": 3}},
        {"target_modules": "all-linear", "r": 16, "init_lora_weights": "gaussian", "lora_dropout": 0.1},
        {"target_modules": ["lm_head", "k_proj"]},
        {"layers_to_transform": [1]},
    ],
    ids=["plain", "rslora", "patterns", "all-linear", "head", "one-layer"],
)
def test_an_adapter_is_the_checkpoint_that_peft_merges(
    stored: str, settings: dict[str, Any], untied_checkpoint: Path, bfloat16_checkpoint: Path, make_adapter: MakeAdapter
) -> None:
    folder = untied_checkpoint if stored == "float32" else bfloat16_checkpoint
    adapter, merged = make_adapter(folder, **settings)
    base = load(folder)
    assert not equal(weights_of(merged), weights_of(folder), torch.float32)
    assert equal(place(perturber(base, adapter), (FIRST, 1.0)), weights_of(merged), torch.float32)
    by_adapter, by_merged = perturber(base, adapter), perturber(base, merged)
    for t in (-0.5, 0.3, 1.4):
        assert equal(place(by_adapter, (FIRST, t)), place(by_merged, (FIRST, t)), torch.float32)


def test_an_adapter_of_transposed_weights_is_merged(make_adapter: MakeAdapter, tmp_path: Path) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel  # noqa: PLC0415

    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=93, n_embd=64, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=1))
    model.save_pretrained(tmp_path / "gpt2")
    settings = {"target_modules": ["c_attn", "c_fc"], "fan_in_fan_out": True}
    adapter, merged = make_adapter(tmp_path / "gpt2", **settings)
    placed = place(perturber(load(tmp_path / "gpt2", tied=True), adapter), (FIRST, 1.0))
    assert equal(placed, weights_of(merged), torch.float32)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"use_dora": True}, "use_dora True"),
        ({"bias": "lora_only"}, "bias 'lora_only'"),
        ({"modules_to_save": ["norm"]}, "modules_to_save ['norm']"),
        ({"target_modules": ["embed_tokens"]}, "lora_embedding_A"),
        ({"target_modules": ["lm_head"], "whole_embeddings": True}, "base_model.model.lm_head.base_layer.weight"),
        ({"trainable_token_indices": [1, 2]}, "trainable_token_indices [1, 2]"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights 'pissa'"),
    ],
)
def test_adapters_that_cannot_be_merged_exactly_are_refused_by_name(
    settings: dict[str, Any], named: str, untied_checkpoint: Path, make_adapter: MakeAdapter
) -> None:
    adapter, _ = make_adapter(untied_checkpoint, **settings)
    message = refusal(adapter, load(untied_checkpoint))
    assert named in message
    assert "merge_and_unload" in message


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"peft_type": "LOHA"}, "peft_type 'LOHA'"),
        ({"lora_bias": True}, "lora_bias True"),
        ({"a_setting_of_the_future": 1}, "a_setting_of_the_future 1"),
        ({"r": 5}, "states rank 5 for model.layers.0.mlp.down_proj, but its factors have rank 4"),
        ({"r": None}, "does not describe a LoRA adapter"),
    ],
)
def test_an_adapter_configuration_that_is_not_understood_is_refused(
    change: dict[str, Any], named: str, untied_checkpoint: Path, make_adapter: MakeAdapter
) -> None:
    adapter, _ = make_adapter(untied_checkpoint)
    settings = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps(settings | change))
    assert named in refusal(adapter, load(untied_checkpoint))


def test_an_adapter_of_another_model_is_refused(untied_checkpoint: Path, make_adapter: MakeAdapter) -> None:
    adapter, _ = make_adapter(untied_checkpoint)
    base = load(untied_checkpoint)
    narrow = {name: tensor[..., :32] if "q_proj" in name else tensor for name, tensor in base.tensors.items()}
    message = refusal(adapter, BaseWeights(tensors=narrow))
    assert "(128, 4) times" in message
    assert "is no difference of model.layers.0.self_attn.q_proj.weight (128, 32)" in message
    fewer = {name: tensor for name, tensor in base.tensors.items() if "layers.1" not in name}
    message = refusal(adapter, BaseWeights(tensors=fewer))
    assert "model.layers.1.mlp.down_proj (of which the model has no weight)" in message


# --- memory -----------------------------------------------------------------------------------------------------------

NUM_LAYERS, LAYER_BYTES = 12, 16 << 20
MEASURE = """
import os
import re, sys
from pathlib import Path
import torch
from landscape_ray.planning import CheckpointDelta, Perturbation
from landscape_ray.weights import BaseWeights, CheckpointFiles, Perturber, inner_products, open_endpoint

def memory(kind):
    return int(re.search(rf"{kind}:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

class Extra:
    def __enter__(self):
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        self.before = memory("VmRSS")
    def __exit__(self, *_):
        print(memory("VmHWM") - self.before)

folders = [Path(folder) for folder in sys.argv[1:]]
deltas = [CheckpointDelta(fingerprint=str(f), location=str(f), revision=None) for f in folders[1:]]

files = CheckpointFiles.open(folders[0], tied_head=False)
torch.ones(100, dtype=torch.float64) @ torch.ones(100, dtype=torch.float64)  # libraries load what they need
with Extra():
    inner_products(files, [open_endpoint(folder, files) for folder in folders[1:]])

base = BaseWeights.load(folders[0], device=torch.device("cpu"), location="device", tied_head=False)
for name in base.names:
    base.tensor(name).sum()  # all of it in memory, as it must be
with Extra():
    endpoints = {delta: open_endpoint(folder, base) for delta, folder in zip(deltas, folders[1:])}
    perturber = Perturber(base, dtype=torch.float32, device=torch.device("cpu"), endpoints=endpoints)
    for point in ((0.3, 0.2), (1.0, 0.0)):
        for name, tensor in perturber.tensors(Perturbation.of(zip(deltas, point))):
            tensor.sum()

with Extra():
    whole = [tensor.clone() for _, tensor in CheckpointFiles.open(folders[1], tied_head=False).all_tensors()]
"""


@pytest.mark.slow
def test_two_further_checkpoints_take_a_few_tensors_of_memory(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    for i in range(3):
        tensors = {
            f"model.layers.{layer}.weight": torch.randn(LAYER_BYTES // 4096, 1024, generator=generator)
            for layer in range(NUM_LAYERS)
        }
        (tmp_path / str(i)).mkdir()
        save_file(tensors, tmp_path / str(i) / "model.safetensors")
    command = [sys.executable, "-c", MEASURE, *(str(tmp_path / str(i)) for i in range(3))]
    # Freed tensors go back at once: left to itself, glibc keeps up to four of them, now these and now those.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "131072"}
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)  # noqa: S603  (our own code)
    in_tensors = [int(line) / LAYER_BYTES for line in result.stdout.split()]
    measuring, placing, a_whole_checkpoint = in_tensors
    # Measured: 4.0 and 4.6, the results handed out and copies of a block among them. Two checkpoints have 24.
    assert measuring < 6
    assert placing < 6
    assert a_whole_checkpoint > NUM_LAYERS, "this would not have been noticed"
