"""How long the tensors of a computed direction are."""

import torch

from landscape_ray.config import Normalization

__all__ = ["normalized"]


def normalized(tensor: torch.Tensor, weights: torch.Tensor, normalization: Normalization) -> torch.Tensor:
    """Return a direction's tensor scaled against the weights, as random directions are; float32, in its own shape.

    Norms are summed in float64, so that the float32 factors hardly depend on the order of summation. What is zero stays
    zero: under `filter` a row, under `layer` the whole tensor.

    Args:
        tensor: The direction on one checkpoint tensor, float32.
        weights: The tensor's base weights, in the same shape.
        normalization: `none`: as it is. `layer`: the norm of the weights. `filter`: row by row.

    Source: Peng et al. 2024, Eq. 2 (`layer`); Li et al. 2018, Section 4 (`filter`).
    """
    if normalization == "none":
        return tensor
    rows = tensor.shape[0] if normalization == "filter" and tensor.ndim > 1 else 1
    have_R1, want_R1 = (
        each.reshape(rows, -1).to(torch.float64).square().sum(dim=1, keepdim=True).sqrt() for each in (tensor, weights)
    )
    factor_R1 = torch.where(have_R1 > 0, want_R1 / have_R1, 0.0).to(torch.float32)
    return (tensor.reshape(rows, -1) * factor_R1).view(tensor.shape)
