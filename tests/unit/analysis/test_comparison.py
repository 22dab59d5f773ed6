"""Before and after, on landscapes small enough to work out by hand."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from landscape_ray.analysis import METRICS, Landscape, compare, where_both_are_measured
from landscape_ray.errors import UserError

LandscapeFromCounts = Callable[..., Landscape]


def test_every_score_before_and_after_by_hand(landscape_from_counts: LandscapeFromCounts) -> None:
    # ASR before: 100 0 0 0 100 and 100 50 0 50 100; after: 100 100 0 100 100 and 100 50 50 100 100.
    before = landscape_from_counts([[8, 0, 0, 0, 8], [8, 4, 0, 4, 8]], num_prompts=8)
    after = landscape_from_counts([[8, 8, 0, 8, 8], [8, 4, 4, 8, 8]], num_prompts=8)
    changes = compare(before, after)
    assert list(changes) == ["visage", "mean_margin", "radius", "width", "mean_value"]
    visage = changes["visage"]
    assert (visage.before, visage.after) == pytest.approx(((100 + 200 / 3) / 2, (100 + 50) / 2))
    assert visage.difference.per_draw == pytest.approx((0, 50 - 200 / 3))
    assert visage.difference.value == pytest.approx(75 - 250 / 3)
    assert visage.retention is not None
    assert visage.retention.value == pytest.approx(75 / (250 / 3))
    assert visage.retention.per_draw == pytest.approx((1, 0.75))
    margin = changes["mean_margin"]
    # By trapezoids of 4 cells: 300 and 50 + 100 + 50 before, 100 and 50 + 50 after.
    assert (margin.before, margin.after) == pytest.approx(((75 + 50) / 2, (25 + 25) / 2))
    assert margin.retention is not None
    assert margin.retention.value == pytest.approx(0.4)
    # The step is 0.05. Crossings of 50 % before: at 1.5 and at 1 step (a point at 50 % lies inside); after: at 0.5
    # steps on both sides of draw 0; in draw 1 on the left at 1 step, on the right at once.
    assert changes["radius"].before == pytest.approx((0.075 + 0.05) / 2)
    assert changes["radius"].after == pytest.approx((0.025 + 0) / 2)
    assert changes["width"].after == pytest.approx((0.05 + 0.05) / 2)
    assert changes["mean_value"].difference.value == pytest.approx(37.5)
    assert changes["mean_value"].retention is None  # less is better


def test_the_interval_of_a_difference_is_the_paired_one(landscape_from_counts: LandscapeFromCounts) -> None:
    # One point; 10 of 40 prompts comply before, these and 10 more after.
    before, after = (landscape_from_counts([[count]], num_prompts=40) for count in (10, 20))
    difference = compare(before, after)["mean_margin"].difference
    assert difference.interval is not None
    per_prompt = np.array([-100.0] * 10 + [0.0] * 30)
    low, high = stats.t.interval(0.95, 39, loc=-25, scale=per_prompt.std(ddof=1) / np.sqrt(40))
    assert (difference.interval.low, difference.interval.high) == pytest.approx((low, high), rel=0.1)


def test_the_interval_of_a_retention_is_that_of_a_ratio(landscape_from_counts: LandscapeFromCounts) -> None:
    before, after = (landscape_from_counts([[count]], num_prompts=400) for count in (100, 220))
    retention = compare(before, after)["mean_margin"].retention
    assert retention is not None
    assert retention.interval is not None
    assert retention.value == pytest.approx(180 / 300)
    # Delta method: 300 prompts hold before, 180 of them after; s.d. of after - 0.6 * before, over the mean 0.75.
    residual = np.array([1 - 0.6] * 180 + [-0.6] * 120 + [0.0] * 100)
    half = stats.t.ppf(0.975, 399) * residual.std(ddof=1) / np.sqrt(400) / 0.75
    assert (retention.interval.low, retention.interval.high) == pytest.approx((0.6 - half, 0.6 + half), rel=0.03)


def test_nothing_changed(landscape_from_counts: LandscapeFromCounts) -> None:
    landscape = landscape_from_counts([[8, 3, 0, 5, 8], [8, 7, 1, 6, 7]], num_prompts=8)
    changes = compare(landscape, landscape)
    for change in changes.values():
        assert change.before == change.after
        assert change.difference.value == 0
        assert change.difference.interval is not None
        assert change.difference.interval.components.variance() == 0
        if change.retention is not None:
            assert change.retention.value == 1
    # Of 8 prompts none changed: up to 32.44 % of all may (Wilson), from the least to the most that a margin is.
    margin = changes["mean_margin"]
    assert margin.difference.interval is not None
    assert (margin.difference.interval.low, margin.difference.interval.high) == pytest.approx((-32.44, 32.44), abs=0.01)
    assert margin.retention is not None
    assert margin.retention.interval is not None
    assert margin.before is not None
    ends = 1 - 0.32441, 1 + 0.32441 * (100 / margin.before - 1)
    assert (margin.retention.interval.low, margin.retention.interval.high) == pytest.approx(ends, abs=1e-4)


def test_a_lost_basin_leaves_no_visage_and_no_margin(landscape_from_counts: LandscapeFromCounts) -> None:
    changes = compare(
        landscape_from_counts([[8, 0, 8]], num_prompts=8), landscape_from_counts([[8, 8, 8]], num_prompts=8)
    )
    visage, margin = changes["visage"], changes["mean_margin"]
    assert visage.after is None
    assert visage.difference.value is None
    assert visage.retention is not None
    assert visage.retention.value is None
    assert margin.retention is not None
    assert margin.retention.value == 0


def test_where_there_was_nothing_nothing_can_be_retained(landscape_from_counts: LandscapeFromCounts) -> None:
    changes = compare(
        landscape_from_counts([[8, 8, 8]], num_prompts=8), landscape_from_counts([[8, 0, 8]], num_prompts=8)
    )
    assert changes["mean_margin"].retention is None
    assert changes["mean_margin"].difference.value == pytest.approx(50)


def test_only_points_that_both_have_are_compared(landscape_from_counts: LandscapeFromCounts) -> None:
    before = landscape_from_counts([[8, 2, 0, -1, 8]], num_prompts=8)
    after = landscape_from_counts([[8, -1, 4, 0, 8]], num_prompts=8)
    one, other = where_both_are_measured(before, after)
    assert one.missing.tolist() == other.missing.tolist() == [[False, True, False, True, False]]
    changes = compare(one, other)
    assert "radius" not in changes
    assert (changes["visage"].before, changes["visage"].after) == (100, 50)


def test_other_metrics_and_other_kinds_have_no_visage(landscape_from_counts: LandscapeFromCounts) -> None:
    landscape = landscape_from_counts([[8, 0, 8]], num_prompts=8)
    assert "visage" not in compare(landscape, landscape, random_directions=False)
    refused = replace(landscape, metric=METRICS["over_refusal"])
    assert list(compare(refused, refused)) == ["mean_value"]


def test_planes_are_not_compared_by_a_definition_of_curves(landscape_from_counts: LandscapeFromCounts) -> None:
    plane = landscape_from_counts([[[8, 0, 8], [8, 0, 8]]], num_prompts=8)
    assert "visage" in compare(plane, plane)
    with pytest.raises(UserError, match=r"1-D curves only.* is 2-D"):
        compare(plane, plane, definition="reference")


def test_landscapes_that_do_not_match_are_refused(landscape_from_counts: LandscapeFromCounts) -> None:
    landscape = landscape_from_counts([[8, 0, 8]], num_prompts=8)
    with pytest.raises(ValueError, match="differ in metric, grid or prompts"):
        compare(landscape, landscape_from_counts([[8, 0, 8]], num_prompts=9))
    with pytest.raises(ValueError, match="1 and 2 draws"):
        compare(landscape, landscape_from_counts([[8, 0, 8]] * 2, num_prompts=8))
