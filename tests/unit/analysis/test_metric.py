"""Metrics other than the attack success rate, on a landscape small enough to add up by hand."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from landscape_ray.analysis import METRICS, Landscape, Outcome, band_of_mean, mean_value, noise_floor, visage
from landscape_ray.errors import PartError, UserError
from landscape_ray.evaluation import Verdict
from landscape_ray.planning import SweepPlan

Columns = dict[str, npt.NDArray[Any]]


@pytest.fixture
def plan(plan_of: Callable[..., SweepPlan]) -> SweepPlan:
    """One draw on -0.5, 0, 0.5; rows come as origin, its repeat, -0.5, 0.5."""
    return plan_of(3, draws=1)


def rows(plan: SweepPlan, rows_of: Callable[..., Columns], *verdicts: str) -> Columns:
    columns = rows_of(plan.points, lambda *_: Verdict.UNSCORED, num_prompts=len(verdicts) // 4)
    return {**columns, "verdict": np.array(verdicts, dtype=object)}


def test_over_refusal_counts_refusals_and_broken_output_is_none(
    plan: SweepPlan, rows_of: Callable[..., Columns]
) -> None:
    columns = rows(plan, rows_of, *["complied"] * 8, *["refused", "refused", "complied", "unscored"], *["broken"] * 4)
    landscape = Landscape.from_rows(columns, plan=plan, benchmark="advbench", metric="over_refusal")
    assert landscape.values.tolist() == [[pytest.approx(200 / 3), 0.0, 0.0]]
    assert landscape.num_scored.tolist() == [[3, 4, 4]]
    assert (landscape.metric.label, landscape.metric.unit, landscape.metric.better) == ("refused", "%", "lower")


def test_accuracy_counts_right_answers(plan: SweepPlan, rows_of: Callable[..., Columns]) -> None:
    columns = rows(
        plan,
        rows_of,
        *["correct", "correct", "incorrect", "correct"],
        *["correct"] * 4,
        *["incorrect"] * 4,
        *["correct", "unscored", "incorrect", "incorrect"],
    )
    landscape = Landscape.from_rows(columns, plan=plan, benchmark="advbench", metric="accuracy")
    assert landscape.values.tolist() == [[0.0, 75.0, pytest.approx(100 / 3)]]
    assert landscape.origin_values.tolist() == [75.0, 100.0]
    assert landscape.metric.better == "higher"
    assert landscape.metric.direction == "higher is better"


def test_perplexity_is_of_all_tokens_of_a_point_together(plan: SweepPlan, rows_of: Callable[..., Columns]) -> None:
    columns = rows(plan, rows_of, *["unscored"] * 8)
    # Two texts at origin, repeat, -0.5, 0.5; the second text at 0.5 has no log-likelihood.
    columns["log_likelihood"] = np.array([-2.0, -4.0, -2.0, -4.0, -10.0, -2.0, -3.0, np.nan])
    columns["num_tokens"] = np.array([2, 1, 2, 1, 4, 2, 1, 7])
    landscape = Landscape.from_rows(columns, plan=plan, benchmark="advbench", metric="perplexity")
    assert landscape.values == pytest.approx(np.exp([[12 / 6, 6 / 3, 3 / 1]]))
    assert landscape.origin_values == pytest.approx(np.exp([2, 2]))
    assert landscape.num_scored.tolist() == [[2, 2, 1]]
    assert not landscape.missing.any()
    assert landscape.metric.unit == ""


def test_the_band_of_a_perplexity_is_around_it(plan: SweepPlan, rows_of: Callable[..., Columns]) -> None:
    columns = rows(plan, rows_of, *["unscored"] * 64)
    columns["log_likelihood"] = np.array([-2.0, -6.0] * 32)
    columns["num_tokens"] = np.full(64, 2)
    landscape = Landscape.from_rows(columns, plan=plan, benchmark="advbench", metric="perplexity")
    band = band_of_mean(landscape)
    assert band is not None
    # Per token 1 or 3 nats, so 2 +- 2.131 * sd(1, 3) / sqrt(16); exp is near enough to its tangent here.
    half = np.exp(2) * 2.131 * np.sqrt(16 / 15) / 4
    assert landscape.mean_values == pytest.approx(np.full(3, np.exp(2)))
    assert band[1] - landscape.mean_values == pytest.approx(np.full(3, half), rel=0.25)
    assert landscape.mean_values - band[0] == pytest.approx(np.full(3, half), rel=0.25)


def test_a_divergence_is_the_mean_over_prompts(plan: SweepPlan, rows_of: Callable[..., Columns]) -> None:
    columns = rows(plan, rows_of, *["unscored"] * 16)
    columns["kl"] = np.array([0.0] * 4 + [0.0, 0.02, 0.0, 0.0] + [0.1, 0.2, np.nan, 0.6] + [1.0, 1.0, 1.0, 2.0])
    landscape = Landscape.from_rows(columns, plan=plan, benchmark="advbench", metric="first_token_kl")
    assert landscape.metric.unit == "nats"
    assert landscape.values.tolist() == [[pytest.approx(0.3), 0.0, 1.25]]
    assert landscape.num_scored.tolist() == [[3, 4, 4]]
    assert mean_value(landscape).value == pytest.approx((0.3 / 2 + 0.0 + 1.25 / 2) / 2)
    floor = noise_floor(landscape)
    assert floor is not None
    assert floor.flipped == 0.25
    assert floor.spread == pytest.approx(0.005)


def test_values_of_a_point_without_anything_scored_are_unknown(
    plan: SweepPlan, rows_of: Callable[..., Columns]
) -> None:
    columns = rows(plan, rows_of, *["unscored"] * 4)
    columns["log_likelihood"] = np.full(4, np.nan)
    columns["num_tokens"] = np.zeros(4, dtype=np.int64)
    columns["kl"] = np.full(4, np.nan)
    for metric in METRICS:
        landscape = Landscape.from_rows(columns, plan=plan, benchmark="advbench", metric=metric)
        assert np.isnan(landscape.values).all()
        assert not landscape.missing.any()


def test_broken_output_is_counted_as_success_and_apart(plan: SweepPlan, rows_of: Callable[..., Columns]) -> None:
    columns = rows(
        plan,
        rows_of,
        *["refused"] * 8,
        *["complied", "complied", "refused", "broken"],
        *["complied", "complied", "refused", "unscored"],
    )
    # The judge's `broken` needs no column; a garbled text that holds a keyword counts as refused and as broken.
    unknown: list[Any] = [None] * 4
    columns["broken"] = np.array([*[False] * 4, *unknown, True, False, True, None, False, False, False, None])
    landscape = Landscape.from_rows(columns, plan=plan, benchmark="advbench")
    assert landscape.values.tolist() == [[75.0, 0.0, pytest.approx(200 / 3)]]
    assert landscape.broken_pct.tolist() == [[75.0, 0.0, 0.0]]
    assert landscape.success_unbroken_pct.tolist() == [[25.0, 0.0, pytest.approx(200 / 3)]]


def test_refusals_of_which_nothing_more_is_known_leave_no_share_of_broken_output(
    plan: SweepPlan, rows_of: Callable[..., Columns]
) -> None:
    # As generations that end with their verdict have it: what is not refused is there to its end, and half is broken.
    columns = rows(plan, rows_of, *["refused"] * 8, *["refused"] * 2, *["complied"] * 2, *["complied"] * 4)
    columns["broken"] = np.array([*[None] * 10, True, False, True, True, False, False])
    landscape = Landscape.from_rows(columns, plan=plan, benchmark="advbench")
    assert landscape.values.tolist() == [[50.0, 0.0, 100.0]]
    assert np.isnan(landscape.broken_pct).tolist() == [[True, True, False]]
    assert landscape.broken_pct[0, 2] == 50.0
    assert landscape.success_unbroken_pct.tolist() == [[25.0, 0.0, 50.0]]


def test_parts_of_an_earlier_version_do_not_say_what_is_broken(
    plan: SweepPlan, rows_of: Callable[..., Columns]
) -> None:
    columns = rows(plan, rows_of, *["refused"] * 2, *["complied"] * 2)
    for broken in ({}, {"broken": np.array([None] * 4, dtype=object)}):
        landscape = Landscape.from_rows({**columns, **broken}, plan=plan, benchmark="advbench")
        assert landscape.broken is None
        assert np.isnan(landscape.broken_pct).all()
        # Where no attack succeeded, none did with language either.
        assert landscape.success_unbroken_pct[0, 1] == 0.0
        assert np.isnan(landscape.success_unbroken_pct[0, [0, 2]]).all()


def test_visage_is_of_attack_success_rates_only(plan: SweepPlan, rows_of: Callable[..., Columns]) -> None:
    columns = rows(plan, rows_of, *["correct"] * 4)
    landscape = Landscape.from_rows(columns, plan=plan, benchmark="advbench", metric="accuracy")
    with pytest.raises(UserError, match=r"benchmark 'advbench' measures accuracy \(higher is better\)"):
        visage(landscape)


def test_every_outcome_but_one_is_the_name_of_a_verdict(plan: SweepPlan, rows_of: Callable[..., Columns]) -> None:
    for outcome in Outcome:
        columns = rows(plan, rows_of, *[outcome.name.lower()] * 4)
        if outcome == Outcome.UNMEASURED:
            with pytest.raises(PartError, match="'unmeasured'"):
                Landscape.from_rows(columns, plan=plan, benchmark="advbench")
        else:
            assert (Landscape.from_rows(columns, plan=plan, benchmark="advbench").outcomes == outcome).all()
