"""Likelihoods in batches; generation in batches is tested with the actor."""

from collections.abc import Sequence

import pytest

from landscape_ray.config import SyntheticFaults
from landscape_ray.engine.synthetic import SyntheticEngine
from landscape_ray.errors import GenerationError
from landscape_ray.evaluation import (
    Benchmark,
    Completion,
    FinishReason,
    LogLikelihood,
    Prompt,
    ScoredText,
    Verdict,
    score,
)
from landscape_ray.planning import Perturbation, RandomVector
from landscape_ray.sweep.batches import generate, log_likelihoods


class CountingEngine(SyntheticEngine):
    """Notes how many texts it was given at once."""

    def __init__(self) -> None:
        super().__init__(SyntheticFaults())
        self.batches: list[int] = []

    def log_likelihoods(self, texts: Sequence[ScoredText]) -> list[LogLikelihood | None]:
        self.batches.append(len(texts))
        return super().log_likelihoods(texts)


def benchmark(name: str, *choices: int) -> Benchmark:
    return Benchmark(
        name=name,
        prompts=tuple(
            Prompt(id=str(i), text=f"{name} {i}", choices=tuple(f" {c}" for c in range(num)), answer=0 if num else None)
            for i, num in enumerate(choices)
        ),
        system_prompt=None,
        chat_template=None,
        max_new_tokens=1,
        metric="accuracy",
        judge="keyword",
    )


@pytest.mark.parametrize(("num_batches", "batches"), [(1, [10]), (2, [5, 5]), (4, [2, 3, 2, 3])])
def test_smaller_batches_change_no_likelihood(num_batches: int, batches: list[int]) -> None:
    engine = CountingEngine()
    engine.place(Perturbation.of([(RandomVector(seed=1, normalization="layer", excluded=()), 0.5)]))
    found = log_likelihoods(engine, [benchmark("a", 4, 2), benchmark("b"), benchmark("c", 0, 3)], num_batches)
    assert engine.batches == batches
    assert [len(own) for own in found] == [6, 0, 4]
    texts = [("a 0", 4), ("a 1", 2), ("c 1", 3)]
    (first, second, third) = (
        tuple(engine.log_likelihoods([ScoredText(context=text, text=f" {c}") for c in range(num)]))
        for text, num in texts
    )
    alone = engine.log_likelihoods([ScoredText(context="", text="c 0")])
    assert found == [first + second, (), (*alone, *third)]
    assert len(set(first)) > 1, "the order of likelihoods would not be noticed"


class PoisonedEngine(SyntheticEngine):
    """Fails on some texts, in whatever company; with `heals` only the first time it meets one.

    Texts and prompts that begin with `long` do not fit its context.
    """

    def __init__(self, *poison: str, heals: bool = False) -> None:
        super().__init__(SyntheticFaults())
        self._poison = set(poison)
        self._heals = heals

    def generate(self, benchmarks: Sequence[Benchmark]) -> list[tuple[Completion, ...]]:
        prompts = [prompt.text for benchmark in benchmarks for prompt in benchmark.prompts]
        if self._poison & set(prompts):
            raise GenerationError(" ".join(prompts))
        too_long = Completion(text="", token_ids=(), finish_reason=FinishReason.PROMPT_TOO_LONG)
        return [
            tuple(too_long if p.text.startswith("long") else c for p, c in zip(b.prompts, found, strict=True))
            for b, found in zip(benchmarks, super().generate(benchmarks), strict=True)
        ]

    def log_likelihoods(self, texts: Sequence[ScoredText]) -> list[LogLikelihood | None]:
        met = {text.context for text in texts} & self._poison
        if met:
            if self._heals and len(texts) == 1:
                self._poison -= met
            raise GenerationError(" ".join(met))
        found = super().log_likelihoods(texts)
        return [None if t.context.startswith("long") else each for t, each in zip(texts, found, strict=True)]


@pytest.mark.parametrize("num_batches", [1, 3])
def test_a_text_on_which_the_engine_fails_costs_its_own_row_and_no_other(num_batches: int) -> None:
    benchmarks = [benchmark("a", 4, 2, 3), benchmark("b", 0, 3)]
    sound, engine = SyntheticEngine(SyntheticFaults()), PoisonedEngine("a 1")
    for each in (sound, engine):
        each.place(Perturbation.of([]))
    expected = [score(b, found) for b, found in zip(benchmarks, log_likelihoods(sound, benchmarks, 1), strict=True)]
    found = [
        score(b, found) for b, found in zip(benchmarks, log_likelihoods(engine, benchmarks, num_batches), strict=True)
    ]
    assert [row.completion.finish_reason for row in found[0]] == ["scored", "failed", "scored"]
    assert found[0][1].verdict is Verdict.UNSCORED
    assert found[0][1].log_likelihood is None
    assert [found[0][0], found[0][2], found[1]] == [expected[0][0], expected[0][2], expected[1]]


@pytest.mark.parametrize(
    "engine", [PoisonedEngine("a 0", "a 1"), PoisonedEngine("a 1", heals=True)], ids=["fails on all", "heals"]
)
def test_where_no_single_text_is_to_blame_the_visit_fails(engine: PoisonedEngine) -> None:
    with pytest.raises(GenerationError, match="a 1"):
        log_likelihoods(engine, [benchmark("a", 2, 2)], 1)


def test_what_does_not_fit_does_not_speak_for_the_engine() -> None:
    """It is answered without the engine, so where all that fits fails, the engine is at fault."""
    benchmarks = [benchmark("a", 2), benchmark("long", 2)]
    with pytest.raises(GenerationError):
        log_likelihoods(PoisonedEngine("a 0"), benchmarks, 1)
    with pytest.raises(GenerationError):
        generate(PoisonedEngine("a 0"), benchmarks, 1)
    (first, _), (too_long,) = generate(PoisonedEngine("a 1"), [benchmark("a", 2, 2), benchmark("long", 2)], 1)
    assert (first.finish_reason, too_long.finish_reason) == ("length", "prompt_too_long")
