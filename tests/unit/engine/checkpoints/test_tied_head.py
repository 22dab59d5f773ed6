"""A tied head in the file must be the embedding."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from landscape_ray.config import RunConfig
from landscape_ray.engine import EngineSpec
from landscape_ray.engine.checkpoints.tied_head import check_tied_head
from landscape_ray.engine.factory import create_engine
from landscape_ray.errors import CheckpointError


def with_head(source: Path, folder: Path, *, offset: float, dtype: torch.dtype = torch.float32) -> Path:
    """Copy a tied checkpoint and write a head beside its embedding, moved by an offset in one element."""
    shutil.copytree(source, folder)
    weights = load_file(folder / "model.safetensors")
    head = weights["model.embed_tokens.weight"].clone().to(dtype)
    head[3, 5] += offset
    save_file({**weights, "lm_head.weight": head}, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_a_head_that_differs_is_refused_by_the_check_and_by_the_engine(tied_checkpoint: Path, tmp_path: Path) -> None:
    folder = with_head(tied_checkpoint, tmp_path / "model", offset=0.25)
    with pytest.raises(CheckpointError, match=r"says tie_word_embeddings.*its lm_head\.weight is another tensor"):
        check_tied_head(folder)
    spec = EngineSpec(
        engine="transformers", model=str(folder), revision=None, dtype="float32", run=RunConfig(), benchmarks=()
    )
    with pytest.raises(CheckpointError, match="says tie_word_embeddings"):
        create_engine(spec)


def test_a_head_that_is_a_copy_is_in_order(tied_checkpoint: Path, tmp_path: Path) -> None:
    check_tied_head(with_head(tied_checkpoint, tmp_path / "model", offset=0.0))


def test_a_head_of_its_own_is_in_order(tied_checkpoint: Path, untied_checkpoint: Path, tmp_path: Path) -> None:
    check_tied_head(tied_checkpoint)
    check_tied_head(untied_checkpoint)
    folder = with_head(tied_checkpoint, tmp_path / "model", offset=0.25)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": False}))
    check_tied_head(folder)
