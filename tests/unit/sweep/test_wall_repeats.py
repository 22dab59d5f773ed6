"""The point nearest to the wall is measured again, once the first draw is there."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from landscape_ray.config import SweepConfig
from landscape_ray.planning import PlannedPoint
from landscape_ray.report.results import load_results
from landscape_ray.report.scores import score
from landscape_ray.report.status import load_status
from landscape_ray.sweep import PreparedSweep, prepare, survey
from landscape_ray.sweep.rounds import Rounds

Publish = Callable[[PreparedSweep, PlannedPoint, int], None]

BASIN = {-0.4: 8, -0.2: 5, 0.0: 0, 0.2: 1, 0.4: 8}
"""Of 8 prompts so many comply: the point nearest to 50 % is at -0.2."""


def opened(out: Path, **changes: Any) -> PreparedSweep:
    landscape = {"axes": [{"start": -0.4, "stop": 0.4, "num": 5}], "origin_repeats": 1, "wall_repeats": 3}
    config = SweepConfig.model_validate(
        {
            "model": {"id": "m"},
            "engine": "synthetic",
            "landscape": landscape | changes,
            "directions": {"draws": 2},
            "benchmarks": [{"name": "b", "prompts": {"source": "demo"}, "limit": 8}],
        }
    )
    sweep = prepare(config, str(out))
    sweep.store.write_manifest(sweep.manifest)
    return sweep


def labels(sweep: PreparedSweep) -> set[str]:
    return {task.point.label for task in survey(sweep)[1]}


def test_the_wall_point_is_chosen_when_the_first_draw_is_measured(tmp_path: Path, publish_point: Publish) -> None:
    sweep = opened(tmp_path)
    outcome, tasks = survey(sweep)
    assert (outcome.num_points, outcome.num_unchosen, len(tasks)) == (11, 2, 9)
    rounds = Rounds(sweep, tasks, retry_failed=False)
    for task in tasks:
        if not task.point.draw:
            publish_point(sweep, task.point, BASIN[task.point.coordinates[0]])
    added = rounds.next_round()
    assert {task.point.label for task in added.tasks} == {"d0_a-0.2-r1", "d0_a-0.2-r2"}
    assert not added.more_to_come
    assert survey(sweep)[0].num_points == 11
    assert load_status(str(tmp_path)).benchmarks["b"].num_points == 11

    # The second draw does not move it, and neither does a verdict that would choose otherwise, once it was repeated.
    first, second = sorted(added.tasks, key=lambda task: task.point.label)
    publish_point(sweep, first.point, 6)
    for task in tasks:
        if task.point.draw:
            publish_point(sweep, task.point, 4)
    assert labels(sweep) == {"d0_a-0.2-r2"}
    publish_point(sweep, second.point, 5)
    outcome, tasks = survey(sweep)
    assert (outcome.num_points, outcome.num_done, outcome.exit_code, tasks) == (11, 11, 0, [])
    assert load_status(str(tmp_path)).exit_code == 0

    results = load_results(str(tmp_path))
    wall = score(results)["b"].wall_noise
    assert wall is not None
    # 5, 6 and 5 of the same 8 prompts comply: one changed its verdict.
    assert (wall.num_repeats, wall.num_prompts, wall.flipped, wall.spread) == (3, 8, 0.125, 12.5)
    assert wall.coordinates == (-0.2,)
    # Repeats enter nothing else.
    assert results.landscapes["b"].num_success.tolist() == [[8, 5, 0, 1, 8], [4, 4, 0, 4, 4]]


def test_a_basin_without_a_wall_has_no_wall_point(tmp_path: Path, publish_point: Publish) -> None:
    sweep = opened(tmp_path)
    for task in survey(sweep)[1]:
        publish_point(sweep, task.point, 1)
    outcome, tasks = survey(sweep)
    assert (outcome.num_points, outcome.exit_code, tasks) == (9, 0, [])
    assert load_results(str(tmp_path)).wall_noise == {}


def test_a_finished_sweep_is_asked_for_repeats_only_if_the_configuration_does(
    tmp_path: Path, publish_point: Publish
) -> None:
    sweep = opened(tmp_path, wall_repeats=1)
    for task in survey(sweep)[1]:
        publish_point(sweep, task.point, BASIN[task.point.coordinates[0]])
    assert labels(opened(tmp_path, wall_repeats=1)) == set()
    assert labels(opened(tmp_path, wall_repeats=2)) == {"d0_a-0.2-r1"}


@pytest.mark.parametrize("wall_repeats", [1, 2])
def test_keys_of_other_points_do_not_depend_on_the_repeats(tmp_path: Path, wall_repeats: int) -> None:
    sweep, plain = opened(tmp_path / "a", wall_repeats=wall_repeats), opened(tmp_path / "b", wall_repeats=1)
    assert {label: sweep.keys[label] for label in plain.keys} == plain.keys
    assert len({key for keys in sweep.keys.values() for key in keys.values()}) == len(sweep.keys)
    assert sweep.config.sweep_id == plain.config.sweep_id
