"""Two landscapes of the same prompts and points, such as before and after a finetune."""

from dataclasses import dataclass, replace

import numpy as np

from landscape_ray.analysis.basin import DEFAULT_TAU_PCT, extent_statistics
from landscape_ray.analysis.landscape import FloatArray, Landscape
from landscape_ray.analysis.means import margin_statistic, mean_statistic, trapezoids
from landscape_ray.analysis.metric import Outcome
from landscape_ray.analysis.uncertainty import Estimate, Statistic, Sums, estimate, number_or_none, scores_of_draws
from landscape_ray.analysis.visage import check_definition, visage_statistic
from landscape_ray.analysis.visage_conditions import Definition

__all__ = ["Change", "compare", "where_both_are_measured"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """How one score changed. Draws on which it is undefined before or after enter neither difference nor retention."""

    before: float | None
    """Mean over the draws that have it before."""
    after: float | None
    """Mean over the draws that have it after."""
    difference: Estimate
    """After minus before: mean over draws, each draw with itself."""
    retention: Estimate | None
    """What is left: after divided by before, of the means over draws. None where before is 0, and for scores of which
    less is better."""


def compare(
    before: Landscape,
    after: Landscape,
    *,
    definition: Definition = "paper",
    tau_pct: float = DEFAULT_TAU_PCT,
    random_directions: bool = True,
    with_retention: bool = True,
) -> dict[str, Change]:
    """Return how each score changed, by name: `visage`, `mean_margin`, `mean_value`, `radius`, and `width` or `area`.

    Both landscapes have the same metric, grid, draws and prompts in the same order. The same splits of the prompts are
    used for both, so that what prompts and draws have in common cancels. Without retention it takes half of the time.

    Raises:
        ValueError: The landscapes do not match.
        UserError: `reference` is asked of a 2-D landscape.
    """
    if (before.metric, before.grid, before.prompt_ids) != (after.metric, after.grid, after.prompt_ids):
        msg = f"The landscapes of {before.benchmark!r} and {after.benchmark!r} differ in metric, grid or prompts."
        raise ValueError(msg)
    if before.num_draws != after.num_draws:
        msg = f"The landscapes have {before.num_draws} and {after.num_draws} draws."
        raise ValueError(msg)
    most, weights = before.metric.bounds[1], trapezoids(before.grid)
    mean = {
        "mean_value": _change(
            before,
            after,
            mean_statistic(before.metric, weights),
            most,
            with_retention=with_retention and before.metric.better == "higher",
        )
    }
    if before.metric.name != "asr":
        return mean
    scores: dict[str, tuple[Statistic, float]] = {}
    if random_directions:
        check_definition(before, definition)
        scores["visage"] = visage_statistic(definition), most
    scores["mean_margin"] = margin_statistic(before.metric, weights), most
    if not (np.isnan(before.values).any() or np.isnan(after.values).any()):
        scores |= extent_statistics(before, tau_pct)
    changes = {name: _change(before, after, *each, with_retention=with_retention) for name, each in scores.items()}
    return changes | mean


def where_both_are_measured(before: Landscape, after: Landscape) -> tuple[Landscape, Landscape]:
    """Return both landscapes without the points that one of them lacks."""
    lacks = np.isnan(before.values) | np.isnan(after.values)
    one, other = (
        replace(each, outcomes=np.where(lacks[..., None], Outcome.UNMEASURED, each.outcomes).astype(np.int8))
        for each in (before, after)
    )
    return one, other


def _change(
    before: Landscape, after: Landscape, statistic: Statistic, most: float, *, with_retention: bool = True
) -> Change:
    """Return how a score changed that lies between 0 and `most`."""

    def differ(first: Sums, second: Sums) -> FloatArray:
        return statistic(second) - statistic(first)

    was, is_now = (scores_of_draws(each, statistic=statistic) for each in (before, after))
    # What prompts not met could add would drown what pairs tell; where nothing varies it is all there is to say.
    difference = estimate(before, after, statistic=differ, bounds=(-most, most), extremes=(-np.inf, np.inf))
    if difference.interval is None:
        difference = estimate(before, after, statistic=differ, bounds=(-most, most))
    return Change(
        before=_mean(was),
        after=_mean(is_now),
        difference=difference,
        retention=_retention(before, after, statistic, most, was=was, is_now=is_now) if with_retention else None,
    )


def _mean(scores: FloatArray) -> float | None:
    return number_or_none(scores[~np.isnan(scores)].mean()) if not np.isnan(scores).all() else None


def _retention(
    before: Landscape, after: Landscape, statistic: Statistic, most: float, *, was: FloatArray, is_now: FloatArray
) -> Estimate | None:
    """Return the ratio of means over draws; its interval is that of `(after - ratio * before) / mean before`."""
    both = ~np.isnan(was) & ~np.isnan(is_now)
    if not both.any():
        return Estimate(value=None, per_draw=(None,) * len(was), interval=None)
    base = was[both].mean()
    if base == 0:
        return None
    ratio = is_now[both].mean() / base

    def shifted(first: Sums, second: Sums) -> FloatArray:
        shares: FloatArray = ratio + (statistic(second) - ratio * statistic(first)) / base
        return shares

    around = estimate(before, after, statistic=shifted, bounds=(0.0, np.inf), extremes=(0.0, most / base))
    per_draw = np.full(len(was), np.nan)
    np.divide(is_now, was, out=per_draw, where=both & (was != 0))
    return replace(around, per_draw=tuple(number_or_none(share) for share in per_draw))
