"""From a quantised checkpoint to the folder of plain weights that it stands for."""

import json
import secrets
import shutil
from pathlib import Path
from typing import Any, Literal

import torch
import transformers

from landscape_ray.config import ModelConfig
from landscape_ray.engine.checkpoints.quantized import DEQUANTIZED, FILES, quantization, without_quantization
from landscape_ray.engine.checkpoints.resolution import INDEX_FILE, TEXT_FILES, checkpoint_folder, resolve
from landscape_ray.errors import CheckpointError, OutputError, few_of, in_brief

__all__ = ["dequantize"]

PLAIN = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def dequantize(model: ModelConfig, out: Path, *, dtype: Literal["float32", "bfloat16", "float16"]) -> int:
    """Write the weights that a quantised checkpoint computes with, as a checkpoint of its own.

    transformers, and the libraries of the formats that it calls, say what they are. The folder appears under its name
    when it is whole.

    Args:
        model: The checkpoint.
        out: A folder that is not there yet.
        dtype: Type of the weights that are written.

    Returns:
        Number of weights written.

    Raises:
        CheckpointError: It is not quantised, in a format that cannot be dequantised, or not all of its tensors are
            understood.
        OutputError: The folder exists.
    """
    if out.exists():
        msg = f"{out} is there already; give a folder that is not (--out)."
        raise OutputError(msg)
    found = resolve(model)
    folder = checkpoint_folder(found.location, found.revision)
    method = quantization(folder)
    if method not in DEQUANTIZED:
        what = (
            "is not quantised, use it as it is" if method is None else f"is quantised in a format ({method}) of others"
        )
        msg = f"The checkpoint {model.id} {what}. What can be dequantised is {', '.join(sorted(DEQUANTIZED))}."
        raise CheckpointError(msg)
    partial = out.with_name(f"{out.name}.partial-{secrets.token_hex(4)}")
    partial.mkdir(parents=True)
    try:
        num_weights = _write_weights(folder, partial, method, PLAIN[dtype])
        _write_texts(folder, partial, dtype)
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return num_weights


def _write_weights(folder: Path, out: Path, method: str, dtype: torch.dtype) -> int:
    """Load what the checkpoint stands for, and save it as a model that was never quantised would be."""
    weights = _loaded(folder, method, dtype)
    config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
    for part in (config, config.get_text_config()):
        if hasattr(part, "quantization_config"):
            del part.quantization_config
    # What was loaded would be quantised again where it is saved, and has scales left in it.
    with torch.device("meta"):
        plain = _model_class(config)(config)
    expected = plain.state_dict().keys()
    unlike = [name for name in expected if name not in weights or weights[name].dtype not in PLAIN.values()]
    if unlike:
        msg = f"The checkpoint {folder} gives no plain weights for {few_of(unlike)}, so it cannot be dequantised here."
        raise CheckpointError(msg)
    plain.load_state_dict({name: weights[name].to(dtype) for name in expected}, assign=True)
    plain.tie_weights()
    plain.save_pretrained(out, max_shard_size="5GB")
    return sum(parameter.numel() for parameter in plain.parameters())


def _loaded(folder: Path, method: str, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Return the dequantised tensors by the names of transformers' model."""
    config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
    for part in (config, config.get_text_config()):
        if method != "bitsandbytes" and getattr(part, "quantization_config", None):
            part.quantization_config |= {"dequantize": True}
    transformers.logging.disable_progress_bar()
    verbosity = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()  # it would print a table of what is reported below
    try:
        model, report = _model_class(config).from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
        if method == "bitsandbytes":
            model = model.dequantize()
    except (OSError, ValueError, RuntimeError, ImportError, NotImplementedError) as error:
        msg = f"The checkpoint {folder} ({method}) cannot be dequantised here. transformers says: {in_brief(error)}."
        raise CheckpointError(msg) from error
    finally:
        transformers.logging.set_verbosity(verbosity)
    if left := sorted(name for names in report.values() for name in names):
        msg = (
            f"The checkpoint {folder} ({method}) holds or lacks tensors that transformers does not account for: "
            f"{few_of(map(str, left))}. What it stands for is not certain, so it is not dequantised."
        )
        raise CheckpointError(msg)
    state: dict[str, torch.Tensor] = model.state_dict()
    return state


def _model_class(config: Any) -> Any:
    """Return the class that the checkpoint was saved from, which holds all of its tensors."""
    names = config.architectures or []
    if len(names) == 1 and hasattr(transformers, names[0]):
        return getattr(transformers, names[0])
    msg = f"transformers {transformers.__version__} has no model of architectures {few_of(names) or 'none'} to read it."
    raise CheckpointError(msg)


def _write_texts(folder: Path, out: Path, dtype: str) -> None:
    """Copy tokenizer, templates and settings; the configuration without its quantisation."""
    for file in {file for pattern in TEXT_FILES for file in folder.glob(pattern)}:
        if file.name not in {"config.json", INDEX_FILE, *FILES}:
            shutil.copy(file, out)
    config = without_quantization(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    config |= {name: dtype for name in ("torch_dtype", "dtype") if name in config}
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
