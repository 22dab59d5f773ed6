"""A results folder with real parts, and landscapes to draw."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from landscape_ray.config import SweepConfig
from landscape_ray.evaluation import (
    Benchmark,
    Completion,
    FinishReason,
    PointRecord,
    Prompt,
    Row,
    Verdict,
    VisitFacts,
)
from landscape_ray.planning import Geometry, PlannedPoint, SweepPlan
from landscape_ray.store import BenchmarkIdentity, Manifest, ResultStore, part_key

FINGERPRINT = "0123456789abcdef"
ROOT = Path(__file__).parents[3]
NAMES = ("chromium", "chromium-browser", "google-chrome", "chromium-headless-shell", "chrome")
# WebGL without a GPU, for the surface.
SOFTWARE_GRAPHICS = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]


@pytest.fixture(scope="session")
def make_config() -> Callable[..., SweepConfig]:
    return sweep_config


@pytest.fixture
def config() -> SweepConfig:
    return sweep_config()


def sweep_config(
    *nums: int,
    draws: int = 2,
    names: tuple[str, ...] = ("harmful", "other"),
    model: str = "demo:aligned",
    **of_benchmarks: Any,
) -> SweepConfig:
    """Make the configuration of a sweep over [-0.5, 0.5] on axes of so many points each, by default one of 5."""
    return SweepConfig.model_validate(
        {
            "model": {"id": model},
            "engine": "synthetic",
            "landscape": {
                "axes": [{"start": -0.5, "stop": 0.5, "num": num} for num in nums or (5,)],
                "origin_repeats": 2,
            },
            "directions": {"draws": draws},
            "benchmarks": [
                {"name": name, "prompts": {"source": "file", "path": "gone.csv"}, **of_benchmarks} for name in names
            ],
        }
    )


def visit_facts(point: PlannedPoint) -> VisitFacts:
    """As of an engine that works: weights of its own at each point, the same at each visit to the origin."""
    return VisitFacts(
        engine="synthetic 1",
        torch_version="",
        device="cpu",
        node="here",
        weights_digest=hashlib.sha256(repr(point.perturbation).encode()).hexdigest()[:16],
        attempt=1,
        started_at="2026-01-01T00:00:00+00:00",
        place_s=0.0,
        generate_s=0.0,
        judge_s=0.0,
    )


def completion_of(text: str, thinking: str | None = None) -> Completion:
    """One token per word; the limit of 8 is reached by longer texts."""
    num_thinking = None if thinking is None else len(thinking.split())
    num_tokens = len(text.split()) + (num_thinking or 0)
    return Completion(
        text=text,
        token_ids=(1,) * num_tokens,
        finish_reason=FinishReason.STOP if num_tokens < 8 else FinishReason.LENGTH,
        thinking=thinking,
        num_thinking_tokens=num_thinking,
    )


@pytest.fixture(scope="session")
def certifying(publish: Callable[..., None]) -> Callable[[Path], None]:
    """Write a sweep whose draws are certified to be basins up to 0.25, with a wall beyond, and first tokens beside."""

    def build(out: Path) -> None:
        data = sweep_config(5, draws=8, names=("harmful", "moved")).model_dump(mode="json")
        data["benchmarks"][1]["metric"] = "first_token_kl"
        data["certify"] = {"radius": 0.25, "share": 0.7, "confidence": 0.9}

        def verdict(name: str, point: PlannedPoint, _: int) -> Verdict:
            if name == "moved":
                return Verdict.UNSCORED
            return Verdict.COMPLIED if point.distance > 0.3 else Verdict.REFUSED

        publish(out, SweepConfig.model_validate(data), verdict, kl=lambda point: point.distance)

    return build


@pytest.fixture(scope="session")
def visit_facts_of() -> Callable[[PlannedPoint], VisitFacts]:
    return visit_facts


@pytest.fixture(scope="session")
def publish() -> Callable[..., None]:
    def build(
        out: Path,
        config: SweepConfig,
        verdict: Callable[[str, PlannedPoint, int], Verdict],
        *,
        there: Callable[[PlannedPoint], bool] = lambda _: True,
        num_prompts: int = 4,
        prompt: Callable[[int], str] = "prompt {}".format,
        prefill: Callable[[str, int], str] = lambda *_: "",
        answer: Callable[[str, PlannedPoint, int], str] = lambda *_: "x",
        thinking: Callable[[str, PlannedPoint, int], str | None] = lambda *_: None,
        facts: Callable[[PlannedPoint], VisitFacts] = visit_facts,
        broken: Callable[[Verdict], bool | None] = lambda _: None,
        nats: float = -2.0,
        kl: Callable[[PlannedPoint], float] = lambda _: 0.0,
        geometry: Geometry | None = None,
    ) -> None:
        """Write a results folder as a sweep does: a manifest and a part per planned point and benchmark.

        `verdict`, `answer` and `thinking` get benchmark, point and number of the prompt, `prefill` the first and the
        last of them; `there` leaves points out.
        """
        store = ResultStore(str(out))
        benchmarks = [
            Benchmark(
                name=configured.name,
                prompts=tuple(
                    Prompt(id=f"p{i}", text=prompt(i), prefill=prefill(configured.name, i)) for i in range(num_prompts)
                ),
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
                geometry=geometry,
            )
        )
        for point in SweepPlan.from_config(config, geometry).points:
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
                        prompts=benchmark.prompts,
                        rows=tuple(
                            Row(
                                completion=completion_of(
                                    answer(benchmark.name, point, i), thinking(benchmark.name, point, i)
                                ),
                                verdict=verdict(benchmark.name, point, i),
                                log_likelihood=nats if benchmark.metric == "perplexity" else None,
                                kl=kl(point) if benchmark.metric == "first_token_kl" else None,
                                broken=broken(verdict(benchmark.name, point, i)),
                            )
                            for i in range(num_prompts)
                        ),
                        judge=judge,
                        facts=facts(point),
                    ),
                    key=key,
                    sweep_id=config.sweep_id,
                )

    return build


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start any Chromium that is there."""
    with sync_playwright() as playwright:
        places = [
            os.environ.get("CHROMIUM"),
            *map(shutil.which, NAMES),
            ROOT / ".venv" / "browser" / "chromium",
            playwright.chromium.executable_path,
        ]
        found = [str(place) for place in places if place and Path(place).exists()]
        if not found:
            pytest.skip("there is no Chromium; `make browser` fetches one, or set CHROMIUM to the path of one")
        browser = playwright.chromium.launch(executable_path=found[0], args=SOFTWARE_GRAPHICS)
        yield browser
        browser.close()
