from typing import Any

import pytest

from landscape_ray.config import SweepConfig
from landscape_ray.planning import ORIGIN, PlannedPoint, RandomVector, SweepPlan, direction_seed


def plan(axes: list[dict[str, Any]], *, draws: int = 3, origin_repeats: int = 2, seed: int = 0) -> SweepPlan:
    config = SweepConfig.model_validate(
        {
            "model": {"id": "m"},
            "landscape": {"axes": axes, "origin_repeats": origin_repeats},
            "directions": {"draws": draws, "seed": seed},
            "benchmarks": [{"name": "b", "prompts": {"source": "demo"}}],
        }
    )
    return SweepPlan.from_config(config)


def measured(plan: SweepPlan) -> set[PlannedPoint]:
    return set(plan.points)


@pytest.mark.parametrize(
    ("axes", "draws", "origin_repeats", "num_visits"),
    [
        ([{}], 3, 2, 3 * 20 + 2),
        ([{}], 1, 1, 20 + 1),
        ([{}, {}], 3, 2, 3 * 440 + 2),
        ([{"num": 20}], 3, 2, 3 * 20 + 2),  # even: no coordinate is 0, the origin is measured all the same
        ([{"num": 5}, {"num": 3}], 2, 4, 2 * 14 + 4),  # not square
        ([{"num": 4}, {"num": 3}], 2, 1, 2 * 12 + 1),  # no grid point is the origin
        ([{"start": 0.1, "num": 5}], 2, 1, 2 * 5 + 1),
        ([{"start": 0, "stop": 0, "num": 1}], 3, 2, 2),  # nothing but the origin
    ],
)
def test_the_origin_is_visited_first_and_is_no_point_of_a_draw(
    axes: list[dict[str, Any]], draws: int, origin_repeats: int, num_visits: int
) -> None:
    points = plan(axes, draws=draws, origin_repeats=origin_repeats).points
    assert len(points) == len(set(points)) == num_visits
    origins, others = points[:origin_repeats], points[origin_repeats:]
    assert [(point.draw, point.repeat) for point in origins] == [(None, repeat) for repeat in range(origin_repeats)]
    assert all(point.perturbation == ORIGIN and set(point.coordinates) == {0.0} for point in origins)
    assert all(point.draw is not None and point.repeat == 0 and point.perturbation.terms for point in others)
    assert [point.draw for point in others] == sorted(point.draw for point in others if point.draw is not None)


def test_a_point_is_its_coordinates_times_the_draws_vectors() -> None:
    (point,) = (p for p in plan([{}, {}], seed=5).points if p.draw == 1 and p.coordinates == (-0.35, 0.1))
    d1, d2 = (
        RandomVector(seed=direction_seed(5, 1, axis), normalization="layer", excluded=("norm",)) for axis in (0, 1)
    )
    assert point.perturbation.terms == ((d1, -0.35), (d2, 0.1))
    assert point.label == "d1_a-0.35_b+0.1"


def test_a_2d_landscape_holds_the_1d_landscape_of_the_same_seed() -> None:
    line = {(p.draw, p.perturbation) for p in plan([{}]).points}
    plane = {(p.draw, p.perturbation) for p in plan([{}, {}]).points}
    assert line <= plane


def test_more_draws_and_wider_or_finer_axes_keep_what_was_measured() -> None:
    papers = measured(plan([{}]))
    assert papers < measured(plan([{}], draws=5))
    assert papers < measured(plan([{"start": -1.0, "stop": 1.0, "num": 41}]))
    assert papers < measured(plan([{"num": 101}]))
    assert papers < measured(plan([{}], origin_repeats=3))
    assert papers & measured(plan([{}], seed=1)) == set(plan([{}]).points[:2])  # another seed shares the origin only


def test_draws_and_axes_have_unrelated_vectors() -> None:
    seeds = {direction_seed(seed, draw, axis) for seed in range(20) for draw in range(20) for axis in range(2)}
    assert len(seeds) == 800
    assert all(0 <= seed < 2**64 for seed in seeds)


def test_direction_seeds_are_pinned() -> None:
    # blake2b of "landscape-ray/direction/0/0/0" and "landscape-ray/direction/7/2/1", 8 bytes, as printed by
    # `python -c` on its own: stored results are only reproducible while this holds.
    assert direction_seed(0, 0, 0) == 4_661_350_455_191_681_803
    assert direction_seed(7, 2, 1) == 9_591_946_469_887_122_157


@pytest.mark.parametrize("axes", [[{}, {"num": 11}], [{"start": 10, "stop": 10.001, "num": 101}], [{"num": 7}]])
def test_labels_differ_within_a_sweep(axes: list[dict[str, Any]]) -> None:
    points = plan(axes).points
    assert len({point.label for point in points}) == len(points)


def test_labels_are_readable() -> None:
    assert [point.label for point in plan([{}, {"num": 11}]).points[:3]] == ["origin-r0", "origin-r1", "d0_a-0.5_b-0.5"]


@pytest.mark.slow
def test_a_hundred_thousand_points_are_planned() -> None:
    points = plan([{"num": 317}, {"num": 317}], draws=1).points
    assert len(points) == 317 * 317 - 1 + 2
    # One vector object per draw and axis serves all its points.
    assert len({id(vector) for point in points for vector, _ in point.perturbation.terms}) == 2
