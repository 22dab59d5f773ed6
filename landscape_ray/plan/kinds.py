"""Vectors whose tensors are computed from checkpoints and numbers, beside random vectors and whole differences.

What the tensors of each are is said in the file of `weights/kinds/` that has its name.
"""

from dataclasses import dataclass

from landscape_ray.plan.perturbation import CheckpointDelta, ComputedVector

__all__ = ["TaskVector"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskVector(ComputedVector):
    """The difference of two checkpoints, `plus - minus`.

    Source: Ilharco et al. 2023, "Editing Models with Task Arithmetic", Section 2.
    """

    minus: CheckpointDelta
    """The checkpoint that it leads away from."""
    plus: CheckpointDelta
    """The checkpoint that it leads to."""
