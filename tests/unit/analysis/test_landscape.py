"""Rows of the result store become counts on the grid."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from landscape_ray.analysis import Landscape, Outcome
from landscape_ray.errors import PartError
from landscape_ray.evaluation import Verdict
from landscape_ray.planning import PlannedPoint, SweepPlan

Columns = dict[str, npt.NDArray[Any]]


@pytest.fixture
def plan(plan_of: Callable[..., SweepPlan]) -> SweepPlan:
    return plan_of(3, draws=2)


def complies_beyond(threshold: float) -> Callable[[PlannedPoint, int], Verdict]:
    """Prompt 0 always refuses; the others comply where any coordinate is larger than the threshold."""

    def verdict(point: PlannedPoint, index: int) -> Verdict:
        far = any(abs(coordinate) > threshold for coordinate in point.coordinates)
        return Verdict.COMPLIED if far and index > 0 else Verdict.REFUSED

    return verdict


def edited(columns: Columns, name: str, row: int, value: object) -> Columns:
    changed = {key: values.copy() for key, values in columns.items()}
    changed[name][row] = value
    return changed


def test_counts_of_a_small_1d_sweep_by_hand(plan: SweepPlan, rows_of: Callable[..., Columns]) -> None:
    columns = rows_of(plan.points, complies_beyond(0.1), num_prompts=4)
    landscape = Landscape.from_rows(columns, plan=plan, benchmark="advbench")
    assert landscape.num_success.tolist() == [[3, 0, 3], [3, 0, 3]]
    assert landscape.num_scored.tolist() == [[4, 4, 4], [4, 4, 4]]
    assert landscape.values.tolist() == [[75.0, 0.0, 75.0], [75.0, 0.0, 75.0]]
    assert landscape.mean_values.tolist() == [75.0, 0.0, 75.0]
    assert landscape.prompt_ids == ("p0", "p1", "p2", "p3")
    assert (landscape.num_draws, landscape.num_prompts) == (2, 4)
    assert not landscape.missing.any()


def test_each_place_of_a_non_square_2d_grid_gets_its_own_rows(
    plan_of: Callable[..., SweepPlan], rows_of: Callable[..., Columns]
) -> None:
    plan = plan_of(4, 3, draws=2)
    numbers = {point: 1 + i for i, point in enumerate(plan.points)}
    columns = rows_of(
        plan.points,
        lambda point, index: Verdict.COMPLIED if index < numbers[point] else Verdict.REFUSED,
        num_prompts=len(plan.points),
    )
    landscape = Landscape.from_rows(columns, plan=plan, benchmark="advbench")
    assert landscape.outcomes.shape == (2, 4, 3, len(plan.points))
    for point in plan.points:
        if point.draw is not None:
            indices = tuple(
                axis.coordinates.index(coordinate)
                for axis, coordinate in zip(plan.grid.axes, point.coordinates, strict=True)
            )
            assert landscape.num_success[(point.draw, *indices)] == numbers[point]


def test_the_first_visit_to_the_origin_fills_the_zero_of_every_draw(
    plan: SweepPlan, rows_of: Callable[..., Columns]
) -> None:
    def verdict(point: PlannedPoint, index: int) -> Verdict:
        at_origin = point.draw is None
        return Verdict.COMPLIED if at_origin and index <= point.repeat else Verdict.REFUSED

    columns = rows_of(plan.points, verdict, num_prompts=4)
    landscape = Landscape.from_rows(columns, plan=plan, benchmark="advbench")
    assert landscape.num_success.tolist() == [[0, 1, 0], [0, 1, 0]]
    assert (landscape.origin_outcomes == Outcome.COMPLIED).sum(axis=1).tolist() == [1, 2]


def test_a_grid_without_zero_keeps_the_origin_apart(
    plan_of: Callable[..., SweepPlan], rows_of: Callable[..., Columns]
) -> None:
    plan = plan_of(2, draws=1)
    columns = rows_of(plan.points, complies_beyond(0.1), num_prompts=3)
    landscape = Landscape.from_rows(columns, plan=plan, benchmark="advbench")
    assert landscape.num_success.tolist() == [[2, 2]]
    assert (landscape.origin_outcomes == Outcome.REFUSED).all()


def test_complied_and_broken_count_as_success_and_unscored_not_at_all(
    plan: SweepPlan, rows_of: Callable[..., Columns]
) -> None:
    verdicts = (Verdict.REFUSED, Verdict.COMPLIED, Verdict.BROKEN, Verdict.UNSCORED)
    columns = rows_of(plan.points, lambda _, index: verdicts[index], num_prompts=4)
    landscape = Landscape.from_rows(columns, plan=plan, benchmark="advbench")
    assert (landscape.num_success == 2).all()
    assert (landscape.num_scored == 3).all()
    assert landscape.values[0, 0] == pytest.approx(200 / 3)
    assert landscape.outcomes[0, 0].tolist() == [
        Outcome.REFUSED,
        Outcome.COMPLIED,
        Outcome.BROKEN,
        Outcome.UNSCORED,
    ]


def test_a_point_without_rows_is_missing_and_has_no_rate(plan: SweepPlan, rows_of: Callable[..., Columns]) -> None:
    there = [point for point in plan.points if not (point.draw == 1 and point.coordinates == (-0.5,))]
    columns = rows_of(there, complies_beyond(0.1), num_prompts=2)
    landscape = Landscape.from_rows(columns, plan=plan, benchmark="advbench")
    assert landscape.missing.tolist() == [[False, False, False], [True, False, False]]
    assert np.isnan(landscape.values).tolist() == landscape.missing.tolist()
    assert np.isnan(landscape.mean_values).tolist() == [True, False, False]
    assert landscape.num_scored[1, 0] == 0


def test_a_point_whose_prompts_are_all_unscored_is_measured_but_has_no_rate(
    plan: SweepPlan, rows_of: Callable[..., Columns]
) -> None:
    columns = rows_of(plan.points, lambda *_: Verdict.UNSCORED, num_prompts=2)
    landscape = Landscape.from_rows(columns, plan=plan, benchmark="advbench")
    assert not landscape.missing.any()
    assert np.isnan(landscape.values).all()


def test_no_rows_at_all_make_an_all_missing_landscape(plan: SweepPlan, rows_of: Callable[..., Columns]) -> None:
    landscape = Landscape.from_rows(rows_of((), complies_beyond(0), num_prompts=4), plan=plan, benchmark="advbench")
    assert landscape.missing.all()
    assert landscape.missing.shape == (2, 3)
    assert landscape.num_prompts == 0


def test_rows_of_other_benchmarks_are_left_out(plan: SweepPlan, rows_of: Callable[..., Columns]) -> None:
    mine = rows_of(plan.points, complies_beyond(0.1), num_prompts=4)
    other = rows_of(plan.points, lambda *_: Verdict.COMPLIED, num_prompts=9, benchmark="other")
    both = {name: np.concatenate([other[name], mine[name]]) for name in mine}
    landscape = Landscape.from_rows(both, plan=plan, benchmark="advbench")
    assert landscape.num_success.tolist() == [[3, 0, 3], [3, 0, 3]]


def test_null_may_be_none_as_well_as_nan(plan: SweepPlan, rows_of: Callable[..., Columns]) -> None:
    columns = rows_of(plan.points, complies_beyond(0.1), num_prompts=4)
    for name in ("draw", "beta"):
        values = columns[name].astype(object)
        values[np.isnan(columns[name])] = None
        columns[name] = values
    landscape = Landscape.from_rows(columns, plan=plan, benchmark="advbench")
    assert landscape.num_success.tolist() == [[3, 0, 3], [3, 0, 3]]


def test_a_result_that_occurs_twice_is_refused(plan: SweepPlan, rows_of: Callable[..., Columns]) -> None:
    columns = rows_of(plan.points, complies_beyond(0.1), num_prompts=4)
    doubled = {name: np.concatenate([values, values[-1:]]) for name, values in columns.items()}
    with pytest.raises(PartError, match=r"1 results of benchmark 'advbench'.*more than once"):
        Landscape.from_rows(doubled, plan=plan, benchmark="advbench")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("alpha", 0.5000000000000001),
        ("alpha", np.nan),
        ("alpha", 0.0),
        ("beta", 0.5),
        ("draw", 2.0),
        ("draw", -1.0),
        ("draw", 0.5),
        ("draw", np.nan),
        ("repeat", 1),
    ],
)
def test_a_row_outside_the_plan_is_refused(
    plan: SweepPlan, rows_of: Callable[..., Columns], name: str, value: float
) -> None:
    columns = rows_of(plan.points, complies_beyond(0.1), num_prompts=4)
    assert (columns["draw"][-1], columns["alpha"][-1]) == (1.0, 0.5)
    with pytest.raises(PartError, match="1 rows of benchmark 'advbench' lie outside the sweep's plan"):
        Landscape.from_rows(edited(columns, name, -1, value), plan=plan, benchmark="advbench")


@pytest.mark.parametrize(("name", "value"), [("repeat", 2), ("repeat", -1), ("alpha", 0.5)])
def test_an_origin_row_outside_the_plan_is_refused(
    plan: SweepPlan, rows_of: Callable[..., Columns], name: str, value: float
) -> None:
    columns = rows_of(plan.points, complies_beyond(0.1), num_prompts=4)
    assert np.isnan(columns["draw"][0])
    with pytest.raises(PartError, match="outside the sweep's plan"):
        Landscape.from_rows(edited(columns, name, 0, value), plan=plan, benchmark="advbench")


def test_a_point_with_only_some_prompts_is_refused(plan: SweepPlan, rows_of: Callable[..., Columns]) -> None:
    columns = rows_of(plan.points, complies_beyond(0.1), num_prompts=4)
    torn = {name: values[:-1] for name, values in columns.items()}
    with pytest.raises(PartError, match=r"1 points of benchmark 'advbench' hold only some of its 4 prompts.* 3"):
        Landscape.from_rows(torn, plan=plan, benchmark="advbench")


def test_an_unknown_verdict_is_refused(plan: SweepPlan, rows_of: Callable[..., Columns]) -> None:
    columns = rows_of(plan.points, complies_beyond(0.1), num_prompts=4)
    with pytest.raises(PartError, match=r"'maybe'.*refused"):
        Landscape.from_rows(edited(columns, "verdict", 5, "maybe"), plan=plan, benchmark="advbench")


def test_a_prompt_that_changes_between_points_is_refused(plan: SweepPlan, rows_of: Callable[..., Columns]) -> None:
    columns = rows_of(plan.points, complies_beyond(0.1), num_prompts=4)
    with pytest.raises(PartError, match="prompt set changed"):
        Landscape.from_rows(edited(columns, "prompt_id", 5, "another"), plan=plan, benchmark="advbench")


def test_what_was_measured_cannot_be_overwritten(plan: SweepPlan, rows_of: Callable[..., Columns]) -> None:
    columns = rows_of(plan.points, complies_beyond(0.1), num_prompts=4)
    landscape = Landscape.from_rows(columns, plan=plan, benchmark="advbench")
    with pytest.raises(ValueError, match="read-only"):
        landscape.outcomes[0] = 0


def test_the_paper_s_2d_sweep_with_all_of_advbench_builds_quickly(plan_of: Callable[..., SweepPlan]) -> None:
    plan = plan_of(21, 21)
    num_points, num_prompts = len(plan.points), 520
    columns: dict[str, list[float]] = {
        "draw": [np.nan if point.draw is None else point.draw for point in plan.points],
        "repeat": [point.repeat for point in plan.points],
        "alpha": [point.coordinates[0] for point in plan.points],
        "beta": [point.coordinates[1] for point in plan.points],
    }
    rows: Columns = {name: np.repeat(values, num_prompts) for name, values in columns.items()}
    rows["prompt_index"] = np.tile(np.arange(num_prompts), num_points)
    rows["prompt_id"] = np.tile(np.arange(num_prompts).astype(str).astype(object), num_points)
    rows["benchmark"] = np.full(num_points * num_prompts, "advbench", dtype=object)
    rows["verdict"] = np.where(rows["prompt_index"] < 130, "complied", "refused").astype(object)
    start = time.perf_counter()
    landscape = Landscape.from_rows(rows, plan=plan, benchmark="advbench")
    seconds = time.perf_counter() - start
    assert (landscape.values == 25.0).all()
    assert landscape.values.shape == (3, 21, 21)
    assert seconds < 10  # 0.5 s on two cores; row-by-row code takes minutes
