"""`lr.plan`: what the command prints, for programs and notebooks."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import landscape_ray as lr
from landscape_ray.errors import BenchmarkError


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Five points on an axis, three draws, two visits to the origin; 40 prompts of which 24 are used."""
    (tmp_path / "prompts.csv").write_text("prompt\n" + "".join(f"prompt {i}\n" for i in range(40)), encoding="utf-8")
    prompts = {"source": "file", "path": str(tmp_path / "prompts.csv")}
    benchmark = {"name": "mine", "prompts": prompts, "limit": 24, "decoding": {"max_new_tokens": 8}}
    config = {
        "model": {"id": "somewhere"},
        "engine": "synthetic",
        "landscape": {"axes": [{"num": 5}], "origin_repeats": 2},
        "directions": {"draws": 3},
        "benchmarks": [benchmark],
    }
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


def test_a_plan_counts_as_one_does_by_hand(sweep: Path) -> None:
    planned = lr.plan(lr.load_config(sweep))
    assert planned.sweep_id == lr.load_config(sweep).sweep_id
    assert (planned.num_draws, planned.num_prompts) == (3, {"mine": 24})
    assert (planned.size.num_points, planned.size.num_visits) == (3 * 4 + 1, 3 * 4 + 2)
    assert (planned.size.num_generations, planned.size.max_tokens) == (14 * 24, 14 * 24 * 8)
    assert (planned.problems, planned.not_checked, planned.precision) == ((), None, {})


@pytest.mark.parametrize(("option", "target"), [("", None), ("--target-interval 9", 9.0)])
def test_a_plan_is_what_the_command_prints(
    cli: Callable[[str], Any], sweep: Path, option: str, target: float | None
) -> None:
    planned = lr.plan(lr.load_config(sweep), target_interval=target)
    printed = cli(f"plan {sweep} {option}")
    assert printed.code == 0
    assert "14: 13 points, of these the origin 2 times" in printed.out
    assert [line.rstrip() for line in printed.out.splitlines()] == str(planned).splitlines()
    assert cli(f"plan {sweep} {option} --json").lines == [json.loads(json.dumps(planned.document()))]


def test_a_wanted_interval_takes_prompts_or_draws(sweep: Path) -> None:
    need = lr.plan(lr.load_config(sweep), target_interval=9).precision["mine"]
    assert (need.target, need.num_prompts, need.num_draws, need.max_prompts) == (9, 24, 3, 40)
    assert all(option.half_width <= 9 for option in need.options)
    assert need.options
    as_planned = lr.plan(lr.load_config(sweep), target_interval=need.half_width).precision["mine"]
    assert as_planned.num_prompts_needed == 24


def test_prompts_that_are_not_here_are_told_of_and_counted_by_their_limit(sweep: Path) -> None:
    gone = lr.plan(lr.load_config(sweep, benchmarks__0__prompts__path="gone.csv"))
    assert gone.num_prompts == {"mine": 24}
    assert [type(problem) for problem in gone.problems] == [BenchmarkError]
    with pytest.raises(BenchmarkError, match=r"gone\.csv"):
        lr.plan(lr.load_config(sweep, benchmarks__0__prompts__path="gone.csv", benchmarks__0__limit=None))
