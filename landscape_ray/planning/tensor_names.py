"""Which tensors of a checkpoint are weights of its language model, which are norms, and which are moved: by names."""

import re
from collections.abc import Collection, Mapping
from typing import Any

__all__ = ["default_excluded", "is_moved", "is_scale", "left_out", "name_alone"]

# What old checkpoints carry along. Models compute it.
BUFFERS = re.compile(
    r"(^|\.)rotary_(pos_)?emb\.(inv_freq|cos_cached|sin_cached)$|\.(attn|attention)\.(masked_)?bias$|\.position_ids$"
)
# Heads that predict further tokens while training, or for speculation. No library computes answers with them.
FURTHER_TOKENS = re.compile(r"(^|\.)mtp(_layers|_block)?\.")
LAYER = re.compile(r"(?:^|\.)layers\.(\d+)\.")
# How a wrapper's checkpoint calls its language model: in a part of its own, or, where vision has one, as if alone.
WRAPPED = re.compile(r"(^|\.)(language_model|text_model|llm)\.|^lm_head\.|^model\.(layers|embed_tokens|norm)\.")
PART = re.compile(r"^(?:model\.)?(?:language_model|text_model|llm)\.(?:model\.)?")
TEXT_CONFIGS = ("text_config", "llm_config", "language_config")
SCALES = re.compile(r"(^|\.|_)(weight|input|output|[qkv])_scale(_inv|_2)?$|_scale_inv$|(\.|_)scales$")

# The first is the paper's. Each of the others is for architectures that call their norms otherwise.
NORMS = ("norm", "Norm", r"(^|\.)ln(_[a-z0-9]+)?\.")


def left_out(name: str, config: Mapping[str, Any]) -> str | None:
    """Say what a tensor is, if it is no weight that the language model computes answers with; None if it is one.

    Args:
        name: Its name in the checkpoint.
        config: The checkpoint's config.json.
    """
    text: Mapping[str, Any] = next((config[key] for key in TEXT_CONFIGS if isinstance(config.get(key), dict)), config)
    if text is not config and not WRAPPED.search(name):
        return "parts of the model that read no text"
    if BUFFERS.search(name):
        return "buffers"
    layer = LAYER.search(name)
    # The layers of such a head are counted on after those of the model.
    is_further = layer is not None and bool(text.get("num_nextn_predict_layers"))
    if FURTHER_TOKENS.search(name) or (is_further and int(layer[1]) >= text["num_hidden_layers"]):  # type: ignore[index]
        return "heads that predict further tokens"
    return None


def name_alone(name: str) -> str:
    """Return what a tensor of a multimodal model's language model is called where that is a model by itself.

    Other names are returned as they are.
    """
    rest = PART.sub("", name)
    return name if rest == name else rest if rest.startswith("lm_head.") else f"model.{rest}"


def is_scale(name: str) -> bool:
    """Tell whether a tensor holds what quantised weights are multiplied by."""
    return SCALES.search(name) is not None


def is_moved(name: str, *, included: Collection[str] = (), excluded: Collection[str] = ()) -> bool:
    """Tell whether a tensor is moved: it matches an included pattern, if there are any, and no excluded one."""
    if any(re.search(pattern, name) for pattern in excluded):
        return False
    return not included or any(re.search(pattern, name) for pattern in included)


def default_excluded(names: Collection[str]) -> tuple[str, ...]:
    """Return the patterns of norms that tensors of a checkpoint match: what `directions.excluded` is by default.

    Where norms are called `norm` and nothing else, as in most models, that is this one pattern.
    """
    return tuple(pattern for pattern in NORMS if any(re.search(pattern, name) for name in names))
