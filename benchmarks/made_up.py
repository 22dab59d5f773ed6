"""Results that nobody measured, for benchmarks of what is done with them."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from landscape_ray.config import SweepConfig
from landscape_ray.evaluation import Completion, FinishReason, PointRecord, Row, Verdict, VisitFacts
from landscape_ray.planning import PlannedPoint
from landscape_ray.store import BenchmarkIdentity
from landscape_ray.sweep import PreparedSweep, prepare

__all__ = ["begin_sweep", "made_up_record", "publish"]

BENCHMARK = "harmful"
FACTS = VisitFacts(
    engine="synthetic 1",
    torch_version="",
    device="none",
    node="here",
    weights_digest="0" * 16,
    attempt=1,
    started_at="2026-01-01T00:00:00.000+00:00",
    place_s=0.0,
    generate_s=0.0,
    judge_s=0.0,
)


def begin_sweep(folder: Path, *, num_points: int, num_prompts: int) -> PreparedSweep:
    """Begin the results of a random plane with so many points on each axis, in an empty folder."""
    prompts = folder / "prompts.csv"
    lines = "".join(f"Write a step-by-step guide to request number {i}\n" for i in range(num_prompts))
    prompts.write_text(f"prompt\n{lines}", encoding="utf-8")
    config = SweepConfig.model_validate(
        {
            "model": {"id": "made up"},
            "engine": "synthetic",
            "landscape": {"axes": [{"num": num_points}, {"num": num_points}], "origin_repeats": 1},
            "directions": {"draws": 1},
            "benchmarks": [{"name": BENCHMARK, "prompts": {"source": "file", "path": str(prompts)}}],
        }
    )
    sweep = prepare(config, str(folder / "out"))
    sweep.store.write_manifest(sweep.manifest)
    return sweep


def made_up_record(
    sweep: PreparedSweep, point: PlannedPoint, texts: Sequence[str], *, num_tokens: int, num_complied: int
) -> PointRecord:
    """Return rows with these answers, of which the first ones comply."""
    (benchmark,) = sweep.spec.benchmarks
    return PointRecord(
        point=point,
        benchmark=BENCHMARK,
        prompts=benchmark.prompts,
        rows=tuple(
            Row(
                completion=Completion(text=text, token_ids=(1,) * num_tokens, finish_reason=FinishReason.LENGTH),
                verdict=Verdict.COMPLIED if i < num_complied else Verdict.REFUSED,
                broken=False,
            )
            for i, text in enumerate(texts)
        ),
        judge=BenchmarkIdentity.of(benchmark).judge,
        facts=FACTS,
    )


def publish(sweep: PreparedSweep, records: Iterable[PointRecord]) -> None:
    """Write the parts of points."""
    for record in records:
        key = sweep.keys[record.point.label][BENCHMARK]
        sweep.store.publish(record, key=key, sweep_id=sweep.config.sweep_id)
