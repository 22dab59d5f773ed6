"""A results folder with real parts, and landscapes to draw."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest

from landscape_ray.config import SweepConfig
from landscape_ray.evaluation import (
    Benchmark,
    Completion,
    FinishReason,
    PointRecord,
    Prompt,
    Verdict,
    VisitFacts,
)
from landscape_ray.plan import PlannedPoint, SweepPlan
from landscape_ray.store import BenchmarkIdentity, Manifest, ResultStore, part_key

FINGERPRINT = "0123456789abcdef"


@pytest.fixture
def config() -> SweepConfig:
    return sweep_config()


def sweep_config(num: int = 5, draws: int = 2, names: tuple[str, ...] = ("harmful", "other")) -> SweepConfig:
    return SweepConfig.model_validate(
        {
            "model": {"id": "demo:aligned"},
            "engine": "synthetic",
            "landscape": {"axes": [{"start": -0.5, "stop": 0.5, "num": num}], "origin_repeats": 2},
            "directions": {"draws": draws},
            "benchmarks": [{"name": name, "prompts": {"source": "file", "path": "gone.csv"}} for name in names],
        }
    )


class Publish(Protocol):
    """Write a results folder as a sweep does: a manifest and a part per planned point and benchmark."""

    def __call__(
        self,
        out: Path,
        config: SweepConfig,
        verdict: Callable[[str, PlannedPoint, int], Verdict],
        *,
        there: Callable[[PlannedPoint], bool] = lambda _: True,
        num_prompts: int = 4,
    ) -> None:
        """`verdict` gets the benchmark's name, the point and the prompt's index; `there` leaves points out."""
        ...


@pytest.fixture(scope="session")
def publish() -> Publish:
    def build(
        out: Path,
        config: SweepConfig,
        verdict: Callable[[str, PlannedPoint, int], Verdict],
        *,
        there: Callable[[PlannedPoint], bool] = lambda _: True,
        num_prompts: int = 4,
    ) -> None:
        store = ResultStore(str(out))
        benchmarks = [
            Benchmark(
                name=configured.name,
                prompts=tuple(Prompt(id=f"p{i}", text=f"prompt {i}") for i in range(num_prompts)),
                system_prompt=None,
                chat_template=None,
                max_new_tokens=8,
                metric=configured.metric,
                judge=configured.judge,
            )
            for configured in config.benchmarks
        ]
        store.write_manifest(
            Manifest(
                sweep_id=config.sweep_id,
                config=config.model_dump(mode="json"),
                fingerprint=FINGERPRINT,
                model_location="demo:aligned",
                model_revision=None,
                benchmarks={benchmark.name: BenchmarkIdentity.of(benchmark) for benchmark in benchmarks},
                direction_seeds=(),
                versions={"landscape_ray": "0.1.0"},
                hardware={},
                created_at="2026-01-01T00:00:00+00:00",
            )
        )
        for point in SweepPlan.from_config(config).points:
            for benchmark in benchmarks if there(point) else ():
                judge = BenchmarkIdentity.of(benchmark).judge
                key = part_key(
                    fingerprint=FINGERPRINT,
                    engine=config.engine,
                    dtype=config.dtype,
                    point=point,
                    benchmark=benchmark,
                    judge=judge,
                )
                store.publish(
                    PointRecord(
                        point=point,
                        benchmark=benchmark.name,
                        prompt_ids=tuple(prompt.id for prompt in benchmark.prompts),
                        prompts=tuple(prompt.text for prompt in benchmark.prompts),
                        completions=(Completion(text="x", token_ids=(1,), finish_reason=FinishReason.STOP),)
                        * num_prompts,
                        verdicts=tuple(verdict(benchmark.name, point, i) for i in range(num_prompts)),
                        judge=judge,
                        facts=VisitFacts(
                            engine="synthetic 1",
                            torch_version="",
                            device="cpu",
                            node="here",
                            weights_digest="0" * 16,
                            attempt=1,
                            started_at="2026-01-01T00:00:00+00:00",
                            place_s=0.0,
                            generate_s=0.0,
                            judge_s=0.0,
                        ),
                    ),
                    key=key,
                    sweep_id=config.sweep_id,
                )

    return build
