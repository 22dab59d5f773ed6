"""Quantised checkpoints are told from a few kilobytes, whatever made them."""

import json
from pathlib import Path
from typing import Any

import pytest

from landscape_ray.engine.checkpoints.quantized import check_unquantized, quantization
from landscape_ray.errors import CheckpointError


def folder_with(folder: Path, config: dict[str, Any], *names: str) -> Path:
    (folder / "config.json").write_text(json.dumps(config))
    for name in names:
        (folder / name).touch()
    return folder


@pytest.mark.parametrize(
    ("settings", "method"),
    [
        ({"quantization_config": {"quant_method": "mxfp4"}}, "mxfp4"),
        ({"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}}, "fp8"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, "gptq"),
        ({"quantization_config": {"quant_method": "awq", "bits": 4}}, "awq"),
        ({"quantization_config": {"quant_method": "compressed-tensors"}}, "compressed-tensors"),
        ({"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}, "bitsandbytes"),
        ({"quantization_config": {"load_in_8bit": True}}, "bitsandbytes"),
        ({"quantization_config": {"bits": 3}}, "of an unknown format"),
        ({"compression_config": {"quant_method": "compressed-tensors"}}, "compressed-tensors"),
        ({"text_config": {"quantization_config": {"quant_method": "fp8"}}}, "fp8"),
        ({"thinker_config": {"text_config": {"quantization_config": {"quant_method": "awq"}}}}, "awq"),
        ({"quantization_config": None}, None),
        ({"quantization_config": {}}, None),
        ({}, None),
    ],
)
def test_the_configuration_tells_the_format(tmp_path: Path, settings: dict[str, Any], method: str | None) -> None:
    assert quantization(folder_with(tmp_path, {"model_type": "llama"} | settings, "model.safetensors")) == method


@pytest.mark.parametrize(
    ("file", "method"),
    [("quantize_config.json", "gptq"), ("quant_config.json", "awq"), ("hf_quant_config.json", "modelopt")],
)
def test_a_file_of_a_quantising_tool_tells_it_too(tmp_path: Path, file: str, method: str) -> None:
    assert quantization(folder_with(tmp_path, {}, "model.safetensors", file)) == method


def test_a_gguf_file_counts_where_it_is_all_there_is(tmp_path: Path) -> None:
    assert quantization(folder_with(tmp_path, {}, "model-Q4_K_M.gguf")) == "gguf"
    assert quantization(folder_with(tmp_path, {}, "model.safetensors")) is None


def test_the_way_out_is_named_and_only_where_there_is_one(tmp_path: Path) -> None:
    def message(method: str) -> str:
        folder = folder_with(tmp_path, {"quantization_config": {"quant_method": method}})
        with pytest.raises(CheckpointError) as error:
            check_unquantized(folder, "org/model")
        return str(error.value)

    assert "org/model is quantised (mxfp4)" in message("mxfp4")
    assert "the unquantised model that it was made from, or the folder" in message("mxfp4")
    assert "`landscape-ray dequantize org/model --out FOLDER`" in message("mxfp4")
    assert message("gptq").endswith("Give the unquantised model that it was made from.")
