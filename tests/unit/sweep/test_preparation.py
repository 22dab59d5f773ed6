"""What is to be visited, known before an engine starts."""

from dataclasses import replace
from pathlib import Path

from landscape_ray.config import SweepConfig
from landscape_ray.errors import GenerationError
from landscape_ray.sweep import PreparedSweep


def test_the_longest_visits_are_begun_first_whatever_is_done_already(tmp_path: Path) -> None:
    config = SweepConfig.model_validate(
        {
            "model": {"id": "m"},
            "engine": "synthetic",
            "landscape": {"axes": [{"start": -0.3, "stop": 0.2, "num": 6}], "origin_repeats": 1},
            "directions": {"draws": 2},
            "benchmarks": [{"name": "b", "prompts": {"source": "demo"}, "limit": 2}],
        }
    )
    sweep = PreparedSweep.open(config, str(tmp_path))
    _, tasks = sweep.survey()
    expected = [
        *("d0_a-0.3", "d1_a-0.3"),
        *("d0_a-0.2", "d0_a+0.2", "d1_a-0.2", "d1_a+0.2"),
        *("d0_a-0.1", "d0_a+0.1", "d1_a-0.1", "d1_a+0.1"),
        "origin-r0",
    ]
    assert [task.point.label for task in tasks] == expected
    for task in tasks[1::2]:
        sweep.give_up(task, error=GenerationError("poison"), attempts=1)
    outcome, left = replace(sweep).survey()
    assert [task.point.label for task in left] == expected[::2]
    assert (outcome.num_points, outcome.num_failed) == (11, 5)
