"""A layer with a direction's tensors for its parameters, which computes what the direction adds to its output."""

import copy
from collections.abc import Mapping

import torch

from landscape_ray.errors import CheckpointError

__all__ = ["not_covered", "with_parameters"]


def with_parameters(module: torch.nn.Module, parameters: Mapping[str, torch.Tensor | None]) -> torch.nn.Module:
    """Return a module that computes with other parameters, None where none are given, and shares the rest."""
    twin = copy.copy(module)
    twin.__dict__["_parameters"] = {**dict.fromkeys(twin.__dict__["_parameters"]), **parameters}
    twin.__dict__.pop("forward", None)
    return twin


def not_covered(where: str, kind: str) -> CheckpointError:
    """Return what to raise where directions cannot be put beside what they would move."""
    return CheckpointError(
        f"The model cannot be measured with several points in a batch: its directions would move {where}, {kind}, and "
        "only linear layers, embeddings and norms are covered. Set batching: point, or, with the transformers engine, "
        "leave these tensors out with directions.excluded."
    )
