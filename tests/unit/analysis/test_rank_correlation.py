"""Spearman's correlation with its interval."""

import math

import numpy as np
import pytest
from scipy import stats

from landscape_ray.analysis import rank_correlation


def test_the_interval_is_the_published_formula_s() -> None:
    first, second = [1.0, 2, 3, 4, 5, 6, 7, 8], [2.0, 1, 4, 3, 6, 5, 8, 7]
    found = rank_correlation(first, second)
    # Each pair of neighbours is exchanged: 1 - 6 * 8 / (8 * 63).
    value = 1 - 48 / 504
    half = 1.959964 * math.sqrt((1 + value**2 / 2) / 5)
    assert found.value == pytest.approx(value)
    assert (found.low, found.high) == pytest.approx(
        (math.tanh(math.atanh(value) - half), math.tanh(math.atanh(value) + half))
    )
    assert found.num_models == 8


@pytest.mark.parametrize("sign", [1, -1])
def test_a_perfect_order_of_few_models_proves_little(sign: int) -> None:
    found = rank_correlation(range(8), [sign * value for value in range(8)])
    assert found.value == pytest.approx(sign)
    ends = sorted((sign * (found.low or 0), sign * (found.high or 0)))
    assert ends[1] == 1.0
    assert 0.7 < ends[0] < 0.95


def test_what_does_not_vary_has_no_correlation_and_few_models_no_interval() -> None:
    assert rank_correlation([1, 1, 1], [1, 2, 3]).value is None
    assert rank_correlation([], []).value is None
    few = rank_correlation([1, 2, 3, 4], [1, 2, 3, 4])
    assert (few.value, few.low, few.high) == (1.0, None, None)


def test_intervals_hold_the_correlation_of_the_population() -> None:
    """Normal pairs with Pearson's 0.6: Spearman's is 6 / pi * asin(0.3)."""
    rng, truth = np.random.default_rng(0), 6 / math.pi * math.asin(0.3)
    pairs = rng.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], size=(400, 8))
    found = [rank_correlation(sample[:, 0], sample[:, 1]) for sample in pairs]
    held = [each.low <= truth <= each.high for each in found if each.low is not None and each.high is not None]
    assert len(held) == 400
    assert 0.92 <= np.mean(held) <= 0.99
    assert found[0].value == pytest.approx(stats.spearmanr(*pairs[0].T).statistic)
