"""A checkpoint that says its head is its embedding must not hold another one: engines disagree on which to believe."""

from pathlib import Path

from landscape_ray.engine.checkpoints.model_config import has_tied_head
from landscape_ray.errors import CheckpointError
from landscape_ray.weights.files import HEAD, CheckpointFiles

__all__ = ["check_tied_head"]


def check_tied_head(folder: Path) -> None:
    """Refuse a checkpoint whose head is tied by its configuration and differs in its files.

    vLLM then takes the embedding for the head, transformers the tensor in the file. A head that is a copy of the
    embedding is in order.

    Raises:
        CheckpointError: The head equals no other tensor of the checkpoint.
    """
    if not has_tied_head(folder):
        return
    files = CheckpointFiles.open(folder, tied_head=False)
    if HEAD in files.names and not files.has_redundant_head:
        msg = (
            f"{folder} says tie_word_embeddings, that its head is its embedding, but its {HEAD} is another tensor than "
            "its embedding. Set tie_word_embeddings to false in its config.json if the head in the file is meant, or "
            "remove the tensor if it is not."
        )
        raise CheckpointError(msg)
