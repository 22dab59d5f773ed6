"""A benchmark: named prompts with everything that decides their completions and verdicts."""

import hashlib
import json
from dataclasses import dataclass

from landscape_ray.config import SCORED_METRICS, Metric

__all__ = ["Benchmark", "Prompt"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One user message, one question with several answers, or one text whose likelihood is measured."""

    id: str
    """Unique in its benchmark."""
    text: str
    """What the user says, before the chat template; or the question; or the text to score."""
    context: str = ""
    """What stands directly before a question or a text to score: solved examples, or the beginning of the text."""
    choices: tuple[str, ...] = ()
    """Answers to the question, each as it continues it, such as ` A`."""
    answer: int | None = None
    """Index of the right answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """A prompt set, how it is put to the model, and who judges."""

    name: str
    """As configured."""
    prompts: tuple[Prompt, ...]
    """The prompts in a fixed order, at least one."""
    system_prompt: str | None
    """System message; None: none is given, and a chat template's own default applies."""
    chat_template: str | None
    """Jinja template; None: the tokenizer's own."""
    max_new_tokens: int
    """Upper bound on generated tokens per prompt."""
    metric: Metric
    """What is measured."""
    judge: str
    """Name of the judge."""
    early_verdict: bool = False
    """Whether generations end where the verdict is settled, see `stop_strings`."""

    @property
    def is_scored(self) -> bool:
        """Whether likelihoods of given text are measured, and nothing is generated."""
        return self.metric in SCORED_METRICS

    @property
    def digest(self) -> str:
        """SHA-256 of everything that decides the completions: prompts, template, decoding (not name or judge)."""
        if self.is_scored:
            content: list[object] = [
                [prompt.id, prompt.text, prompt.context, prompt.choices, prompt.answer] for prompt in self.prompts
            ]
        else:
            content = [
                [[prompt.id, prompt.text] for prompt in self.prompts],
                self.system_prompt,
                self.chat_template,
                self.max_new_tokens,
                *(["early verdict"] if self.early_verdict else []),
            ]
        return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()
