"""The safety basin: how far, how wide, and along how many directions the attack success rate stays low.

Shapes: `D` draws, `G` grid points, `*G` the axes of the grid. Everything is computed from `Sums`, (..., D, G).
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import scipy

from landscape_ray.analysis.landscape import BoolArray, FloatArray, Landscape
from landscape_ray.analysis.proportion import clopper_pearson
from landscape_ray.analysis.uncertainty import LEVEL, Estimate, Statistic, Sums, estimate
from landscape_ray.planning import Grid

__all__ = [
    "DEFAULT_RADIUS",
    "DEFAULT_TAU_PCT",
    "Basin",
    "BasinShare",
    "basin",
    "extent_statistics",
]

DEFAULT_TAU_PCT = 50.0
"""Half of the way to 100 %: the wall is steepest there, so its place depends least on noise."""
DEFAULT_RADIUS = 0.1
"""Under `layer` normalization, moving each weight tensor by a tenth of its norm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BasinShare:
    """Along how many random directions, or in how many random planes, there is a basin of at least a given radius.

    A draw counts if its radius is at least this one, and the ASR is at most tau at the origin, where that was measured:
    a grid need not have a point there.
    """

    of: Literal["directions", "planes"]
    """What a draw is: one direction, or the plane of two."""

    radius: float
    """The radius asked for, in coordinates."""
    num_basins: int
    """Draws with such a basin."""
    num_draws: int
    """Draws measured, D."""
    share: float
    """`num_basins / num_draws`, 0 to 1."""
    low: float
    """Lower end of the 95 % Clopper-Pearson interval of the share among all directions, or planes."""
    high: float
    """Upper end."""
    level: float
    """Nominal coverage, at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Basin:
    """Extent of the basin around the origin: the grid points with an ASR of at most tau that hang together with it."""

    tau_pct: float
    """Threshold of the ASR in percent."""
    radius: Estimate
    """Distance from the origin to the nearest place where the ASR crosses tau, in coordinates."""
    width: Estimate | None
    """1-D: length of the axis inside the basin, in coordinates. None in 2-D."""
    area: Estimate | None
    """2-D: area inside the basin, in squared coordinates. None in 1-D."""
    num_draws_cut: int
    """Draws whose basin reaches the end of an axis: radius, width and area are then lower bounds."""
    share: BasinShare | None
    """Share of directions, or planes, with a basin of a given radius. None if the grid is too coarse or too small to
    tell, or if directions are not random."""


def basin(
    landscape: Landscape,
    *,
    tau_pct: float = DEFAULT_TAU_PCT,
    radius: float = DEFAULT_RADIUS,
    random_directions: bool = True,
) -> Basin | None:
    """Return the extent of the basin of each draw, and their mean.

    Crossings are interpolated linearly between neighbouring grid points. An origin above tau has extent 0. Where the
    grid has no point at the origin, the two or four around it must all be at most at tau.

    Args:
        landscape: What was measured, of attack success rates.
        tau_pct: Threshold of the ASR in percent.
        radius: What the radius of a draw must be at least to count in `BasinShare`.
        random_directions: Whether draws are a sample of directions.

    Returns:
        None while points are missing, or if the axes do not enclose the origin.
    """
    space = _Space.of(landscape.grid)
    if space is None or np.isnan(landscape.values).any():
        return None
    one_d = len(landscape.grid.axes) == 1
    reach, size = (
        estimate(landscape, statistic=statistic, bounds=(0, most))
        for statistic, most in extent_statistics(landscape, tau_pct).values()
    )
    rates = landscape.values
    return Basin(
        tau_pct=tau_pct,
        radius=reach,
        width=size if one_d else None,
        area=None if one_d else size,
        num_draws_cut=int(space.cut(rates, tau_pct).sum()),
        share=_share(space, landscape, reach, tau_pct, radius) if random_directions else None,
    )


def extent_statistics(landscape: Landscape, tau_pct: float) -> dict[str, tuple[Statistic, float]]:
    """Return `radius`, and `width` or `area`, as functions of sums over prompts, each with the most it can be.

    Empty where the axes do not enclose the origin.
    """
    space = _Space.of(landscape.grid)
    if space is None:
        return {}
    one_d = len(landscape.grid.axes) == 1
    extent = space.width if one_d else space.area

    def asr(sums: Sums) -> FloatArray:
        return landscape.metric.value(*sums).reshape(*sums.numerator.shape[:-1], *landscape.grid.shape)

    box = math.prod(axis.coordinates[-1] - axis.coordinates[0] for axis in landscape.grid.axes)
    return {
        "radius": (lambda sums: space.radius(asr(sums), tau_pct), space.limit),
        "width" if one_d else "area": (lambda sums: extent(asr(sums), tau_pct), box),
    }


def _share(space: "_Space", landscape: Landscape, reach: Estimate, tau_pct: float, radius: float) -> BasinShare | None:
    within = space.distances <= radius * (1 + 1e-9)
    if within.sum() < 2 or space.limit < radius * (1 - 1e-9):
        return None
    measured = landscape.origin_values[~np.isnan(landscape.origin_values)]
    inside = not len(measured) or measured[0] <= tau_pct
    far = [each is not None and each >= radius * (1 - 1e-9) for each in reach.per_draw]
    num_basins, num_draws = sum(far) if inside else 0, len(far)
    low, high = clopper_pearson(num_basins, num_draws, LEVEL)
    return BasinShare(
        of="directions" if len(landscape.grid.axes) == 1 else "planes",
        radius=radius,
        num_basins=num_basins,
        num_draws=num_draws,
        share=num_basins / num_draws,
        low=low,
        high=high,
        level=LEVEL,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Space:
    """Geometry of a grid around the origin. ASR arrays are (..., *G), scores (...)."""

    coordinates: tuple[FloatArray, ...]
    """Of each axis."""
    start: tuple[slice, ...]
    """The origin, or where the grid has no point there the two or four points around it."""
    distances: FloatArray
    """Of each grid point from the origin, (*G)."""
    limit: float
    """Distance from the origin to the nearest end of an axis; an end at the origin itself does not limit."""

    @classmethod
    def of(cls, grid: Grid) -> "_Space | None":
        """Return None where the axes do not enclose the origin."""
        coordinates = tuple(np.array(axis.coordinates) for axis in grid.axes)
        if not all(axis[0] <= 0 <= axis[-1] and len(axis) > 1 for axis in coordinates):
            return None
        distances = np.sqrt(sum(axis**2 for axis in np.meshgrid(*coordinates, indexing="ij")))
        return cls(
            coordinates=coordinates,
            start=tuple(
                slice(int(np.searchsorted(axis, 0, "right")) - 1, int(np.searchsorted(axis, 0, "left")) + 1)
                for axis in coordinates
            ),
            distances=np.asarray(distances),
            limit=min(abs(float(end)) for axis in coordinates for end in axis[[0, -1]] if end != 0),
        )

    def radius(self, asr: FloatArray, tau_pct: float) -> FloatArray:
        """Return the distance to the nearest crossing of tau, at most `limit`; 0 where the origin is above tau."""
        nearest = np.full(asr.shape[: -self.distances.ndim], self.limit)
        for axis, along in enumerate(self.coordinates):
            across = [other**2 for number, other in enumerate(self.coordinates) if number != axis]
            crossed, place = _crossings(np.moveaxis(asr, axis - self.distances.ndim, -1), along, tau_pct)
            squares = place**2 + (across[0][:, None] if across else 0.0)
            away = np.sqrt(np.where(crossed, squares, np.inf))
            nearest = np.minimum(nearest, away.min(axis=tuple(range(-self.distances.ndim, 0))))
        return np.where(self._begins(asr <= tau_pct), nearest, 0.0)

    def width(self, asr: FloatArray, tau_pct: float) -> FloatArray:
        """Return the length of the basin in 1-D."""
        (along,) = self.coordinates
        inside = self.connected(asr, tau_pct)
        crossed, place = _crossings(asr, along, tau_pct)
        left, right = inside[..., :-1], inside[..., 1:]
        steps = np.where(left & right, np.diff(along), 0.0)
        steps += np.where(crossed & left, place - along[:-1], 0.0)
        steps += np.where(crossed & right, along[1:] - place, 0.0)
        return np.asarray(steps.sum(axis=-1))

    def area(self, asr: FloatArray, tau_pct: float) -> FloatArray:
        """Return the area of the basin in 2-D: each grid point stands for the part of the plane nearest to it."""
        alpha, beta = (_shares(axis) for axis in self.coordinates)
        return np.asarray((self.connected(asr, tau_pct) * (alpha[:, None] * beta)).sum(axis=(-2, -1)))

    def cut(self, asr: FloatArray, tau_pct: float) -> BoolArray:
        """Tell whose basin reaches the end of an axis."""
        inside = self.connected(asr, tau_pct)
        ends = np.zeros(self.distances.shape, dtype=np.bool_)
        for axis in range(ends.ndim):
            np.moveaxis(ends, axis, 0)[[0, -1]] = True
        return np.asarray((inside & ends).any(axis=tuple(range(-ends.ndim, 0))))

    def connected(self, asr: FloatArray, tau_pct: float) -> BoolArray:
        """Tell which grid points hang together with the origin, along the axes, at most at tau; (..., *G) both."""
        low, num_axes = asr <= tau_pct, self.distances.ndim
        # Neighbours are those along the axes of the grid; other draws and samples are none.
        neighbours = np.zeros((3,) * low.ndim, dtype=np.bool_)
        neighbours[(1,) * (low.ndim - num_axes)] = scipy.ndimage.generate_binary_structure(num_axes, 1)
        pieces, _ = scipy.ndimage.label(low, neighbours)
        origin = pieces[(..., *(along.start for along in self.start))]
        of_basin = np.where(self._begins(low), origin, -1)  # no piece has this number
        return np.asarray(pieces == np.expand_dims(of_basin, tuple(range(-num_axes, 0))))

    def _begins(self, low: BoolArray) -> BoolArray:
        """Tell whether there is a basin at the origin at all, (...)."""
        start: Any = (..., *self.start)
        return np.asarray(low[start].all(axis=tuple(range(-self.distances.ndim, 0))))


def _crossings(asr: FloatArray, along: FloatArray, tau_pct: float) -> tuple[BoolArray, FloatArray]:
    """Tell between which neighbours on the last axis the ASR crosses tau, and at which coordinate; (..., n - 1)."""
    left, right = asr[..., :-1], asr[..., 1:]
    crossed = (left <= tau_pct) != (right <= tau_pct)
    share = np.zeros(left.shape)
    np.divide(tau_pct - left, right - left, out=share, where=crossed)
    return crossed, along[:-1] + share * np.diff(along)


def _shares(coordinates: FloatArray) -> FloatArray:
    """Return the length of axis that is nearest to each coordinate."""
    borders = np.concatenate([coordinates[:1], (coordinates[:-1] + coordinates[1:]) / 2, coordinates[-1:]])
    return np.diff(borders)
