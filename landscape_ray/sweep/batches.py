"""What an engine is asked at a point: in as many batches as its memory needs, and without prompts on which it fails."""

import itertools
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from landscape_ray.engine import Engine, LineEngine
from landscape_ray.errors import GenerationError
from landscape_ray.evaluation import (
    Benchmark,
    Completion,
    FinishReason,
    FirstTokens,
    LogLikelihood,
    Prompt,
    scored_texts,
)

__all__ = ["first_tokens", "generate", "is_out_of_memory", "log_likelihoods", "log_likelihoods_points"]

logger = logging.getLogger(__name__)

POISONED = Completion(text="", token_ids=(), finish_reason=FinishReason.FAILED)
POISONED_TEXT = LogLikelihood(total=math.nan, token_ids=())
POISONED_TOKENS = FirstTokens(token_ids=(), log_probabilities=())

Item = TypeVar("Item")
Answer = TypeVar("Answer")


def generate(engine: Engine, benchmarks: list[Benchmark], num_batches: int) -> list[tuple[Completion, ...]]:
    """Generate in so many batches, each with its share of every benchmark, in the benchmarks' order.

    A prompt on which the engine fails, while it does the others, is marked and fails nothing else.

    Raises:
        GenerationError: The engine failed, and no single prompt is to blame.
    """
    completions: list[tuple[Completion, ...]] = [() for _ in benchmarks]
    for batch in range(num_batches):
        shares = [replace(b, prompts=_share(b.prompts, batch, num_batches)) for b in benchmarks]
        try:
            answers = engine.generate(shares)
        except GenerationError as error:
            if is_out_of_memory(error):
                raise
            logger.warning("A batch failed, is a single prompt to blame? %s", error)
            singles = [replace(b, prompts=(prompt,)) for b in shares for prompt in b.prompts]
            found = iter(_without_poison(partial(_generate_singles, engine), singles, POISONED, _agree, error))
            answers = [tuple(itertools.islice(found, len(b.prompts))) for b in shares]
        completions = [sofar + more for sofar, more in zip(completions, answers, strict=True)]
    return completions


def log_likelihoods(
    engine: Engine, benchmarks: Sequence[Benchmark], num_batches: int
) -> list[tuple[LogLikelihood | None, ...]]:
    """Score the texts of all benchmarks in so many batches, in the benchmarks' order.

    A text on which the engine fails, while it scores the others, is marked and fails nothing else.

    Raises:
        GenerationError: The engine failed, and no single text is to blame.
    """
    texts = [scored_texts(benchmark) for benchmark in benchmarks]
    together = tuple(itertools.chain.from_iterable(texts))
    found: list[LogLikelihood | None] = []
    for batch in range(num_batches):
        share = _share(together, batch, num_batches)
        try:
            found += engine.log_likelihoods(share)
        except GenerationError as error:
            if is_out_of_memory(error):
                raise
            logger.warning("A batch failed, is a single text to blame? %s", error)
            found += _without_poison(engine.log_likelihoods, share, POISONED_TEXT, _alike, error)
    rest = iter(found)
    return [tuple(itertools.islice(rest, len(own))) for own in texts]


def log_likelihoods_points(
    engine: LineEngine, benchmarks: Sequence[Benchmark]
) -> list[list[tuple[LogLikelihood | None, ...]]]:
    """Score the texts of all benchmarks at all points that the engine is at, in the benchmarks' order.

    Raises:
        GenerationError: The engine failed.
    """
    texts = [scored_texts(benchmark) for benchmark in benchmarks]
    rests = map(iter, engine.log_likelihoods_points(tuple(itertools.chain.from_iterable(texts))))
    return [[tuple(itertools.islice(rest, len(own))) for own in texts] for rest in rests]


def first_tokens(
    engine: Engine, benchmark: Benchmark, wanted: Sequence[Sequence[int]] | None, num_batches: int
) -> list[FirstTokens | None]:
    """Ask for the first tokens of a benchmark's answers in so many batches; see `Engine.first_tokens`.

    A prompt on which the engine fails, while it reads the others, has no tokens and fails nothing else.

    Raises:
        GenerationError: The engine failed, and no single prompt is to blame.
    """

    def ask(items: Sequence[tuple[Prompt, Sequence[int]]]) -> list[FirstTokens | None]:
        share = replace(benchmark, prompts=tuple(prompt for prompt, _ in items))
        return engine.first_tokens(share, None if wanted is None else [tokens for _, tokens in items])

    together = tuple(zip(benchmark.prompts, wanted or [()] * len(benchmark.prompts), strict=True))
    found: list[FirstTokens | None] = []
    for batch in range(num_batches):
        share = _share(together, batch, num_batches)
        try:
            found += ask(share)
        except GenerationError as error:
            if is_out_of_memory(error):
                raise
            logger.warning("A batch failed, is a single prompt to blame? %s", error)
            found += _without_poison(ask, share, POISONED_TOKENS, _similar, error)
    return found


def is_out_of_memory(error: BaseException | None) -> bool:
    """Tell whether memory ran out, here or in a cause. torch's error is known by name: torch is not ours to import."""
    if error is None:
        return False
    named = isinstance(error, MemoryError) or type(error).__name__ in {"OutOfMemoryError", "TorchOutOfMemoryError"}
    return named or is_out_of_memory(error.__cause__)


def _share(items: tuple[Item, ...], batch: int, num_batches: int) -> tuple[Item, ...]:
    return items[len(items) * batch // num_batches : len(items) * (batch + 1) // num_batches]


def _generate_singles(engine: Engine, singles: Sequence[Benchmark]) -> list[Completion]:
    return [completion for (completion,) in engine.generate(list(singles))]


def _agree(first: Completion, second: Completion) -> bool:
    """Tell whether two completions are equal, and an engine's own: a prompt that is too long is never shown to it."""
    return first == second and first.finish_reason is not FinishReason.PROMPT_TOO_LONG


def _alike(first: LogLikelihood | None, second: LogLikelihood | None) -> bool:
    """Tell whether two likelihoods are of one text that fits; their last bits depend on what else is in a batch."""
    if first is None or second is None:
        return False
    return first.token_ids == second.token_ids and math.isclose(first.total, second.total, rel_tol=0.05, abs_tol=0.05)


def _similar(first: FirstTokens | None, second: FirstTokens | None) -> bool:
    """Tell whether two answers are of one prompt that fits; their last bits depend on what else is in a batch."""
    if first is None or second is None:
        return False
    return math.isclose(first.log_probabilities[0], second.log_probabilities[0], rel_tol=0.05, abs_tol=0.05)


def _without_poison(
    ask: Callable[[Sequence[Item]], list[Answer]],
    items: Sequence[Item],
    poisoned: Answer,
    agree: Callable[[Answer, Answer], bool],
    error: GenerationError,
) -> list[Answer]:
    """Have a batch answered that has failed, by halves, so that the items on which the engine fails are found.

    They are only to blame if the engine fails on each once more, and does another one twice with answers that agree.
    Otherwise it is the engine that is at fault.
    """
    answers = _by_halves(ask, items, poisoned)
    poison = [item for item, answer in zip(items, answers, strict=True) if answer is poisoned]
    done = next((i for i, answer in enumerate(answers) if answer is not poisoned and agree(answer, answer)), None)
    if done is None or not all(_by_halves(ask, [item], poisoned)[0] is poisoned for item in poison):
        raise error
    (again,) = ask([items[done]])
    if not agree(again, answers[done]):
        raise error
    return answers


def _by_halves(ask: Callable[[Sequence[Item]], list[Answer]], items: Sequence[Item], poisoned: Answer) -> list[Answer]:
    """Have items answered; `poisoned` where the engine fails on one alone."""
    try:
        return ask(items)
    except GenerationError as error:
        if is_out_of_memory(error):
            raise
        if len(items) == 1:
            return [poisoned]
        middle = len(items) // 2
        return _by_halves(ask, items[:middle], poisoned) + _by_halves(ask, items[middle:], poisoned)
