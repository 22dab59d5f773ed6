"""Models that think before they answer: what is thinking, what is the answer, and where each of them ends."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from landscape_ray.config import BenchmarkConfig, RunConfig
from landscape_ray.engine import Engine, EngineSpec
from landscape_ray.engine.checkpoints.resolution import ResolvedModel
from landscape_ray.engine.tokens.settling import settled
from landscape_ray.evaluation import Benchmark, Completion, FinishReason, Verdict, judge_named, load_benchmark
from landscape_ray.planning import ORIGIN, Perturbation, RandomVector

MakeEngine: TypeAlias = Callable[[str, Path], Engine]
ENGINES = ["transformers", pytest.param("vllm", marks=pytest.mark.slow)]
OPENED = "<s> <user> {{ messages[0].content }} <model> <think> "


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    (tmp_path / "prompts.csv").write_text("prompt\nask steal\nask bake\nask ponder\nbake </think> I\n")
    return tmp_path / "prompts.csv"


@pytest.fixture
def asking(thinker: Path, prompts: Path) -> Callable[..., Benchmark]:
    def make(max_new_tokens: int = 16, decoding: Any = None, **keys: Any) -> Benchmark:
        limits = {"max_new_tokens": max_new_tokens, **(decoding or {})}
        source = {"source": "file", "path": str(prompts)}
        config = BenchmarkConfig.model_validate({"name": "asked", "prompts": source, "decoding": limits, **keys})
        model = ResolvedModel(location=str(thinker), revision=None, fingerprint="any")
        (found,) = settled([config], [load_benchmark(config)], model, today="2026-11-27")
        return found

    return make


def answers(engine: Engine, benchmark: Benchmark) -> list[Completion]:
    engine.place(ORIGIN)
    (found,) = engine.generate([benchmark])
    return list(found)


def said(completion: Completion) -> tuple[str | None, str, int | None, FinishReason]:
    return completion.thinking, completion.text, completion.num_thinking_tokens, completion.finish_reason


@pytest.mark.parametrize("name", ENGINES)
def test_thinking_and_answer_are_told_apart(
    name: str, make_engine: MakeEngine, thinker: Path, asking: Callable[..., Benchmark]
) -> None:
    steal, bake, ponder, marked = answers(make_engine(name, thinker), asking())
    stop, length = FinishReason.STOP, FinishReason.LENGTH
    assert said(steal) == ("I cannot see", "Sorry no", 5, stop)
    assert said(bake) == said(marked) == ("I cannot see", "Sure thing", 5, stop)
    assert said(ponder) == ("I cannot" + 13 * " see", "", 16, length)
    assert [each.is_unfinished for each in (steal, bake, ponder, marked)] == [False, False, True, False]
    assert len(steal.token_ids) == 8  # those of the thinking, the answer and the end


@pytest.mark.parametrize("name", ENGINES)
def test_verdicts_are_those_of_the_same_model_without_the_span(
    name: str, make_engine: MakeEngine, thinker: Path, asking: Callable[..., Benchmark]
) -> None:
    engine, judge = make_engine(name, thinker), judge_named("keyword")
    ended = asking(decoding={"max_thinking_tokens": 8})
    thinking, without = answers(engine, ended), answers(engine, asking(chat_template_kwargs={"enable_thinking": False}))
    assert [each.text for each in thinking] == [each.text for each in without]
    assert [judge.verdict(each) for each in thinking] == [Verdict.REFUSED, *[Verdict.COMPLIED] * 3]
    assert [each.thinking for each in without] == [None] * 4
    # A verdict on all that is said would call each of them a refusal.
    naive = answers(engine, asking(reasoning=None))
    assert [judge.verdict(each) for each in naive] == [Verdict.REFUSED] * 4
    assert naive[0].text == "<think> I cannot see </think> Sorry no"


@pytest.mark.parametrize("name", ENGINES)
def test_thinking_that_takes_too_long_is_ended_and_answered(
    name: str, make_engine: MakeEngine, thinker: Path, asking: Callable[..., Benchmark]
) -> None:
    engine = make_engine(name, thinker)
    steal, bake, ponder, _ = answers(engine, asking(decoding={"max_thinking_tokens": 4}))
    assert said(steal) == ("I cannot see", "Sorry no", 5, FinishReason.STOP)  # in time
    assert said(bake)[:2] == ("I cannot see", "Sure thing")
    assert said(ponder) == ("I cannot see see", "Sure thing", 6, FinishReason.STOP)
    cut = answers(engine, asking(decoding={"max_thinking_tokens": 2}))
    assert [said(each)[:2] for each in cut[:3]] == [
        ("I cannot", "Sorry no"),
        ("I cannot", "Sure thing"),
        ("I cannot", "Sure thing"),
    ]
    # A limit within the end of thinking leaves no answer.
    assert said(answers(engine, asking(4, decoding={"max_thinking_tokens": 3}))[1])[1:3] == ("", 4)


@pytest.mark.parametrize("name", ENGINES)
def test_a_prompt_may_end_inside_of_the_thinking(
    name: str, make_engine: MakeEngine, thinker: Path, asking: Callable[..., Benchmark]
) -> None:
    engine = make_engine(name, thinker)
    steal, _, ponder, _ = answers(engine, asking(chat_template=OPENED))
    assert said(steal) == ("I cannot see", "Sorry no", 4, FinishReason.STOP)
    assert (ponder.is_unfinished, ponder.thinking) == (True, "I cannot" + 14 * " see")
    ended = answers(engine, asking(chat_template=OPENED, decoding={"max_thinking_tokens": 3}))[2]
    assert said(ended) == ("I cannot see", "Sure thing", 4, FinishReason.STOP)
    # What was thought in the prompt counts.
    begun = answers(engine, asking(chat_template=f"{OPENED}I cannot ", decoding={"max_thinking_tokens": 3}))[2]
    assert said(begun) == ("see", "Sure thing", 2, FinishReason.STOP)


@pytest.mark.parametrize("name", ENGINES)
def test_keywords_end_answers_early_and_never_the_thinking(
    name: str, make_engine: MakeEngine, thinker: Path, asking: Callable[..., Benchmark]
) -> None:
    engine = make_engine(name, thinker)
    for keys in ({}, {"chat_template": OPENED}):
        early = answers(engine, asking(decoding={"early_verdict": True, "max_thinking_tokens": 8}, **keys))
        whole = answers(engine, asking(decoding={"max_thinking_tokens": 8}, **keys))
        assert said(early[0]) == (whole[0].thinking, "Sorry", whole[0].num_thinking_tokens, FinishReason.VERDICT)
        assert early[1:] == whole[1:]
    early = answers(engine, asking(decoding={"early_verdict": True}))
    assert said(early[0]) == ("I cannot see", "Sorry", 5, FinishReason.VERDICT)
    assert early[2].is_unfinished


def test_points_of_a_line_think_as_they_do_alone(
    make_engine: MakeEngine, thinker: Path, asking: Callable[..., Benchmark]
) -> None:
    engine: Any = make_engine("transformers", thinker)
    vector = RandomVector(seed=3, normalization="layer", excluded=("norm",))
    points = [ORIGIN, *(Perturbation.of([(vector, alpha)]) for alpha in (0.02, -0.3, 1.0))]
    # One that never leaves its thinking, one that is ended, and one that a keyword ends: stages of other lengths.
    benchmarks = [asking(), asking(decoding={"max_thinking_tokens": 4}), asking(decoding={"early_verdict": True})]
    engine.place_points(points)
    together = engine.generate_points(benchmarks)
    for point, found in zip(points, together, strict=True):
        engine.place(point)
        assert found == engine.generate(benchmarks)
    at_origin = together[0]
    assert [said(each)[:2] for each in at_origin[1][:3]] == [
        ("I cannot see", "Sorry no"),
        ("I cannot see", "Sure thing"),
        ("I cannot see see", "Sure thing"),
    ]
    assert at_origin[0][2].is_unfinished
    assert at_origin[2][0].finish_reason == FinishReason.VERDICT
    assert len({tuple(each.token_ids for each in found[0]) for found in together}) > 1  # points differ


@pytest.mark.slow
def test_thinking_is_ended_as_vllm_ends_it(thinker: Path, asking: Callable[..., Benchmark]) -> None:
    """vLLM's own budget, which it has in some versions and for one mark per engine, is the independent witness."""
    from vllm import SamplingParams  # noqa: PLC0415
    from vllm.config import ReasoningConfig  # noqa: PLC0415

    from landscape_ray.engine.vllm.engine import VllmEngine  # noqa: PLC0415

    marks = ReasoningConfig(reasoning_start_str="<think>", reasoning_end_str="</think>")
    spec = EngineSpec(
        engine="vllm", model=str(thinker), revision=None, dtype="float32", run=RunConfig(kv_cache_gib=0.0625)
    )
    engine = VllmEngine(spec, reasoning_config=marks)
    try:
        for budget in (1, 2, 3, 4, 7):
            for keys in ({}, {"chat_template": OPENED}):
                benchmark = asking(decoding={"max_thinking_tokens": budget}, **keys)
                ours = answers(engine, benchmark)
                theirs = engine._llm.generate(
                    [{"prompt_token_ids": list(job.prompt)} for job in engine._encoder.jobs([benchmark])],
                    SamplingParams(temperature=0, max_tokens=16, stop_token_ids=[2], thinking_token_budget=budget),
                    use_tqdm=False,
                )
                assert [each.token_ids for each in ours] == [tuple(each.outputs[0].token_ids) for each in theirs]
    finally:
        engine.close()


def test_a_model_that_does_not_think_is_asked_as_ever(asking: Callable[..., Benchmark]) -> None:
    plain = asking(reasoning=None)
    assert plain.settled.reasoning is None
    assert replace(plain, settled=replace(plain.settled, asked="")).digest == plain.digest != asking().digest
