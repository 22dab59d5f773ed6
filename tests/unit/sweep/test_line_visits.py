"""A visit to several points leaves what visits to each of them leave."""

from pathlib import Path

import pytest

from landscape_ray.config import Metric, RunConfig, SyntheticFaults
from landscape_ray.engine import EngineSpec
from landscape_ray.engine.factory import create_point_on_line
from landscape_ray.evaluation import Benchmark, Prompt
from landscape_ray.planning import LineTask, Perturbation, PlannedPoint, PointTask, RandomVector, Task
from landscape_ray.store import ResultStore
from landscape_ray.sweep.actor import EngineActor
from landscape_ray.sweep.reports import Trouble, VisitReport

METRICS: dict[str, Metric] = {"harmful": "asr", "fluent": "perplexity"}
BENCHMARKS = tuple(
    Benchmark(
        name=name,
        prompts=tuple(Prompt(id=str(i), text=f"{name} {i}") for i in range(9)),
        system_prompt=None,
        chat_template=None,
        max_new_tokens=64,
        metric=metric,
        judge="keyword",
    )
    for name, metric in METRICS.items()
)
VECTOR = RandomVector(seed=1, normalization="layer", excluded=())
POINTS = tuple(
    PointTask(
        point=PlannedPoint(draw=0, repeat=0, coordinates=(c,), perturbation=Perturbation.of([(VECTOR, c)])),
        benchmarks=("harmful", "fluent"),
    )
    for c in (-0.4, -0.2, 0.2, 0.4)
)
TIMES = {"started_at", "place_s", "generate_s", "judge_s"}


def actor_in(out: Path, *, faults: SyntheticFaults | None = None) -> EngineActor:
    run = RunConfig(synthetic=faults or SyntheticFaults())
    spec = EngineSpec(
        engine="synthetic",
        model="m",
        revision=None,
        dtype="float32",
        run=run,
        benchmarks=BENCHMARKS,
        batching="line",
    )
    actor = EngineActor(spec=spec, on_gpu=False, out=str(out), sweep_id="0" * 16, fingerprint="f", environment={})
    actor._engine = engine = create_point_on_line(spec)
    actor._line = engine.line
    actor._fetch()
    return actor


def rows(out: Path) -> list[tuple[str, ...]]:
    store = ResultStore(str(out))
    columns = store.columns(list(store.parts()))
    return sorted(zip(*(map(str, of) for name, of in columns.items() if name not in TIMES), strict=True))


def visited(actor: EngineActor, task: Task) -> tuple[VisitReport, ...]:
    reports = actor.visit(task, 1, 1)
    assert isinstance(reports, tuple)
    return reports


def test_rows_and_reports_are_those_of_single_visits(tmp_path: Path) -> None:
    together = visited(actor_in(tmp_path / "line"), LineTask(tasks=POINTS))
    actor = actor_in(tmp_path / "points")
    alone = tuple(report for task in POINTS for report in visited(actor, task))
    assert rows(tmp_path / "line") == rows(tmp_path / "points")
    assert len(rows(tmp_path / "line")) == len(POINTS) * 2 * 9
    for one, other in zip(together, alone, strict=True):
        assert (one.label, one.verdicts, one.num_tokens) == (other.label, other.verdicts, other.num_tokens)
        assert one.log_likelihoods == other.log_likelihoods
    # The time that the engine took is shared out.
    assert len({(report.place_s, report.generate_s) for report in together}) == 1


def test_a_line_that_fails_leaves_nothing(tmp_path: Path) -> None:
    actor = actor_in(tmp_path, faults=SyntheticFaults(poison_coordinates=((0.2,),)))
    trouble = actor.visit(LineTask(tasks=POINTS), 1, 1)
    assert isinstance(trouble, Trouble)
    assert trouble.engine_usable
    assert ResultStore(str(tmp_path)).parts() == {}
    assert len(visited(actor, LineTask(tasks=POINTS[:2]))) == 2


@pytest.mark.parametrize("num_batches", [1, 4])
def test_a_prompt_on_which_the_engine_fails_is_marked_where_a_point_is_visited_alone(
    tmp_path: Path, num_batches: int
) -> None:
    actor = actor_in(tmp_path, faults=SyntheticFaults(poison_prompts=("3",)))
    assert isinstance(actor.visit(LineTask(tasks=POINTS), 1, 1), Trouble)
    assert isinstance(actor.visit(POINTS[0], 1, num_batches), tuple)
    columns = ResultStore(str(tmp_path)).columns(list(ResultStore(str(tmp_path)).parts()))
    assert [str(i) for i in columns["prompt_id"][columns["finish_reason"] == "failed"]] == ["3"]
