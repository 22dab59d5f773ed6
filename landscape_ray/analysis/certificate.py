"""How sure "no wall nearby" is: the share of random directions along which a basin reaches a given radius.

Directions are drawn independently, so along which of `n` draws there is a basin is binomial, with the share among all
directions as its parameter. Shapes: `D` draws, `G` grid points.
"""

from dataclasses import dataclass

import numpy as np

from landscape_ray.analysis.basin import DEFAULT_TAU_PCT
from landscape_ray.analysis.landscape import BoolArray, FloatArray, Landscape
from landscape_ray.analysis.proportion import clopper_pearson
from landscape_ray.config import CertifyConfig
from landscape_ray.errors import IncompleteError

__all__ = ["Certificate", "Walks", "Wall", "allowed_failures", "certificate", "lower_bound", "walks"]

ROUNDING = 1e-12
"""What rounding may take from a bound that is equal to the share wanted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wall:
    """Where a draw is no basin."""

    draw: int
    """Number of the draw; where several kinds of directions are measured, among the random ones."""
    coordinate: float
    """The measured coordinate nearest to the origin with a rate above the threshold."""
    asr_pct: float
    """The attack success rate there, in percent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What the draws of a sweep say of all directions."""

    radius: float
    """How far a basin must reach, in coordinates."""
    tau_pct: float
    """The wall is where the attack success rate is above this, in percent."""
    wanted_share: float
    """Share of all directions that is to be certified, 0 to 1."""
    confidence: float
    """Confidence of the bound, 0 to 1."""
    num_draws: int
    """Draws begun: those with a measured point beside the origin."""
    num_basins: int
    """Draws of which every point within the radius is measured, and none is beyond the wall."""
    walls: tuple[Wall, ...]
    """The draws with a measured point beyond the wall, and where."""
    undecided: tuple[int, ...]
    """Draws begun with points missing and no wall so far. They count as no basins, in share and bound."""
    share: float
    """`num_basins / num_draws`."""
    bound: float
    """At least this share of all directions are basins, see `lower_bound`."""
    certified: bool
    """Whether the bound reaches the share wanted."""
    fewest_draws: int
    """How many draws in all certify the share if all of them are basins."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Walks:
    """What was met on the way from the origin to a radius. A draw that is neither is not decided yet."""

    basins: BoolArray
    """Every point is measured, and none is beyond the wall, (D)."""
    failed: BoolArray
    """A point was measured to be beyond the wall, (D)."""
    along: FloatArray
    """Coordinates within the radius, the origin among them, (G)."""
    rates: FloatArray
    """Attack success rate there in percent, NaN where it is not known, (D, G)."""


def walks(landscape: Landscape, radius: float) -> Walks:
    """Look at each draw of a 1-D landscape of attack success rates up to a radius.

    The origin counts in each draw, whether or not the grid has a point there. The wall is where basins end: a rate
    above `DEFAULT_TAU_PCT`. At a radius that `check_radius` accepts, basins are the draws to which `basin` gives at
    least this radius.
    """
    along, rates = np.array(landscape.grid.axes[0].coordinates), landscape.values
    if 0.0 not in along:
        first = landscape.origin_values[0] if len(landscape.origin_values) else np.nan
        along, rates = np.append(along, 0.0), np.column_stack([rates, np.full(len(rates), first)])
    near = np.abs(along) <= radius
    along, rates = along[near], rates[:, near]
    failed: BoolArray = np.any(rates > DEFAULT_TAU_PCT, axis=1)
    return Walks(basins=np.asarray(~failed & ~np.isnan(rates).any(axis=1)), failed=failed, along=along, rates=rates)


def certificate(landscape: Landscape, asked: CertifyConfig) -> Certificate:
    """Return how sure it is that basins reach a radius, along how many of all random directions.

    Args:
        landscape: What was measured of attack success rates, in 1-D along random directions.
        asked: The radius, which must be one that `check_radius` accepts, the share and the confidence.

    Raises:
        IncompleteError: No draw is begun.
    """
    begun = ~np.isnan(landscape.values[:, np.array(landscape.grid.axes[0].coordinates) != 0]).all(axis=1)
    num_draws = int(begun.sum())
    if not num_draws:
        msg = (
            f"No draw of benchmark {landscape.benchmark!r} is measured beside the origin, so nothing is known of its "
            "directions yet. Run the sweep again to measure them."
        )
        raise IncompleteError(msg)
    found = walks(landscape, asked.radius)
    num_basins = int(found.basins[begun].sum())
    bound = lower_bound(num_basins, num_draws, asked.confidence)
    return Certificate(
        radius=asked.radius,
        tau_pct=DEFAULT_TAU_PCT,
        wanted_share=asked.share,
        confidence=asked.confidence,
        num_draws=num_draws,
        num_basins=num_basins,
        walls=tuple(_wall(found, draw) for draw in np.flatnonzero(begun & found.failed)),
        undecided=tuple(map(int, np.flatnonzero(begun & ~found.failed & ~found.basins))),
        share=num_basins / num_draws,
        bound=bound,
        certified=bound >= asked.share - ROUNDING,
        fewest_draws=asked.fewest_draws,
    )


def lower_bound(num_basins: int, num_draws: int, confidence: float) -> float:
    """Return the exact one-sided lower bound of a share, 0 to 1: at most `1 - confidence` of samples put it too high.

    Source: Clopper and Pearson 1934. The lower end of their interval with as much in each tail.
    """
    return clopper_pearson(num_basins, num_draws, 2 * confidence - 1)[0]


def allowed_failures(asked: CertifyConfig, num_draws: int) -> int:
    """Return how many of so many draws may fail with the share still certified; -1 if even none is too many."""
    most = -1
    while most + 1 < num_draws and (
        lower_bound(num_draws - most - 1, num_draws, asked.confidence) >= asked.share - ROUNDING
    ):
        most += 1
    return most


def _wall(found: Walks, draw: int) -> Wall:
    beyond = np.flatnonzero(found.rates[draw] > DEFAULT_TAU_PCT)
    nearest = beyond[np.argmin(np.abs(found.along[beyond]))]
    return Wall(draw=int(draw), coordinate=float(found.along[nearest]), asr_pct=float(found.rates[draw, nearest]))
