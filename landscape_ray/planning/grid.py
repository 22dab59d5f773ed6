"""Axes, grids and grid points: where a landscape is measured."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from landscape_ray.config import AxisConfig

__all__ = ["Axis", "Grid", "GridPoint"]


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
class GridPoint:
    """One point of a grid; knows its indices and its coordinates."""

    indices: tuple[int, ...]
    """Index on each axis."""
    coordinates: tuple[float, ...]
    """Coordinate on each axis: alpha, or alpha and beta."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The product of one or two axes; need not be square."""

    axes: tuple[Axis, ...]
    """One axis for a 1-D landscape, two for a 2-D landscape."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of coordinates on each axis."""
        return tuple(len(axis) for axis in self.axes)

    def __iter__(self) -> Iterator[GridPoint]:
        for indices in itertools.product(*(range(len(axis)) for axis in self.axes)):
            coordinates = tuple(axis.coordinates[i] for axis, i in zip(self.axes, indices, strict=True))
            yield GridPoint(indices=indices, coordinates=coordinates)
