"""What a model's config.json says, whatever it calls it, and wherever a multimodal wrapper puts it."""

import json
from pathlib import Path
from typing import Any

from landscape_ray.errors import CheckpointError, in_brief

__all__ = ["UNLIMITED", "context_length", "has_tied_head", "read_config", "text_config"]

UNLIMITED = 1 << 20
"""Context of a model that knows no positions, in tokens: longer than any prompt."""
CONTEXT = (
    *("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "max_sequence_length"),
    *("max_seq_length", "model_max_length", "n_ctx", "seq_len"),
)
# They have no positions (state spaces), or only distances between them (ALiBi).
WITHOUT_POSITIONS = frozenset({"bloom", "falcon_mamba", "mamba", "mamba2", "rwkv", "xlstm"})


def read_config(folder: Path) -> Any:
    """Read a checkpoint's configuration; no code of the checkpoint is run.

    Raises:
        CheckpointError: transformers does not know the architecture, or there is no configuration.
    """
    from transformers import AutoConfig  # noqa: PLC0415 - heavy, and not needed by all who read this module

    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        msg = f"{folder} holds no configuration that transformers can read: {in_brief(error)}."
        raise CheckpointError(msg) from error


def text_config(config: Any) -> Any:
    """Return the part of a configuration that describes the language model: all of it, but in multimodal models."""
    return config.get_text_config(decoder=True)


def has_tied_head(folder: Path) -> bool:
    """Tell whether a checkpoint's configuration says that its head is its embedding.

    What config.json states counts before what its class assumes: wrappers and language models have other defaults.

    Raises:
        CheckpointError: See `read_config`.
    """
    stated = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config = read_config(folder)
    text = text_config(config)
    parts = (part for part in stated.values() if isinstance(part, dict))
    inner = next((part for part in parts if part.get("model_type") == text.model_type), {})
    for settings in (stated, inner):
        if isinstance(settings.get("tie_word_embeddings"), bool):
            return bool(settings["tie_word_embeddings"])
    return bool(getattr(config, "tie_word_embeddings", getattr(text, "tie_word_embeddings", False)))


def context_length(folder: Path, config: Any) -> int:
    """Return how many tokens a language model can see, from whatever its configuration calls it.

    Args:
        folder: Its folder, for the message.
        config: Its own part of the configuration, see `text_config`.

    Raises:
        CheckpointError: Nothing says so.
    """
    for key in CONTEXT:
        length = getattr(config, key, None)
        if isinstance(length, int) and length > 0:
            return length
    if config.model_type in WITHOUT_POSITIONS:
        return UNLIMITED
    msg = f"{folder}/config.json states no max_position_embeddings, the length of the context; add it."
    raise CheckpointError(msg)
