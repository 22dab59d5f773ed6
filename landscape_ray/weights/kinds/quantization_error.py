"""`quantization_error`: from the weights to what they are when they are rounded to few bits."""

import torch

from landscape_ray.errors import CheckpointError
from landscape_ray.planning import QuantizationError

__all__ = ["quantization_error", "quantized"]

# Quantiles of a normal distribution, scaled to [-1, 1], one of them 0: Dettmers et al. 2023, "QLoRA", Appendix E.
NF4 = (
    *(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453),
    *(-0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0),
    *(0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224),
    *(0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0),
)
# The largest number of each format; that of e4m3 is of Micikevicius et al. 2022, "FP8 Formats for Deep Learning".
LARGEST = {"int8": 127.0, "int4": 7.0, "nf4": 1.0, "fp8": 448.0}
# Elements in float64 at a time.
BLOCK = 1 << 22


def quantization_error(
    vector: QuantizationError, name: str, weights: torch.Tensor, _endpoints: object
) -> torch.Tensor | None:
    """Return `Q(W) - W` on one matrix, float32; None for a vector, which stays as it is where models are quantised.

    The difference is exact, because a number and what it is rounded to are within a factor of 2 of each other, or this
    is 0. So adding it to W gives Q(W) to the bit.

    Raises:
        CheckpointError: Groups do not divide the columns.
    """
    if weights.ndim < 2:
        return None
    return quantized(vector, name, weights).to(torch.float32) - weights.to(torch.float32)


def quantized(vector: QuantizationError, name: str, weights: torch.Tensor) -> torch.Tensor:
    """Return Q(W): a matrix rounded to nearest, symmetric about zero, in its own type and shape.

    Numbers that share a scale s become `s * round(w / s)`, where s is their largest magnitude over the largest number
    of the format, and `round` gives the nearest number of the format: of two as near, of integers and floats the even
    one, of NF4 the lower one. Computed in float64.

    Args:
        vector: Which format, and what shares a scale. A channel is a row along the last dimension.
        name: The tensor's name, for the message.
        weights: The matrix, or a stack of them.

    Raises:
        CheckpointError: Groups do not divide the columns.
    """
    columns = weights.shape[-1]
    size = vector.group_size or columns
    if columns % size:
        msg = (
            f"Groups of {size} were asked for, and the tensor {name} {tuple(weights.shape)} has {columns} columns, "
            "which they do not divide. Give another group_size, or leave the tensor out with `excluded`."
        )
        raise CheckpointError(msg)
    rows_RC = weights.reshape(-1, size)
    largest_R1 = rows_RC.abs().amax(dim=1, keepdim=True)
    if vector.by == "tensor":
        largest_R1 = largest_R1.amax().expand_as(largest_R1)
    scale_R1 = largest_R1.to(torch.float64) / LARGEST[vector.format]
    scale_R1 = torch.where(scale_R1 > 0, scale_R1, 1.0)  # all zero, and remain so
    out_RC = torch.empty_like(rows_RC)
    step = max(1, BLOCK // size)
    for first in range(0, len(rows_RC), step):
        block = slice(first, first + step)
        nearest_BC = _nearest(rows_RC[block].to(torch.float64) / scale_R1[block], vector.format)
        out_RC[block] = (nearest_BC * scale_R1[block] + 0.0).to(torch.float32).to(weights.dtype)  # no zero is negative
    return out_RC.view(weights.shape)


def _nearest(numbers: torch.Tensor, number_format: str) -> torch.Tensor:
    """Return the nearest numbers of a format; float64 in and out, of magnitudes up to its largest number."""
    if number_format == "nf4":
        levels = torch.tensor(NF4, dtype=torch.float64)
        return levels[torch.bucketize(numbers, (levels[1:] + levels[:-1]) / 2)]
    if number_format == "fp8":
        return numbers.to(torch.float32).clamp(-448.0, 448.0).to(torch.float8_e4m3fn).to(torch.float64)
    return numbers.round()  # half to even
