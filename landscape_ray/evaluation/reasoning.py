"""Models that think before they answer: between which marks their thinking stands.

A generation that holds the end mark is thinking up to there, and an answer from there on. One that was begun inside of
the thinking, or holds the start mark, and has no end mark is nothing but thinking. Any other is nothing but an answer.
"""

from dataclasses import dataclass

__all__ = ["CONVENTIONS", "Reasoning", "convention_of", "named", "without_thinking"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reasoning:
    """The marks around a model's thinking, as its tokens spell them."""

    start: str
    """What begins it; may stand in the prompt already."""
    end: str
    """What ends it."""
    closing: str = ""
    """What the model says between its last thought and the end mark."""

    @property
    def both(self) -> tuple[str, str]:
        """The two marks."""
        return self.start, self.end


CONVENTIONS = (
    Reasoning(
        start="<|channel|>analysis<|message|>",
        end="<|channel|>final<|message|>",
        closing="<|end|><|start|>assistant",
    ),
    Reasoning(start="<think>", end="</think>"),
    Reasoning(start="[THINK]", end="[/THINK]"),
    Reasoning(start="<seed:think>", end="</seed:think>"),
    Reasoning(start="<mm:think>", end="</mm:think>"),
    Reasoning(start="<|START_THINKING|>", end="<|END_THINKING|>"),
    Reasoning(start="<|channel>", end="<channel|>"),
    Reasoning(start="<|plamo:begin_think:plamo|>", end="<|plamo:end_think:plamo|>"),
    Reasoning(start="<|open|>think<|sep|>", end="<|close|>think<|sep|>"),
    Reasoning(start="<ifm|think>", end="</ifm|think>"),
    Reasoning(start="<ifm|think_fast>", end="</ifm|think_fast>"),
    Reasoning(start="<ifm|think_faster>", end="</ifm|think_faster>"),
)
"""Marks that models are known by: gpt-oss; DeepSeek, Qwen, GLM, Kimi, OLMo and many more; Mistral; Seed-OSS; MiniMax;
Cohere; Gemma; PLaMo; Kimi K3; K2."""


def convention_of(*templates: str) -> Reasoning | None:
    """Return the marks that chat templates write or take out, by the first template that holds any; None: none does."""
    found = (marks for template in templates for marks in CONVENTIONS if any(m in template for m in marks.both))
    return next(found, None)


def named(start: str, end: str) -> Reasoning:
    """Return the convention with these marks, or marks of one's own."""
    return next((marks for marks in CONVENTIONS if marks.both == (start, end)), Reasoning(start=start, end=end))


def without_thinking(answer: str) -> str:
    """Return a text that a model gave without what it thought before, by any of the conventions; unchanged if none."""
    for marks in CONVENTIONS:
        _, end, rest = answer.partition(marks.end)
        if end:
            return rest.lstrip()
    return answer
