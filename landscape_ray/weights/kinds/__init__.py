"""Kinds of directions whose tensors are computed from checkpoints and numbers: a file for each.

Each kind is a function of a vector's specification, a tensor's name, its base weights and the checkpoints that were
opened. It gives float32 in host memory, in the tensor's shape, or None where the kind moves nothing; `computed` adds
what all have in common: patterns and normalization. Everything is computed on the CPU, so that the bits do not depend
on where an engine runs.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch

from landscape_ray.planning import (
    Complement,
    ComputedVector,
    Gradient,
    LowRank,
    Pruning,
    QuantizationError,
    RefusalAblation,
    SingularPart,
    TaskVector,
)
from landscape_ray.weights.files import Endpoints
from landscape_ray.weights.kinds.complement import complement
from landscape_ray.weights.kinds.gradient import gradient
from landscape_ray.weights.kinds.low_rank import low_rank
from landscape_ray.weights.kinds.pruning import pruning
from landscape_ray.weights.kinds.quantization_error import quantization_error
from landscape_ray.weights.kinds.refusal_ablation import refusal_ablation
from landscape_ray.weights.kinds.scaling import normalized
from landscape_ray.weights.kinds.svd import svd
from landscape_ray.weights.kinds.task_vector import task_vector
from landscape_ray.weights.patterns import is_perturbed

__all__ = ["ComputedTensors", "computed"]

Kind: TypeAlias = Callable[[Any, str, torch.Tensor, Endpoints], torch.Tensor | None]

KINDS: Mapping[type[ComputedVector], Kind] = {
    Complement: complement,
    Gradient: gradient,
    LowRank: low_rank,
    Pruning: pruning,
    QuantizationError: quantization_error,
    RefusalAblation: refusal_ablation,
    SingularPart: svd,
    TaskVector: task_vector,
}


def computed(vector: ComputedVector, name: str, base: torch.Tensor, endpoints: Endpoints) -> torch.Tensor | None:
    """Return a vector on one checkpoint tensor: float32, in the tensor's shape, in host memory; None where it is zero.

    Args:
        vector: Which vector.
        name: The tensor's name in the checkpoint.
        base: The tensor's base weights.
        endpoints: The checkpoints that the vector is computed from, and perhaps others.

    Raises:
        CheckpointError: The vector is not defined on this tensor.
        ValueError: A checkpoint of the vector is not among the endpoints.
    """
    for delta in vector.checkpoints:
        if delta not in endpoints:
            msg = f"The checkpoint {delta.location} ({delta.fingerprint}) was not opened for this perturber."
            raise ValueError(msg)
    if base.numel() == 0 or not is_perturbed(vector, name):
        return None
    weights = base.cpu()
    tensor = KINDS[type(vector)](vector, name, weights, endpoints)
    if tensor is None or not tensor.any():
        return None
    return normalized(tensor, weights, vector.normalization)


class ComputedTensors:
    """Tensors of vectors, each computed when it is first asked for and kept in host memory.

    They are kept in the checkpoint's type where that holds them exactly, which it does with differences of weights from
    what these are rounded to, or from 0; else in float32.
    """

    def __init__(self, endpoints: Endpoints) -> None:
        """Remember the checkpoints; nothing is computed."""
        self.endpoints = endpoints
        self._kept: dict[tuple[ComputedVector, str], torch.Tensor | None] = {}

    def tensor(self, vector: ComputedVector, name: str, base: torch.Tensor) -> torch.Tensor | None:
        """Return what `computed` does, the same numbers in the type they are kept in. Do not write to it."""
        if (vector, name) not in self._kept:
            tensor = computed(vector, name, base, self.endpoints)
            if tensor is None or not torch.equal(tensor.to(base.dtype).to(torch.float32), tensor):
                self._kept[vector, name] = tensor
            else:
                self._kept[vector, name] = tensor.to(base.dtype)
        return self._kept[vector, name]
