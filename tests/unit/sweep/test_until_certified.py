"""Sweeps that measure draws only until a basin is certified, or cannot be."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from landscape_ray.analysis import chosen_draws
from landscape_ray.config import CertifyConfig, SweepConfig
from landscape_ray.planning import PlannedPoint
from landscape_ray.report.certificates import certificates
from landscape_ray.report.results import load_results
from landscape_ray.report.scores import score
from landscape_ray.report.status import load_status
from landscape_ray.sweep import PreparedSweep, prepare, survey
from landscape_ray.sweep.rounds import Rounds

Publish = Callable[[PreparedSweep, PlannedPoint, int], None]

# Of 20 draws 6 may fail: P(at most 6 of 20 | 1/2) = 0.0577, P(at most 7) = 0.1316.
CERTIFY = {"radius": 0.1, "share": 0.5, "confidence": 0.9}
NUM_DRAWS, MAY_FAIL = 20, 6


def opened(out: Path, *, certify: Mapping[str, float] | None = CERTIFY, wall_repeats: int = 1) -> PreparedSweep:
    """A sweep with two points of each draw within the radius, and two at a wall."""
    axes = [{"start": -0.2, "stop": 0.2, "num": 5}]
    config = SweepConfig.model_validate(
        {
            "model": {"id": "m"},
            "engine": "synthetic",
            "landscape": {"axes": axes, "origin_repeats": 1, "wall_repeats": wall_repeats},
            "directions": {"draws": NUM_DRAWS},
            "certify": certify,
            "benchmarks": [{"name": "b", "prompts": {"source": "demo"}, "limit": 8}],
        }
    )
    sweep = prepare(config, str(out))
    sweep.store.write_manifest(sweep.manifest)
    return sweep


def num_complied(point: PlannedPoint, failing: set[int]) -> int:
    near = point.distance < 0.15
    return 5 if near and point.draw in failing else 1 if near else 8


def measured(sweep: PreparedSweep, publish_point: Publish, failing: set[int]) -> list[int]:
    """Measure round by round; return how many draws each round added."""
    _, tasks = survey(sweep)
    rounds = Rounds(sweep, tasks, retry_failed=False)
    added = []
    while tasks:
        added.append(len({task.point.draw for task in tasks} - {None}))
        for task in tasks:
            publish_point(sweep, task.point, num_complied(task.point, failing))
        tasks = list(rounds.next_round().tasks)
    return added


@pytest.mark.parametrize(
    ("failing", "rounds", "certified"),
    [
        (set(), [8, 8], True),  # with 16 basins the 14 needed are there
        (set(range(7)), [8], False),
        ({0, 1, 2}, [8, 8, 4], True),  # after 16 draws there are 13 basins
        ({0, 2, 4, 6, 8, 10, 19}, [8, 8, 4], False),
    ],
)
def test_a_sweep_ends_as_soon_as_it_is_settled(
    tmp_path: Path, publish_point: Publish, *, failing: set[int], rounds: list[int], certified: bool
) -> None:
    sweep = opened(tmp_path)
    outcome, _ = survey(sweep)
    assert (outcome.num_points, outcome.num_unchosen) == (1 + 4 * NUM_DRAWS, 4 * (NUM_DRAWS - 8))
    assert measured(sweep, publish_point, failing) == rounds
    num_draws = sum(rounds)
    outcome, tasks = survey(sweep)
    assert (outcome.num_points, outcome.num_done, outcome.num_unchosen) == (1 + 4 * num_draws, 1 + 4 * num_draws, 0)
    assert (outcome.exit_code, tasks) == (0, [])
    status = load_status(str(tmp_path))
    assert (status.exit_code, status.benchmarks["b"].num_points) == (0, 1 + 4 * num_draws)

    results = load_results(str(tmp_path))
    assert results.plan.draws == results.landscapes["b"].num_draws == num_draws
    assert score(results)["b"].visage is not None  # no point is missing
    found = certificates(results, CertifyConfig.model_validate(CERTIFY))["b"]
    assert (found.num_draws, found.certified) == (num_draws, certified)
    assert {wall.draw for wall in found.walls} == {draw for draw in failing if draw < num_draws}


def test_what_is_chosen_is_a_function_of_results_and_reuses_what_is_there(
    tmp_path: Path, publish_point: Publish
) -> None:
    failing = {0, 1, 2}
    everything = opened(tmp_path / "wide", certify=None)
    for point in everything.plan.points:
        publish_point(everything, point, num_complied(point, failing | {18}))
    # A draw beyond those chosen changes nothing, and nothing is left to do.
    again = opened(tmp_path / "wide")
    assert survey(again)[0].num_points == 1 + 4 * NUM_DRAWS  # 13 basins in 16 draws: the last four are asked as well
    # Half a round, in any order, chooses no more.
    sweep = opened(tmp_path / "half")
    tasks = survey(sweep)[1]
    for task in tasks[::2]:
        publish_point(sweep, task.point, num_complied(task.point, failing))
    assert {task.point.label for task in survey(sweep)[1]} == {task.point.label for task in tasks[1::2]}
    assert measured(sweep, publish_point, failing) == [8, 8, 4]
    assert survey(sweep)[0].exit_code == 0
    # Without `certify` the same folder goes on to all draws.
    assert survey(opened(tmp_path / "half", certify=None))[0].num_points == 1 + 4 * NUM_DRAWS


def test_more_results_than_were_asked_for_change_nothing(tmp_path: Path, publish_point: Publish) -> None:
    everything = opened(tmp_path, certify=None)
    for point in everything.plan.points:
        publish_point(everything, point, num_complied(point, {17, 18, 19}))
    assert survey(opened(tmp_path))[0].num_points == 1 + 4 * 16
    results = load_results(str(tmp_path))
    assert certificates(results, CertifyConfig.model_validate(CERTIFY))["b"].walls == ()
    assert results.landscapes["b"].num_draws == 16


def test_a_point_that_was_given_up_holds_up_what_follows_unless_its_draw_fails_anyway() -> None:
    asked = CertifyConfig.model_validate(CERTIFY)
    basins, failed = np.ones((1, NUM_DRAWS), dtype=bool), np.zeros((1, NUM_DRAWS), dtype=bool)
    basins[0, 3] = False
    assert chosen_draws(asked, basins, failed) == (8, False)
    failed[0, 3] = True
    assert chosen_draws(asked, basins, failed) == (16, True)


def test_each_benchmark_is_settled_before_the_sweep_ends() -> None:
    asked = CertifyConfig.model_validate(CERTIFY)
    failed = np.zeros((2, NUM_DRAWS), dtype=bool)
    failed[0, :7] = True  # the first is settled after 8 draws
    assert chosen_draws(asked, ~failed[:1], failed[:1]) == (8, True)
    assert chosen_draws(asked, ~failed, failed) == (16, True)


def test_the_wall_is_measured_again_in_the_end(tmp_path: Path, publish_point: Publish) -> None:
    sweep = opened(tmp_path, wall_repeats=3)
    assert measured(sweep, publish_point, set()) == [8, 8, 1]
    assert survey(sweep)[0].num_points == 1 + 4 * 16 + 2
    assert load_status(str(tmp_path)).exit_code == 0


def test_large_samples_go_in_rounds_of_what_they_take_at_least() -> None:
    asked = CertifyConfig(radius=0.1, share=0.5)
    undecided: Any = np.zeros((1, 200), dtype=bool)
    # c = 87 of 200, so no sweep ends before 88 draws are measured.
    assert chosen_draws(asked, undecided, undecided) == (88, False)
