"""`pruning`: from the weights to what they are without the smallest of each matrix."""

import math
from fractions import Fraction

import torch

from landscape_ray.planning import Pruning

__all__ = ["pruning"]


def pruning(vector: Pruning, _name: str, weights: torch.Tensor, _endpoints: object) -> torch.Tensor | None:
    """Return `P(W) - W` on one matrix, float32: minus the weights of least magnitude, zero elsewhere.

    So many as the share of all makes, rounded down. Of weights of equal magnitude the first ones go, in the order in
    which they are stored. None for a vector, which stays as it is.

    Source: Han et al. 2015, "Learning both Weights and Connections", Section 3 (magnitude), matrix by matrix.
    """
    num = math.floor(Fraction(repr(vector.share)) * weights.numel())  # of the decimal that was written
    if weights.ndim < 2 or num == 0:
        return None
    values = weights.to(torch.float32).flatten()
    magnitudes = values.abs()
    threshold = magnitudes.kthvalue(num).values
    below, level = magnitudes < threshold, magnitudes == threshold
    pruned = below | (level & (level.cumsum(0) <= num - below.sum()))
    return torch.where(pruned, -values, 0.0).view(weights.shape)
