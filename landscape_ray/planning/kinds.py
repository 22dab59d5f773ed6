"""Vectors whose tensors are computed from checkpoints and numbers, beside random vectors and whole differences.

What the tensors of each are is said in the file of `weights/kinds/` that has its name.
"""

from dataclasses import dataclass
from typing import Literal

from landscape_ray.planning.perturbation import CheckpointDelta, ComputedVector, StoredTensors

__all__ = [
    "Complement",
    "Gradient",
    "LowRank",
    "Pruning",
    "QuantizationError",
    "RefusalAblation",
    "SingularPart",
    "TaskVector",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskVector(ComputedVector):
    """The difference of two checkpoints, `plus - minus`.

    Source: Ilharco et al. 2023, "Editing Models with Task Arithmetic", Section 2.
    """

    minus: CheckpointDelta
    """The checkpoint that it leads away from."""
    plus: CheckpointDelta
    """The checkpoint that it leads to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LowRank(ComputedVector):
    """On each matrix the product of two random factors."""

    seed: int
    """64-bit seed of this one vector, see `direction_seed`."""
    rank: int
    """Columns of the one factor, rows of the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Complement(ComputedVector):
    """A Gaussian direction without what lies along a difference, tensor by tensor."""

    seed: int
    """64-bit seed of this one vector, see `direction_seed`."""
    to: CheckpointDelta
    """The difference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SingularPart(ComputedVector):
    """The largest singular components of a difference, matrix by matrix, or what is left without them."""

    to: CheckpointDelta
    """The difference."""
    rank: int
    """Number of components."""
    part: Literal["top", "rest"]
    """Which of the two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizationError(ComputedVector):
    """The rounded matrices minus the matrices."""

    format: Literal["int8", "int4", "nf4", "fp8"]
    """What is rounded to."""
    by: Literal["tensor", "channel", "group"]
    """What shares a scale."""
    group_size: int | None
    """Numbers in a group; None unless groups share scales."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruning(ComputedVector):
    """The matrices without their smallest weights, minus the matrices."""

    share: float
    """Share of the weights of each matrix that become zero."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalAblation(ComputedVector):
    """The weights without what they write along the refusal direction, minus the weights.

    Source: Arditi et al. 2024, "Refusal in Language Models Is Mediated by a Single Direction", Section 4.1.
    """

    along: StoredTensors
    """For each tensor that writes to the residual stream the unit refusal direction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gradient(ComputedVector):
    """Minus the gradient of the log-likelihood of refusals."""

    of: StoredTensors
    """Minus the gradient, tensor by tensor."""
