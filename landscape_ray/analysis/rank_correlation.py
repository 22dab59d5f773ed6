"""How well the order of models by one number agrees with their order by another."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from landscape_ray.analysis.uncertainty import LEVEL

__all__ = ["MIN_PAIRS", "RankCorrelation", "rank_correlation"]

MIN_PAIRS = 5
"""With fewer no correlation, not even a perfect one, has an interval that leaves out anything worth saying."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RankCorrelation:
    """Spearman's correlation of two numbers of some models."""

    num_models: int
    """Models that have both."""
    value: float | None
    """-1 to 1; None with fewer than two models, or where one of the numbers is the same in all."""
    low: float | None
    """Lower end of the 95 % interval; None with fewer than `MIN_PAIRS` models."""
    high: float | None
    """Upper end."""


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> RankCorrelation:
    """Return Spearman's correlation, ties in mean ranks, with its interval over models of this kind.

    The interval is Fisher's, with the variance `(1 + r^2 / 2) / (n - 3)` of `atanh(r)`. It has no width at 1; there the
    interval of the next lower value takes its place, that of an order with two neighbours exchanged, up to 1.

    Source: Bonett and Wright 2000, Sample size requirements for Pearson, Kendall and Spearman correlations.
    """
    num = len(first)
    if num < 2 or len(set(first)) == 1 or len(set(second)) == 1:
        return RankCorrelation(num_models=num, value=None, low=None, high=None)
    value = float(np.clip(scipy.stats.spearmanr(first, second).statistic, -1, 1))
    if num < MIN_PAIRS:
        return RankCorrelation(num_models=num, value=value, low=None, high=None)
    most = 1 - 12 / (num * (num**2 - 1))
    inner = float(np.clip(value, -most, most))
    half = scipy.special.ndtri((1 + LEVEL) / 2) * np.sqrt((1 + inner**2 / 2) / (num - 3))
    low, high = np.tanh(np.arctanh(inner) - half), np.tanh(np.arctanh(inner) + half)
    return RankCorrelation(
        num_models=num,
        value=value,
        low=-1.0 if value < -most else float(low),
        high=1.0 if value > most else float(high),
    )
