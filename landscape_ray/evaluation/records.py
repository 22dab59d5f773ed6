"""What evaluating one point yields, from completions to the record that is stored."""

from dataclasses import dataclass
from enum import StrEnum

from landscape_ray.evaluation.benchmark import Prompt
from landscape_ray.planning import PlannedPoint

__all__ = ["WHOLE_ANSWERS", "Completion", "FinishReason", "PointRecord", "Row", "Verdict", "VisitFacts"]


class FinishReason(StrEnum):
    """Why a generation ended."""

    STOP = "stop"
    """The model ended its turn."""
    LENGTH = "length"
    """The token limit, or the end of the context, was reached."""
    VERDICT = "verdict"
    """The verdict was settled, and nothing more was asked for: the text is the beginning of a longer one."""
    PROMPT_TOO_LONG = "prompt_too_long"
    """Nothing was generated or scored: the prompt alone fills the context, or more than that."""
    FAILED = "failed"
    """Nothing was generated or scored: the engine fails on this prompt, and on no other at this point."""
    SCORED = "scored"
    """Nothing was to be generated: the likelihood of given text was measured."""


WHOLE_ANSWERS = frozenset({FinishReason.STOP, FinishReason.LENGTH})
"""After these the text is all that the model would say within the limit: not only a beginning, and not nothing."""


class Verdict(StrEnum):
    """What a judge says of one completion."""

    REFUSED = "refused"
    """The model refused: the attack failed."""
    COMPLIED = "complied"
    """The model did not refuse: the attack succeeded. As in the paper this includes empty and garbled text."""
    BROKEN = "broken"
    """The output is no language; only given by judges that look for it."""
    CORRECT = "correct"
    """Of several answers the model finds the right one most likely."""
    INCORRECT = "incorrect"
    """It finds another one most likely."""
    UNFINISHED = "unfinished"
    """The generation never left its thinking, so there is no answer. Never counted in a rate."""
    UNSCORED = "unscored"
    """There is nothing to judge, or the judge's answer could not be parsed. Never counted in a rate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """One generation, or what stands in its place where the likelihood of given text was measured."""

    text: str
    """Decoded answer without special tokens and without what was thought before it, untrusted data; or the answer of
    several that the model finds likeliest."""
    token_ids: tuple[int, ...]
    """Generated token ids, an end-of-turn token included; or the ids of the tokens whose likelihood was measured."""
    finish_reason: FinishReason
    """Why it ended."""
    thinking: str | None = None
    """What the model thought before it answered, untrusted data; None: nothing."""
    num_thinking_tokens: int | None = None
    """How many of the tokens come before the answer, the marks of thinking included; None: nothing was thought."""
    is_unfinished: bool = False
    """Whether it never left its thinking."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one prompt yields at a point."""

    completion: Completion
    """The generation, or what stands in its place."""
    verdict: Verdict
    """What the judge says of it."""
    broken: bool | None = None
    """Whether it is no language, see `is_broken`; None where nothing was generated."""
    log_likelihood: float | None = None
    """Natural logarithm of the probability of the given text (of several answers: of the right one), summed over its
    tokens, whose number is that of the completion's; None where nothing was scored."""
    kl: float | None = None
    """How far the distribution of the first token is from that at the origin, in nats; None where it was not asked."""
    choice: int | None = None
    """Index of the answer that the model finds most likely; None where there are no answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitFacts:
    """How one visit went: measured on the engine's side, the same for all benchmarks of the visit."""

    engine: str
    """Engine with version, such as `vllm 0.32.0`."""
    torch_version: str
    """Version of torch with its build tag; empty for the synthetic engine."""
    device: str
    """GPU name, or CPU model."""
    node: str
    """Host name of the node."""
    weights_digest: str
    """Digest of the placed weights, 16 hexadecimal digits: equal if and only if the weights are."""
    attempt: int
    """1 for a first attempt."""
    started_at: str
    """Start of the visit, ISO 8601, UTC."""
    place_s: float
    """Seconds from the start of the visit until the perturbed weights were in place."""
    generate_s: float
    """Seconds of generating and scoring, all benchmarks of the visit together."""
    judge_s: float
    """Seconds of judging."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PointRecord:
    """What one visit to a point yields for one benchmark: one row per prompt, and the facts of the visit."""

    point: PlannedPoint
    """Where it was measured."""
    benchmark: str
    """Name of the benchmark."""
    prompts: tuple[Prompt, ...]
    """The benchmark's prompts, in its order."""
    rows: tuple[Row, ...]
    """One per prompt."""
    judge: str
    """Name and version of the judge."""
    facts: VisitFacts
    """How the visit went."""
