"""What an engine is asked to generate, prompt by prompt: `Job`; and how thinking and answering become stages of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from landscape_ray.evaluation import Reasoning

if TYPE_CHECKING:
    from landscape_ray.engine.tokens.encoding import PromptEncoder

__all__ = ["Decoded", "Job", "batched", "in_stages"]

Item = TypeVar("Item")
Decoded: TypeAlias = tuple[list[int], bool]
"""What was generated for a job: its tokens, and whether it was ended because a stop string occurred."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A prompt to complete."""

    prompt: tuple[int, ...]
    """Its token ids."""
    max_tokens: int
    """Where to end at the latest; none may be left."""
    stop_token_ids: tuple[int, ...]
    """Tokens that end it."""
    stop_strings: tuple[str, ...] = ()
    """Text that ends it: of the answer, see `evaluation.stop_strings`; in a stage of thinking, of all that is said."""
    in_marks: bool = False
    """Whether stop strings are looked for in text with special tokens."""
    temperature: float = 0.0
    """What logits are divided by before a token is drawn; 0: the likeliest one is taken."""
    seed: int | None = None
    """What its draws follow from; None: nothing is drawn."""
    continues: bool = False
    """Whether the prompt ends with the beginning of the answer."""
    reasoning: Reasoning | None = None
    """The marks around the model's thinking, if it may think."""
    begins_thinking: bool = False
    """Whether the prompt ends inside of the thinking."""
    num_thought: int = 0
    """How many tokens of thinking the prompt holds already."""
    max_thinking_tokens: int | None = None
    """After so many tokens thinking is ended."""
    point: int = 0
    """At which of the points that the engine is at."""

    @property
    def is_staged(self) -> bool:
        """Whether what comes after the thinking is to be generated otherwise than the thinking."""
        return self.reasoning is not None and bool(self.stop_strings or self.max_thinking_tokens)


def batched(items: list[Item], size: int) -> list[list[Item]]:
    """Return items in lists of so many, the last one of the rest."""
    return [items[first : first + size] for first in range(0, len(items), size)]


def in_stages(
    jobs: Sequence[Job], decode: Callable[[Sequence[Job]], list[Decoded]], encoder: "PromptEncoder"
) -> list[Decoded]:
    """Complete jobs; where it makes a difference, first the thinking, and then the answer after it.

    Text that ends an answer says nothing within the thinking, and thinking that takes too long is ended as if the model
    had ended it itself: with the end mark.

    Args:
        jobs: What to complete.
        decode: Completes jobs, without regard to `reasoning`.
        encoder: Tells what tokens say.
    """
    found = decode([_first_stage(job, encoder) if job.is_staged else job for job in jobs])
    later: dict[int, Job] = {}
    for place, job in enumerate(jobs):
        if job.is_staged:
            found[place] = (_closed(job, found[place][0], encoder), False)
            if (rest := _second_stage(job, found[place][0], encoder)) is not None:
                later[place] = rest
    answers = decode(list(later.values())) if later else []
    for place, (tokens, is_cut) in zip(later, answers, strict=True):
        found[place] = ([*found[place][0], *tokens], is_cut)
    return found


def _most_thinking(job: Job, encoder: "PromptEncoder") -> int:
    """Return after how many tokens of a generation its thinking is ended."""
    if job.reasoning is None or job.max_thinking_tokens is None:
        return job.max_tokens
    ahead = -job.num_thought if job.begins_thinking else len(encoder.spell(job.reasoning.start))
    return min(job.max_tokens, max(1, job.max_thinking_tokens + ahead))


def _first_stage(job: Job, encoder: "PromptEncoder") -> Job:
    marks = (job.reasoning.end,) if job.reasoning else ()
    return replace(job, max_tokens=_most_thinking(job, encoder), stop_strings=marks, in_marks=True)


def _closed(job: Job, tokens: list[int], encoder: "PromptEncoder") -> list[int]:
    """Return the tokens of the first stage, with the end mark where thinking has taken too long."""
    marks = job.reasoning
    if marks is None or job.max_thinking_tokens is None or len(tokens) < _most_thinking(job, encoder):
        return tokens
    said = encoder.text_in_marks(tokens)
    is_over = tokens[-1] in job.stop_token_ids or marks.end in said
    if is_over or not (job.begins_thinking or marks.start in said):
        return tokens
    return [*tokens, *encoder.spell(marks.closing + marks.end)][: job.max_tokens]


def _second_stage(job: Job, tokens: list[int], encoder: "PromptEncoder") -> Job | None:
    """Return what is left to generate: the answer, or the rest of a generation without thinking; None: nothing."""
    if len(tokens) >= job.max_tokens or tokens[-1] in job.stop_token_ids:
        return None
    has_ended = job.reasoning is not None and job.reasoning.end in encoder.text_in_marks(tokens)
    return replace(
        job,
        prompt=(*job.prompt, *tokens),
        max_tokens=job.max_tokens - len(tokens),
        stop_strings=job.stop_strings if has_ended else (),
    )
