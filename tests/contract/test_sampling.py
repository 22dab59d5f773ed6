"""Answers that are drawn: from the model's own distribution, and the same ones in every batch."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
import torch
from scipy import stats

from landscape_ray.engine import Engine
from landscape_ray.evaluation import Benchmark, Prompt
from landscape_ray.planning import ORIGIN

MakeEngine: TypeAlias = Callable[[str, Path], Engine]
MakeBenchmark: TypeAlias = Callable[..., Benchmark]

NUM_SAMPLES = 1500


@pytest.fixture(params=["transformers", pytest.param("vllm", marks=pytest.mark.slow)])
def engine(request: pytest.FixtureRequest, make_engine: MakeEngine, tied_checkpoint: Path) -> Engine:
    return make_engine(request.param, tied_checkpoint)


def drawing(benchmark: Benchmark, samples: int, *, temperature: float = 1.0, seed: int = 0) -> Benchmark:
    prompts = tuple(replace(prompt, sample=sample) for prompt in benchmark.prompts for sample in range(samples))
    return replace(benchmark, prompts=prompts, temperature=temperature, samples=samples, seed=seed)


@pytest.mark.parametrize("temperature", [0.7, 2.0])
def test_tokens_are_drawn_from_the_softmax_of_logits_over_temperature(
    engine: Engine, make_engine: MakeEngine, tied_checkpoint: Path, make_benchmark: MakeBenchmark, temperature: float
) -> None:
    benchmark = make_benchmark(num=1, max_new_tokens=1)
    oracle: Any = make_engine("transformers", tied_checkpoint)
    for each in (oracle, engine):
        each.place(ORIGIN)
    (ids,) = oracle.encoder.encode(benchmark)
    with torch.no_grad():
        logits = oracle.model(torch.tensor([ids])).logits[0, -1].double()
    expected = NUM_SAMPLES * (logits / temperature).softmax(-1).numpy()
    (drawn,) = engine.generate([drawing(benchmark, NUM_SAMPLES, temperature=temperature)])
    found = np.bincount([one.token_ids[0] for one in drawn], minlength=len(expected)).astype(float)
    # Rare tokens are one class of their own: chi-squared wants five of each.
    common = expected >= 5
    counts, wanted = (np.append(each[common], each[~common].sum()) for each in (found, expected))
    assert common.sum() > 5
    assert stats.chisquare(counts, wanted * counts.sum() / wanted.sum()).pvalue > 1e-3
    # The other temperature is another distribution.
    other = NUM_SAMPLES * (logits / (2.7 - temperature)).softmax(-1).numpy()
    others = np.append(other[common], other[~common].sum())
    assert stats.chisquare(counts, others * counts.sum() / others.sum()).pvalue < 1e-6


def test_answers_are_the_same_in_every_batch_and_differ_between_samples_and_seeds(
    engine: Engine, make_benchmark: MakeBenchmark
) -> None:
    engine.place(ORIGIN)
    greedy = make_benchmark("greedy", num=5, shift=11)
    drawn = drawing(make_benchmark(num=6, max_new_tokens=12), 4)
    (together, beside) = engine.generate([drawn, greedy])
    alone = [engine.generate([replace(drawn, prompts=(prompt,))])[0][0] for prompt in drawn.prompts]
    assert list(together) == alone
    assert engine.generate([greedy]) == [beside]
    assert len({one.token_ids for one in together}) > 20  # of 24; some end at once
    (again,) = engine.generate([replace(drawn, seed=1)])
    assert sum(one.token_ids != other.token_ids for one, other in zip(together, again, strict=True)) > 20


def test_seeds_follow_from_the_prompt_and_the_number_of_the_answer_alone(make_benchmark: MakeBenchmark) -> None:
    drawn = drawing(make_benchmark(num=3), 2)
    seeds = [drawn.seed_of(prompt) for prompt in drawn.prompts]
    assert len(set(seeds)) == 6
    assert replace(drawn, name="other", prompts=drawn.prompts[:1]).seed_of(drawn.prompts[0]) == seeds[0]
    assert seeds[0] == 3814000992137864484
    assert make_benchmark().seed_of(Prompt(id="0", text="any")) is None
