"""Which points a sweep visits, and what is measured at each."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from landscape_ray.config import SweepConfig
from landscape_ray.planning.directions import PlannedDirection, planned_directions
from landscape_ray.planning.geometry import (
    NO_GEOMETRY,
    Combination,
    Geometry,
    Mark,
    axis_directions,
    checkpoint_marks,
    needs_geometry,
)
from landscape_ray.planning.grid import Axis, Grid
from landscape_ray.planning.perturbation import ORIGIN, CheckpointDelta, ComputedVector, Perturbation, VectorSpec

__all__ = ["PlannedPoint", "PointTask", "SweepPlan"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedPoint:
    """One point of a sweep: a place on the grid of one draw, or the origin that all draws share."""

    draw: int | None
    """Draw of the direction(s); None at the origin, which belongs to all draws."""
    repeat: int
    """0 but for repeated measurements of the origin and of a wall point, which give the noise floor."""
    coordinates: tuple[float, ...]
    """Coordinate on each axis; all 0 at the origin."""
    perturbation: Perturbation
    """What is added to the weights there."""

    @property
    def label(self) -> str:
        """Readable name, such as `origin-r0` or `d1_a-0.05_b+0.5`. Unique in a sweep: floats are written exactly."""
        if self.draw is None:
            return f"origin-r{self.repeat}"
        place = "_".join([f"d{self.draw}", *(f"{n}{c:+}" for n, c in zip("ab", self.coordinates, strict=False))])
        return f"{place}-r{self.repeat}" if self.repeat else place

    @property
    def distance(self) -> float:
        """How far from the origin, in coordinates.

        The farther, the longer a visit is likely to take: what is generated outside a basin runs to the token limit.
        """
        return math.hypot(*self.coordinates)


@dataclass(frozen=True, slots=True, kw_only=True)
class PointTask:
    """One visit to make: a point and the benchmarks still missing there."""

    point: PlannedPoint
    """Where to go."""
    benchmarks: tuple[str, ...]
    """Names of the benchmarks still missing there, in configuration order; at least one."""

    @property
    def label(self) -> str:
        """Readable name: that of the point."""
        return self.point.label

    @property
    def tasks(self) -> tuple["PointTask"]:
        """The task itself: what `LineTask` has several of."""
        return (self,)


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepPlan:
    """Every point of a sweep, the origin first."""

    grid: Grid
    """The grid that each draw is measured on."""
    draws: int
    """Number of independent draws of the direction(s); 1 where none of them is random. Of a list of directions the
    draws of its entries, one entry after the other."""
    points: tuple[PlannedPoint, ...]
    """The points in their order: origin repeats, then draw by draw. The origin of the grid, where it has one, is not
    repeated per draw."""
    deltas: tuple[CheckpointDelta, ...] = ()
    """The checkpoints whose differences occur in perturbations: what engines need beside the base."""
    marks: tuple[Mark, ...] = ()
    """Where the checkpoints of the configuration lie; empty for a random landscape."""
    directions: tuple[PlannedDirection, ...] = ()
    """What each draw is; empty unless `directions` is a list or the landscape an anatomy."""

    @property
    def draws_by_label(self) -> dict[str, tuple[int, ...]]:
        """The draws of each entry of a list of directions, or of each group of an anatomy, in its order."""
        labels = [each.label for each in self.directions]
        return {
            label: tuple(draw for draw, its in enumerate(labels) if its == label) for label in dict.fromkeys(labels)
        }

    @property
    def scored_draws(self) -> tuple[int, ...]:
        """The draws that scores of the sweep are means over: of a list those of one entry, of an anatomy all.

        The entry is the first of random directions, because VISAGE is defined along these; without one, the first.
        """
        if not self.directions or self.directions[0].kind == "group":
            return tuple(range(self.draws))
        scored = next((each for each in self.directions if each.kind == "random"), self.directions[0])
        return self.draws_by_label[scored.label]

    @property
    def num_directions_sampled(self) -> int:
        """How many random directions scores are means over: the draws scored, of an anatomy those of each group."""
        if self.directions and self.directions[0].kind == "group":
            return self.draws // len(self.draws_by_label)
        return len(self.scored_draws)

    @classmethod
    def from_config(cls, config: SweepConfig, geometry: Geometry | None = None) -> "SweepPlan":
        """Return the plan of a sweep; a pure function of the configuration's science fields and of its geometry.

        Args:
            config: The sweep.
            geometry: What was measured of the weights; not needed for a random landscape without `displacement`.

        Raises:
            ValueError: The geometry is needed and was not given, or is not that of this configuration's checkpoints.
            CheckpointError: A checkpoint equals the model, or the three of a plane lie on a line.
        """
        geometry = geometry if geometry is not None and needs_geometry(config) else NO_GEOMETRY
        if needs_geometry(config) and (geometry is NO_GEOMETRY or len(geometry.deltas) != len(config.checkpoints)):
            msg = "This landscape can only be planned with the geometry of its checkpoints (`Geometry`)."
            raise ValueError(msg)
        grid = Grid(axes=tuple(Axis.from_config(axis) for axis in config.landscape.axes))
        directions = planned_directions(config, geometry)
        along: list[tuple[Combination, ...]] = [(((each.vector, each.scale),),) for each in directions]
        if not directions:
            along = [axis_directions(config, geometry, draw) for draw in range(config.num_draws)]
        computed = (each.vector for each in directions if isinstance(each.vector, ComputedVector))
        of_directions = dict.fromkeys(delta for vector in computed for delta in vector.checkpoints)
        return cls(
            grid=grid,
            draws=config.num_draws,
            points=tuple(_points(config, grid, along)),
            deltas=(*geometry.deltas[: len(config.endpoints)], *of_directions),
            marks=checkpoint_marks(config, geometry),
            directions=directions,
        )


def _points(config: SweepConfig, grid: Grid, along: Sequence[tuple[Combination, ...]]) -> Iterator[PlannedPoint]:
    origin = (0.0,) * len(grid.axes)
    for repeat in range(config.landscape.origin_repeats):
        yield PlannedPoint(draw=None, repeat=repeat, coordinates=origin, perturbation=ORIGIN)
    for draw, directions in enumerate(along):
        for coordinates in grid:
            perturbation = _perturbation(directions, coordinates)
            if perturbation != ORIGIN:
                yield PlannedPoint(draw=draw, repeat=0, coordinates=coordinates, perturbation=perturbation)


def _perturbation(directions: tuple[Combination, ...], coordinates: tuple[float, ...]) -> Perturbation:
    coefficients: dict[VectorSpec, float] = {}
    for direction, coordinate in zip(directions, coordinates, strict=True):
        for vector, factor in direction:
            coefficients[vector] = coefficients.get(vector, 0.0) + coordinate * factor
    return Perturbation.of(coefficients.items())
