"""Generations that end with their verdict: the beginnings of the whole ones, with the same verdicts."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import pytest

from landscape_ray.config import load_config
from landscape_ray.engine import Engine
from landscape_ray.engine.checkpoints.resolution import resolve
from landscape_ray.evaluation import Benchmark, Completion, FinishReason, Verdict, judge_named, load_benchmark
from landscape_ray.planning import Perturbation, SweepPlan

DEMO = load_config(Path(__file__).parents[2] / "jobs" / "configs" / "demo.yaml", environment={})
POINTS = SweepPlan.from_config(DEMO).points
# Of the first draw: far outside, on both walls, well inside.
A_FEW = [point.perturbation for point in POINTS if point.draw == 0 and point.coordinates[0] in {-0.5, -0.35, 0.1, 0.4}]

MakeEngine: TypeAlias = Callable[[str, Path], Engine]
DemoEngine: TypeAlias = Callable[[str], Engine]


@pytest.fixture
def demo_engine(make_engine: MakeEngine) -> DemoEngine:
    folder = Path(resolve(DEMO.model).location)
    return lambda name: make_engine(name, folder)


def whole() -> Benchmark:
    return load_benchmark(DEMO.benchmarks[0])


def verdicts(completions: Sequence[Completion]) -> list[Verdict]:
    judge = judge_named("keyword")
    return [judge.verdict(completion) for completion in completions]


def check_points(engine: Engine, benchmark: Benchmark, perturbations: Sequence[Perturbation]) -> list[list[Completion]]:
    """Compare both ways of generating at each point; return what ended early."""
    early = replace(benchmark, early_verdict=True)
    found, num_refused = [], []
    for perturbation in perturbations:
        engine.place(perturbation)
        (full,), (cut,) = engine.generate([benchmark]), engine.generate([early])
        assert verdicts(cut) == verdicts(full)
        for one, other in zip(cut, full, strict=True):
            # Both are prefixes of one generation: the verdict is settled by exactly the last token.
            num_tokens = len(one.token_ids)
            assert one.token_ids == other.token_ids[:num_tokens]
            assert other.text.startswith(one.text)
            if one.finish_reason is FinishReason.VERDICT:
                assert verdicts([one]) == [Verdict.REFUSED]
            else:
                assert (one, verdicts([one])) == (other, [Verdict.COMPLIED])
        found.append(list(cut))
        num_refused.append(verdicts(full).count(Verdict.REFUSED))
    assert 0 < sum(num_refused) < len(perturbations) * len(benchmark.prompts), "both verdicts have to occur"
    return found


@pytest.mark.parametrize("name", ["synthetic", "transformers"])
def test_verdicts_are_those_of_whole_generations(name: str, demo_engine: DemoEngine) -> None:
    benchmark = replace(whole(), prompts=whole().prompts[:12])
    found = check_points(demo_engine(name), benchmark, A_FEW[1:2])
    assert {completion.finish_reason for completion in itertools.chain.from_iterable(found)} > {FinishReason.VERDICT}


@pytest.mark.slow
def test_verdicts_in_vllm_are_those_of_whole_generations_and_texts_those_of_the_oracle(
    demo_engine: DemoEngine,
) -> None:
    vllm, oracle = demo_engine("vllm"), demo_engine("transformers")
    benchmark = replace(whole(), prompts=whole().prompts[:24])
    found = check_points(vllm, benchmark, A_FEW[:3])
    oracle.place(A_FEW[1])
    early = replace(benchmark, early_verdict=True)
    (expected,) = oracle.generate([early])
    assert found[1] == list(expected)
    # One batch may hold both kinds.
    vllm.place(A_FEW[1])
    assert vllm.generate([benchmark, early]) == [*vllm.generate([benchmark]), expected]


@pytest.mark.long
@pytest.mark.slow
def test_verdicts_in_vllm_are_equal_over_the_whole_demo(demo_engine: DemoEngine) -> None:
    check_points(demo_engine("vllm"), whole(), [point.perturbation for point in POINTS])
