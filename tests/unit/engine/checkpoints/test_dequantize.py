"""Dequantised weights are the numbers that the formats say, computed here by hand from codes and scales."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import GptOssConfig

from landscape_ray.config import ModelConfig
from landscape_ray.engine.checkpoints.dequantize import dequantize
from landscape_ray.engine.checkpoints.quantized import check_unquantized
from landscape_ray.engine.checkpoints.resolution import resolve
from landscape_ray.errors import CheckpointError, OutputError

Tensors: TypeAlias = dict[str, torch.Tensor]
# Side of a block that has one scale.
SIDE = 32
# The values of 4 bits with one for the sign, two for the exponent and one for the mantissa.
E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0)


def compressed(kind: str, **weights: Any) -> dict[str, Any]:
    scheme = {"type": "int", "symmetric": True, "dynamic": False} | weights
    inputs = {"num_bits": 8, "type": "int", "symmetric": True, "dynamic": True, "strategy": "token"}
    return {
        "quant_method": "compressed-tensors",
        "format": kind,
        "quantization_status": "compressed",
        "ignore": ["lm_head"],
        "config_groups": {
            "group_0": {
                "targets": ["Linear"],
                "weights": scheme,
                "input_activations": inputs if kind == "int-quantized" else None,
            }
        },
    }


def int8(name: str, weight: torch.Tensor) -> tuple[Tensors, torch.Tensor]:
    """A scale for each row."""
    scale = weight.abs().amax(1, keepdim=True) / 127
    codes = (weight / scale).round().to(torch.int8)
    return {name: codes, f"{name}_scale": scale}, codes.float() * scale


def int4(name: str, weight: torch.Tensor) -> tuple[Tensors, torch.Tensor]:
    """A scale for each 32 of a row; eight codes, moved by 8 to be positive, in an integer, the first one lowest."""
    rows, columns = weight.shape
    groups = weight.view(rows, columns // SIDE, SIDE)
    scale = groups.abs().amax(2, keepdim=True) / 7
    codes = (groups / scale).round()
    digits = (codes + 8).long().view(rows, columns // 8, 8)
    words = (digits << (4 * torch.arange(8))).sum(2)
    packed = torch.where(words >= 1 << 31, words - (1 << 32), words).to(torch.int32)
    stored = {
        f"{name}_packed": packed,
        f"{name}_scale": scale[..., 0].contiguous(),
        f"{name}_shape": torch.tensor([rows, columns]),
    }
    return stored, (codes * scale).view(rows, columns)


def fp8(name: str, weight: torch.Tensor) -> tuple[Tensors, torch.Tensor]:
    """A scale for each square block."""
    rows, columns = weight.shape
    blocks = weight.view(rows // SIDE, SIDE, columns // SIDE, SIDE)
    scale = blocks.abs().amax((1, 3), keepdim=True) / 448
    codes = (blocks / scale).to(torch.float8_e4m3fn)
    stored = {name: codes.view(rows, columns), f"{name}_scale_inv": scale[:, 0, :, 0].contiguous()}
    return stored, (codes.float() * scale).view(rows, columns)


def mxfp4(name: str, weight: torch.Tensor) -> tuple[Tensors, torch.Tensor]:
    """A power of two for each 32 of a column of an expert; two codes in a byte, the first one in the lower half."""
    experts, inputs, outputs = weight.shape
    generator = torch.Generator().manual_seed(0)
    codes = torch.randint(0, 16, (experts, outputs, inputs // 32, 32), generator=generator)
    exponents = torch.randint(118, 130, (experts, outputs, inputs // 32), generator=generator)
    stored = {
        f"{name}_blocks": (codes[..., 0::2] + 16 * codes[..., 1::2]).to(torch.uint8),
        f"{name}_scales": exponents.to(torch.uint8),
    }
    values = torch.tensor(E2M1)[codes] * torch.pow(2.0, exponents[..., None] - 127)
    return stored, values.reshape(experts, outputs, inputs).transpose(1, 2).contiguous()


def quantize(
    folder: Path,
    settings: dict[str, Any],
    how: Callable[[str, torch.Tensor], tuple[Tensors, torch.Tensor]],
    *endings: str,
) -> Tensors:
    """Quantise a checkpoint where it lies, and return the tensors that it stands for."""
    stored: Tensors = {}
    meant: Tensors = {}
    for name, tensor in load_file(folder / "model.safetensors").items():
        codes, weights = how(name, tensor) if name.endswith(endings) else ({name: tensor}, tensor)
        stored |= codes
        meant[name] = weights
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": settings}))
    return meant


def check(folder: Path, out: Path, meant: Tensors, *, dtype: Any = "float32") -> None:
    """Dequantise, and compare each tensor to the bit."""
    num_weights = dequantize(ModelConfig(id=str(folder)), out, dtype=dtype)
    found = load_file(out / "model.safetensors")
    assert found.keys() == meant.keys()
    for name, tensor in found.items():
        assert tensor.dtype == getattr(torch, dtype)
        assert torch.equal(tensor, meant[name].to(tensor.dtype)), name
    assert num_weights == sum(tensor.numel() for tensor in meant.values())
    assert [path.name for path in out.parent.glob(f"{out.name}*")] == [out.name]
    check_unquantized(out, str(out))
    resolve(ModelConfig(id=str(out)))


@pytest.fixture
def checkpoint(untied_checkpoint: Path, tmp_path: Path) -> Path:
    return shutil.copytree(untied_checkpoint, tmp_path / "checkpoint")


FORMATS = {
    "int8": (compressed("int-quantized", num_bits=8, strategy="channel"), int8),
    "int4": (compressed("pack-quantized", num_bits=4, strategy="group", group_size=SIDE), int4),
    "fp8": ({"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [SIDE, SIDE]}, fp8),
}


@pytest.mark.parametrize("name", FORMATS)
def test_codes_and_scales_become_the_weights_that_they_stand_for(name: str, checkpoint: Path, tmp_path: Path) -> None:
    meant = quantize(checkpoint, *FORMATS[name], "proj.weight")
    check(checkpoint, tmp_path / "plain", meant)
    texts = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json")
    for text in texts:
        assert (tmp_path / "plain" / text).read_bytes() == (checkpoint / text).read_bytes()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_experts_of_gpt_oss(make_random_model: Callable[[Any], Path], tmp_path: Path, dtype: str) -> None:
    config = GptOssConfig(
        vocab_size=93,
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        num_local_experts=2,
        num_experts_per_tok=1,
        max_position_embeddings=131072,
        pad_token_id=None,
        eos_token_id=1,
    )
    folder = shutil.copytree(make_random_model(config), tmp_path / "experts")
    meant = quantize(folder, {"quant_method": "mxfp4"}, mxfp4, "gate_up_proj", "down_proj")
    check(folder, tmp_path / "plain", meant, dtype=dtype)


def test_a_scale_that_nothing_accounts_for_is_not_ignored(checkpoint: Path, tmp_path: Path) -> None:
    quantize(checkpoint, *FORMATS["fp8"], "proj.weight")
    stored = load_file(checkpoint / "model.safetensors")
    name = "model.layers.0.mlp.up_proj.weight"
    stored[f"{name}_global_scale"] = torch.tensor(0.5)
    save_file(stored, checkpoint / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=f"does not account for: {name}_global_scale. What it stands for"):
        dequantize(ModelConfig(id=str(checkpoint)), tmp_path / "plain", dtype="float32")
    assert not list(tmp_path.glob("plain*"))


def test_what_is_there_stays_and_what_cannot_be_dequantised_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is not quantised, use it as it is"):
        dequantize(ModelConfig(id=str(checkpoint)), tmp_path / "plain", dtype="float32")
    quantize(checkpoint, {"quant_method": "gptq", "bits": 4}, int8, "proj.weight")
    with pytest.raises(CheckpointError, match=r"\(gptq\) of others. What can be dequantised is bitsandbytes"):
        dequantize(ModelConfig(id=str(checkpoint)), tmp_path / "plain", dtype="float32")
    with pytest.raises(OutputError, match="is there already"):
        dequantize(ModelConfig(id=str(checkpoint)), tmp_path, dtype="float32")
