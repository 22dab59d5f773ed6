"""A tracker of the user: what it is told, and that nothing it does harms a sweep."""

import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest
import yaml

from landscape_ray.config import load_config
from landscape_ray.errors import LeaseError
from landscape_ray.planning import PlannedPoint
from landscape_ray.sweep import PreparedSweep, SilentProgress, SweepStatus, prepare
from landscape_ray.tracking import TrackedRun, check_tracker
from landscape_ray.tracking.listener import Tracking, counters, flat_scores, tracked_run

STATUS = SweepStatus(
    num_points=20,
    num_done=8,
    num_done_now=3,
    num_failed=1,
    starting={"loading": 2},
    num_up=4,
    start_s=2.0,
    work_s=60.0,
    num_tokens=600,
    so_far={"mine": ("asr", 12.5), "texts": ("perplexity", float("inf"))},
    stopping=False,
)
RUN = TrackedRun(sweep_id="0123", name="model 0123", config={"engine": "synthetic"}, out="results/x")


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[Any]]:
    """Let trackers of this folder be found, and return what one has taken down."""
    file = tmp_path / "record.jsonl"
    monkeypatch.setenv("RECORD", str(file))
    monkeypatch.setenv("PYTHONPATH", f"{Path(__file__).parent}:{Path(__file__).parents[3]}")
    monkeypatch.syspath_prepend(Path(__file__).parent)
    return lambda: [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "prompts.csv").write_text("prompt\n" + "".join(f"prompt {i}\n" for i in range(10)))
    path = tmp_path / "small.yaml"
    benchmark = {"name": "mine", "prompts": {"source": "file", "path": str(tmp_path / "prompts.csv")}}
    document = {"model": {"id": "https://me:s3cret@hub/model"}, "engine": "synthetic", "benchmarks": [benchmark]}
    path.write_text(yaml.safe_dump(document | {"landscape": {"axes": [{"num": 3}]}, "directions": {"draws": 2}}))
    return path


@pytest.fixture
def finished(config: Path, publish_point: Callable[[PreparedSweep, PlannedPoint, int], None]) -> Path:
    """The configuration of a sweep whose points are all measured: two of ten comply everywhere but at the origin."""
    sweep = prepare(load_config(config), "out")
    sweep.store.write_manifest(sweep.manifest)
    for point in sweep.plan.points:
        publish_point(sweep, point, 0 if point.draw is None else 2)
    return config


def test_a_tracker_is_told_configuration_scores_and_figures_but_no_texts(
    cli: Callable[[str], Any], finished: Path, record: Callable[[], list[Any]]
) -> None:
    ran = cli(f"run {finished} --out out --track recorder:Recorder")
    assert (ran.code, ran.err) == (0, "")
    assert "tracked  in the record\n" in ran.out
    begin, end = record()
    sweep = load_config(finished)
    assert begin == ["begin", sweep.sweep_id, f"model {sweep.sweep_id[:8]}", begin[3], "out"]
    told = sweep.model_dump(mode="json")
    told["model"]["id"] = "https://***@hub/model"
    assert begin[3] == told
    # Margins of 80 at both ends and 100 at the origin: 90 by trapezoids, and 260 / 3 by points.
    kind, status, scores, figures = end
    assert (kind, status, figures) == ("end", "finished", [[str(Path("out/report/mine.png").absolute()), True]])
    assert (scores["mine/mean_margin/value"], scores["mine/visage/value"]) == pytest.approx((90.0, 260 / 3))
    assert scores["mine/origin/low"] == 0.0
    text = json.dumps([begin, end])
    assert not any(said in text for said in ("s3cret", "Sure.", "I cannot.", "prompt 1"))


def test_counters_are_numbers_that_json_has() -> None:
    assert counters(STATUS) == {
        "points/total": 20,
        "points/done": 8,
        "points/failed": 1,
        "points/missing": 11,
        "points/per_s": 0.05,
        "engines/up": 4,
        "engines/starting": 2,
        "tokens/generated": 600,
        "tokens/per_s": 10.0,
        "so_far/mine/asr": 12.5,
    }


def test_numbers_of_nested_scores_have_paths() -> None:
    nested = {
        "mine": {"visage": {"value": 1.5, "interval": {"low": 1}, "per_draw": [1, 2]}, "metric": "asr", "is": True}
    }
    assert dict(flat_scores(nested)) == {"mine/visage/value": 1.5, "mine/visage/interval/low": 1}


def test_counters_come_every_few_seconds_and_at_the_end(record: Callable[[], list[Any]], clock: Any) -> None:
    with Tracking("recorder:Recorder", RUN, SilentProgress(), clock=clock) as told:
        for done in range(25):  # 25 s
            told.update(replace(STATUS, num_done=done))
            clock.pass_s(1.0)
        told.close(replace(STATUS, num_done=25))
        told.end("incomplete")
    told_done = [line[1]["points/done"] for line in record() if line[0] == "update"]
    assert told_done == [0, 10, 20, 25]
    assert record()[-1] == ["end", "incomplete", {}, []]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tracker", "why"),
    [
        ("NoBegin", "ConnectionError: no network at https://***@host for model 0123. "),
        ("NoUpdate", "ValueError: {'points/total': 20"),
        ("Hangs", "it did not end within 2 s"),
        ("Dies", "its process ended with 7"),
        ("Leaves", "its process ended early"),
    ],
)
def test_a_tracker_that_fails_is_told_of_once_and_waited_for_never(
    tracker: str, why: str, record: Callable[[], list[Any]], clock: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    with Tracking(f"recorder:{tracker}", RUN, SilentProgress(), clock=clock, end_timeout_s=2.0) as told:
        for _ in range(3):
            began_s = time.monotonic()
            told.update(STATUS)
            assert time.monotonic() - began_s < 5.0
            clock.pass_s(10.0)
            time.sleep(0.1)
        told.end("finished")
        told.close(STATUS)
    warnings = capsys.readouterr().err.splitlines()
    assert len(warnings) == 1
    assert why in warnings[0]
    assert told.place == ""
    assert not any(line[0] == "end" for line in record())


def test_a_sweep_does_not_end_with_its_tracker(
    cli: Callable[[str], Any], finished: Path, record: Callable[[], list[Any]]
) -> None:
    ran = cli(f"run {finished} --out out --track recorder:NoBegin")
    assert ran.code == 0
    assert ran.err.startswith("Warning: The tracker recorder:NoBegin failed")
    assert "VISAGE" in ran.out
    assert record() == []


@pytest.mark.slow
def test_what_a_slow_tracker_has_no_room_for_is_dropped_in_whole_lines(
    record: Callable[[], list[Any]], clock: Any
) -> None:
    long = replace(STATUS, so_far={f"benchmark {i}": ("asr", float(i)) for i in range(200)})  # more than a pipe's page
    with Tracking("recorder:Slow", RUN, SilentProgress(), clock=clock) as told:
        began_s = time.monotonic()
        for _ in range(500):
            told.update(long)
            clock.pass_s(10.0)
        assert time.monotonic() - began_s < 3.0
        told.end("finished", {"benchmarks": {"mine": {"x": 1}}})
    first, *updates, last = record()
    assert (first[0], last) == ("begin", ["end", "finished", {"mine/x": 1}, []])
    assert 1 <= len(updates) < 500
    assert all(update == ["update", counters(long)] for update in updates)


@pytest.mark.usefixtures("record")
def test_what_a_tracker_prints_and_asks_goes_nowhere(capfd: pytest.CaptureFixture[str]) -> None:
    with Tracking("recorder:Talker", RUN, SilentProgress()) as told:
        told.end("finished")
    assert told.place == "in the record"
    assert capfd.readouterr() == ("", "")


def test_a_run_that_fails_is_told_as_failed_once_it_was_begun(record: Callable[[], list[Any]]) -> None:
    def fail(*statuses: SweepStatus) -> None:
        with Tracking("recorder:Recorder", RUN, SilentProgress()) as told:
            for status in statuses:
                told.update(status)
            raise LeaseError(RUN.name)

    with pytest.raises(LeaseError):
        fail()
    assert record() == []  # a configuration that is refused makes no run
    with pytest.raises(LeaseError):
        fail(STATUS)
    assert [line[:2] for line in record()] == [["begin", "0123"], ["update", counters(STATUS)], ["end", "failed"]]


@pytest.mark.slow
def test_a_driver_that_dies_has_failed(record: Callable[[], list[Any]]) -> None:
    script = (
        "import os; from tests_of import RUN, STATUS\n"
        "from landscape_ray.sweep import SilentProgress; from landscape_ray.tracking.listener import Tracking\n"
        "Tracking('recorder:Recorder', RUN, SilentProgress()).update(STATUS); os._exit(9)"
    ).replace("tests_of", Path(__file__).stem)
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 9  # noqa: S603 - our own code
    until_s = time.monotonic() + 20
    while len(record()) < 3 and time.monotonic() < until_s:
        time.sleep(0.05)
    assert [line[0] for line in record()] == ["begin", "update", "end"]
    assert record()[-1][1] == "failed"


@pytest.mark.parametrize(
    ("tracker", "why"),
    [
        ("tensorboard", "There is no tracker 'tensorboard'; --track takes wandb, mlflow, trackio, or `module:Class`"),
        ("no_such_module:It", "The tracker no_such_module:It cannot be imported: No module named 'no_such_module'."),
        ("recorder:NoEnd", "The tracker recorder:NoEnd does not have the methods"),
        ("recorder:nothing", "it lacks begin, update, end."),
    ],
)
@pytest.mark.usefixtures("record")
def test_a_tracker_that_cannot_be_had_is_refused_before_anything_runs(
    tracker: str, why: str, cli: Callable[[str], Any], config: Path
) -> None:
    ran = cli(f"run {config} --out out --track {tracker}")
    assert (ran.code, ran.out) == (2, "")
    assert why in ran.err
    assert not Path("out").exists()


@pytest.mark.parametrize("folder", [None, ModuleSpec("wandb", None, is_package=True)])
def test_a_package_that_is_not_installed_is_named(
    folder: ModuleSpec | None, cli: Callable[[str], Any], config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is a folder of that name a package, which wandb makes for its runs."""
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: folder if name == "wandb" else find(name))
    ran = cli(f"run {config} --out out --track wandb")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == "Error: --track wandb takes the package wandb, which is not installed here: pip install wandb.\n"
    assert not Path("out").exists()
    check_tracker("mlflow")


def test_a_run_is_tracked_under_the_id_of_its_sweep(config: Path) -> None:
    sweep = load_config(config)
    told = tracked_run(sweep, "s3://key:secret@bucket/x")
    assert (told.sweep_id, told.out) == (sweep.sweep_id, "s3://***@bucket/x")
