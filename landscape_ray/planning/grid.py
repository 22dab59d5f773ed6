"""Axes and grids: where a landscape is measured."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from landscape_ray.config import AxisConfig

__all__ = ["Axis", "Grid"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """Evenly spaced coordinates along one direction.

    Each coordinate is the float nearest to the exact decimal value, computed in rationals from the integers
    0 .. num-1. So 0 is exactly 0, and a coordinate that two axes share is the same float in both, which lets a
    wider or finer axis reuse points already measured.
    """

    coordinates: tuple[float, ...]
    """Coordinates in increasing order, at least one."""

    @classmethod
    def from_config(cls, config: AxisConfig) -> "Axis":
        """Return the axis that a configuration describes."""
        start, stop = Fraction(repr(config.start)), Fraction(repr(config.stop))
        steps = max(config.num - 1, 1)
        return cls(coordinates=tuple(float(start + (stop - start) * i / steps) for i in range(config.num)))

    def __len__(self) -> int:
        return len(self.coordinates)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The product of one or two axes; need not be square."""

    axes: tuple[Axis, ...]
    """One axis for a 1-D landscape, two for a 2-D landscape."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of coordinates on each axis."""
        return tuple(len(axis) for axis in self.axes)

    @property
    def zero(self) -> tuple[int, ...] | None:
        """Place of the origin; None where it is no grid point."""
        return self.place((0.0,) * len(self.axes)) if all(0.0 in axis.coordinates for axis in self.axes) else None

    def place(self, coordinates: Sequence[float]) -> tuple[int, ...]:
        """Return the index of a grid point on each axis.

        Raises:
            ValueError: There is no grid point at these coordinates.
        """
        return tuple(axis.coordinates.index(value) for axis, value in zip(self.axes, coordinates, strict=True))

    def __iter__(self) -> Iterator[tuple[float, ...]]:
        """Yield the coordinates of each grid point, alpha or alpha and beta; the last axis runs fastest."""
        return itertools.product(*(axis.coordinates for axis in self.axes))
