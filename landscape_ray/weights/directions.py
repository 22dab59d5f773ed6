"""Vectors as tensors of their own, for engines that hold them beside the weights instead of adding them."""

from collections.abc import Callable, Iterator

import torch

from landscape_ray.planning import ComputedVector, RandomVector, VectorSpec
from landscape_ray.weights.base import BaseWeights
from landscape_ray.weights.kinds import ComputedTensors
from landscape_ray.weights.patterns import check_patterns
from landscape_ray.weights.perturbation import direction
from landscape_ray.weights.philox import standard_normals

__all__ = ["vector_tensors"]


def vector_tensors(
    vector: VectorSpec,
    base: BaseWeights,
    computed: ComputedTensors,
    *,
    device: torch.device,
    normals: Callable[..., torch.Tensor] = standard_normals,
) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the tensors of a vector by checkpoint name, zeros where it moves nothing: new, float32, on the device.

    `base + sum of c_k * these` is a point, before its one cast to the type of the engine.

    Args:
        vector: Which vector.
        base: The weights.
        computed: The checkpoints that differences lead to, and the vectors that are computed from them.
        device: Where the tensors are built.
        normals: `standard_normals`, or what gives the same faster.

    Raises:
        CheckpointError: A pattern of the vector matches no tensor.
        ValueError: The vector is the difference of a checkpoint that is not among the endpoints.
    """
    if isinstance(vector, RandomVector | ComputedVector):
        check_patterns(vector, base.names)
    elif vector not in computed.endpoints:
        msg = f"The checkpoint {vector.location} ({vector.fingerprint}) was not opened."
        raise ValueError(msg)
    for name in base.names:
        weights = base.tensor(name).to(device)
        if isinstance(vector, RandomVector):
            yield name, direction(vector, name, weights, normals)
        elif isinstance(vector, ComputedVector):
            step = computed.tensor(vector, name, weights)
            zeros = torch.zeros_like(weights, dtype=torch.float32)
            yield name, zeros if step is None else zeros.copy_(step)
        else:
            end = computed.endpoints[vector].tensor(name).to(device=device, dtype=torch.float32)
            yield name, end - weights.to(torch.float32)
