"""The language model of a multimodal checkpoint, run by itself: prompts are text, so nothing else is used.

vLLM's multimodal classes need libraries for images, and room for towers that would stay idle. Its class for the
language model alone computes the same, if it is given that part of the configuration, and tensors by the names of a
checkpoint of its own.
"""

import functools
import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from vllm.config.load import LoadConfig
from vllm.model_executor.model_loader import register_model_loader
from vllm.model_executor.model_loader.default_loader import DefaultModelLoader

from landscape_ray.engine.checkpoints.model_config import has_tied_head, read_config, text_config
from landscape_ray.errors import CheckpointError
from landscape_ray.planning import left_out, name_alone

__all__ = ["TextLoader", "named_as_alone", "text_settings"]

LOAD_FORMAT = "landscape_ray_text"
# Language models that transformers has no class of their own for: they are these, once positions are those of a text.
ALIKE = {
    "qwen2_5_vl_text": "Qwen2ForCausalLM",
    "qwen2_vl_text": "Qwen2ForCausalLM",
    "qwen3_vl_moe_text": "Qwen3MoeForCausalLM",
    "qwen3_vl_text": "Qwen3ForCausalLM",
}


def text_settings(folder: Path) -> dict[str, Any]:
    """Return the settings with which vLLM runs a checkpoint's language model; none where it is nothing else.

    Raises:
        CheckpointError: vLLM has no class for it.
    """
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES  # noqa: PLC0415

    config = read_config(folder)
    kind = text_config(config).model_type
    if text_config(config) is config:
        return {}
    architecture = ALIKE.get(kind) or MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(kind, "")
    if not architecture.endswith("ForCausalLM"):
        msg = (
            f"{folder} is a multimodal model ({config.model_type}), and its language model ({kind}) cannot be run by "
            "itself in vLLM. Use the transformers engine: --set engine=transformers."
        )
        raise CheckpointError(msg)
    alone = functools.partial(_alone, architecture=architecture, tied=has_tied_head(folder))
    return {"load_format": LOAD_FORMAT, "hf_overrides": alone}


def _alone(config: Any, *, architecture: str, tied: bool) -> Any:
    """Return the configuration of the language model as that of a model of its own."""
    text = text_config(config)
    text.architectures, text.tie_word_embeddings = [architecture], tied
    # Of a text, all three of an image's positions are the same: what they are divided into makes no difference.
    rope = dict(getattr(text, "rope_parameters", None) or {})
    if rope.pop("mrope_section", None):
        rope.pop("mrope_interleaved", None)
        text.rope_parameters = rope | ({"rope_type": "default"} if rope.get("rope_type") == "mrope" else {})
    return text


def named_as_alone(tensors: Iterable[tuple[str, torch.Tensor]]) -> Iterator[tuple[str, torch.Tensor]]:
    """Give tensors of a multimodal checkpoint the names that its language model has by itself; others keep theirs."""
    yield from ((name_alone(name), tensor) for name, tensor in tensors)


@register_model_loader(LOAD_FORMAT)
class TextLoader(DefaultModelLoader):  # type: ignore[misc]
    """vLLM's loader, which hands on the language model's tensors only, by the names it has by itself."""

    def __init__(self, load_config: LoadConfig) -> None:
        super().__init__(replace(load_config, load_format="safetensors"))

    def get_all_weights(self, model_config: Any, model: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield tensors; of a model that is nothing but a language model, all of them as they are."""
        config = json.loads((Path(model_config.model) / "config.json").read_text(encoding="utf-8"))
        tensors = super().get_all_weights(model_config, model)
        return named_as_alone((name, tensor) for name, tensor in tensors if not left_out(name, config))
