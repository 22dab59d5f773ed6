"""One suite that every engine passes."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from landscape_ray.engine import Engine
from landscape_ray.engine.tokens.encoding import PromptEncoder
from landscape_ray.errors import BenchmarkError, CheckpointError, GenerationError
from landscape_ray.evaluation import Benchmark, Completion, FinishReason
from landscape_ray.planning import ORIGIN, Perturbation, RandomVector

MakeEngine: TypeAlias = Callable[[str, Path], Engine]
MakeBenchmark: TypeAlias = Callable[..., Benchmark]

ENGINES = ["synthetic", "transformers", pytest.param("vllm", marks=pytest.mark.slow)]
WITH_WEIGHTS = ENGINES[1:]

A = RandomVector(seed=1, normalization="layer", excluded=("norm",))
B = RandomVector(seed=2, normalization="layer", excluded=("norm",))
# At this distance some prompts of the synthetic engine are refused and some are not.
FAR = Perturbation.of([(A, 0.25)])
ELSEWHERE = Perturbation.of([(A, -0.6), (B, 0.4)])


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, make_engine: MakeEngine, tied_checkpoint: Path) -> Engine:
    return make_engine(request.param, tied_checkpoint)


@pytest.fixture(params=WITH_WEIGHTS)
def model_engine(request: pytest.FixtureRequest, make_engine: MakeEngine, tied_checkpoint: Path) -> Engine:
    return make_engine(request.param, tied_checkpoint)


def test_says_what_it_is(engine: Engine) -> None:
    name, version = engine.facts.engine.split()
    assert name in {"synthetic", "transformers", "vllm"}
    assert version[0].isdigit()
    assert engine.facts.device


def test_order_of_visits_does_not_matter(engine: Engine, make_benchmark: MakeBenchmark) -> None:
    benchmark = make_benchmark()
    seen: dict[Perturbation, tuple[str, list[tuple[Completion, ...]]]] = {}
    for point in (ORIGIN, FAR, ELSEWHERE, FAR, ORIGIN, ORIGIN, ELSEWHERE):
        result = engine.place(point), engine.generate([benchmark])
        assert seen.setdefault(point, result) == result
    digests, outputs = zip(*seen.values(), strict=True)
    assert len(set(digests)) == 3
    assert outputs[0] != outputs[1]


def test_one_completion_per_prompt_in_the_prompts_order(engine: Engine, make_benchmark: MakeBenchmark) -> None:
    engine.place(FAR)
    forward = make_benchmark()
    backward = make_benchmark()
    object.__setattr__(backward, "prompts", forward.prompts[::-1])
    (there,), (back,) = engine.generate([forward]), engine.generate([backward])
    assert len(there) == len(forward.prompts)
    assert there == back[::-1]
    assert len(set(there)) > 1


def test_benchmarks_together_equal_benchmarks_apart(engine: Engine, make_benchmark: MakeBenchmark) -> None:
    engine.place(FAR)
    one, other = make_benchmark(), make_benchmark("other", shift=11, num=5, max_new_tokens=7)
    assert engine.generate([one, other]) == engine.generate([one]) + engine.generate([other])


@pytest.mark.parametrize("limit", [1, 5])
def test_no_completion_exceeds_the_limit(engine: Engine, make_benchmark: MakeBenchmark, limit: int) -> None:
    engine.place(FAR)
    (completions,) = engine.generate([make_benchmark(max_new_tokens=limit)])
    assert max(len(completion.token_ids) for completion in completions) == limit
    cut = [completion for completion in completions if completion.finish_reason is FinishReason.LENGTH]
    assert cut
    assert {len(completion.token_ids) for completion in cut} == {limit}


def test_a_prompt_that_fills_the_context_is_marked_and_fails_nothing(
    model_engine: Engine, make_benchmark: MakeBenchmark
) -> None:
    benchmark = make_benchmark(num=6)
    long = make_benchmark(num=6)
    context = 448
    texts = [prompt.text for prompt in long.prompts]
    texts[2], texts[4] = (
        "x" * 200_000,  # as long as many-shot attacks are
        "y" * (context - 4),
    )  # with <s> and ":" the second leaves room for two tokens
    prompts = tuple(type(prompt)(id=prompt.id, text=text) for prompt, text in zip(long.prompts, texts, strict=True))
    object.__setattr__(long, "prompts", prompts)
    model_engine.place(ORIGIN)
    (expected,), (completions,) = model_engine.generate([benchmark]), model_engine.generate([long])
    assert completions[2].finish_reason is FinishReason.PROMPT_TOO_LONG
    assert completions[2].token_ids == ()
    assert 1 <= len(completions[4].token_ids) <= 2
    for i in (0, 1, 3, 5):
        assert completions[i] == expected[i]


@pytest.mark.slow
def test_what_a_failed_batch_left_unanswered_does_not_reach_the_next(
    make_engine: MakeEngine, tied_checkpoint: Path, make_benchmark: MakeBenchmark, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine: Any = make_engine("vllm", tied_checkpoint)
    engine.place(ELSEWHERE)
    benchmark, other = make_benchmark(), make_benchmark("other", shift=11, num=5)
    expected = engine.generate([other])
    core = engine._llm.llm_engine
    real_step, steps = core.step, iter(range(4))

    def failing_step() -> Any:
        if next(steps) == 3:
            msg = "the fourth step fails"
            raise RuntimeError(msg)
        return real_step()

    with monkeypatch.context() as patch:
        patch.setattr(core, "step", failing_step)
        with pytest.raises(GenerationError, match=r"vLLM failed on a batch of 24 prompts: .* fourth step fails"):
            engine.generate([benchmark])
    assert not core.has_unfinished_requests()
    assert engine.generate([other]) == expected


def test_system_prompt_and_template_reach_the_model(model_engine: Engine, make_benchmark: MakeBenchmark) -> None:
    model_engine.place(ORIGIN)
    (plain,) = model_engine.generate([make_benchmark()])
    (guided,) = model_engine.generate([make_benchmark(system_prompt="ab")])
    # The same tokens written out by another template.
    template = "<s>[ab]{{ messages[-1].content }}:"
    (spelled,) = model_engine.generate([make_benchmark(chat_template=template)])
    assert guided != plain
    assert spelled == guided


def test_an_answer_goes_on_after_its_prefill_as_after_the_same_tokens_of_its_own(
    make_engine: MakeEngine, tied_checkpoint: Path, model_engine: Engine, make_benchmark: MakeBenchmark
) -> None:
    model_engine.place(FAR)
    benchmark = make_benchmark(max_new_tokens=12)
    (whole,) = model_engine.generate([benchmark])
    # The tokenizer of characters writes them with a space between any two.
    prefills = [completion.text[:7].replace(" ", "") for completion in whole]
    prompts = tuple(replace(p, prefill=begun) for p, begun in zip(benchmark.prompts, prefills, strict=True))
    begun = replace(benchmark, prompts=prompts, max_new_tokens=8)
    (rest,) = model_engine.generate([begun])
    # Where an answer is shorter, or has a special token so early, no text has its first four tokens.
    encoder = PromptEncoder(tied_checkpoint)
    alike = [i for i, one in enumerate(whole) if encoder.spell(prefills[i]) == list(one.token_ids[:4])]
    assert len(alike) > len(whole) / 2
    for i in alike:
        assert rest[i].token_ids == whole[i].token_ids[4:]
        assert rest[i].text == whole[i].text[7:]
    oracle = make_engine("transformers", tied_checkpoint)
    oracle.place(FAR)
    assert oracle.generate([begun]) == [rest]


def test_a_template_that_cannot_render_names_the_benchmark(model_engine: Engine, make_benchmark: MakeBenchmark) -> None:
    template = "{{ raise_exception('only users may speak') }}"
    with pytest.raises(BenchmarkError, match=r"'letters': the chat template cannot render.*only users may speak"):
        model_engine.generate([make_benchmark(chat_template=template)])


def test_a_pattern_that_matches_nothing_is_refused(model_engine: Engine) -> None:
    vector = RandomVector(seed=1, normalization="layer", excluded=("layernorm_of_another_model",))
    with pytest.raises(CheckpointError, match="matches none of the checkpoint's"):
        model_engine.place(Perturbation.of([(vector, 0.1)]))


def test_engines_place_the_same_weights(make_engine: MakeEngine, tied_checkpoint: Path, model_engine: Engine) -> None:
    oracle = make_engine("transformers", tied_checkpoint)
    for point in (ORIGIN, FAR, ELSEWHERE):
        assert model_engine.place(point) == oracle.place(point)
