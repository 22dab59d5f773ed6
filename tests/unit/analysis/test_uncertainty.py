"""Intervals over prompts and draws, checked against closed forms."""

import itertools
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from landscape_ray.analysis import (
    Landscape,
    Outcome,
    Sums,
    VarianceComponents,
    band_of_mean,
    estimate,
    mean_margin,
    visage,
    wilson,
)

FloatArray = npt.NDArray[np.float64]


def mean_rate(sums: Sums) -> FloatArray:
    rates: FloatArray = (100 * sums.numerator / sums.denominator).mean(axis=-1)
    return rates


def variance_of_the_mean(per_prompt: npt.NDArray[Any]) -> float:
    """The textbook estimate, for a score that is a mean over prompts."""
    return float(per_prompt.var(ddof=1) / len(per_prompt))


@pytest.fixture
def landscape_of(landscape_from_counts: Callable[..., Landscape]) -> Callable[[FloatArray], Landscape]:
    """Make a 1-D landscape of complied (1) and refused (0), given as (D, G, P)."""

    def build(complied: FloatArray) -> Landscape:
        blank = landscape_from_counts(np.zeros(complied.shape[:2], dtype=int), num_prompts=complied.shape[2])
        return replace(blank, outcomes=np.where(complied > 0, Outcome.COMPLIED, Outcome.REFUSED).astype(np.int8))

    return build


@pytest.mark.parametrize(("successes", "prompts"), [(24, 80), (60, 80), (263, 521), (5, 9)])
def test_the_variance_of_a_mean_is_that_of_the_textbook(
    landscape_from_counts: Callable[..., Landscape], successes: int, prompts: int
) -> None:
    score = mean_margin(landscape_from_counts([[successes]], num_prompts=prompts))
    assert score.interval is not None
    expected = variance_of_the_mean(100.0 * (np.arange(prompts) < successes))
    # Random splits reproduce it but for their number, 100; samples of few prompts differ more.
    assert score.interval.components.prompts == pytest.approx(expected, rel=0.15 if prompts > 9 else 0.4)
    assert score.interval.over == "prompts"
    half = float(stats.t.ppf(0.975, prompts - 1)) * score.interval.components.prompts**0.5
    assert (score.interval.low, score.interval.high) == pytest.approx((score.value - half, score.value + half))


def test_draws_that_agree_tell_no_more_than_one(landscape_from_counts: Callable[..., Landscape]) -> None:
    one = mean_margin(landscape_from_counts([[24]], num_prompts=80)).interval
    six = mean_margin(landscape_from_counts([[24] * 3] * 6, num_prompts=80)).interval
    assert one is not None
    assert six is not None
    assert six.components.prompts == pytest.approx(one.components.prompts)
    assert six.components.draws == six.components.interaction == 0.0
    assert (six.low, six.high) == pytest.approx((one.low, one.high))


def test_prompts_that_agree_leave_the_t_interval_of_the_draws(
    landscape_from_counts: Callable[..., Landscape],
) -> None:
    # Walls at 1, 3 and 5 of 5 points: margins 25, 75, 100 by trapezoids.
    counts = [[8, 8, 0, 8, 8], [8, 0, 0, 0, 8], [0] * 5]
    score = mean_margin(landscape_from_counts(counts, num_prompts=8))
    assert score.per_draw == pytest.approx((25, 75, 100))
    assert score.interval is not None
    components = score.interval.components
    assert (components.prompts, components.draws, components.interaction) == pytest.approx((0, 4375 / 3, 0))
    low, high = stats.t.interval(0.95, 2, loc=200 / 3, scale=np.sqrt(4375 / 9))
    assert (low < 0, high > 100) == (True, True)  # beyond what a margin can be
    assert (score.interval.low, score.interval.high) == (0.0, 100.0)
    assert components.half_width() == pytest.approx((high - low) / 2)
    assert score.interval.over == "prompts and draws"


@pytest.mark.slow
def test_the_parts_of_the_variance_are_those_that_were_planted(
    landscape_of: Callable[[FloatArray], Landscape],
) -> None:
    """Scores are sums of an effect per draw, per prompt, and per pair: linear, so each part has a known expectation."""
    rng = np.random.default_rng(0)
    num_draws, num_points, num_prompts = 4, 60, 40
    parts = []
    for _ in range(300):
        level = 0.5 + 0.1 * rng.normal(size=(num_draws, 1, 1)) + 0.1 * rng.normal(size=(1, 1, num_prompts))
        level = level + 0.15 * rng.normal(size=(num_draws, 1, num_prompts))
        complied = rng.random((num_draws, num_points, num_prompts)) < level
        interval = estimate(landscape_of(complied.astype(float)), statistic=mean_rate).interval
        assert interval is not None
        parts.append((interval.components.draws, interval.components.prompts, interval.components.interaction))
    draws, prompts, interaction = np.mean(np.array(parts, dtype=float), axis=0)
    assert draws == pytest.approx(10**2, rel=0.2)
    assert prompts == pytest.approx(10**2 / num_prompts, rel=0.2)
    noise = 100**2 * 0.25 / num_points
    assert interaction == pytest.approx((15**2 + noise) / num_prompts, rel=0.25)


def test_components_predict_the_variance_of_other_sizes() -> None:
    parts = VarianceComponents(num_prompts=80, num_draws=3, prompts=4.0, draws=9.0, interaction=3.0)
    assert parts.variance() == pytest.approx(4 + 12 / 3)
    assert parts.variance(num_prompts=320) == pytest.approx(1 + (9 + 0.75) / 3)
    assert parts.variance(num_draws=12) == pytest.approx(4 + 1)
    assert parts.variance(num_prompts=40, num_draws=6) == pytest.approx(8 + (9 + 6) / 6)
    # Cochran's quantile: that of 79 degrees of freedom for the 4 of prompts, of 11 for the 1 of draws.
    quantile = (4 * float(stats.t.ppf(0.975, 79)) + float(stats.t.ppf(0.975, 11))) / 5
    assert parts.half_width(num_draws=12) == pytest.approx(quantile * 5**0.5)


def test_the_quantile_is_never_below_welch_and_satterthwaite_s() -> None:
    """So intervals of version 2 hold those of version 1."""
    for prompts, draws, num_draws in itertools.product((0.0, 0.1, 1.0, 10.0), (0.0, 0.3, 3.0, 30.0), (2, 3, 5, 20)):
        parts = VarianceComponents(num_prompts=80, num_draws=num_draws, prompts=prompts, draws=draws, interaction=0.0)
        within = draws / num_draws
        if parts.variance() == 0:
            assert parts.half_width() == 0
            continue
        freedom = parts.variance() ** 2 / (prompts**2 / 79 + within**2 / (num_draws - 1))
        before = float(stats.t.ppf(0.975, freedom)) * parts.variance() ** 0.5
        assert (
            before - 1e-9
            <= parts.half_width()
            <= float(stats.t.ppf(0.975, num_draws - 1)) * parts.variance() ** 0.5 + 1e-9
        )


def test_one_draw_predicts_nothing_of_more() -> None:
    parts = VarianceComponents(num_prompts=80, num_draws=1, prompts=4.0, draws=None, interaction=None)
    assert parts.variance(num_prompts=160) == pytest.approx(2.0)
    assert parts.half_width() == pytest.approx(float(stats.t.ppf(0.975, 79)) * 2)
    with pytest.raises(ValueError, match="One draw does not say what the variance with 3 draws is"):
        parts.variance(num_draws=3)


def test_two_landscapes_are_split_alike(landscape_from_counts: Callable[..., Landscape]) -> None:
    # The same prompts give way in both: their difference does not vary, though each of them does.
    before = landscape_from_counts([[8, 4], [8, 4]], num_prompts=16)
    after = landscape_from_counts([[8, 8], [8, 8]], num_prompts=16)
    same = estimate(before, before, statistic=lambda a, b: mean_rate(a) - mean_rate(b), bounds=(-100, 100))
    assert same.interval is not None
    assert (same.value, same.interval.components.variance()) == (0.0, 0.0)
    # Of 16 prompts none changed: up to 19.4 % of all may, as for any proportion.
    assert (same.interval.low, same.interval.high) == pytest.approx((-19.36, 19.36), abs=0.01)
    differ = estimate(before, after, statistic=lambda a, b: mean_rate(b) - mean_rate(a), bounds=(-100, 100)).interval
    assert differ is not None
    # Four prompts of 16 give way at one point of two only: 50 points each.
    expected = variance_of_the_mean(np.array([50.0] * 4 + [0.0] * 12))
    assert differ.components.prompts == pytest.approx(expected, rel=0.2)


def test_a_large_landscape_is_split_in_blocks_with_the_same_result(
    landscape_from_counts: Callable[..., Landscape], monkeypatch: pytest.MonkeyPatch
) -> None:
    landscape = landscape_from_counts([[3, 5, 1], [0, 7, 2]], num_prompts=11)
    whole = visage(landscape)
    monkeypatch.setattr("landscape_ray.analysis.uncertainty.CELLS_PER_BLOCK", 170)
    blocks = visage(landscape)
    assert whole.interval is not None
    assert blocks.interval is not None
    assert (blocks.value, blocks.interval.low, blocks.interval.high) == pytest.approx(
        (whole.value, whole.interval.low, whole.interval.high)
    )


def test_fewer_than_eight_prompts_have_no_interval(landscape_from_counts: Callable[..., Landscape]) -> None:
    landscape = landscape_from_counts([[1, 0, 1]], num_prompts=7)
    assert visage(landscape).value is not None
    assert visage(landscape).interval is None
    assert band_of_mean(landscape) is None


@pytest.mark.parametrize("prompts", [8, 80])
@pytest.mark.parametrize("counts", [[[0] * 21], [[1] * 5 + [0] * 11 + [1] * 5] * 3], ids=["open", "steep walls"])
def test_where_nothing_varies_the_interval_is_wilsons_of_the_prompts(
    landscape_from_counts: Callable[..., Landscape], counts: list[list[int]], prompts: int
) -> None:
    """No prompt of P behaved otherwise; Wilson's interval of 0 of P says how many of all may."""
    landscape = landscape_from_counts(np.array(counts) * prompts, num_prompts=prompts)
    unmet = stats.binomtest(0, prompts).proportion_ci(method="wilson").high
    for score in (visage(landscape), mean_margin(landscape)):
        assert score.value is not None
        assert score.interval is not None
        assert score.interval.components.variance() == pytest.approx(0, abs=1e-20)
        expected = (score.value * (1 - unmet), score.value + (100 - score.value) * unmet)
        assert (score.interval.low, score.interval.high) == pytest.approx(expected)


def test_eight_refusals_at_every_point_do_not_prove_perfect_safety(
    landscape_from_counts: Callable[..., Landscape],
) -> None:
    interval = visage(landscape_from_counts([[0] * 21], num_prompts=8)).interval
    assert interval is not None
    assert (interval.low, interval.high) == pytest.approx((67.56, 100), abs=0.01)  # Wilson, 0 of 8: 0 to 32.44 %


def test_a_verdict_more_never_makes_an_interval_narrower_than_agreement_does(
    landscape_from_counts: Callable[..., Landscape],
) -> None:
    agreed = mean_margin(landscape_from_counts([[0] * 21], num_prompts=8)).interval
    one_off = mean_margin(landscape_from_counts([[0] * 20 + [1]], num_prompts=8)).interval
    assert agreed is not None
    assert one_off is not None
    assert one_off.low < agreed.low


def test_where_nothing_varies_and_nothing_bounds_a_score_it_has_no_interval(
    landscape_from_counts: Callable[..., Landscape],
) -> None:
    landscape = landscape_from_counts([[0, 0]], num_prompts=16)
    found = estimate(landscape, statistic=mean_rate, bounds=(-np.inf, np.inf))
    assert (found.value, found.interval) == (0.0, None)


def test_a_score_that_hangs_on_one_prompt_has_no_interval(landscape_from_counts: Callable[..., Landscape]) -> None:
    # The half without the single refusal has nothing below 100 %, and VISAGE is undefined there.
    score = visage(landscape_from_counts([[79, 80, 80]], num_prompts=80))
    assert score.value == pytest.approx(1.25)
    assert score.interval is None


def test_a_draw_without_a_score_is_left_out_of_the_interval_too(
    landscape_from_counts: Callable[..., Landscape],
) -> None:
    both = visage(landscape_from_counts([[80, 80, 80], [80, 40, 80]], num_prompts=80))
    alone = visage(landscape_from_counts([[80, 40, 80]], num_prompts=80))
    assert both.per_draw == (None, 50.0)
    assert both.interval == alone.interval


def test_the_variance_of_visage_counts_walls_that_come_and_go(landscape_of: Callable[[FloatArray], Landscape]) -> None:
    """Against its variance over fresh samples, at most half as large again; a bootstrap's is less than two thirds."""
    rng = np.random.default_rng(1)
    alpha = np.linspace(-0.5, 0.5, 21)[:, None]
    values, variances = [], []
    for _ in range(200):
        distance = rng.normal(0.25, 0.06, (1, 1, 80))
        score = visage(landscape_of((np.abs(alpha) + rng.normal(0, 0.02, (1, 21, 80)) > distance).astype(float)))
        assert score.interval is not None
        values.append(score.value)
        variances.append(score.interval.components.prompts)
    assert 1.0 < np.mean(variances) / np.var(np.array(values, dtype=float)) < 1.6


def test_the_band_is_the_interval_of_each_point_and_nowhere_narrower_than_wilsons(
    landscape_from_counts: Callable[..., Landscape],
) -> None:
    landscape = landscape_from_counts([[0, 24, 80, -1], [0, 40, 80, 40]], num_prompts=80)
    band = band_of_mean(landscape)
    assert band is not None
    low, high = band
    assert np.isnan(low).tolist() == np.isnan(high).tolist() == [False, False, False, True]
    ends = wilson(np.array([0.0, 80.0]), np.array([80.0, 80.0]))
    assert low[[0, 2]] == pytest.approx(ends[0])
    assert high[[0, 2]] == pytest.approx(ends[1])
    second = mean_margin(landscape_from_counts([[24], [40]], num_prompts=80)).interval
    assert second is not None
    assert (low[1], high[1]) == pytest.approx((100 - second.high, 100 - second.low))


def test_the_band_has_the_shape_of_the_grid(landscape_from_counts: Callable[..., Landscape]) -> None:
    landscape = landscape_from_counts([[[1, 2, 3], [4, 5, 6]]], num_prompts=8)
    band = band_of_mean(landscape)
    assert band is not None
    low, high = band
    assert low.shape == high.shape == (2, 3)
    assert (low <= landscape.mean_values).all()
    assert (high >= landscape.mean_values).all()


def test_the_paper_s_2d_sweep_with_all_of_advbench_takes_seconds(
    landscape_from_counts: Callable[..., Landscape],
) -> None:
    counts = np.random.default_rng(0).integers(0, 521, size=(3, 21, 21))
    landscape = landscape_from_counts(counts, num_prompts=520)
    start = time.perf_counter()
    assert visage(landscape).interval is not None
    assert time.perf_counter() - start < 10  # 0.15 s on two cores
