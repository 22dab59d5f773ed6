"""Where the time of engines went, by a clock that only moves when something takes time."""

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from landscape_ray.config import RunConfig, SyntheticFaults
from landscape_ray.engine import EngineSpec
from landscape_ray.engine.stopwatch import Stopwatch
from landscape_ray.engine.synthetic import SyntheticEngine
from landscape_ray.evaluation import Benchmark, Completion, Prompt
from landscape_ray.planning import Perturbation, PlannedPoint, PointTask, RandomVector
from landscape_ray.sweep.actor import EngineActor
from landscape_ray.sweep.outcome import SweepOutcome
from landscape_ray.sweep.reports import VisitReport
from landscape_ray.sweep.watching.profile import MEANWHILE, PHASES, ProfiledProgress, profile_of
from landscape_ray.sweep.watching.progress import SilentProgress, SweepStatus, Tally

BENCHMARK = Benchmark(
    name="harmful",
    prompts=tuple(Prompt(id=str(i), text=f"prompt {i}") for i in range(3)),
    system_prompt=None,
    chat_template=None,
    max_new_tokens=8,
    metric="asr",
    judge="keyword",
)
VECTOR = RandomVector(seed=1, normalization="layer", excluded=())


class TimedEngine(SyntheticEngine):
    """Takes 2 s to place, of which half a second for caches, 7 s to generate, and 0.1 s for what it does not say."""

    def __init__(self, clock: Any) -> None:
        super().__init__(SyntheticFaults())
        self.stopwatch = Stopwatch(clock)
        self._clock = clock

    def place(self, perturbation: Perturbation) -> str:
        for phase, seconds in (("place", 1.5), ("reset", 0.5)):
            with self.stopwatch.phase(phase):
                self._clock.pass_s(seconds)
        return super().place(perturbation)

    def generate(self, benchmarks: Sequence[Benchmark]) -> list[tuple[Completion, ...]]:
        for phase, seconds in (("prefill", 1.0), ("decode", 5.75), ("detokenize", 0.25)):
            with self.stopwatch.phase(phase):
                self._clock.pass_s(seconds)
        self._clock.pass_s(0.1)
        return super().generate(benchmarks)


def actor_with(engine: Any, out: Path) -> EngineActor:
    actor = EngineActor(
        spec=EngineSpec(
            engine="synthetic", model="m", revision=None, dtype="float32", run=RunConfig(), benchmarks=(BENCHMARK,)
        ),
        on_gpu=False,
        out=str(out),
        sweep_id="0" * 16,
        fingerprint="f",
        environment={},
    )
    actor._engine = engine
    actor._fetch()
    return actor


def test_a_visit_says_where_its_time_went(tmp_path: Path, clock: Any) -> None:
    engine = TimedEngine(clock)
    with engine.stopwatch.phase("decode"):
        clock.pass_s(100)  # of a visit before, which failed
    actor = actor_with(engine, tmp_path)
    point = PlannedPoint(draw=0, repeat=0, coordinates=(0.1,), perturbation=Perturbation.of([(VECTOR, 0.1)]))
    reports = actor.visit(PointTask(point=point, benchmarks=("harmful",)), 1, 1)
    assert isinstance(reports, tuple)
    (report,) = reports
    expected = {"place": 1.5, "reset": 0.5, "prefill": 1.0, "decode": 5.75, "detokenize": 0.25}
    assert report.spent_s == pytest.approx({**expected, "other": 0.1, "judge": 0.0, "write": 0.0})
    assert (report.place_s, report.generate_s) == pytest.approx((2.0, 7.1))
    assert report.spent_s["other"] < 0.05 * sum(report.spent_s.values())


def test_phases_together_are_the_time_for_which_engines_were_up(clock: Any) -> None:
    tally = Tally(SweepOutcome(num_points=2, num_done=0, num_failed=0), {"harmful": "asr"}, clock)
    clock.pass_s(10)
    tally.status(starting={"s": 2}, num_up=0)
    clock.pass_s(5)
    tally.status(starting={}, num_up=2)
    clock.pass_s(30)
    report = VisitReport(
        label="d0_a+0.1",
        verdicts={},
        num_tokens=1,
        place_s=0,
        generate_s=0,
        judge_s=0,
        publish_s=0,
        spent_s={"place": 4.0, "decode": 20.0, "other": 1.0, "write": 7.0},
    )
    tally.count(report)
    tally.count(report)  # repeated as a straggler: the engine's time all the same
    tally.status(starting={}, num_up=1)
    clock.pass_s(3)
    status = tally.status(starting={}, num_up=0)
    clock.pass_s(100)
    status = tally.status(starting={}, num_up=0)
    assert status.engine_s == pytest.approx(2 * 30 + 3)
    found = profile_of(status)
    assert found.keys() == PHASES.keys()
    assert {phase: seconds for phase, seconds in found.items() if seconds} == pytest.approx(
        {"place": 8.0, "decode": 40.0, "other": 2.0, "idle": 13.0}
    )


def test_the_table_is_printed_when_the_run_ends(status: SweepStatus) -> None:
    stream = io.StringIO()
    progress = ProfiledProgress(SilentProgress(), stream)
    progress.update(status)
    assert stream.getvalue() == ""
    progress.close(replace(status, spent_s={"place": 1.0, "decode": 6.0, "write": 3.0}, engine_s=8.0, num_done_now=4))
    lines = stream.getvalue().splitlines()
    assert lines[0] == "| phase | what | share of the engines' time | seconds | ms a visit |"
    assert len(lines) == 2 + len(PHASES | MEANWHILE)
    assert "| decode | answers generated | 75.0 % | 6.00 | 1500.0 |" in lines
    assert "| idle | up, without a visit | 12.5 % | 1.00 | 250.0 |" in lines
    assert "| write | parts published | meanwhile | 3.00 | 750.0 |" in lines


@pytest.fixture
def status(clock: Any) -> SweepStatus:
    return Tally(SweepOutcome(num_points=2, num_done=0, num_failed=0), {}, clock).status(starting={}, num_up=0)
