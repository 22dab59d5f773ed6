"""The certificate: its bound against sums of binomials, its basins against those of `basin`."""

import math
from typing import Any

import numpy as np
import pytest

from landscape_ray.analysis import Outcome, allowed_failures, basin, certificate, lower_bound
from landscape_ray.config import CertifyConfig, RandomLandscape, check_radius
from landscape_ray.errors import IncompleteError

# The fewest draws that certify 95 % at 95 % with 0, 1, ... failures, as in tables of attribute sampling plans.
FEWEST = (59, 93, 124, 153, 181, 208)


def chance_of_at_most(num_failed: int, num_draws: int, share: float) -> float:
    return sum(math.comb(num_draws, k) * (1 - share) ** k * share ** (num_draws - k) for k in range(num_failed + 1))


@pytest.mark.parametrize(("num_failed", "num_draws"), list(enumerate(FEWEST)))
def test_the_draws_that_failures_take_are_those_of_published_tables(num_failed: int, num_draws: int) -> None:
    asked = CertifyConfig(radius=0.1)
    assert chance_of_at_most(num_failed, num_draws, 0.95) <= 0.05 < chance_of_at_most(num_failed, num_draws - 1, 0.95)
    assert allowed_failures(asked, num_draws) == num_failed
    assert allowed_failures(asked, num_draws - 1) == num_failed - 1
    assert asked.fewest_draws == 59


@pytest.mark.parametrize(("share", "confidence", "fewest"), [(0.5, 0.75, 2), (0.99, 0.95, 299), (0.9, 0.99, 44)])
def test_the_fewest_draws_are_enough_and_one_less_is_not(share: float, confidence: float, fewest: int) -> None:
    asked = CertifyConfig(radius=0.1, share=share, confidence=confidence)
    assert asked.fewest_draws == fewest
    assert share**fewest <= 1 - confidence < share ** (fewest - 1)
    assert allowed_failures(asked, fewest) == 0
    assert allowed_failures(asked, fewest - 1) == -1


@pytest.mark.parametrize(("num_basins", "num_draws"), [(0, 3), (1, 3), (58, 59), (59, 59), (180, 200)])
def test_at_the_bound_so_many_basins_have_the_chance_that_confidence_leaves(num_basins: int, num_draws: int) -> None:
    bound = lower_bound(num_basins, num_draws, 0.9)
    chance = chance_of_at_most(num_draws - num_basins, num_draws, bound)
    assert chance == pytest.approx(0.1 if num_basins else 1.0)
    assert bound == 0 if not num_basins else bound > 0


def test_a_draw_is_a_basin_if_no_point_within_the_radius_is_beyond_the_wall(landscape_from_counts: Any) -> None:
    # Axis -0.1 ... 0.1 in steps of 0.05; 10 prompts, the wall is above 5 of them.
    landscape = landscape_from_counts(
        [[10, 5, 0, 5, 10], [0, 6, 0, 0, 0], [0, 0, 0, 10, 10], [-1, 0, 0, -1, -1], [-1, 0, 0, 9, -1], [-1] * 5],
        num_prompts=10,
    )
    landscape.outcomes[:, 2] = Outcome.REFUSED
    found = certificate(landscape, CertifyConfig(radius=0.05, share=0.2, confidence=0.5))
    assert (found.num_draws, found.num_basins, found.share) == (5, 1, 0.2)  # the last draw is not begun
    assert [(wall.draw, wall.coordinate, wall.asr_pct) for wall in found.walls] == [
        (1, -0.05, 60.0),
        (2, 0.05, 100.0),
        (4, 0.05, 90.0),
    ]
    assert found.undecided == (3,)
    assert found.bound == pytest.approx(1 - 0.5**0.2)  # the chance of any basin in 5 draws is then a half
    assert not found.certified
    assert certificate(landscape, CertifyConfig(radius=0.05, share=0.1, confidence=0.5)).certified


def test_an_origin_beyond_the_wall_leaves_no_basin_also_where_it_is_no_grid_point(landscape_from_counts: Any) -> None:
    asked = CertifyConfig(radius=0.075)
    for complied, num_basins in ((5, 2), (6, 0)):
        origin = [[Outcome.COMPLIED] * complied + [Outcome.REFUSED] * (10 - complied)]
        found = certificate(landscape_from_counts([[0] * 4] * 2, num_prompts=10, origin=origin), asked)
        assert found.num_basins == num_basins
        assert [wall.coordinate for wall in found.walls] == [0.0] * (2 - num_basins)
    unvisited = certificate(landscape_from_counts([[0] * 4] * 2, num_prompts=10), asked)
    assert (unvisited.num_basins, unvisited.undecided) == (0, (0, 1))


def test_basins_are_those_of_the_score(landscape_from_counts: Any) -> None:
    rng = np.random.default_rng(3)
    for num in (5, 6, 9):
        counts = rng.binomial(8, 0.4, size=(40, num))
        origin = [[Outcome.REFUSED] * 8]
        landscape = landscape_from_counts(counts, num_prompts=8, origin=origin)
        end = landscape.grid.axes[0].coordinates[-1]
        for radius in (c for c in landscape.grid.axes[0].coordinates if 0 < c <= end):
            scored = basin(landscape, radius=radius)
            assert scored is not None
            if scored.share is not None:
                assert certificate(landscape, CertifyConfig(radius=radius)).num_basins == scored.share.num_basins


def test_nothing_is_said_before_a_draw_is_begun(landscape_from_counts: Any) -> None:
    landscape = landscape_from_counts([[-1, -1, 0, -1, -1]], num_prompts=10)
    with pytest.raises(IncompleteError, match="No draw of benchmark 'advbench' is measured beside the origin"):
        certificate(landscape, CertifyConfig(radius=0.1))


@pytest.mark.parametrize(
    ("axis", "radius", "problem"),
    [
        ({}, 0.6, "radius 0.6 lies beyond the axis, which ends at -0.5"),
        ({"start": -0.2}, 0.3, "radius 0.3 lies beyond"),
        ({}, 0.12, "between two coordinates of the axis, 0.1 and 0.15"),
        ({}, 0.01, "between two coordinates of the axis, 0 and 0.05"),
        ({"num": 20}, 0.1, "between two coordinates"),
        ({"start": 0.1, "stop": 0.5, "num": 5}, 0.2, "the axis from 0.1 to 0.5 does not enclose the origin"),
        ({"start": 0, "stop": 0, "num": 1}, 0.1, "does not enclose"),
        ({}, 0.1, None),
        ({"num": 20}, 0.5, None),
        ({"start": 0.0}, 0.025, None),
    ],
)
def test_a_radius_must_be_a_coordinate_on_both_sides(axis: dict[str, Any], radius: float, problem: str | None) -> None:
    landscape = RandomLandscape.model_validate({"axes": [axis]})
    if problem is None:
        check_radius(landscape, radius)
    else:
        with pytest.raises(ValueError, match=problem):
            check_radius(landscape, radius)


def test_only_single_directions_are_counted() -> None:
    with pytest.raises(ValueError, match="this one is 2-D of kind 'random'; `score --radius` counts"):
        check_radius(RandomLandscape.model_validate({"axes": [{}, {}]}), 0.1)
