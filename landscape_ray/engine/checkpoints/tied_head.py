"""A checkpoint that says its head is its embedding must not hold another one: engines disagree on which to believe."""

from pathlib import Path

import torch
from safetensors import safe_open

from landscape_ray.engine.checkpoints.model_config import has_tied_head
from landscape_ray.errors import CheckpointError

__all__ = ["check_tied_head"]

HEAD = "lm_head.weight"


def check_tied_head(folder: Path) -> None:
    """Refuse a checkpoint whose head is tied by its configuration and differs in its files.

    vLLM then takes the embedding for the head, transformers the tensor in the file. A head that is a copy of the
    embedding is in order.

    Raises:
        CheckpointError: The head equals no other tensor of the checkpoint.
    """
    tensors = {name: file for file in folder.glob("*.safetensors") for name in _names(file)}
    if HEAD not in tensors or not has_tied_head(folder):
        return
    head = _tensor(tensors[HEAD], HEAD)
    # Whatever this model calls its embedding, it has the head's shape.
    others = (name for name, file in tensors.items() if name != HEAD and _shape(file, name) == list(head.shape))
    if not any(torch.equal(head, _tensor(tensors[name], name)) for name in others):
        msg = (
            f"{folder} says tie_word_embeddings, that its head is its embedding, but its {HEAD} is another tensor than "
            "its embedding. Set tie_word_embeddings to false in its config.json if the head in the file is meant, or "
            "remove the tensor if it is not."
        )
        raise CheckpointError(msg)


def _names(file: Path) -> list[str]:
    with safe_open(file, framework="pt", device="cpu") as reader:
        return list(reader.keys())


def _shape(file: Path, name: str) -> list[int]:
    with safe_open(file, framework="pt", device="cpu") as reader:
        return list(reader.get_slice(name).get_shape())


def _tensor(file: Path, name: str) -> torch.Tensor:
    with safe_open(file, framework="pt", device="cpu") as reader:
        tensor: torch.Tensor = reader.get_tensor(name)
        return tensor
