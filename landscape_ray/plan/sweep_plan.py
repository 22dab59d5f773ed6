"""Which points a sweep visits, and what is measured at each."""

from collections.abc import Iterator
from dataclasses import dataclass

from landscape_ray.config import SweepConfig
from landscape_ray.plan.grid import Axis, Grid
from landscape_ray.plan.perturbation import ORIGIN, Perturbation, RandomVector, direction_seed

__all__ = ["PlannedPoint", "PointTask", "SweepPlan"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedPoint:
    """One point of a sweep: a place on the grid of one draw, or the origin that all draws share."""

    draw: int | None
    """Draw of the direction(s); None at the origin, which belongs to all draws."""
    repeat: int
    """0 but for repeated measurements of the origin, which give the noise floor."""
    coordinates: tuple[float, ...]
    """Coordinate on each axis; all 0 at the origin."""
    perturbation: Perturbation
    """What is added to the weights there."""

    @property
    def label(self) -> str:
        """Readable name, such as `origin-r0` or `d1_a-0.05_b+0.5`. Unique in a sweep: floats are written exactly."""
        if self.draw is None:
            return f"origin-r{self.repeat}"
        return "_".join([f"d{self.draw}", *(f"{n}{c:+}" for n, c in zip("ab", self.coordinates, strict=False))])


@dataclass(frozen=True, slots=True, kw_only=True)
class PointTask:
    """One visit to make: a point and the benchmarks still missing there."""

    point: PlannedPoint
    """Where to go."""
    benchmarks: tuple[str, ...]
    """Names of the benchmarks still missing there, in configuration order; at least one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepPlan:
    """Every point of a sweep, the origin first."""

    grid: Grid
    """The grid that each draw is measured on."""
    draws: int
    """Number of independent draws of the direction(s)."""
    points: tuple[PlannedPoint, ...]
    """The points in the order to visit them: origin repeats, then draw by draw. The origin of the grid, where it
    has one, is not repeated per draw."""

    @classmethod
    def from_config(cls, config: SweepConfig) -> "SweepPlan":
        """Return the plan of a sweep; a pure function of the configuration's science fields."""
        grid = Grid(axes=tuple(Axis.from_config(axis) for axis in config.landscape.axes))
        return cls(grid=grid, draws=config.directions.draws, points=tuple(_points(config, grid)))


def _points(config: SweepConfig, grid: Grid) -> Iterator[PlannedPoint]:
    origin = (0.0,) * len(grid.axes)
    for repeat in range(config.landscape.origin_repeats):
        yield PlannedPoint(draw=None, repeat=repeat, coordinates=origin, perturbation=ORIGIN)
    for draw in range(config.directions.draws):
        vectors = [
            RandomVector(
                seed=direction_seed(config.directions.seed, draw, axis),
                normalization=config.directions.normalization,
                excluded=config.directions.excluded,
            )
            for axis in range(len(grid.axes))
        ]
        for point in grid:
            perturbation = Perturbation.of(zip(vectors, point.coordinates, strict=True))
            if perturbation != ORIGIN:
                yield PlannedPoint(draw=draw, repeat=0, coordinates=point.coordinates, perturbation=perturbation)
