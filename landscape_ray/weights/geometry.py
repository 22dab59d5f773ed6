"""Norms and inner products of directions over all weights, in float64, without a model in memory."""

import itertools
import math
from collections.abc import Iterator, Sequence

import torch

from landscape_ray.planning import ComputedVector, RandomVector, VectorSpec
from landscape_ray.weights.files import Endpoints, TensorSource
from landscape_ray.weights.kinds import computed
from landscape_ray.weights.patterns import check_patterns, is_perturbed

__all__ = ["direction_norms", "inner_products", "random_norm", "weights_norm"]

# Elements in float64 at a time: these should stay in cache.
BLOCK = 1 << 18


def inner_products(base: TensorSource, endpoints: Sequence[TensorSource]) -> tuple[tuple[float, ...], ...]:
    """Return the inner product of each two differences `endpoint - base`, taken over all tensors: [K][K].

    Args:
        base: The weights at the origin.
        endpoints: K checkpoints with the same tensors. One tensor of each is in memory at a time.
    """
    size = len(endpoints)
    sums = [[0.0] * size for _ in range(size)]
    for name in base.names if endpoints else ():
        start = base.tensor(name).flatten()
        ends = [endpoint.tensor(name).flatten() for endpoint in endpoints]
        for first in range(0, start.numel(), BLOCK):
            block = slice(first, first + BLOCK)
            differences = [end[block].to("cpu", torch.float64) - start[block].to("cpu", torch.float64) for end in ends]
            for i, j in itertools.combinations_with_replacement(range(size), 2):
                sums[i][j] += float(differences[i] @ differences[j])
    return tuple(tuple(sums[min(i, j)][max(i, j)] for j in range(size)) for i in range(size))


def random_norm(base: TensorSource, vector: RandomVector) -> float:
    """Return the Frobenius norm of a random direction over all tensors, whatever its seed.

    Under `layer` and `filter` each perturbed tensor of the direction has the norm of its weights, so it is the norm of
    these weights. Under `none` it is the root of their number: the norm of a draw of standard normals deviates from
    this by a share of about `1 / sqrt(2 n)`, which for n = 10^9 is 2e-5.

    Raises:
        CheckpointError: A pattern of the vector matches no tensor.
    """
    check_patterns(vector, base.names)
    perturbed = (base.tensor(name).flatten() for name in base.names if is_perturbed(vector, name))
    if vector.normalization == "none":
        return math.sqrt(sum(weights.numel() for weights in perturbed))
    return math.sqrt(math.fsum(square for weights in perturbed for square in _squares(weights)))


def weights_norm(base: TensorSource) -> float:
    """Return the Frobenius norm of all weights."""
    return math.sqrt(math.fsum(square for name in base.names for square in _squares(base.tensor(name))))


def direction_norms(vectors: Sequence[VectorSpec], base: TensorSource, endpoints: Endpoints) -> tuple[float, ...]:
    """Return the Frobenius norm of each vector over all tensors; of a random one that of any draw.

    One tensor of each is in memory at a time.

    Raises:
        CheckpointError: A pattern of a vector matches no tensor, or a vector is not defined on a tensor.
    """
    return tuple(_norm(vector, base, endpoints) for vector in vectors)


def _norm(vector: VectorSpec, base: TensorSource, endpoints: Endpoints) -> float:
    if isinstance(vector, RandomVector):
        return random_norm(base, vector)
    if not isinstance(vector, ComputedVector):
        msg = f"The norm of {vector} is among the inner products."
        raise TypeError(msg)
    check_patterns(vector, base.names)
    tensors = (computed(vector, name, base.tensor(name), endpoints) for name in base.names)
    return math.sqrt(math.fsum(square for tensor in tensors if tensor is not None for square in _squares(tensor)))


def _squares(tensor: torch.Tensor) -> Iterator[float]:
    """Yield the sum of squares of each block of a tensor, in float64."""
    flat = tensor.flatten()
    for first in range(0, flat.numel(), BLOCK):
        yield float(flat[first : first + BLOCK].to("cpu", torch.float64).square().sum())
