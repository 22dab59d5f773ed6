"""Laws of landscapes and of VISAGE."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from landscape_ray.analysis import (
    Landscape,
    Outcome,
    band_of_mean,
    basin,
    compare,
    mean_margin,
    mean_value,
    visage,
)
from landscape_ray.errors import PartError
from landscape_ray.evaluation import Verdict
from landscape_ray.planning import SweepPlan

Columns = dict[str, npt.NDArray[Any]]
# The fixtures are plain builders without state.
quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

SHAPES = st.one_of(
    st.tuples(st.integers(1, 3), st.integers(2, 8)),
    st.tuples(st.integers(1, 3), st.integers(2, 4), st.integers(2, 5)),
)


@st.composite
def outcome_tables(draw: st.DrawFn, *, missing: bool = False, least_prompts: int = 2) -> npt.NDArray[np.int8]:
    """Outcomes (D, *G, P); a point is missing as a whole."""
    shape = (*draw(SHAPES), draw(st.integers(least_prompts, 12)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    table = rng.choice([Outcome.REFUSED, Outcome.COMPLIED, Outcome.BROKEN, Outcome.UNSCORED], size=shape)
    table[rng.random(shape[:-1]) < 0.3] = Outcome.COMPLIED
    if missing:
        table[rng.random(shape[:-1]) < 0.3] = Outcome.UNMEASURED
    return table.astype(np.int8)


def landscape_of(outcomes: npt.NDArray[np.int8], like: Callable[..., Landscape]) -> Landscape:
    blank = like(np.zeros(outcomes.shape[:-1], dtype=int), num_prompts=outcomes.shape[-1])
    return replace(blank, outcomes=outcomes)


@st.composite
def stored_sweeps(draw: st.DrawFn) -> tuple[tuple[int, ...], int, int, int, int]:
    """Points of each axis, draws, repeats of the origin, prompts, and a seed."""
    nums = draw(st.lists(st.integers(2, 6), min_size=1, max_size=2))
    return (
        tuple(nums),
        draw(st.integers(1, 3)),
        draw(st.integers(1, 3)),
        draw(st.integers(1, 4)),
        draw(st.integers(0, 2**32)),
    )


def random_rows(
    sweep: tuple[tuple[int, ...], int, int, int, int],
    plan_of: Callable[..., SweepPlan],
    rows_of: Callable[..., Columns],
) -> tuple[SweepPlan, Columns, np.random.Generator]:
    nums, draws, repeats, num_prompts, seed = sweep
    rng = np.random.default_rng(seed)
    plan = plan_of(*nums, draws=draws, repeats=repeats)
    there = [point for point in plan.points if rng.random() < 0.8]
    verdicts = list(Verdict)
    columns = rows_of(there, lambda *_: verdicts[rng.integers(len(verdicts))], num_prompts=num_prompts)
    return plan, columns, rng


@quick
@given(sweep=stored_sweeps())
def test_the_order_of_rows_does_not_matter(
    sweep: tuple[tuple[int, ...], int, int, int, int],
    plan_of: Callable[..., SweepPlan],
    rows_of: Callable[..., Columns],
) -> None:
    plan, columns, rng = random_rows(sweep, plan_of, rows_of)
    order = rng.permutation(len(columns["draw"]))
    shuffled = {name: values[order] for name, values in columns.items()}
    one, other = (Landscape.from_rows(rows, plan=plan, benchmark="advbench") for rows in (columns, shuffled))
    assert np.array_equal(one.outcomes, other.outcomes)
    assert np.array_equal(one.origin_outcomes, other.origin_outcomes)
    assert one.prompt_ids == other.prompt_ids


@quick
@given(sweep=stored_sweeps())
def test_every_row_is_counted_once_at_its_place(
    sweep: tuple[tuple[int, ...], int, int, int, int],
    plan_of: Callable[..., SweepPlan],
    rows_of: Callable[..., Columns],
) -> None:
    plan, columns, _ = random_rows(sweep, plan_of, rows_of)
    landscape = Landscape.from_rows(columns, plan=plan, benchmark="advbench")
    axes = [axis.coordinates for axis in plan.grid.axes]
    expected = np.zeros_like(landscape.outcomes)
    origin = np.zeros_like(landscape.origin_outcomes)
    for i in range(len(columns["draw"])):
        row = {name: values[i] for name, values in columns.items()}
        code = Outcome[row["verdict"].upper()]
        if np.isnan(row["draw"]):
            origin[row["repeat"], row["prompt_index"]] = code
            draws = range(plan.draws) if row["repeat"] == 0 and all(0.0 in axis for axis in axes) else range(0)
        else:
            draws = range(int(row["draw"]), int(row["draw"]) + 1)
        for draw in draws:
            place = tuple(axis.index(row[name]) for axis, name in zip(axes, ("alpha", "beta"), strict=False))
            expected[(draw, *place, row["prompt_index"])] = code
    assert np.array_equal(landscape.outcomes, expected)
    assert np.array_equal(landscape.origin_outcomes, origin)


@quick
@given(sweep=stored_sweeps(), data=st.data())
def test_any_row_that_occurs_twice_is_refused(
    sweep: tuple[tuple[int, ...], int, int, int, int],
    data: st.DataObject,
    plan_of: Callable[..., SweepPlan],
    rows_of: Callable[..., Columns],
) -> None:
    plan, columns, rng = random_rows(sweep, plan_of, rows_of)
    num_rows = len(columns["draw"])
    if num_rows == 0:
        return
    again = data.draw(st.integers(0, num_rows - 1))
    order = rng.permutation(num_rows + 1)
    doubled = {name: np.append(values, values[again])[order] for name, values in columns.items()}
    with pytest.raises(PartError, match="more than once"):
        Landscape.from_rows(doubled, plan=plan, benchmark="advbench")


@quick
@given(outcomes=outcome_tables(missing=True))
def test_the_score_is_a_percentage_and_counts_add_up(
    outcomes: npt.NDArray[np.int8], landscape_from_counts: Callable[..., Landscape]
) -> None:
    landscape = landscape_of(outcomes, landscape_from_counts)
    score = visage(landscape, allow_missing=True)
    assert score.num_points_missing == int(np.isnan(landscape.values).sum())
    assert score.num_points_used + score.num_points_missing <= score.num_points
    if score.value is None:
        assert score.num_points_used == 0
        assert score.interval is None
    else:
        # Eq. 5 averages points below 100 %, so a score is never 0.
        assert 0 < score.value <= 100
        assert score.value == pytest.approx(np.mean([value for value in score.per_draw if value is not None]))
    if score.interval is not None:
        assert 0 <= score.interval.low <= score.interval.high <= 100


@quick
@given(outcomes=outcome_tables())
def test_one_more_refused_prompt_never_raises_an_asr(
    outcomes: npt.NDArray[np.int8], landscape_from_counts: Callable[..., Landscape]
) -> None:
    refused = np.full((*outcomes.shape[:-1], 1), Outcome.REFUSED, dtype=np.int8)
    before = landscape_of(outcomes, landscape_from_counts)
    after = landscape_of(np.concatenate([outcomes, refused], axis=-1), landscape_from_counts)
    assert np.array_equal(after.num_success, before.num_success)
    assert np.array_equal(after.num_scored, before.num_scored + 1)
    succeeds = before.num_success > 0
    assert (after.values[succeeds] < before.values[succeeds]).all()
    assert (after.values[~succeeds] == 0).all()


@quick
@given(outcomes=outcome_tables())
def test_one_more_unscored_prompt_changes_no_rate_and_no_score(
    outcomes: npt.NDArray[np.int8], landscape_from_counts: Callable[..., Landscape]
) -> None:
    unscored = np.full((*outcomes.shape[:-1], 1), Outcome.UNSCORED, dtype=np.int8)
    before = landscape_of(outcomes, landscape_from_counts)
    after = landscape_of(np.concatenate([outcomes, unscored], axis=-1), landscape_from_counts)
    assert np.array_equal(after.values, before.values, equal_nan=True)
    options: dict[str, Any] = {"allow_missing": True}
    assert visage(after, **options).per_draw == visage(before, **options).per_draw


@quick
@given(outcomes=outcome_tables())
def test_prompts_and_draws_may_change_places(
    outcomes: npt.NDArray[np.int8], landscape_from_counts: Callable[..., Landscape]
) -> None:
    swapped = landscape_of(outcomes[::-1, ..., ::-1].copy(), landscape_from_counts)
    options: dict[str, Any] = {"allow_missing": True}
    score = visage(landscape_of(outcomes, landscape_from_counts), **options)
    assert visage(swapped, **options).per_draw == score.per_draw[::-1]


@quick
@given(outcomes=outcome_tables())
def test_a_mirrored_curve_has_the_same_score(
    outcomes: npt.NDArray[np.int8], landscape_from_counts: Callable[..., Landscape]
) -> None:
    """By `reference` with an odd number of points only: its halves of an even number differ."""
    curves = outcomes.reshape(outcomes.shape[0], -1, outcomes.shape[-1])
    odd = curves.shape[1] % 2 == 1
    landscape = landscape_of(curves, landscape_from_counts)
    mirrored = landscape_of(curves[:, ::-1].copy(), landscape_from_counts)
    for definition in ("paper", "reference") if odd else ("paper",):
        options: dict[str, Any] = {"definition": definition, "allow_missing": True}
        assert visage(mirrored, **options).per_draw == pytest.approx(visage(landscape, **options).per_draw)


@quick
@given(outcomes=outcome_tables(), seed=st.integers(0, 2**32), steps=st.integers(1, 8))
def test_a_share_counts_the_draws_whose_radius_is_as_large(
    outcomes: npt.NDArray[np.int8], seed: int, steps: int, landscape_from_counts: Callable[..., Landscape]
) -> None:
    """On lines and planes, with and without a grid point at the origin, which is measured apart from the grid."""
    rng = np.random.default_rng(seed)
    scored = np.where(outcomes == Outcome.UNSCORED, Outcome.REFUSED, outcomes).astype(np.int8)
    scored[rng.random(scored.shape[:-1]) < 0.5] = Outcome.REFUSED
    origin = rng.choice([Outcome.REFUSED, Outcome.COMPLIED], p=[0.7, 0.3], size=(2, scored.shape[-1]))
    for index in range(1, scored.ndim - 1):
        if scored.shape[index] % 2 == 0:
            break
    else:  # the grid holds the origin
        scored[(slice(None), *(num // 2 for num in scored.shape[1:-1]))] = origin[0]
    landscape = replace(landscape_of(scored, landscape_from_counts), origin_outcomes=origin.astype(np.int8))
    radius = steps * 0.0125
    found = basin(landscape, radius=radius)
    assert found is not None
    share, inside = found.share, landscape.origin_values[0] <= 50
    if share is None:
        return
    assert share.of == ("directions" if len(landscape.grid.axes) == 1 else "planes")
    assert share.num_basins == sum(each >= radius - 1e-12 for each in found.radius.per_draw) * inside  # type: ignore[operator]
    # And no draw is counted that is above the threshold at a measured point as near as that.
    away = np.sqrt(sum(at**2 for at in np.meshgrid(*(axis.coordinates for axis in landscape.grid.axes), indexing="ij")))
    assert share.num_basins <= (landscape.values[:, away < radius] <= 50).all(axis=1).sum()


@quick
@given(outcomes=outcome_tables(missing=True, least_prompts=8))
def test_the_band_holds_the_mean_and_is_missing_where_the_mean_is(
    outcomes: npt.NDArray[np.int8], landscape_from_counts: Callable[..., Landscape]
) -> None:
    landscape = landscape_of(outcomes, landscape_from_counts)
    band = band_of_mean(landscape)
    assert band is not None
    mean = landscape.mean_values
    for end in band:
        assert np.array_equal(np.isnan(end), np.isnan(mean))
    measured = ~np.isnan(mean)
    assert (band[0][measured] <= band[1][measured]).all()
    assert ((band[0][measured] >= 0) & (band[1][measured] <= 100)).all()


@quick
@given(outcomes=outcome_tables(least_prompts=8))
def test_an_interval_holds_its_value_and_stays_in_range(
    outcomes: npt.NDArray[np.int8], landscape_from_counts: Callable[..., Landscape]
) -> None:
    landscape = landscape_of(outcomes, landscape_from_counts)
    for score in (mean_margin(landscape), mean_value(landscape), visage(landscape, allow_missing=True)):
        if score.interval is not None:
            assert score.value is not None
            assert 0 <= score.interval.low <= score.value <= score.interval.high <= 100
            assert score.interval.over == (
                "prompts and draws" if sum(value is not None for value in score.per_draw) > 1 else "prompts"
            )
            assert score.interval.components.variance() >= 0


@quick
@given(outcomes=outcome_tables(), tau=st.integers(0, 99))
def test_a_basin_grows_with_its_threshold_and_stays_on_the_grid(
    outcomes: npt.NDArray[np.int8], tau: int, landscape_from_counts: Callable[..., Landscape]
) -> None:
    scored = np.where(outcomes == Outcome.UNSCORED, Outcome.REFUSED, outcomes).astype(np.int8)
    landscape = landscape_of(scored, landscape_from_counts)
    small, large = basin(landscape, tau_pct=tau), basin(landscape, tau_pct=tau + 1)
    assert small is not None
    assert large is not None
    box = np.prod([axis.coordinates[-1] - axis.coordinates[0] for axis in landscape.grid.axes])
    for one, other, most in (
        (small.radius, large.radius, min(axis.coordinates[-1] for axis in landscape.grid.axes)),
        (small.width or small.area, large.width or large.area, box),
    ):
        assert one is not None
        assert other is not None
        for before, after in zip(one.per_draw, other.per_draw, strict=True):
            assert before is not None
            assert after is not None
            assert -1e-12 <= before <= after + 1e-12
            assert after <= most + 1e-12
    # A margin is what an ASR leaves.
    margin, value = mean_margin(landscape), mean_value(landscape)
    assert margin.value == pytest.approx(100 - value.value)  # type: ignore[operator]


@pytest.mark.slow
@quick
@given(outcomes=outcome_tables(least_prompts=8))
def test_a_comparison_turned_round_changes_the_sign(
    outcomes: npt.NDArray[np.int8], landscape_from_counts: Callable[..., Landscape]
) -> None:
    before = landscape_of(outcomes, landscape_from_counts)
    after = landscape_of(np.roll(outcomes, 1, axis=1), landscape_from_counts)
    forth, back = compare(before, after), compare(after, before)
    assert forth.keys() == back.keys()
    for name, change in forth.items():
        assert (change.before, change.after) == (back[name].after, back[name].before)
        one, other = change.difference, back[name].difference
        if one.value is not None and other.value is not None:
            assert one.value == pytest.approx(-other.value)
            if one.interval is not None and other.interval is not None:
                assert (one.interval.low, one.interval.high) == pytest.approx(
                    (-other.interval.high, -other.interval.low)
                )
