import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from landscape_ray.engine import EngineFacts
from landscape_ray.errors import GenerationError
from landscape_ray.planning import PointTask, SweepPlan
from landscape_ray.store import ResultStore
from landscape_ray.sweep.events import (
    Assign,
    EngineLost,
    EngineStartFailed,
    Finished,
    GiveUp,
    NodeDraining,
    Requested,
    StopRequested,
    Tick,
    VisitDone,
    VisitFailed,
)
from landscape_ray.sweep.reports import EngineReady
from landscape_ray.sweep.watching.journal import MAX_BYTES, Journal
from landscape_ray.sweep.watching.progress import SweepStatus

STATUS = SweepStatus(
    num_points=20,
    num_done=8,
    num_done_now=3,
    num_failed=1,
    starting={},
    num_up=0,
    start_s=2.0,
    work_s=60.0,
    num_tokens=600,
    so_far={},
    stopping=False,
    spent_s={"decode": 1.23456},
)
READY = EngineReady(
    node="n1",
    facts=EngineFacts(engine="e 1", torch_version="t", device="d"),
    start_s=5.25,
    proven="placing proven for E",
    stages_s={"load": 5.0004},
)
ERROR = GenerationError("s3://user:secret@host broke")


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_s(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def lines(out: Path) -> list[dict[str, Any]]:
    (path,) = (out / "log").iterdir()
    return [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()]


@pytest.fixture
def task(plan_of: Callable[..., SweepPlan]) -> PointTask:
    return PointTask(point=plan_of(3).points[-1], benchmarks=("advbench",))


def test_what_goes_wrong_is_told_and_visits_that_go_well_are_not(tmp_path: Path, task: PointTask) -> None:
    clock = Clock()
    journal = Journal(ResultStore(str(tmp_path)), clock, sweep_id="abc")
    journal.note(READY)
    for visit in (0, 1):
        journal.note(Assign(engine=0, visit=visit, task=task, attempt=visit + 1, num_batches=1))
    journal.note(None)
    journal.note(Tick(now_s=1.0))
    journal.note(VisitDone(visit=0))
    clock.pass_s(1.5)
    journal.note(VisitFailed(visit=1, error=ERROR, out_of_memory=True, engine_usable=False))
    journal.note(EngineStartFailed(engine=3, error=ERROR))
    journal.note(EngineLost(engine=4, error=ERROR, preempted=True))
    journal.note(NodeDraining(node="n1"))
    journal.note(GiveUp(task=task, attempts=3, error=ERROR))
    journal.note(Requested(action="set", num_engines=2, by="a@b", why="room"))
    journal.note(StopRequested())
    journal.note(Finished(error=None))
    journal.note(Finished(error=ERROR))
    journal.close(STATUS)

    told, label = "GenerationError: s3://***@host broke", task.point.label
    assert [{name: value for name, value in line.items() if name != "at"} for line in lines(tmp_path)] == [
        {"event": "started", "sweep_id": "abc"},
        {
            "event": "engine_up",
            "node": "n1",
            "engine": "e 1",
            "torch_version": "t",
            "device": "d",
            "proven": "placing proven for E",
            "start_s": 5.25,
            "stages_s": {"load": 5.0},
        },
        {"event": "first_visit_done"},
        {
            "event": "visit_failed",
            "label": label,
            "attempt": 2,
            "error": told,
            "out_of_memory": True,
            "engine_usable": False,
        },
        {"event": "engine_start_failed", "error": told},
        {"event": "engine_lost", "preempted": True, "error": told},
        {"event": "node_draining", "node": "n1"},
        {"event": "given_up", "label": label, "benchmarks": ["advbench"], "attempts": 3, "error": told},
        {"event": "requested", "action": "set", "num_engines": 2, "by": "a@b", "why": "room"},
        {"event": "stop_requested"},
        {"event": "out_of_engines", "error": told},
        {
            "event": "finished",
            "num_points": 20,
            "num_done": 8,
            "num_done_now": 3,
            "num_failed": 1,
            "num_starting": 0,
            "num_up": 0,
            "num_tokens": 600,
            "start_s": 2.0,
            "work_s": 60.0,
            "spent_s": {"decode": 1.235},
        },
    ]
    times = [line["at"] for line in lines(tmp_path)]
    assert times == ["2026-01-02T03:04:05.000+00:00"] * 3 + ["2026-01-02T03:04:06.500+00:00"] * 9
    (path,) = (tmp_path / "log").iterdir()
    assert path.name.startswith("20260102T030405Z-")


def test_it_is_written_every_half_minute_and_says_how_far_the_run_was(tmp_path: Path) -> None:
    clock = Clock()
    journal = Journal(ResultStore(str(tmp_path)), clock)
    sizes = []
    for second in range(100):
        journal.note(READY)
        journal.update(replace(STATUS, num_done=second))
        sizes.append(len(lines(tmp_path)))
        clock.pass_s(1)
    # After 0, 30, 60 and 90 seconds; a line of the start and one of the state are added.
    assert sizes == [3] * 30 + [33] * 30 + [63] * 30 + [93] * 10
    assert [line["event"] for line in lines(tmp_path)] == ["started", *["engine_up"] * 91, "running"]
    assert lines(tmp_path)[-1]["num_done"] == 90
    summary = ResultStore(str(tmp_path)).latest_run()
    assert summary is not None
    assert (summary.event, summary.num_done, summary.points_per_min) == ("running", 90, 3.0)
    journal.close(STATUS)
    assert [line["event"] for line in lines(tmp_path)] == ["started", *["engine_up"] * 100, "finished"]


def test_a_flood_leaves_the_first_line_and_the_newest(tmp_path: Path) -> None:
    journal = Journal(ResultStore(str(tmp_path)), Clock(), sweep_id="abc")
    num = 2000
    for number in range(num):
        journal.note(EngineStartFailed(engine=0, error=GenerationError(f"{number} " + "x" * 5000)))
    journal.close(STATUS)
    (path,) = (tmp_path / "log").iterdir()
    assert 0.9 * MAX_BYTES < path.stat().st_size < MAX_BYTES + 500
    first, left_out, *kept, last = lines(tmp_path)
    assert (first["event"], left_out["event"], last["event"]) == ("started", "left_out", "finished")
    numbers = [int(line["error"].split()[1]) for line in kept]
    assert numbers == list(range(left_out["num_lines"], num))
    assert left_out["num_lines"] > 0


def test_a_log_that_cannot_be_written_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "log").write_text("in the way")
    journal = Journal(ResultStore(str(tmp_path)), Clock())
    journal.update(STATUS)
    journal.close(STATUS)
    assert "The log of this run was not written: Cannot write to" in caplog.text
