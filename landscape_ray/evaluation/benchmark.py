"""A benchmark: named prompts with everything that decides their completions and verdicts."""

import hashlib
import json
from dataclasses import dataclass

from landscape_ray.config import GENERATED_METRICS, SCORED_METRICS, Metric
from landscape_ray.evaluation.reasoning import Reasoning

__all__ = ["Benchmark", "Prompt", "Settled", "Turn"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One message of a conversation."""

    role: str
    """Who says it: `system`, `user` or `assistant`."""
    content: str
    """What is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What a user says, one question with several answers, or one text whose likelihood is measured."""

    id: str
    """Unique in its benchmark."""
    text: str
    """What the user says, before the chat template; or a conversation as one text, see `as_text`; or the question; or
    the text to score."""
    context: str = ""
    """What stands directly before a question or a text to score: solved examples, or the beginning of the text."""
    choices: tuple[str, ...] = ()
    """Answers to the question, each as it continues it, such as ` A`."""
    answer: int | None = None
    """Index of the right answer."""
    turns: tuple[Turn, ...] = ()
    """A conversation up to the user's last message; empty: the text alone is what the user says."""

    prefill: str = ""
    """Beginning of the model's answer, which is given to it."""

    sample: int | None = None
    """Which of several answers that are drawn to the same prompt, from 0; None: the answer is decoded greedily."""

    @property
    def last_said(self) -> str:
        """What the user says last."""
        return self.turns[-1].content if self.turns else self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What of a benchmark only the model's tokenizer and chat template can say. The default: nothing was."""

    asked: str = ""
    """SHA-256 of the request that this is the answer to."""
    reasoning: Reasoning | None = None
    """The marks around the model's thinking; None: it does not think, or what it thinks is part of its answer."""
    date: str | None = None
    """The day that the chat template is told, ISO 8601; None: it does not ask."""
    rendered: str | None = None
    """SHA-256 of the prompts as the chat template renders them, where they depend on the day."""
    turn_end: str | None = None
    """A token that ends the model's turn by the chat template, and that the checkpoint does not list as one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """A prompt set, how it is put to the model, and who judges."""

    name: str
    """As configured."""
    prompts: tuple[Prompt, ...]
    """The prompts in a fixed order, at least one; each as often, one after the other, as answers to it are drawn."""
    system_prompt: str | None
    """System message; None: none is given, and a chat template's own default applies."""
    chat_template: str | None
    """Jinja template; None: the tokenizer's own."""
    max_new_tokens: int
    """Upper bound on generated tokens per prompt."""
    metric: Metric
    """What is measured."""
    judge: str
    """Name of the judge; of a task of Inspect its version, see `InspectTask`."""
    task: str | None = None
    """The task of Inspect that gives the verdicts, by its name; None: the judge does."""
    early_verdict: bool = False
    """Whether generations end where the verdict is settled, see `stop_strings`."""
    template_arguments: str = "{}"
    """What the chat template gets beside the messages: a JSON object."""
    max_thinking_tokens: int | None = None
    """After so many tokens thinking is ended; None: it is not."""
    temperature: float = 0.0
    """What logits are divided by before tokens are drawn; 0: decoding is greedy."""
    samples: int = 1
    """How many answers are drawn to each prompt."""
    seed: int = 0
    """Where draws begin."""
    settled: Settled = Settled()
    """What the model's tokenizer and chat template decide."""

    @property
    def num_prompts(self) -> int:
        """How many different prompts there are, where all answers to be drawn are here."""
        return len(self.prompts) // self.samples

    def seed_of(self, prompt: Prompt) -> int | None:
        """Return the seed of one answer, the same in every batch and at every point; None where nothing is drawn."""
        if not self.temperature:
            return None
        named = json.dumps(["landscape-ray/sample", self.seed, prompt.id, prompt.sample])
        return int.from_bytes(hashlib.sha256(named.encode()).digest()[:8], "big") >> 1

    @property
    def is_scored(self) -> bool:
        """Whether likelihoods of given text are measured, and nothing is generated."""
        return self.metric in SCORED_METRICS

    @property
    def is_generated(self) -> bool:
        """Whether answers are generated, for a judge."""
        return self.metric in GENERATED_METRICS

    @property
    def is_compared(self) -> bool:
        """Whether the first token of answers is compared with the origin, and nothing else is generated."""
        return self.metric == "first_token_kl"

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
                *self._later_additions(),
            ]
        return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()

    def _later_additions(self) -> list[object]:
        """Return what came after the first results and decides completions; nothing of what a benchmark leaves out."""
        chat = self.settled
        conversations = [[[turn.role, turn.content] for turn in prompt.turns] for prompt in self.prompts]
        prefills = [prompt.prefill for prompt in self.prompts]
        marks = chat.reasoning and [chat.reasoning.start, chat.reasoning.end, chat.reasoning.closing]
        return [
            *([["template arguments", self.template_arguments]] if self.template_arguments != "{}" else []),
            *([["reasoning", marks, self.max_thinking_tokens]] if marks else []),
            *([["date", chat.date, chat.rendered]] if chat.rendered else []),
            *([["end of turn", chat.turn_end]] if chat.turn_end else []),
            *([["conversations", conversations]] if any(conversations) else []),
            *([["prefills", prefills]] if any(prefills) else []),
            *([["sampled", self.temperature, self.samples, self.seed]] if self.temperature else []),
        ]
