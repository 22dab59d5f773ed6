"""Walls along several kinds of directions, on landscapes small enough to work out by hand."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from landscape_ray.analysis import Along, Landscape, walls_by_kind

LandscapeFromCounts = Callable[..., Landscape]

RANDOM = Along(label="random", kind="random", draws=(0, 1), distance=0.5)
PRUNED = Along(label="pruned by 50 %", kind="pruning", draws=(2,), distance=0.2)
TASK = Along(label="b minus a", kind="task_vector", draws=(3,), distance=0.01)
AXES = [(-1.0, 1.0)]


def test_distances_and_ratios_by_hand(landscape_from_counts: LandscapeFromCounts) -> None:
    # Crossings of 50 % at 0.75 and 0.25 along the random draws, at 0.5 (a point at 50 % lies inside), and nowhere.
    counts = [[16, 0, 0, 0, 16], [16, 16, 0, 16, 16], [16, 8, 0, 8, 16], [0, 0, 0, 0, 8]]
    random, pruned, task = walls_by_kind(
        landscape_from_counts(counts, num_prompts=16, axes=AXES), [RANDOM, PRUNED, TASK]
    )
    assert [each.label for each in (random, pruned, task)] == ["random", "pruned by 50 %", "b minus a"]
    assert random.wall.per_draw == pytest.approx((0.75 * 0.5, 0.25 * 0.5))
    assert random.wall.value == pytest.approx(0.25)
    assert random.ratio is None
    assert pruned.wall.value == pytest.approx(0.5 * 0.2)
    assert pruned.ratio is not None
    assert pruned.ratio.value == pytest.approx(0.1 / 0.25)
    assert pruned.ratio.per_draw == pytest.approx((0.4,))
    assert task.wall.value == pytest.approx(0.01)
    assert task.ratio is not None
    assert task.ratio.value == pytest.approx(0.01 / 0.25)
    assert [each.num_draws_cut for each in (random, pruned, task)] == [0, 0, 1]
    assert [each.ratio_is for each in (random, pruned, task)] == [None, None, "at least"]
    assert [each.num_draws for each in (random, pruned, task)] == [2, 1, 1]
    assert task.wall.interval is not None
    assert task.wall.interval.high == 0.01  # no more than the axis shows


def test_an_axis_that_begins_at_the_origin_cuts_at_its_far_end_only(landscape_from_counts: LandscapeFromCounts) -> None:
    one_sided = landscape_from_counts([[0, 0, 16], [0, 0, 0]], num_prompts=16, axes=[(0.0, 1.0)])
    along = [Along(label=kind, kind=kind, draws=(i,), distance=1.0) for i, kind in enumerate(("random", "pruning"))]
    walls = walls_by_kind(one_sided, along)
    assert [(each.wall.value, each.num_draws_cut) for each in walls] == [(0.75, 0), (1.0, 1)]
    # Where the wall along the random direction is not seen, a ratio is at most; where neither is, there is none.
    other = [replace(along[0], kind="pruning"), replace(along[1], kind="random")]
    assert [each.ratio_is for each in walls_by_kind(one_sided, other)] == ["at most", None]
    open_ = landscape_from_counts([[0, 0, 0]] * 2, num_prompts=16, axes=[(0.0, 1.0)])
    assert [each.ratio for each in walls_by_kind(open_, along)] == [None, None]


def test_the_interval_of_a_ratio_holds_how_random_draws_differ(landscape_from_counts: LandscapeFromCounts) -> None:
    # Random walls at 0.2, 0.5, 0.8 of the axis for all prompts alike; the other's at 0.5.
    num = 11
    place = np.linspace(0, 1, num)
    counts = [(place > wall).astype(int) * 64 for wall in (0.2, 0.5, 0.8, 0.5)]
    along = [
        Along(label="random", kind="random", draws=(0, 1, 2), distance=1.0),
        Along(label="pruning", kind="pruning", draws=(3,), distance=1.0),
    ]
    _, pruned = walls_by_kind(landscape_from_counts(counts, num_prompts=64, axes=[(0.0, 1.0)]), along)
    assert pruned.ratio is not None
    assert pruned.ratio.interval is not None
    assert pruned.ratio.value == pytest.approx(1.0)
    assert pruned.ratio.interval.over == "prompts and draws"
    spread = np.std([0.25, 0.55, 0.85], ddof=1) / np.sqrt(3) / 0.55
    half = stats.t.ppf(0.975, 2) * spread
    assert pruned.ratio.interval.high == pytest.approx(1 + half, rel=0.05)


def test_what_is_not_complete_or_has_no_origin_has_no_walls(landscape_from_counts: LandscapeFromCounts) -> None:
    missing = landscape_from_counts([[0, -1, 8], [0, 0, 8], [0, 0, 0], [0, 0, 0]], num_prompts=8, axes=AXES)
    assert walls_by_kind(missing, [RANDOM, PRUNED]) == ()
    beside = landscape_from_counts([[0, 0, 8]] * 4, num_prompts=8, axes=[(0.5, 1.0)])
    assert walls_by_kind(beside, [RANDOM, PRUNED]) == ()


def test_without_random_directions_or_without_their_basin_there_is_no_ratio(
    landscape_from_counts: LandscapeFromCounts,
) -> None:
    unsafe = landscape_from_counts([[8, 8, 8]] * 2 + [[0, 0, 8]] * 2, num_prompts=8, axes=AXES)
    assert [each.ratio for each in walls_by_kind(unsafe, [RANDOM, PRUNED])] == [None, None]
    assert [each.ratio for each in walls_by_kind(unsafe, [PRUNED, TASK])] == [None, None]
