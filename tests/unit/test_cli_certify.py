"""`certify`: what it prints, how it exits, and what it refuses."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import yaml

from landscape_ray.config import load_config
from landscape_ray.planning import PlannedPoint
from landscape_ray.sweep import PreparedSweep, prepare

CLI = Callable[[str], Any]
Measure: TypeAlias = Callable[..., PreparedSweep]


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """An axis of -0.2, -0.1, 0, 0.1, 0.2, four draws, ten prompts."""
    (tmp_path / "prompts.csv").write_text("prompt\n" + "".join(f"prompt {i}\n" for i in range(10)))
    path = tmp_path / "small.yaml"
    config = {
        "model": {"id": "somewhere"},
        "engine": "synthetic",
        "landscape": {"axes": [{"start": -0.2, "stop": 0.2, "num": 5}]},
        "directions": {"draws": 4},
        "benchmarks": [{"name": "mine", "prompts": {"source": "file", "path": str(tmp_path / "prompts.csv")}}],
    }
    path.write_text(yaml.safe_dump(config))
    return path


def num_complied(point: PlannedPoint) -> int:
    """A wall at 0.2 in each draw, and in draw 2 at -0.1."""
    return 9 if point.distance == 0.2 or (point.draw == 2 and point.coordinates == (-0.1,)) else 1


@pytest.fixture
def measure(publish_point: Callable[[PreparedSweep, PlannedPoint, int], None]) -> Measure:
    """Publish what actors would at the points wanted."""

    def publish(path: Path, *settings: str, wanted: Callable[[PlannedPoint], bool] = lambda _: True) -> PreparedSweep:
        sweep = prepare(load_config(path, settings), str(path.parent / "out"))
        sweep.store.write_manifest(sweep.manifest)
        for point in filter(wanted, sweep.plan.points):
            publish_point(sweep, point, num_complied(point))
        return sweep

    return publish


def test_it_says_what_is_certified_and_where_draws_fail(cli: CLI, sweep: Path, measure: Measure) -> None:
    measure(sweep)
    shown = cli("certify out --radius 0.1")
    assert shown.code == 5
    assert re.match(r"mine +NOT certified: at least 95 % of directions are basins of radius 0\.1\n", shown.out)
    # 3 of 4 at the bound p: p^4 + 4 p^3 (1 - p) = 0.05.
    assert "3 of 4 draws, 75.0 %: at least 24.9 % of all directions, with a confidence of 95 %" in shown.out
    assert "draw 2 meets the wall at -0.1: ASR 90.0 %" in shown.out
    assert "if all draws were basins, 59 would do" in shown.out

    shown = cli("certify out --radius 0.1 --share 0.2 --json")
    assert shown.code == 0
    (document,) = shown.lines
    assert document["certified"]
    found = document["benchmarks"]["mine"]
    assert (found["num_basins"], found["num_draws"], found["fewest_draws"]) == (3, 4, 2)
    assert found["walls"] == [{"draw": 2, "coordinate": -0.1, "asr_pct": 90.0}]
    p = found["bound"]
    assert p**4 + 4 * p**3 * (1 - p) == pytest.approx(0.05)
    assert cli("certify out --radius 0.1 --share 0.25").code == 5
    assert cli("certify out --radius 0.1 --share 0.25 --confidence 0.9").code == 0


def test_points_that_are_missing_count_against_it(cli: CLI, sweep: Path, measure: Measure) -> None:
    measure(sweep, wanted=lambda point: point.draw in {None, 0} or point.coordinates == (0.1,))
    found = json.loads(cli("certify out --radius 0.1 --json").out)["benchmarks"]["mine"]
    assert (found["num_basins"], found["num_draws"], found["walls"], found["undecided"]) == (1, 4, [], [1, 2, 3])
    shown = cli("certify out --radius 0.1")
    assert "points within the radius are missing in 3 draws (1, 2, 3), which count as no basins until" in shown.out


def test_draws_that_are_not_begun_do_not_count(cli: CLI, sweep: Path, measure: Measure) -> None:
    measure(sweep, wanted=lambda point: point.draw in {None, 0})
    assert "1 of 1 draw, 100.0 %: at least 5.0 % of all" in cli("certify out --radius 0.1").out
    shown = cli("certify out --radius 0.1 --share 0.05")
    assert shown.code == 0


def test_of_several_kinds_of_directions_the_random_ones_are_the_sample(cli: CLI, sweep: Path, measure: Measure) -> None:
    measure(sweep, "directions=[{kind: low_rank, rank: 1, draws: 1}, {kind: random, draws: 3}]")
    found = json.loads(cli("certify out --radius 0.1 --json").out)["benchmarks"]["mine"]
    # Draw 2 of the sweep is draw 1 of the random directions.
    assert (found["num_draws"], [wall["draw"] for wall in found["walls"]]) == (3, [1])


@pytest.mark.parametrize(
    ("options", "problem", "settings"),
    [
        ("--radius 0.1", "has no random directions", ("directions=[{kind: low_rank, rank: 1, draws: 1}]",)),
        ("--radius 0.3", "radius 0.3 lies beyond the axis", ()),
        ("--radius 0.15", "radius 0.15 lies between two coordinates of the axis, 0.1 and 0.2", ()),
        ("", "radius: is needed", ()),
        ("--radius 0.1 --share 95", "share: cannot be 95.0", ()),
        ("--radius 0.5", "this one is 2-D of kind 'random'", ("landscape.axes=[{num: 3}, {num: 3}]",)),
        ("--radius 0.1", "has no benchmark of metric asr", ("benchmarks.0.metric=over_refusal",)),
        ("--radius 0.1", "is adaptive and left out", ("adaptive={}", "landscape.axes.0.num=41", "directions.draws=1")),
    ],
)
def test_what_cannot_be_certified_is_refused(
    cli: CLI, sweep: Path, measure: Measure, *, options: str, problem: str, settings: tuple[str, ...]
) -> None:
    measure(sweep, *settings, wanted=lambda point: abs(point.coordinates[0]) != 0.05)
    shown = cli(f"certify out {options}")
    assert shown.code == 2
    assert problem in shown.err


def test_nothing_is_certified_of_an_origin_alone(cli: CLI, sweep: Path, measure: Measure) -> None:
    measure(sweep, wanted=lambda point: point.draw is None)
    shown = cli("certify out --radius 0.1")
    assert shown.code == 3
    assert "Run the sweep again" in shown.err


def test_plan_says_when_it_ends(cli: CLI, sweep: Path) -> None:
    shown = cli(f"plan {sweep} --until-certified 0.1 --set directions.draws=93")
    assert shown.code == 0
    assert re.search(
        r"^certify +at least 95 % of directions as basins of radius 0\.1, .*: 1 of 93 draws", shown.out, re.MULTILINE
    )
    shown = cli(f"plan {sweep} --until-certified 0.1")
    assert shown.code == 2
    assert "takes 59 draws even if all are basins" in shown.err


@pytest.mark.slow
def test_a_run_ends_with_what_is_certified(cli: CLI, sweep: Path, measure: Measure) -> None:
    options = "--set certify.share=0.2 --set certify.confidence=0.9"
    measure(sweep, "certify={radius: 0.1, share: 0.2, confidence: 0.9}")
    shown = cli(f"run {sweep} --out out --until-certified 0.1 {options}")
    assert shown.code == 0
    assert re.search(
        r"^mine +certified: at least 20 % of directions are basins of radius 0\.1$", shown.out, re.MULTILINE
    )
    assert "--set certify=null   (measures the draws left out, too)" in shown.out
    end = cli(f"run {sweep} --out out --until-certified 0.1 {options} --json").lines[-1]
    assert end["certificates"]["mine"]["certified"]
    # What the sweep was asked to certify is the default of the command.
    assert cli("certify out").code == 0
    assert cli("certify out --share 0.9").code == 5
