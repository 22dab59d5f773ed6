"""What a configuration says, whatever it calls it."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from landscape_ray.engine.checkpoints.model_config import (
    UNLIMITED,
    context_length,
    has_tied_head,
    read_config,
    text_config,
)
from landscape_ray.errors import CheckpointError


def save(folder: Path, settings: dict[str, Any]) -> Path:
    (folder / "config.json").write_text(json.dumps(settings))
    return folder


@pytest.mark.parametrize(
    ("settings", "length"),
    [
        ({"model_type": "llama", "max_position_embeddings": 77}, 77),
        ({"model_type": "gpt2", "n_positions": 77}, 77),
        ({"model_type": "mpt", "max_seq_len": 77}, 77),
        ({"model_type": "bloom", "seq_length": 77}, 77),
        ({"model_type": "bloom"}, UNLIMITED),
        ({"model_type": "mamba2"}, UNLIMITED),
        ({"model_type": "gemma3", "text_config": {"max_position_embeddings": 77}}, 77),
        ({"model_type": "llava", "text_config": {"model_type": "mistral", "max_position_embeddings": 77}}, 77),
    ],
)
def test_context_by_any_name(settings: dict[str, Any], length: int, tmp_path: Path) -> None:
    config = text_config(read_config(save(tmp_path, settings)))
    assert context_length(tmp_path, config) == length


def test_a_context_that_nothing_states_is_asked_for(tmp_path: Path) -> None:
    config = SimpleNamespace(model_type="nonesuch", max_position_embeddings=None)
    with pytest.raises(CheckpointError, match=r"config\.json states no max_position_embeddings"):
        context_length(tmp_path, config)


@pytest.mark.parametrize(
    ("settings", "tied"),
    [
        ({"model_type": "llama"}, False),
        ({"model_type": "llama", "tie_word_embeddings": True}, True),
        ({"model_type": "gemma2"}, True),
        ({"model_type": "qwen2_moe"}, False),
        # What is written counts, in the wrapper or in its language model, before what classes assume.
        ({"model_type": "mistral3"}, True),
        ({"model_type": "mistral3", "tie_word_embeddings": False}, False),
        (
            {"model_type": "mistral3", "text_config": {"model_type": "mistral", "tie_word_embeddings": False}},
            False,
        ),
        ({"model_type": "qwen2_5_vl"}, False),  # whose language model's class has no such setting
        ({"model_type": "qwen2_5_vl", "tie_word_embeddings": True}, True),
    ],
)
def test_tied_heads_by_what_is_written(settings: dict[str, Any], tied: object, tmp_path: Path) -> None:
    assert has_tied_head(save(tmp_path, settings)) == tied


def test_an_unknown_architecture_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds no configuration that transformers can read"):
        read_config(save(tmp_path, {"model_type": "nonesuch"}))
