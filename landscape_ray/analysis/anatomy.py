"""Where safety is lost: how much of the loss each group of an anatomy holds, and how far its wall is.

All groups are moved alone and equally far. What a group loses in a draw is the rise of the attack success rate above
that at the origin, in the mean over the coordinates beyond it::

    loss = sum over coordinates c > 0 of (ASR(c) - ASR(0)) / their number

A group's loss is the mean over its draws. Groups whose loss is below 0 lose nothing: they count as 0, and neither in
the sum nor in shares of it. If no group loses anything, shares are not defined.

An adaptive sweep leaves coordinates out: the sum is then estimated without bias from those that are there, and a wall
is looked for on the straight lines between them.

Shapes: `D` draws of each group, `A` coordinates.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from landscape_ray.analysis.adaptive import AdaptiveDesign
from landscape_ray.analysis.basin import DEFAULT_TAU_PCT, extent_statistics
from landscape_ray.analysis.by_kind import Along
from landscape_ray.analysis.landscape import BoolArray, FloatArray, Landscape
from landscape_ray.analysis.uncertainty import (
    Estimate,
    Statistic,
    Sums,
    estimate,
    number_or_none,
    sums_of,
)

__all__ = ["HELD", "Anatomy", "GroupLoss", "anatomy"]

HELD = 0.8
"""Share of the loss that the groups named first hold, at least."""
ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupLoss:
    """What is lost when one group is moved."""

    label: str
    """Name of the group."""
    loss: Estimate
    """Mean rise of the attack success rate beyond the origin, in percentage points."""
    wall: Estimate
    """Distance to the place where the attack success rate crosses tau, as a share of the norm of all weights."""
    num_draws_cut: int
    """Draws along which it crosses nowhere on the axis: the wall is at least so far as the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Anatomy:
    """What is lost with each group, and which few hold most of it."""

    groups: tuple[GroupLoss, ...]
    """All groups, in the order of the landscape."""
    distance: float
    """How far coordinate 1 is for each of them, as a share of the norm of all weights."""
    tau_pct: float
    """Threshold of the attack success rate at a wall, in percent."""
    held: float
    """The share of the loss that was asked for, 0 to 1."""
    holding: tuple[str, ...]
    """The fewest groups that hold that share, the largest loss first; empty where nothing is lost."""
    share: Estimate | None
    """The share that they hold, 0 to 1; None where nothing is lost. These groups were chosen because their losses came
    out largest, so the share comes out too large where losses hardly differ: the interval does not know of that."""


def anatomy(
    landscape: Landscape,
    groups: Sequence[Along],
    *,
    design: AdaptiveDesign | None = None,
    tau_pct: float = DEFAULT_TAU_PCT,
    held: float = HELD,
) -> Anatomy | None:
    """Return what is lost with each group; None while points are missing.

    Args:
        landscape: What was measured, of attack success rates, on one axis that begins at the origin.
        groups: The groups. One draw of all of them is one random direction, taken apart: for the interval of the share
            it is drawn as a whole.
        design: The points that an adaptive sweep has chosen; None: all.
        tau_pct: Threshold of the attack success rate at a wall, in percent.
        held: Share of the loss that is asked for.
    """
    if design is not None and design.sample is None:
        return None
    needed = np.ones_like(landscape.missing) if design is None else design.chosen
    if np.isnan(landscape.values[needed]).any():
        return None
    parts = [landscape.of_draws(each.draws) for each in groups]
    losses = [_loss(part, each.draws, design) for each, part in zip(groups, parts, strict=True)]
    found = tuple(
        _group(each, part, loss, needed[list(each.draws)], tau_pct)
        for each, part, loss in zip(groups, parts, losses, strict=True)
    )
    means = np.array([each.loss.value for each in found])
    largest, total = np.argsort(-means, kind="stable"), means[means > 0].sum()
    holding: tuple[int, ...] = ()
    if total > 0:
        reached = np.cumsum(np.maximum(means[largest], 0.0)) / total
        holding = tuple(largest[: int(np.argmax(reached >= held - ROUNDING)) + 1].tolist())
    return Anatomy(
        groups=found,
        distance=groups[0].distance,
        tau_pct=tau_pct,
        held=held,
        holding=tuple(found[group].label for group in holding),
        share=_share(parts, losses, tuple(np.flatnonzero(means > 0).tolist()), holding) if holding else None,
    )


def _loss(part: Landscape, draws: Sequence[int], design: AdaptiveDesign | None) -> Statistic:
    """Return the loss of each draw of a group as a function of sums over prompts."""
    num_coordinates = len(part.grid.axes[0])
    weights_DA = np.ones((len(draws), num_coordinates))
    if design is not None and design.sample is not None:
        weights_DA = design.sample.weights(np.ones(num_coordinates), design.stride)[list(draws)]

    def loss(sums: Sums) -> FloatArray:
        rates = part.metric.value(*sums)
        rises = np.where(weights_DA != 0, rates - rates[..., :1], 0.0)
        mean: FloatArray = (weights_DA * rises).sum(axis=-1) / (num_coordinates - 1)
        return mean

    return loss


def _group(along: Along, part: Landscape, loss: Statistic, needed_DA: BoolArray, tau_pct: float) -> GroupLoss:
    radius, most = extent_statistics(part, tau_pct)["radius"]
    between_DAA = np.stack([_between(part, needed_A) for needed_A in needed_DA])

    def wall(sums: Sums) -> FloatArray:
        rates = np.where(needed_DA, part.metric.value(*sums), 0.0)
        filled = (rates[..., None, :] @ between_DAA)[..., 0, :]
        return radius(Sums(filled, np.full_like(filled, 100.0))) * along.distance

    most *= along.distance
    distance = estimate(part, statistic=wall, bounds=(0.0, most))
    return GroupLoss(
        label=along.label,
        loss=estimate(part, statistic=loss, bounds=(-100.0, 100.0)),
        wall=distance,
        num_draws_cut=sum(value is not None and value >= most * (1 - ROUNDING) for value in distance.per_draw),
    )


def _between(part: Landscape, needed_A: BoolArray) -> FloatArray:
    """Return the matrix that takes rates, 0 where not known, to those on straight lines between the known, (A, A)."""
    coordinates = np.array(part.grid.axes[0].coordinates)
    units = np.eye(len(coordinates))
    lines = [np.interp(coordinates, coordinates[needed_A], unit[needed_A]) for unit in units]
    return np.where(needed_A[:, None], np.stack(lines), 0.0)


def _share(
    parts: Sequence[Landscape], losses: Sequence[Statistic], losing: Sequence[int], holding: Sequence[int]
) -> Estimate:
    """Return the ratio of two sums of mean losses; its interval is that of its linearisation, draw by draw.

    Source: Cochran 1977, chapter 6.
    """

    def both(*sums: Sums) -> tuple[FloatArray, FloatArray]:
        each = [loss(of_group) for loss, of_group in zip(losses, sums, strict=True)]
        return sum(each[group] for group in holding), sum(each[group] for group in losing)  # type: ignore[return-value]

    held_D, whole_D = both(*map(sums_of, parts))
    share, mean = float(held_D.mean() / whole_D.mean()), float(whole_D.mean())

    def linearised(*sums: Sums) -> FloatArray:
        held, whole = both(*sums)
        return share + (held - share * whole) / mean

    per_draw = np.divide(held_D, whole_D, out=np.full_like(held_D, np.nan), where=whole_D > 0)
    interval = estimate(*parts, statistic=linearised, bounds=(0.0, 1.0)).interval
    return Estimate(value=share, per_draw=tuple(map(number_or_none, per_draw)), interval=interval)
