"""Judging as a pass of its own over stored generations: what a judge is given, and what it gives back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from landscape_ray.evaluation.judge import judge_named
from landscape_ray.evaluation.records import Completion, FinishReason, Verdict

__all__ = ["MAX_ANSWER_CHARS", "Exchange", "ExchangeJudge", "Judgment", "KeywordExchangeJudge", "Receive"]

MAX_ANSWER_CHARS = 4000
"""Longer answers of judges are cut when they are stored; none that a parser accepts is longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A request and what the model under test answered. Both are untrusted data."""

    prompt: str
    """What the user said, before the chat template."""
    completion: str
    """What the model generated."""
    prefill: str = ""
    """What the answer was begun with before."""

    @property
    def answer(self) -> str:
        """The answer from its beginning, as a user reads it."""
        return self.prefill + self.completion


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgment:
    """What a judge says of one exchange."""

    verdict: Verdict
    """Refused, complied, broken or unscored."""
    answer: str | None
    """The judge's own words, as they came; None: it was not asked, or gave none. Untrusted data."""
    refusal: str | None = None
    """Why the judge would not take the question, where it would not; it may take others."""


Receive: TypeAlias = Callable[[int, Judgment], None]
"""Takes the judgment of one exchange, with its place among those asked."""


class ExchangeJudge(Protocol):
    """Judges many exchanges at a time, each on its own."""

    @property
    def judged_with(self) -> str:
        """Software or model that gives the answers, with its version; stored with each verdict."""
        ...

    def judge(self, exchanges: Sequence[Exchange], receive: Receive) -> None:
        """Judge each exchange; hand its judgment over as soon as it is there, in any order.

        Raises:
            UserError: The judge cannot be had as configured.
            GenerationError: The judge failed; asking again may help.
        """
        ...

    def close(self) -> None:
        """Release what the judge holds."""
        ...


class KeywordExchangeJudge:
    """A keyword judge of a sweep, as a pass of its own; it looks at what the model itself said."""

    def __init__(self, name: str) -> None:
        self._judge = judge_named(name)
        self.judged_with = self._judge.version

    def judge(self, exchanges: Sequence[Exchange], receive: Receive) -> None:
        """Judge each exchange; there is no answer to keep."""
        for place, exchange in enumerate(exchanges):
            completion = Completion(text=exchange.completion, token_ids=(), finish_reason=FinishReason.STOP)
            receive(place, Judgment(verdict=self._judge.verdict(completion), answer=None))

    def close(self) -> None:
        """Nothing is held."""
