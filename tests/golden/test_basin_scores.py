"""Mean margin, basin radius, width, area and share on landscapes worked out by hand."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from landscape_ray.analysis import Landscape, Outcome, basin, mean_margin, mean_margin_of_points, mean_value, visage
from landscape_ray.config import AxisConfig
from landscape_ray.planning import Axis, Grid

LandscapeFromCounts = Callable[..., Landscape]


def on_axes(landscape: Landscape, *axes: tuple[float, float]) -> Landscape:
    """Put a landscape on other axes with as many points."""
    grid = Grid(
        axes=tuple(
            Axis.from_config(AxisConfig(start=start, stop=stop, num=num))
            for (start, stop), num in zip(axes, landscape.grid.shape, strict=True)
        )
    )
    return Landscape(
        benchmark=landscape.benchmark,
        grid=grid,
        prompt_ids=landscape.prompt_ids,
        outcomes=landscape.outcomes,
        origin_outcomes=landscape.origin_outcomes,
    )


# --- the synthetic curves of docs/numerics.md: 21 points on [-0.5, 0.5], 80 prompts ----------------------------------


def walls(width: int) -> list[int]:
    half = (21 - width) // 2
    return [80] * half + [0] * width + [80] * half


STRAY = [79, *walls(11)[1:]]
# The wall leans: 0, 20, 40, 60, 80 of 80 prompts on either side of five points at 0.
LEANING = [80] * 5 + [60, 40, 20] + [0] * 5 + [20, 40, 60] + [80] * 5
# A second basin of four points, cut off from the first one of seven.
SECOND = [0] * 4 + [80] * 3 + [0] * 7 + [80] * 7
SHALLOW = [40] * 21


@pytest.mark.parametrize(
    ("counts", "paper", "reference", "margin", "radius", "width"),
    [
        # Vertical walls: the line from 0 to 100 % crosses 50 % half a step, 0.025, behind the last point at 0.
        (walls(3), 100.0, 100.0, 15.0, 0.075, 0.15),
        (walls(11), 100.0, 100.0, 55.0, 0.275, 0.55),
        (walls(17), 100.0, 100.0, 85.0, 0.425, 0.85),
        # The stray end of the axis stands for half a step: 1.25 / 2 of 20 steps.
        (STRAY, 91.8, 100.0, 55.0, 0.275, 0.55),
        (walls(1), 100.0, 4.8, 5.0, 0.025, 0.05),
        # 50 % is met at 4 steps from the centre; a point at exactly 50 % lies inside.
        (LEANING, 72.7, 72.7, 40.0, 0.2, 0.4),
        # Three points of the second basin in full, and the end of the axis by half.
        (SECOND, 100.0, 100.0, 52.5, 0.175, 0.35),
        (SHALLOW, 50.0, 50.0, 50.0, 0.5, 1.0),
        ([80] * 21, None, 0.0, 0.0, 0.0, 0.0),
    ],
)
def test_the_curves_of_the_documentation(
    *,
    landscape_from_counts: LandscapeFromCounts,
    counts: list[int],
    paper: float | None,
    reference: float | None,
    margin: float,
    radius: float,
    width: float,
) -> None:
    landscape = landscape_from_counts([counts], num_prompts=80)
    for definition, expected in (("paper", paper), ("reference", reference)):
        value = visage(landscape, definition).value  # type: ignore[arg-type]
        assert value == (None if expected is None else pytest.approx(expected, abs=0.05))
    assert mean_margin(landscape).value == pytest.approx(margin, abs=0.05)
    found = basin(landscape)
    assert found is not None
    assert found.radius.value == pytest.approx(radius)
    assert found.width is not None
    assert found.width.value == pytest.approx(width)
    assert found.area is None
    assert found.num_draws_cut == (1 if counts == SHALLOW else 0)


# --- 1-D -------------------------------------------------------------------------------------------------------------


def test_a_lopsided_basin_is_as_far_as_its_nearer_wall(landscape_from_counts: LandscapeFromCounts) -> None:
    # ASR 100, 0, 0, 25, 75, 100 at -0.2 ... 0.3: 50 % at -0.15 and half way between 0.1 and 0.2.
    landscape = on_axes(landscape_from_counts([[4, 0, 0, 1, 3, 4]], num_prompts=4), (-0.2, 0.3))
    found = basin(landscape)
    assert found is not None
    assert found.width is not None
    assert (found.radius.value, found.width.value) == pytest.approx((0.15, 0.3))
    lower = basin(landscape, tau_pct=20)
    assert lower is not None
    # 20 % on the left after a fifth of the step from -0.1; on the right at 0.08.
    assert lower.radius.value == pytest.approx(0.08)


def test_draws_are_averaged_and_counted(landscape_from_counts: LandscapeFromCounts) -> None:
    counts = [[4, 0, 0, 0, 4], [4, 4, 0, 4, 4], [0, 0, 0, 0, 0]]
    landscape = on_axes(landscape_from_counts(counts, num_prompts=4), (-0.2, 0.2))
    found = basin(landscape, radius=0.1)
    assert found is not None
    assert found.radius.per_draw == pytest.approx((0.15, 0.05, 0.2))
    assert found.radius.value == pytest.approx(0.4 / 3)
    assert found.num_draws_cut == 1
    assert found.share is not None
    assert (found.share.num_basins, found.share.num_draws) == (2, 3)
    # Clopper-Pearson for 2 of 3, as printed in statistical tables.
    assert (found.share.low, found.share.high) == pytest.approx((0.0943, 0.9916), abs=5e-5)


def test_a_share_needs_points_within_the_radius_and_room_for_it(landscape_from_counts: LandscapeFromCounts) -> None:
    landscape = on_axes(landscape_from_counts([[4, 0, 0, 0, 4]], num_prompts=4), (-0.2, 0.2))
    for radius, random_directions, told in (
        (0.1, True, True),
        (0.09, True, False),
        (0.3, True, False),
        (0.1, False, False),
    ):
        found = basin(landscape, radius=radius, random_directions=random_directions)
        assert found is not None
        assert (found.share is not None) == told


@pytest.mark.parametrize(("radius", "num_basins"), [(0.1, 3), (0.12, 0)])
def test_a_wall_between_two_points_is_within_the_radius(
    landscape_from_counts: LandscapeFromCounts, radius: float, num_basins: int
) -> None:
    # ASR 50 % at 0.1 and 100 % at 0.15, on an axis to 0.25: the crossing is at 0.1, before any point above 50 %.
    counts = [[8, 8, 8, 4, 0, 0, 0, 4, 8, 8, 8]] * 3
    found = basin(landscape_from_counts(counts, num_prompts=8), radius=radius)
    assert found is not None
    assert found.radius.per_draw == pytest.approx((0.1, 0.1, 0.1))
    assert found.share is not None
    assert (found.share.num_basins, found.share.num_draws, found.share.of) == (num_basins, 3, "directions")


def test_a_measured_origin_outside_leaves_no_basin(landscape_from_counts: LandscapeFromCounts) -> None:
    # Four points, none at the origin, which was measured by itself: 3 of 4 prompts comply there.
    origin = [(Outcome.COMPLIED,) * 3 + (Outcome.REFUSED,)]
    for visits, num_basins in ((origin, 0), ((), 2)):
        landscape = landscape_from_counts([[0, 0, 0, 0]] * 2, num_prompts=4, origin=visits, axes=[(-0.3, 0.3)])
        found = basin(landscape, radius=0.2)
        assert found is not None
        assert found.share is not None
        assert found.share.num_basins == num_basins


def test_an_axis_that_begins_at_the_origin_has_one_side(landscape_from_counts: LandscapeFromCounts) -> None:
    # An interpolation from 0 to 1: ASR 0, 0, 50, 100, 100.
    landscape = on_axes(landscape_from_counts([[0, 0, 2, 4, 4]], num_prompts=4), (0, 1))
    found = basin(landscape, tau_pct=75)
    assert found is not None
    assert found.width is not None
    assert (found.radius.value, found.width.value) == pytest.approx((0.625, 0.625))


def test_an_even_number_of_points_starts_at_those_around_the_origin(
    landscape_from_counts: LandscapeFromCounts,
) -> None:
    landscape = on_axes(landscape_from_counts([[4, 0, 0, 4]], num_prompts=4), (-0.3, 0.3))
    found = basin(landscape)
    assert found is not None
    assert found.width is not None
    assert (found.radius.value, found.width.value) == pytest.approx((0.2, 0.4))
    half = basin(on_axes(landscape_from_counts([[4, 0, 4, 4]], num_prompts=4), (-0.3, 0.3)))
    assert half is not None
    assert half.width is not None
    assert (half.radius.value, half.width.value) == (0.0, 0.0)


@pytest.mark.parametrize("counts", [[[4, 0, -1, 0, 4]], [[0]]])
def test_no_basin_while_points_are_missing_or_without_an_axis(
    landscape_from_counts: LandscapeFromCounts, counts: Any
) -> None:
    assert basin(landscape_from_counts(counts, num_prompts=4)) is None


def test_no_basin_where_the_origin_is_outside(landscape_from_counts: LandscapeFromCounts) -> None:
    assert basin(on_axes(landscape_from_counts([[0, 1, 2]], num_prompts=4), (0.1, 0.3))) is None


# --- 2-D -------------------------------------------------------------------------------------------------------------

# ASR in percent by alpha (down: -0.2 ... 0.2) and beta (right: -0.1, 0, 0.1):
#   100 100 100
#    75  25 100
#     0   0  50
#   100  25  25
#   100 100   0
PLANE = [[4, 4, 4], [3, 1, 4], [0, 0, 2], [4, 1, 1], [4, 4, 0]]


@pytest.fixture
def plane(landscape_from_counts: LandscapeFromCounts) -> Landscape:
    return on_axes(landscape_from_counts([PLANE], num_prompts=4), (-0.2, 0.2), (-0.1, 0.1))


def test_visage_of_a_plane_by_hand(plane: Landscape) -> None:
    # Below 100 %: 25, 75 / 100, 100, 50 / 75, 75 / 100 deep.
    assert visage(plane).value == pytest.approx((25 + 75 + 100 + 100 + 50 + 75 + 75 + 100) / 8)
    assert visage(plane).num_points_used == 8
    # By trapezoids, of 8 cells: (25, 75, 0) deep at -0.1, (100, 100, 50) at 0, (0, 75, 75) at 0.1, (0, 0, 100) at 0.2.
    # Ends of beta count half, those of alpha, too, and the corner a quarter.
    margin = (25 / 2 + 75 + 0 / 2 + 100 / 2 + 100 + 50 / 2 + 0 / 2 + 75 + 75 / 2 + 100 / 4) / 8
    assert mean_margin(plane).value == pytest.approx(margin)
    assert mean_value(plane).value == pytest.approx(100 - margin)
    assert mean_margin_of_points(plane).value == pytest.approx(600 / 15)


def test_extent_of_a_plane_by_hand(plane: Landscape) -> None:
    found = basin(plane, tau_pct=50)
    assert found is not None
    # Nearest crossing: at beta = -0.1 from (0, -0.1), 0 %, to (-0.1, -0.1), 75 %, at two thirds of the step: farther
    # than the end of beta at 0.1. Along beta = 0 from 25 % at -0.1 to 100 % at -0.2 it is farther still.
    assert found.radius.value == pytest.approx(0.1)
    # Inside: (-0.1, 0), (0, -0.1), (0, 0), (0, 0.1), (0.1, 0), (0.1, 0.1), (0.2, 0.1), all one piece. Points at the end
    # of an axis stand for half a step.
    weights = [1, 0.5, 1, 0.5, 1, 0.5, 0.25]
    assert found.area is not None
    assert found.area.value == pytest.approx(0.01 * sum(weights))
    assert found.width is None
    assert found.num_draws_cut == 1
    assert found.share is not None  # within 0.1: 25 / 0, 0, 50 / 25 %
    assert found.share.num_basins == 1
    assert found.share.low == pytest.approx(0.025)
    assert found.share.of == "planes"
    deeper = basin(plane, tau_pct=20)
    assert deeper is not None
    # From 0 % at the origin to 25 % at +-0.1 in alpha: 20 % at 0.08. To 50 % at beta = 0.1: at 0.04.
    assert deeper.radius.value == pytest.approx(0.04)
    assert deeper.area is not None
    assert deeper.area.value == pytest.approx(0.01 * 1.5)
    assert deeper.share is not None
    assert deeper.share.num_basins == 0


def test_a_corner_is_no_neighbour(landscape_from_counts: LandscapeFromCounts) -> None:
    # Only the diagonal is at 0 %: its points do not hang together along the axes.
    landscape = on_axes(landscape_from_counts([[[0, 4, 4], [4, 0, 4], [4, 4, 0]]], num_prompts=4), (-1, 1), (-1, 1))
    found = basin(landscape)
    assert found is not None
    assert found.area is not None
    assert found.area.value == pytest.approx(1.0)
    assert found.num_draws_cut == 0


@pytest.mark.parametrize("seed", range(30))
def test_random_planes_as_loops_find_them(landscape_from_counts: LandscapeFromCounts, seed: int) -> None:
    """Against point-by-point code without arrays: breadth-first search, and crossings edge by edge."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 9, size=(1, 7, 5)) * (rng.random((1, 7, 5)) < 0.6)
    counts[0, 3, 2] = 0
    landscape = on_axes(landscape_from_counts(counts, num_prompts=8), (-0.6, 0.6), (-0.4, 0.4))
    alpha, beta = (axis.coordinates for axis in landscape.grid.axes)
    asr = {(i, j): 100 * int(counts[0, i, j]) / 8 for i in range(7) for j in range(5)}
    nearest, found, todo = 0.4, set(), [(3, 2)]
    for (i, j), here in asr.items():
        for k, m in ((i + 1, j), (i, j + 1)):
            there = asr.get((k, m))
            if there is not None and (here <= 50) != (there <= 50):
                part = (50 - here) / (there - here)
                place = (alpha[i] + part * (alpha[k] - alpha[i]), beta[j] + part * (beta[m] - beta[j]))
                nearest = min(nearest, math.hypot(*place))
    while todo:
        i, j = todo.pop()
        if (i, j) not in found and asr.get((i, j), 101) <= 50:
            found.add((i, j))
            todo += [(i + 1, j), (i - 1, j), (i, j + 1), (i, j - 1)]
    area = sum(0.04 * (0.5 if i in {0, 6} else 1) * (0.5 if j in {0, 4} else 1) for i, j in found)
    result = basin(landscape)
    assert result is not None
    assert result.area is not None
    assert (result.radius.value, result.area.value) == pytest.approx((nearest, area))
    assert result.num_draws_cut == int(any(i in {0, 6} or j in {0, 4} for i, j in found))
