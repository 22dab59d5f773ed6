"""Scores of a full grid, estimated from the points of an adaptive sweep. Shapes: D draws, G grid points."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from landscape_ray.analysis.adaptive import AdaptiveDesign
from landscape_ray.analysis.landscape import BoolArray, FloatArray, IntArray, Landscape
from landscape_ray.analysis.lattices import interpolated
from landscape_ray.analysis.means import trapezoids
from landscape_ray.analysis.metric import Metric
from landscape_ray.analysis.uncertainty import Estimate, Sums, estimate, interval_around, sums_of
from landscape_ray.analysis.visage import VisageScore
from landscape_ray.analysis.visage_conditions import visage_conditions
from landscape_ray.config import AnyDirections
from landscape_ray.errors import IncompleteError

__all__ = ["AdaptiveVisage", "adaptive_mean", "adaptive_visage"]

Terms: TypeAlias = Callable[[Sums], tuple[FloatArray, FloatArray]]
"""Takes sums over prompts, returns what each point adds to numerator and denominator of a score; (..., G)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptiveVisage(VisageScore):
    """An estimate of the score that the full grid would have with the same prompts.

    `num_points_missing` counts points that were chosen and have no rate: none.
    """

    num_points_measured: int
    """Grid points of all draws that were chosen and measured, out of `num_points`."""
    design_se: float | None
    """Standard error of the value for the random choice of points, prompts held fixed; None where undefined. It is part
    of `interval`."""


def adaptive_visage(
    landscape: Landscape, design: AdaptiveDesign, *, directions: AnyDirections | None = None
) -> AdaptiveVisage:
    """Estimate VISAGE by Eq. 5 of the full grid: per draw a ratio of two totals, each of them unbiased.

    The bias of the ratio is of the order of one over the number of points sampled.

    Args:
        landscape: What was measured.
        design: The points that were chosen.
        directions: How the directions were drawn; None: as the paper draws them.

    Raises:
        IncompleteError: Points that were chosen are not measured, or more are to be chosen.
    """
    score, design_se = _estimate(landscape, design, _depth_in_the_basin, np.ones(design.chosen.shape[1:]))
    chosen = design.chosen.reshape(landscape.num_draws, -1)
    _, below = _depth_in_the_basin(sums_of(landscape))
    return AdaptiveVisage(
        **visage_conditions(landscape, "paper", directions),
        value=score.value,
        per_draw=score.per_draw,
        interval=score.interval,
        num_draws=landscape.num_draws,
        num_points=chosen.size,
        num_points_used=int((chosen & (below > 0)).sum()),
        num_points_missing=0,
        num_points_measured=int(chosen.sum()),
        design_se=design_se,
    )


def adaptive_mean(landscape: Landscape, design: AdaptiveDesign, *, margin: bool = False) -> Estimate:
    """Estimate the mean of the metric over the full grid, or with `margin` the mean of 100 minus it; without bias.

    The mean is that of `landscape_ray.analysis.means`, by trapezoids.

    Raises:
        IncompleteError: Points that were chosen are not measured, or more are to be chosen.
    """
    counts = trapezoids(landscape.grid).reshape(landscape.grid.shape)
    return _estimate(landscape, design, lambda sums: _value(sums, landscape.metric, margin=margin), counts)[0]


def _depth_in_the_basin(sums: Sums) -> tuple[FloatArray, FloatArray]:
    depth = 100.0 * (sums.denominator - sums.numerator) / np.maximum(sums.denominator, 1.0)
    return depth, (depth > 0).astype(np.float64)


def _value(sums: Sums, metric: Metric, *, margin: bool) -> tuple[FloatArray, FloatArray]:
    value = metric.value(*sums)
    defined = ~np.isnan(value)
    return np.where(defined, 100 - value if margin else value, 0.0), defined.astype(np.float64)


def _estimate(
    landscape: Landscape, design: AdaptiveDesign, terms: Terms, counts: FloatArray
) -> tuple[Estimate, float | None]:
    """Return the ratio of the totals of both terms, and its standard error for the choice of points.

    In a total a point counts as often as `counts` says, (*G).

    The choice is made for each draw apart, so with several draws the variance between their estimates, which is part of
    the interval, holds what it adds. With one draw it is added here.
    """
    sample = design.sample
    if sample is None or (design.chosen & landscape.missing).any():
        msg = (
            f"The adaptive sweep of benchmark {landscape.benchmark!r} is not finished: {int(design.chosen.sum()):,} of "
            f"{design.chosen.size:,} grid points are chosen so far, and at some of them nothing is measured or no "
            "prompt could be scored. Run the sweep again to go on."
        )
        raise IncompleteError(msg)
    weights_DG = sample.weights(counts, design.stride).reshape(landscape.num_draws, -1)
    bounds = landscape.metric.bounds

    def ratio(sums: Sums) -> FloatArray:
        numerator, denominator = ((weights_DG * term).sum(axis=-1) for term in terms(sums))
        # Both are estimates and may leave their range by chance; a size below 0 tells that hardly any point counts.
        ratios = np.clip(numerator / np.where(denominator > 0, denominator, 1.0), *bounds)
        return np.where(denominator > 0, ratios, np.nan)

    score = estimate(landscape, statistic=ratio, bounds=bounds)
    defined = [draw for draw, of_draw in enumerate(score.per_draw) if of_draw is not None]
    if score.value is None:
        return score, None
    above_DG, below_DG = (
        np.where(design.chosen, term.reshape(design.chosen.shape), 0.0) for term in terms(sums_of(landscape))
    )
    variances = []
    for draw in defined:
        signal = _linearised(above_DG[draw], below_DG[draw], weights_DG[draw].reshape(counts.shape))
        residual = counts * (signal - interpolated(signal, sample.lattices[draw], design.stride))
        variances.append(_stratified_variance(residual, sample.strata[draw], design.chosen[draw]))
    design_se = float(np.sqrt(np.sum(variances)) / len(defined))
    if score.interval is not None and score.interval.components.draws is None:
        components = score.interval.components
        components = replace(components, prompts=components.prompts + design_se**2)
        score = replace(score, interval=interval_around(score.value, components, bounds=bounds, extremes=bounds))
    return score, design_se


def _linearised(numerator: FloatArray, denominator: FloatArray, weights: FloatArray) -> FloatArray:
    """Return what each point adds to the linearised ratio of both totals.

    Source: Cochran 1977, chapter 6.
    """
    size = (weights * denominator).sum()
    signal: FloatArray = (numerator - (weights * numerator).sum() / size * denominator) / size
    return signal


def _stratified_variance(values: FloatArray, strata: IntArray, chosen: BoolArray) -> float:
    """Return the variance of a total over the random choice of points in each stratum.

    Source: Cochran 1977, chapter 5.
    """
    variance = 0.0
    for stratum in np.unique(strata[strata > 0]):
        members = strata == stratum
        taken = values[members & chosen]
        num, num_members = len(taken), int(members.sum())
        variance += num_members**2 * (1 - num / num_members) * float(taken.var(ddof=1)) / num
    return variance
