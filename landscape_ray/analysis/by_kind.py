"""How far the wall is along each kind of direction, on one axis of distances.

A distance is the Frobenius norm of a step over all weights, as a share of the norm of the weights themselves. So kinds
compare, whatever is at their coordinate 1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from landscape_ray.analysis.basin import DEFAULT_TAU_PCT, extent_statistics
from landscape_ray.analysis.landscape import FloatArray, Landscape
from landscape_ray.analysis.uncertainty import (
    Estimate,
    Statistic,
    Sums,
    estimate,
    interval_around,
    number_or_none,
    scores_of_draws,
)

__all__ = ["Along", "KindWall", "walls_by_kind"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Along:
    """An entry of a list of directions."""

    label: str
    """What figures and tables call it."""
    kind: str
    """Its kind, such as `pruning`."""
    draws: tuple[int, ...]
    """Its draws."""
    distance: float
    """How far coordinate 1 is, as a share of the norm of the weights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KindWall:
    """How far the wall is along the draws of one entry."""

    label: str
    """What figures and tables call it."""
    kind: str
    """Its kind."""
    num_draws: int
    """Its draws."""
    distance: float
    """How far coordinate 1 is, as a share of the norm of the weights."""
    wall: Estimate
    """Distance to the nearest place where the attack success rate crosses tau, in the same unit."""
    num_draws_cut: int
    """Draws along which it crosses nowhere on the axis: the wall is at least so far as the nearer end."""
    ratio: Estimate | None
    """The distance as a multiple of that along the random directions; None without these, if theirs is 0, or if along
    neither every draw has a wall."""
    ratio_is: Literal["at least", "at most"] | None = None
    """Which bound the ratio is, where one of both distances is only known to be at least so far."""


def walls_by_kind(
    landscape: Landscape, entries: Sequence[Along], *, tau_pct: float = DEFAULT_TAU_PCT
) -> tuple[KindWall, ...]:
    """Return how far the wall is along each entry; empty while points are missing, or if the axis has no origin.

    Args:
        landscape: What was measured, of attack success rates, along all draws.
        entries: The directions. Ratios are to the first of kind `random`.
        tau_pct: Threshold of the attack success rate in percent.
    """
    if np.isnan(landscape.values).any() or not extent_statistics(landscape, tau_pct):
        return ()
    parts = {each.label: landscape.of_draws(each.draws) for each in entries}
    random = next((each for each in entries if each.kind == "random"), None)
    walls = {each.label: _wall(parts[each.label], each, tau_pct) for each in entries}
    if random is None:
        return tuple(walls.values())
    far = walls[random.label].num_draws_cut > 0
    for each in entries:
        own_far = walls[each.label].num_draws_cut > 0
        if each is not random and not (far and own_far):
            walls[each.label] = replace(
                walls[each.label],
                ratio=_ratio(parts, random, each, tau_pct),
                ratio_is="at most" if far else "at least" if own_far else None,
            )
    return tuple(walls.values())


def _wall(landscape: Landscape, along: Along, tau_pct: float) -> KindWall:
    statistic, most = _scaled(landscape, along, tau_pct)
    wall = estimate(landscape, statistic=statistic, bounds=(0.0, most))
    return KindWall(
        label=along.label,
        kind=along.kind,
        num_draws=len(along.draws),
        distance=along.distance,
        wall=wall,
        num_draws_cut=sum(value is not None and value >= most * (1 - 1e-9) for value in wall.per_draw),
        ratio=None,
    )


def _scaled(landscape: Landscape, along: Along, tau_pct: float) -> tuple[Statistic, float]:
    """Return the distance to the wall as a function of sums over prompts, and the most that it can be."""
    radius, most = extent_statistics(landscape, tau_pct)["radius"]
    return lambda sums: radius(sums) * along.distance, most * along.distance


def _ratio(parts: Mapping[str, Landscape], random: Along, along: Along, tau_pct: float) -> Estimate | None:
    """Return the ratio of means over draws; its interval is that of `(own - ratio * random's) / mean of random`.

    The prompts are the same and cancel as far as they can. For the interval one draw is set against each of the
    other's; where both have several, which are independent, as many of either as there are of both.
    """
    first, second = parts[random.label], parts[along.label]
    of_random, _ = _scaled(first, random, tau_pct)
    own, most = _scaled(second, along, tau_pct)
    base, owns_D = float(scores_of_draws(first, statistic=of_random).mean()), scores_of_draws(second, statistic=own)
    if base == 0:
        return None
    ratio = float(owns_D.mean()) / base
    if min(first.num_draws, second.num_draws) > 1:
        num = min(first.num_draws, second.num_draws)
        first, second = first.of_draws(range(num)), second.of_draws(range(num))

    def shifted(randoms: Sums, owns: Sums) -> FloatArray:
        shares: FloatArray = ratio + (own(owns) - ratio * of_random(randoms)) / base
        return shares

    bounds, extremes = (0.0, np.inf), (0.0, most / base)
    around = estimate(first, second, statistic=shifted, bounds=bounds, extremes=extremes).interval
    interval = around and interval_around(ratio, around.components, bounds=bounds, extremes=extremes)
    return Estimate(value=ratio, per_draw=tuple(map(number_or_none, owns_D / base)), interval=interval)
