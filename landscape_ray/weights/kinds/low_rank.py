"""`low_rank`: random directions whose matrices are products of two thin random factors."""

import math

import torch

from landscape_ray.errors import CheckpointError
from landscape_ray.planning import LowRank
from landscape_ray.weights.philox import standard_normals, tensor_key

__all__ = ["low_rank"]

# Factors are multiples of 2^-12 and smaller than 8: products have 30 bits, and sums of up to 2^22 of them are exact in
# float64. So the product is the same to the bit in whichever order a library takes its sums.
STEP = 2.0**-12


def low_rank(vector: LowRank, name: str, weights: torch.Tensor, _endpoints: object) -> torch.Tensor | None:
    """Return `A B / sqrt(rank)` on one matrix, A (rows, rank) and B (rank, columns) of standard normals; float32.

    Its elements have variance 1, as those of a random direction have. A tensor of more than two dimensions is a matrix
    whose columns are its last one. None for a vector, which has no rank to be low.

    Raises:
        CheckpointError: The matrix has fewer rows or columns than the rank.
    """
    if weights.ndim < 2:
        return None
    columns = weights.shape[-1]
    rows = weights.numel() // columns
    if vector.rank > min(rows, columns):
        msg = (
            f"A direction of rank {vector.rank} was asked for, and the tensor {name} has {rows} rows and {columns} "
            f"columns, so no more than rank {min(rows, columns)}. Lower rank, or leave the tensor out with `excluded`."
        )
        raise CheckpointError(msg)
    left_RK = _factor(vector, f"{name}/left", rows * vector.rank).view(rows, vector.rank)
    right_KC = _factor(vector, f"{name}/right", vector.rank * columns).view(vector.rank, columns)
    product_RC = (left_RK @ right_KC) / math.sqrt(vector.rank)
    return product_RC.to(torch.float32).view(weights.shape)


def _factor(vector: LowRank, key: str, size: int) -> torch.Tensor:
    """Return rounded standard normals, float64."""
    drawn = standard_normals(tensor_key(vector.seed, key), 0, size, device=torch.device("cpu"))
    return drawn.to(torch.float64).div_(STEP).round_().mul_(STEP)
