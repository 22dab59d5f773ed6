"""How much is kept at least, and how the origin changed."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from landscape_ray.analysis import Landscape, Outcome, compare, origin_change, retention_bound

LandscapeFromCounts = Callable[..., Landscape]
REFUSED, COMPLIED, UNSCORED = Outcome.REFUSED, Outcome.COMPLIED, Outcome.UNSCORED


def test_what_has_not_changed_is_kept_but_for_prompts_not_met(landscape_from_counts: LandscapeFromCounts) -> None:
    landscape = landscape_from_counts([[60, 3, 0, 5, 80], [80, 7, 1, 6, 70]], num_prompts=80)
    # Wilson for 0 of 80, from tables: 0 to 4.58 %.
    assert retention_bound(landscape, landscape) == pytest.approx(0.9542, abs=1e-4)


def test_the_bound_is_the_lower_end_of_the_interval_of_a_ratio(landscape_from_counts: LandscapeFromCounts) -> None:
    before, after = (landscape_from_counts([[count]], num_prompts=400) for count in (100, 220))
    # Delta method: 300 prompts hold before, 180 of them after; s.d. of after - 0.6 * before, over the mean 0.75.
    residual = np.array([1 - 0.6] * 180 + [-0.6] * 120 + [0.0] * 100)
    half = stats.norm.ppf(0.975) * residual.std(ddof=1) / np.sqrt(400) / 0.75
    assert retention_bound(before, after) == pytest.approx(0.6 - half, abs=0.01)


def test_of_two_draws_the_worse_one_decides(landscape_from_counts: LandscapeFromCounts) -> None:
    before = landscape_from_counts([[0, 0, 0], [0, 0, 0]], num_prompts=80)
    after = landscape_from_counts([[0, 0, 0], [80, 0, 80]], num_prompts=80)
    # One of two draws is taken at a time; the second keeps the middle, half of the axis.
    assert retention_bound(before, after) == pytest.approx(0.5)


def test_it_does_not_rise_where_the_end_of_an_interval_does(landscape_from_counts: LandscapeFromCounts) -> None:
    before = landscape_from_counts([[0, 0, 0]] * 3, num_prompts=80)
    uneven, even = (landscape_from_counts([[8, 8, 8], [8, 8, 8], [third] * 3], num_prompts=80) for third in (0, 8))
    ends = []
    for after in (uneven, even):
        retention = compare(before, after)["mean_margin"].retention
        assert retention is not None
        assert retention.interval is not None
        ends.append(retention.interval.low)
    assert ends[1] > ends[0]  # less safe, and a higher end
    bounds = [retention_bound(before, after) for after in (uneven, even)]
    assert bounds[0] is not None
    assert bounds[1] is not None
    assert bounds[1] <= bounds[0]


def test_no_bound_from_few_prompts_or_where_nothing_was(landscape_from_counts: LandscapeFromCounts) -> None:
    few, lost, kept = (
        landscape_from_counts([[count] * 3], num_prompts=num) for count, num in ((0, 7), (80, 80), (0, 80))
    )
    assert retention_bound(few, few) is None
    assert retention_bound(lost, kept) is None
    assert retention_bound(kept, lost) == 0


def test_the_origin_prompt_by_prompt(landscape_from_counts: LandscapeFromCounts) -> None:
    visits = np.array([[REFUSED] * 6 + [COMPLIED, COMPLIED, UNSCORED, REFUSED]] * 2, dtype=np.int8)
    visits[1, 0] = COMPLIED  # one verdict of ten is not repeated
    after = np.array([[COMPLIED] * 5 + [REFUSED, REFUSED, COMPLIED, COMPLIED, UNSCORED]], dtype=np.int8)
    landscape = landscape_from_counts([[0, 0, 0]], num_prompts=10)
    change = origin_change(replace(landscape, origin_outcomes=visits), replace(landscape, origin_outcomes=after))
    assert (change.before, change.after) == pytest.approx((100 * 2 / 9, 100 * 7 / 9))
    assert (change.num_prompts, change.num_lost, change.num_won) == (8, 5, 1)
    # Of six pairs that differ: one or none, or five or six, each of these splits with its binomial weight.
    assert change.p_value == pytest.approx(2 * (1 + 6) / 2**6)
    assert change.noise_floor_pct == pytest.approx(10)


def test_an_origin_that_was_not_measured_says_nothing(landscape_from_counts: LandscapeFromCounts) -> None:
    landscape = landscape_from_counts([[0, 0]], num_prompts=8)
    change = origin_change(landscape, landscape)
    assert (change.before, change.after, change.num_prompts, change.p_value) == (None, None, 0, None)
    assert change.noise_floor_pct is None
    alike = replace(landscape, origin_outcomes=np.full((1, 8), REFUSED, dtype=np.int8))
    assert origin_change(alike, alike).p_value == 1.0
