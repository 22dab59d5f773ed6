"""Quantised checkpoints: told from files of a few kilobytes, before anything is loaded. No torch: the driver runs this.

A direction is defined on weights, and integers with scales are none.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from landscape_ray.errors import CheckpointError

__all__ = ["DEQUANTIZED", "check_unquantized", "quantization"]

# What `landscape-ray dequantize` can write as plain weights, by transformers' names of the formats.
DEQUANTIZED = frozenset({"bitsandbytes", "compressed-tensors", "fp8", "mxfp4", "mxfp8"})
KEYS = ("quantization_config", "compression_config")
# Where tools that quantise state their settings in a file of its own.
FILES = {"quantize_config.json": "gptq", "quant_config.json": "awq", "hf_quant_config.json": "modelopt"}


def quantization(folder: Path) -> str | None:
    """Return the format that a checkpoint folder is quantised in, as transformers calls it; None if it is not."""
    file = folder / "config.json"
    config = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    for settings in _settings(config):
        for name in ("load_in_4bit", "load_in_8bit"):
            if settings.get(name):
                return "bitsandbytes"
        return str(settings.get("quant_method") or "of an unknown format")
    if found := next((method for name, method in FILES.items() if (folder / name).is_file()), None):
        return found
    has_weights = any(folder.glob("*.safetensors"))
    return "gguf" if not has_weights and any(folder.glob("*.gguf")) else None


def _settings(config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the settings of a quantisation, of the model or of a part of it such as its language model."""
    yield from (config[key] for key in KEYS if config.get(key))
    for part in config.values():
        if isinstance(part, Mapping):
            yield from _settings(part)


def without_quantization(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration without the settings of a quantisation."""
    return {
        key: without_quantization(value) if isinstance(value, Mapping) else value
        for key, value in config.items()
        if key not in KEYS
    }


def check_unquantized(folder: Path, name: str) -> None:
    """Refuse a quantised checkpoint.

    Args:
        folder: Its folder; `config.json` is all that needs to be there.
        name: What the user called it.

    Raises:
        CheckpointError: It is quantised; the message names the format and the way out.
    """
    method = quantization(folder)
    if method is None:
        return
    way_out = "Give the unquantised model that it was made from"
    if method in DEQUANTIZED:
        way_out += f", or the folder that `landscape-ray dequantize {name} --out FOLDER` writes"
    msg = (
        f"The checkpoint {name} is quantised ({method}), by its configuration. Landscapes are of weights in floating "
        f"point: its integers and scales cannot be moved along a direction. {way_out}."
    )
    raise CheckpointError(msg)
