"""Intervals over prompts and draws.

Shapes: `D` draws, `G` grid points (flattened), `P` prompts, `K` random splits of the prompts into `n` equal samples.

A score is computed per draw from the same prompts, and its value is the mean over draws. Its variance has two parts:

- *draws*: given the prompts, the draws' scores are independent, so their sample variance over D is unbiased;
- *prompts*: what all draws share. The quarters of the prompts are independent samples, so the spread of their scores
  gives the variance of the score at a quarter as many prompts without bias, whatever the score is. The bootstrap has no
  such property: for a score that depends on the rarest prompts, as VISAGE does, its variance is far too small. Eighths
  give the variance at an eighth as many, and both together how it falls with their number. Halves would be nearer the
  whole, but there are only two: where one prompt decides the score, they mostly miss what another sample would show.

The quantile is Cochran's: those of t with P - 1 and D - 1 degrees of freedom, weighted by both variances. Freedom that
is itself estimated, as by Welch and Satterthwaite, comes out large just where draws agree by chance.

What does not vary among the prompts asked may vary among others. So no interval ends before the score that P prompts
would have if Wilson's share of prompts like none of them, `z^2 / (P + z^2)`, all gave the least or the most it can be.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import scipy

from landscape_ray.analysis.landscape import BoolArray, FloatArray, IntArray, Landscape
from landscape_ray.analysis.proportion import wilson

__all__ = [
    "LEVEL",
    "Estimate",
    "Interval",
    "Statistic",
    "Sums",
    "VarianceComponents",
    "band_of_mean",
    "estimate",
    "interval_around",
    "scores_of_draws",
    "sums_of",
    "unmet_share",
]

LEVEL = 0.95
NUM_SPLITS = 100
SEED = 0
# Into how many samples prompts are split; into fewer where there are few prompts, or where so small samples have no
# score. Samples of a single prompt tell nothing of a score that is not linear.
NUMS_SAMPLES = (8, 4)
MIN_PER_SAMPLE = 2
MIN_PROMPTS = MIN_PER_SAMPLE * min(NUMS_SAMPLES)
# Sums of one block of splits are held in memory together: 64 MiB of float64.
CELLS_PER_BLOCK = 2**23


class Sums(NamedTuple):
    """Sums over some prompts of both `Landscape.terms`, each (..., D, G)."""

    numerator: FloatArray
    """Successes, or negative log-likelihood."""
    denominator: FloatArray
    """Scored prompts, or tokens."""


Statistic: TypeAlias = Callable[..., FloatArray]
"""Takes the `Sums` of each landscape, returns a score per draw: (..., D), NaN where it is undefined."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VarianceComponents:
    """What a score's variance is made of; predicts it for other numbers of prompts and draws."""

    num_prompts: int
    """Prompts that the components were estimated with."""
    num_draws: int
    """Draws that the components were estimated with."""
    prompts: float
    """Variance that all draws share, at `num_prompts`. With one draw: the whole variance given that draw."""
    draws: float | None
    """Variance between the scores of draws at any number of prompts; None with one draw."""
    interaction: float | None
    """Further variance between the scores of draws, at `num_prompts`: prompts that differ in where they give way, noise
    of the measurement. None with one draw."""

    def variance(self, *, num_prompts: int | None = None, num_draws: int | None = None) -> float:
        """Return the variance of the score, by default as measured.

        Parts that come from prompts are taken to fall as 1 / `num_prompts`, which a score with a threshold (VISAGE at a
        wall) does more slowly.

        Raises:
            ValueError: More draws are asked for, and one draw does not say how draws differ.
        """
        return sum(self._parts(num_prompts, num_draws))

    def half_width(self, *, num_prompts: int | None = None, num_draws: int | None = None) -> float:
        """Return half the width of the 95 % interval, by default as measured.

        Raises:
            ValueError: More draws are asked for, and one draw does not say how draws differ.
        """
        prompts, draws = self._parts(num_prompts, num_draws)
        num_prompts, num_draws = num_prompts or self.num_prompts, num_draws or self.num_draws
        return float(_half_width(np.array(prompts), np.array(draws), num_prompts, num_draws))

    def _parts(self, num_prompts: int | None, num_draws: int | None) -> tuple[float, float]:
        scale = self.num_prompts / (num_prompts or self.num_prompts)
        num_draws = num_draws or self.num_draws
        if self.draws is None or self.interaction is None:
            if num_draws != 1:
                msg = f"One draw does not say what the variance with {num_draws} draws is."
                raise ValueError(msg)
            return self.prompts * scale, 0.0
        return self.prompts * scale, (self.draws + self.interaction * scale) / num_draws


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A confidence interval for the expected score of sweeps like this one: as many prompts, other prompts of the kind.

    With two draws and more, also other draws. It does not speak of the score at another number of prompts.
    """

    low: float
    """Lower end."""
    high: float
    """Upper end."""
    level: float
    """Nominal coverage, such as 0.95."""
    over: Literal["prompts", "prompts and draws"]
    """What may vary. One draw, or a direction that is not random, says nothing of others."""
    components: VarianceComponents
    """What the width comes from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A score with its uncertainty."""

    value: float | None
    """Mean of the draws' scores. None where no draw has one."""
    per_draw: tuple[float | None, ...]
    """Score of each draw (D). None where it is undefined."""
    interval: Interval | None
    """95 % interval; None without a value, with fewer than eight prompts, or if too few of them decide the score. It is
    never of width 0."""


def estimate(
    *landscapes: Landscape,
    statistic: Statistic,
    bounds: tuple[float, float] = (0.0, 100.0),
    extremes: tuple[float, float] | None = None,
) -> Estimate:
    """Return a score with its interval.

    Where the score is undefined on more than 5 % of the splits, it hangs on a few prompts and has no honest interval.

    Args:
        landscapes: What was measured; several are matched prompt by prompt and draw by draw.
        statistic: The score.
        bounds: Range of the score; the interval stays in it.
        extremes: The least and the most that the score of prompts not met could be; by default `bounds`.
    """
    per_draw = scores_of_draws(*landscapes, statistic=statistic)
    defined = ~np.isnan(per_draw)
    value = float(per_draw[defined].mean()) if defined.any() else None
    interval = None
    if value is not None:
        components = _components(landscapes, statistic, per_draw, defined)
        if components is not None:
            interval = interval_around(value, components, bounds=bounds, extremes=extremes or bounds)
    return Estimate(value=value, per_draw=tuple(number_or_none(score) for score in per_draw), interval=interval)


def interval_around(
    value: float, components: VarianceComponents, *, bounds: tuple[float, float], extremes: tuple[float, float]
) -> Interval | None:
    """Return the interval of a score, wide enough for the prompts that were not met; None if nothing gives it a width.

    Args:
        value: The score.
        components: What its variance is made of.
        bounds: Where the interval is cut.
        extremes: The least and the most that the score of prompts not met could be. An infinite one says nothing.
    """
    half = components.half_width()
    unmet_low, unmet_high = (
        value + unmet_share(components.num_prompts) * (extreme - value) if np.isfinite(extreme) else value
        for extreme in extremes
    )
    low, high = np.clip((min(value - half, unmet_low), max(value + half, unmet_high)), *bounds)
    if low == high:
        return None
    over: Literal["prompts", "prompts and draws"] = "prompts" if components.draws is None else "prompts and draws"
    return Interval(low=float(low), high=float(high), level=LEVEL, over=over, components=components)


def unmet_share(num_prompts: int) -> float:
    """Return how large a share of all prompts may be like none that were asked, 0 to 1: Wilson's end of 0 of P."""
    return float(wilson(np.array(0.0), np.array(float(num_prompts)), LEVEL)[1]) / 100


def scores_of_draws(*landscapes: Landscape, statistic: Statistic) -> FloatArray:
    """Return the score of each draw, (D), NaN where it is undefined."""
    return statistic(*map(sums_of, landscapes))


def sums_of(landscape: Landscape) -> Sums:
    """Return the sums over all prompts at each point, (D, G)."""
    return Sums(*(each.sum(axis=-1).reshape(landscape.num_draws, -1) for each in landscape.terms()))


def band_of_mean(landscape: Landscape) -> tuple[FloatArray, FloatArray] | None:
    """Return the pointwise 95 % interval of `Landscape.mean_values`, over prompts and, where there are several, draws.

    A rate's is nowhere narrower than Wilson's of the prompts, which keeps a width where nothing varies.

    Returns:
        Lower and upper ends, each (*G), NaN where the mean is; None with fewer than eight prompts.
    """
    if landscape.num_prompts < MIN_PROMPTS:
        return None
    num_draws, num_prompts = landscape.num_draws, landscape.num_prompts
    values_DG = landscape.values.reshape(num_draws, -1)
    every = np.ones(num_draws, dtype=np.bool_)
    num_samples = next(num for num in NUMS_SAMPLES if num * MIN_PER_SAMPLE <= num_prompts)
    parts = _variance_parts((landscape,), lambda sums: landscape.metric.value(*sums), values_DG, every, num_samples)
    half = _half_width(parts.prompts, parts.within / num_draws, num_prompts, num_draws)
    mean = values_DG.mean(axis=0)
    low, high = mean - half, mean + half
    if landscape.metric.is_rate:
        num_scored = landscape.num_scored.reshape(num_draws, -1).min(axis=0).astype(np.float64)
        wilson_low, wilson_high = wilson(mean / 100 * num_scored, num_scored)
        low, high = np.fmin(low, wilson_low), np.fmax(high, wilson_high)
    least, most = landscape.metric.bounds
    shape = landscape.missing.shape[1:]
    return np.clip(low, least, most).reshape(shape), np.clip(high, least, most).reshape(shape)


def number_or_none(value: float | np.float64) -> float | None:
    """Return a number, None for NaN."""
    return None if np.isnan(value) else float(value)


class _Parts(NamedTuple):
    """Variances, each of the shape of a draw's score (...)."""

    prompts: FloatArray
    """What draws share."""
    draws: FloatArray
    """Between draws, whatever the prompts."""
    within: FloatArray
    """Between draws, as measured."""


def _variance_parts(
    landscapes: tuple[Landscape, ...],
    statistic: Statistic,
    per_draw: FloatArray,
    defined: BoolArray,
    num_samples: int,
) -> _Parts:
    """Return the parts of the variance of a score (D, ...), from the draws on which it is defined."""
    num_prompts = landscapes[0].num_prompts
    num_draws = int(defined.sum())
    rounds = _rounds(num_samples)
    over_samples, over_pairs, between = [], [], []
    for sums in _split_sums(landscapes, num_samples):
        samples_KnD = statistic(*sums)[:, :, defined]
        pairs_KnD = statistic(*(_paired(each, rounds) for each in sums))[:, :, defined]
        over_samples.append(_shared_variance(samples_KnD))
        over_pairs.append(_shared_variance(pairs_KnD))
        if num_draws > 1:
            between.append(_variance_between_draws(pairs_KnD))
    at_sample, at_pair = _mean_of_most(np.concatenate(over_samples)), _mean_of_most(np.concatenate(over_pairs))
    # The variance is a + b * P / m at m prompts: through those of samples and of pairs, read off at all P prompts.
    pairs = num_prompts / (2 * (num_prompts // num_samples))
    extrapolated = at_pair - (at_sample - at_pair) * (pairs - 1) / pairs
    most = np.maximum(at_pair, 0)
    shared = np.clip(extrapolated, most / pairs, most)
    if num_draws == 1:
        return _Parts(shared, np.zeros_like(shared), np.zeros_like(shared))
    within = per_draw[defined].var(axis=0, ddof=1)
    return _Parts(shared, np.clip(_mean_of_most(np.concatenate(between)), 0, within), within)


def _split_sums(landscapes: tuple[Landscape, ...], num_samples: int) -> Iterator[list[Sums]]:
    """Yield, block by block, the sums over each of n samples of the prompts: (k, n, D, G) for each landscape."""
    num_prompts = landscapes[0].num_prompts
    size = num_prompts // num_samples
    order = np.random.default_rng(SEED).permuted(np.tile(np.arange(num_prompts), (NUM_SPLITS, 1)), axis=1)
    chosen_KnP = np.zeros((NUM_SPLITS, num_samples, num_prompts))
    members = order[:, : num_samples * size].reshape(NUM_SPLITS, num_samples, size)
    np.put_along_axis(chosen_KnP, members, 1, axis=2)
    tables = [[table.reshape(-1, num_prompts).T for table in landscape.terms()] for landscape in landscapes]
    block = max(1, CELLS_PER_BLOCK // (num_samples**2 * tables[0][0].shape[1]))
    for start in range(0, NUM_SPLITS, block):
        chosen = chosen_KnP[start : start + block]
        yield [
            Sums(*((chosen @ table).reshape(len(chosen), num_samples, landscape.num_draws, -1) for table in pair))
            for landscape, pair in zip(landscapes, tables, strict=True)
        ]


def _rounds(num: int) -> IntArray:
    """Return n - 1 ways to put n samples into pairs, with each possible pair once: (n - 1, n / 2, 2).

    Over all of them the variance of the pairs of a score that is a mean is exactly half that of the samples, and the
    line through both is not steepened by chance.
    """
    seats = np.array([[0, *(1 + (np.arange(num - 1) + turn) % (num - 1))] for turn in range(num - 1)])
    return np.stack([seats[:, : num // 2], seats[:, : num // 2 - 1 : -1]], axis=2)


def _paired(sums: Sums, rounds: IntArray) -> Sums:
    """Return the sums over pairs of samples, for each way to pair them: (k, n, D, G) -> (k (n - 1), n / 2, D, G)."""
    joined = (table[:, rounds[..., 0]] + table[:, rounds[..., 1]] for table in sums)
    return Sums(*(table.reshape(-1, *table.shape[2:]) for table in joined))


def _shared_variance(scores: FloatArray) -> FloatArray:
    """Return the covariance of different draws over samples of prompts, (k, n, D, ...) -> (k, ...).

    With one draw its variance.
    """
    num, num_draws = scores.shape[1:3]
    centred = scores - scores.mean(axis=1, keepdims=True)
    own = (centred**2).sum(axis=(1, 2)) / (num - 1)
    if num_draws == 1:
        return np.asarray(own)
    everything = (centred.sum(axis=2) ** 2).sum(axis=1) / (num - 1)
    return np.asarray((everything - own) / (num_draws * (num_draws - 1)))


def _variance_between_draws(scores: FloatArray) -> FloatArray:
    """Return the variance between draws that different samples of prompts agree on, (k, n, D, ...) -> (k, ...)."""
    num, num_draws = scores.shape[1:3]
    centred = scores - scores.mean(axis=2, keepdims=True)
    products = centred.sum(axis=1) ** 2 - (centred**2).sum(axis=1)  # of each two different samples, both ways
    return np.asarray(products.sum(axis=1) / (num * (num - 1) * (num_draws - 1)))


def _mean_of_most(values: FloatArray) -> FloatArray:
    """Return the mean over the first axis of what is defined, NaN where more than 5 % is not."""
    defined = ~np.isnan(values)
    num = defined.sum(axis=0)
    mean = np.where(defined, values, 0.0).sum(axis=0) / np.maximum(num, 1)
    return np.where(num >= LEVEL * len(values), mean, np.nan)


def _components(
    landscapes: tuple[Landscape, ...], statistic: Statistic, per_draw: FloatArray, defined: BoolArray
) -> VarianceComponents | None:
    """Return what the variance is made of, from the smallest samples that have a score; None if none have."""
    num_prompts, num_draws = landscapes[0].num_prompts, int(defined.sum())
    one = num_draws == 1
    for num_samples in NUMS_SAMPLES:
        if num_prompts < num_samples * MIN_PER_SAMPLE:
            continue
        parts = _variance_parts(landscapes, statistic, per_draw, defined, num_samples)
        if not np.isnan(parts.prompts):
            return VarianceComponents(
                num_prompts=num_prompts,
                num_draws=num_draws,
                prompts=float(parts.prompts),
                draws=None if one else float(parts.draws),
                interaction=None if one else float(parts.within - parts.draws),
            )
    return None


def _half_width(prompts: FloatArray, draws: FloatArray, num_prompts: int, num_draws: int) -> FloatArray:
    """Return half the width of the interval, from the variance of each part; any one shape in and out.

    Source: Cochran and Cox 1957, Experimental Designs, section 4.14, for two variances of different freedom.
    """
    of_prompts, of_draws = scipy.special.stdtrit([num_prompts - 1, max(num_draws - 1, 1)], (1 + LEVEL) / 2)
    total = prompts + draws
    half = np.where(np.isnan(total), np.nan, 0.0)
    np.divide(prompts * of_prompts + draws * of_draws, np.sqrt(total), out=half, where=total > 0)
    return half
