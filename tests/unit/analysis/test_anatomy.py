"""What is lost with each group, on landscapes small enough to work out by hand."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from scipy import stats

from landscape_ray.analysis import Along, Landscape, anatomy, design_points
from landscape_ray.config import AdaptiveConfig

LandscapeFromCounts = Callable[..., Landscape]

NAMES = ("embedding", "layer 0", "layer 1", "head")


def groups(num: int, draws: int = 1, distance: float = 0.5) -> list[Along]:
    """Draw by draw, as an anatomy is numbered."""
    return [
        Along(label=NAMES[i], kind="group", draws=tuple(range(i, num * draws, num)), distance=distance)
        for i in range(num)
    ]


@pytest.fixture
def lost(landscape_from_counts: LandscapeFromCounts) -> Callable[..., Any]:
    """The anatomy of counts of 20 prompts, on the axis from 0 to 1."""

    def make(counts: Sequence[Sequence[int]], num: int, **settings: Any) -> Any:
        landscape = landscape_from_counts(counts, num_prompts=20, axes=[(0.0, 1.0)])
        return anatomy(landscape, groups(num, len(counts) // num), **settings)

    return make


def test_losses_shares_and_walls_by_hand(lost: Callable[..., Any]) -> None:
    # Two draws of three groups; 2 of 20 prompts comply at the origin: 10 %.
    found = lost(
        [
            [2, 2, 12, 20, 20],  # embedding: rises of 0, 50, 90, 90: 57.5
            [2, 2, 2, 6, 10],  # layer 0: 0, 0, 20, 40: 15
            [2, 0, 2, 2, 2],  # layer 1: -10, 0, 0, 0: -2.5
            [2, 8, 20, 20, 20],  # 30, 90, 90, 90: 75
            [2, 2, 2, 2, 2],  # 0
            [2, 2, 2, 2, 0],  # -2.5
        ],
        3,
    )
    assert [each.label for each in found.groups] == ["embedding", "layer 0", "layer 1"]
    assert [each.loss.per_draw for each in found.groups] == [
        pytest.approx((57.5, 75.0)),
        pytest.approx((15.0, 0.0)),
        pytest.approx((-2.5, -2.5)),
    ]
    assert [each.loss.value for each in found.groups] == pytest.approx([66.25, 7.5, -2.5])
    # What layer 1 gains is no loss, and is not taken from the whole: 66.25 of 73.75.
    assert found.holding == ("embedding",)
    assert found.share.value == pytest.approx(66.25 / 73.75)
    assert found.share.per_draw == pytest.approx((57.5 / 72.5, 1.0))
    # 50 % is crossed at 0.45 and at 0.25 + 0.25 / 6 of an axis whose end is half of the weights' norm away.
    assert found.groups[0].wall.per_draw == pytest.approx((0.5 * 0.45, 0.5 * (0.25 + 0.25 * 10 / 60)))
    assert [each.num_draws_cut for each in found.groups] == [0, 2, 2]
    assert found.groups[2].wall.value == 0.5
    assert (found.distance, found.tau_pct, found.held) == (0.5, 50.0, 0.8)


@pytest.mark.parametrize(
    ("ends", "holding", "share"),
    [
        ([20, 20, 0, 0], ("embedding", "layer 0"), 1.0),  # of equal losses the first comes first
        ([8, 8, 2, 2], ("embedding", "layer 0"), 0.8),  # exactly the share that was asked for is enough
        ([2, 16, 1, 1], ("layer 0",), 0.8),
        ([0, 0, 0, 3], ("head",), 1.0),
        ([5, 5, 5, 5], NAMES, 1.0),
    ],
)
def test_the_fewest_groups_are_named_largest_first(
    lost: Callable[..., Any], ends: list[int], holding: tuple[str, ...], share: float
) -> None:
    found = lost([[0, end] for end in ends], 4)
    assert found.holding == holding
    assert found.share.value == pytest.approx(share)


def test_what_one_group_gains_does_not_make_up_for_what_others_lose(lost: Callable[..., Any]) -> None:
    found = lost([[4, 14], [4, 9], [4, 9], [4, 0]], 4)  # 50, 25, 25 and -20 points
    assert found.holding == ("embedding", "layer 0", "layer 1")
    assert found.share.value == 1.0


def test_another_share_may_be_asked_for(lost: Callable[..., Any]) -> None:
    counts = [[0, 4], [0, 10], [0, 6]]
    assert lost(counts, 3, held=0.5).holding == ("layer 0",)
    assert lost(counts, 3, held=0.51).holding == ("layer 0", "layer 1")


@pytest.mark.parametrize("counts", [[[0, 0], [0, 0]], [[4, 4], [4, 2]]])
def test_where_nothing_is_lost_there_is_no_share(lost: Callable[..., Any], counts: list[list[int]]) -> None:
    found = lost(counts, 2)
    assert found.holding == ()
    assert found.share is None
    assert found.groups[0].loss.value == 0.0


def test_while_points_are_missing_there_is_no_anatomy(lost: Callable[..., Any]) -> None:
    assert lost([[0, 0, 10], [0, -1, 10]], 2) is None


def test_the_interval_holds_how_draws_differ(landscape_from_counts: LandscapeFromCounts) -> None:
    # All 64 prompts give way together; the shares of the first group are 16, 24 and 32 of 40.
    counts = [row for first in (16, 24, 32) for row in ([0, first], [0, 40 - first])]
    along = groups(2, 3)
    found = anatomy(landscape_from_counts(counts, num_prompts=40, axes=[(0.0, 1.0)]), along, held=0.6)
    assert found is not None
    assert found.share is not None
    assert found.holding == ("embedding",)
    assert found.share.value == pytest.approx(0.6)
    interval = found.share.interval
    assert interval is not None
    assert interval.over == "prompts and draws"
    variance = np.var([0.4, 0.6, 0.8], ddof=1) / 3
    assert interval.components.draws is not None
    assert interval.components.interaction is not None
    assert (interval.components.draws + interval.components.interaction) / 3 == pytest.approx(variance)
    assert interval.high - interval.low <= 2 * stats.t.ppf(0.975, 2) * np.sqrt(variance + interval.components.prompts)


def test_draws_of_groups_are_taken_together(landscape_from_counts: LandscapeFromCounts) -> None:
    """Where both groups lose twice as much in one draw as in another, their shares are as sure as can be."""
    counts = [row for both in (10, 20, 40) for row in ([0, both], [0, both // 2])]
    found = anatomy(landscape_from_counts(counts, num_prompts=40, axes=[(0.0, 1.0)]), groups(2, 3), held=0.5)
    assert found is not None
    assert found.share is not None
    assert found.share.value == pytest.approx(2 / 3)
    assert found.share.interval is not None
    components = found.share.interval.components
    assert (components.draws or 0.0) + (components.interaction or 0.0) == pytest.approx(0.0, abs=1e-12)


# --- adaptive sweeps ------------------------------------------------------------------------------------------------


def a_wall(at: float, num: int = 17) -> list[int]:
    return [20 if i / (num - 1) > at else 0 for i in range(num)]


def measured(landscape: Landscape, chosen: Any, build: LandscapeFromCounts, counts: Any) -> Landscape:
    known = np.where(chosen, counts, -1)
    return build(known.tolist(), num_prompts=landscape.num_prompts, axes=[(0.0, 1.0)])


def test_an_adaptive_anatomy_finds_the_walls_and_losses_of_the_full_one(
    landscape_from_counts: LandscapeFromCounts,
) -> None:
    counts = np.array([a_wall(wall) for wall in (0.2, 0.7, 2.0)])
    full = landscape_from_counts(counts.tolist(), num_prompts=20, axes=[(0.0, 1.0)])
    along, settings = groups(3), AdaptiveConfig(fraction=0.6)
    whole = anatomy(full, along)
    assert whole is not None
    partly = full
    for _ in range(4):
        design = design_points([partly], settings, seed=0)
        partly = measured(full, design.chosen, landscape_from_counts, counts)
    design = design_points([partly], settings, seed=0)
    assert design.sample is not None
    assert int(design.chosen.sum()) < 0.66 * counts.size
    found = anatomy(partly, along, design=design)
    assert found is not None
    assert found.holding == whole.holding == ("embedding", "layer 0")
    for one, other in zip(found.groups, whole.groups, strict=True):
        assert one.wall.value == pytest.approx(other.wall.value, abs=0.5 / 16)
        assert one.num_draws_cut == other.num_draws_cut
        assert one.loss.value == pytest.approx(other.loss.value, abs=100 / 16)
    assert anatomy(partly, along) is None  # without its design, points are missing


@pytest.mark.slow
def test_losses_of_adaptive_sweeps_are_right_on_the_average_over_samples(
    landscape_from_counts: LandscapeFromCounts,
) -> None:
    """The one spike that no lattice shows is in the sum of losses without bias."""
    counts = np.zeros((1, 17), dtype=int)
    counts[0, 7] = 20
    losses = []
    for seed in range(300):
        known = landscape_from_counts([[0] * 17], num_prompts=20, axes=[(0.0, 1.0)])
        for _ in range(3):
            design = design_points([known], AdaptiveConfig(fraction=0.6), seed=seed)
            known = measured(known, design.chosen, landscape_from_counts, counts)
        design = design_points([known], AdaptiveConfig(fraction=0.6), seed=seed)
        found = anatomy(known, groups(1), design=design)
        assert found is not None
        losses.append(found.groups[0].loss.value or 0.0)
    error = float(np.std(losses, ddof=1)) / np.sqrt(len(losses))
    assert np.mean(losses) == pytest.approx(100 / 16, abs=3 * error)
