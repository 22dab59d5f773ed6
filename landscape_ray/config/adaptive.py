"""`adaptive`: how many of the points, and which first."""

import math
from typing import Self

from pydantic import Field, model_validator

from landscape_ray.config.section import Section

__all__ = ["AdaptiveConfig"]


class AdaptiveConfig(Section):
    """Measure a part of the grid, chosen as results come in, and estimate the full grid's score from it.

    A coarse lattice comes first, finer ones follow where the landscape changes, and a random sample of the points left
    out keeps the estimate unbiased. Points measured are the same as in a full sweep, and a full sweep reuses them.
    """

    fraction: float = Field(default=0.45, gt=0, le=1)
    """Share of each draw's grid points to measure."""
    stride: int = Field(default=4, ge=2, le=64)
    """The first lattice holds every so many coordinates of each axis; a power of two. 4 suits 21 points an axis."""

    def num_points(self, num_grid_points: int) -> int:
        """Return how many points to measure of a grid of so many."""
        return math.ceil(self.fraction * num_grid_points)

    @model_validator(mode="after")
    def _check_stride(self) -> Self:
        if self.stride & (self.stride - 1):
            msg = f"stride {self.stride} is no power of two; it is halved from lattice to lattice"
            raise ValueError(msg)
        return self
