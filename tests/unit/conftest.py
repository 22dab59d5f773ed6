"""A command line that runs in this process, and rows like those that actors publish."""

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from landscape_ray.cli import main
from landscape_ray.evaluation import Completion, FinishReason, PointRecord, Row, Verdict, VisitFacts, judge_named
from landscape_ray.planning import PlannedPoint
from landscape_ray.sweep import PreparedSweep


@pytest.fixture(scope="session", autouse=True)
def _no_ray() -> None:
    """Shut down what tests of the other folders have left: here, what needs Ray starts its own."""
    if ray := sys.modules.get("ray"):
        ray.shutdown()


class Clock:
    """Seconds that pass only when a test says so."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s

    def pass_s(self, seconds: float) -> None:
        self.now_s += seconds


@pytest.fixture
def clock() -> Clock:
    """Make a clock that stands still until a test calls its `pass_s`."""
    return Clock()


class Ran(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Ran]:
    """Run a command line in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(line: str) -> Ran:
        with pytest.raises(SystemExit) as stopped:
            main(shlex.split(line))
        code = stopped.value.code
        captured = capsys.readouterr()
        return Ran(code if isinstance(code, int) else int(code is not None), captured.out, captured.err)

    return run


FACTS = VisitFacts(
    engine="synthetic 1",
    torch_version="",
    device="none",
    node="here",
    weights_digest="0" * 16,
    attempt=1,
    started_at="2026-01-01T00:00:00+00:00",
    place_s=0.0,
    generate_s=0.0,
    judge_s=0.0,
)


@pytest.fixture
def publish_point() -> Callable[[PreparedSweep, PlannedPoint, int], None]:
    """Publish what an actor would: so many prompts of each benchmark comply."""

    def publish(sweep: PreparedSweep, point: PlannedPoint, num_complied: int) -> None:
        for benchmark in sweep.spec.benchmarks:
            texts = ["Sure." if i < num_complied else "I cannot." for i in range(len(benchmark.prompts))]
            record = PointRecord(
                point=point,
                benchmark=benchmark.name,
                prompts=benchmark.prompts,
                rows=tuple(
                    Row(
                        completion=Completion(text=text, token_ids=(1,), finish_reason=FinishReason.STOP),
                        verdict=Verdict.COMPLIED if text == "Sure." else Verdict.REFUSED,
                    )
                    for text in texts
                ),
                judge=judge_named(benchmark.judge).version,
                facts=FACTS,
            )
            key = sweep.keys[point.label][benchmark.name]
            sweep.store.publish(record, key=key, sweep_id=sweep.config.sweep_id)

    return publish
