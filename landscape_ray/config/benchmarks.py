"""`benchmarks`: what is measured at each point."""

import datetime as dt
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from landscape_ray.config.prompts import InspectPrompts, PromptsConfig
from landscape_ray.config.section import Section

__all__ = [
    "GENERATED_METRICS",
    "SCORED_METRICS",
    "BenchmarkConfig",
    "DecodingConfig",
    "Metric",
    "MultipleChoiceConfig",
    "ReasoningConfig",
]


LEAST_TEMPERATURE = 0.01


class DecodingConfig(Section):
    """How completions are decoded: greedily, unless a temperature is given."""

    max_new_tokens: int = Field(default=512, ge=1, le=1_000_000)
    """Upper bound on generated tokens per prompt; the paper uses 512."""
    early_verdict: bool = False
    """End each generation at its first refusal keyword, where the verdict of the keyword judge is settled: the same
    verdicts, sooner. What would have followed is not there for other judges."""
    max_thinking_tokens: int | None = Field(default=None, ge=1)
    """End thinking after so many tokens: the end mark is put in, and the model answers. Null: thinking ends by itself,
    or at `max_new_tokens` without an answer."""

    temperature: float = Field(default=0.0, ge=0.0, le=10.0)
    """0: the likeliest token each time. Above: tokens are drawn, their logits divided by it."""
    samples: int = Field(default=1, ge=1, le=1000)
    """How many answers are drawn to each prompt; it counts as a success if any of them is one."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Where draws begin: each answer has a seed of its own, the hash of this, the prompt's id and its number."""

    @model_validator(mode="after")
    def _check_sampling(self) -> Self:
        if not self.temperature and (self.samples, self.seed) != (1, 0):
            msg = (
                f"samples {self.samples} and seed {self.seed} have no effect at temperature 0, where all answers are "
                "the same; give a temperature, or leave them out"
            )
            raise ValueError(msg)
        if 0 < self.temperature < LEAST_TEMPERATURE:
            msg = f"temperature is {self.temperature:g}; vLLM takes none between 0 and {LEAST_TEMPERATURE:g}"
            raise ValueError(msg)
        if self.temperature and (self.early_verdict or self.max_thinking_tokens is not None):
            msg = (
                "early_verdict and max_thinking_tokens begin a generation anew where it was left, and drawn answers "
                "would begin with the same draws again; leave them out, or set temperature to 0"
            )
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _check_thinking(self) -> Self:
        if self.max_thinking_tokens is not None and self.max_thinking_tokens >= self.max_new_tokens:
            msg = (
                f"max_thinking_tokens is {self.max_thinking_tokens}, which leaves no room for an answer in "
                f"max_new_tokens, {self.max_new_tokens}"
            )
            raise ValueError(msg)
        return self


class MultipleChoiceConfig(Section):
    """How questions with several answers are put to the model, for the metric `accuracy`."""

    answers: Literal["letters", "texts"] = "letters"
    """`letters`: the answers are listed under the question, and the model says a letter (as in MMLU). `texts`: they
    are not listed, and each one is scored as the continuation of the question (as in HellaSwag)."""
    choices_column: str = "choices"
    """Column with the list of answers, or with both lists as `{text: [...], label: [...]}`, as in ARC; in a CSV file as
    JSON."""
    labels_column: str | None = None
    """Column with the list of the answers' labels, as text or numbers. Null: those beside the answers, if there are."""
    answer_column: str = "answer"
    """Column with the right answer: its label where there are labels; else its letter, or its number, in all rows the
    same."""
    first_number: Literal[0, 1] = 0
    """Number of the first answer, where right answers without labels are numbers."""
    description: str = ""
    """What stands before everything, such as the subject of the questions."""
    examples: PromptsConfig | None = None
    """Where solved examples come from, which stand before each question; null: none."""
    num_examples: int = Field(default=5, ge=1)
    """How many of them, the first ones."""


Metric: TypeAlias = Literal["asr", "over_refusal", "accuracy", "perplexity", "first_token_kl", "task_accuracy"]


GENERATED_METRICS: frozenset[Metric] = frozenset({"asr", "over_refusal", "task_accuracy"})
"""Metrics of generated answers, on which a judge or a task gives verdicts."""
SCORED_METRICS: frozenset[Metric] = frozenset({"accuracy", "perplexity"})
"""Metrics of the likelihood of given text: nothing is generated for them."""


class ReasoningConfig(Section):
    """The marks around a model's thinking, as its tokens spell them."""

    start: str = Field(min_length=1)
    """What begins it, such as `<think>`."""
    end: str = Field(min_length=1)
    """What ends it, such as `</think>`."""


class BenchmarkConfig(Section):
    """One named prompt set with everything that decides its completions and verdicts."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,47}$")
    """Short name used in file names and figures: lower case letters, digits, `-` and `_`."""
    prompts: PromptsConfig
    """Where the prompts come from."""
    limit: int | None = Field(default=None, ge=1)
    """Use the first so many prompts; the paper uses 80 of AdvBench for landscapes. Null: all."""
    template: str | None = None
    """Text of a prompt with columns of its row in braces, such as `{goal} {suffix}`; null: the column alone."""
    messages_column: str | None = None
    """Column with conversations of several turns, each a list of `{role: ..., content: ...}` that ends with the user's
    message; in a CSV file as JSON. Null: each prompt is one message of the user."""
    prefill: str | None = None
    """Beginning of the model's answer that is put into its mouth, with columns in braces, such as `{target}`; what it
    goes on with is the completion. Null: the model begins itself."""
    context: str | None = None
    """For `perplexity`: text before each prompt that is not scored itself, with columns in braces. Null: none."""
    system_prompt: str | None = None
    """System message. Null: none given, so that a chat template's own default applies; `shipped:NAME`: a text of the
    package; `file:PATH`: the content of a file."""
    system_prompts: dict[Annotated[str, Field(pattern=r"^[a-z0-9_-]+$")], str | None] = {}
    """Several system messages, each under a name of its own: each makes a benchmark `<name>-<its name>` of the same
    prompts."""
    chat_template: str | None = None
    """Jinja chat template; null: the tokenizer's own."""
    chat_template_kwargs: dict[str, str | int | float | bool | None] = {}
    """What the chat template gets beside the messages, such as `{enable_thinking: false}`. A name that it never looks
    at is an error."""
    reasoning: Literal["auto"] | ReasoningConfig | None = "auto"
    """Where the model thinks before it answers; verdicts are on the answer. `auto`: known from the chat template.
    Null: what it thinks is part of its answer."""
    date: dt.date | None = None
    """The day that a chat template is told which prints the date, for the whole sweep; an error if it asks for none.
    Null: the day on which the sweep was begun (UTC)."""
    decoding: DecodingConfig = DecodingConfig()
    """Decoding."""
    metric: Metric = "asr"
    """What is measured. `asr`: share of prompts that are not refused. `over_refusal`: share of harmless prompts that
    are refused. `accuracy`: share of questions whose right answer is found most likely. `perplexity`: of given
    texts. `first_token_kl`: how far the first token of answers to harmless prompts is from that at the origin.
    `task_accuracy`: share of the samples of an Inspect task whose answers its own scorer calls right."""
    judge: Literal["keyword", "keyword-2"] = "keyword"
    """Who decides: `keyword`, the paper's list of refusal keywords; `keyword-2`, refusals of today's models
    (`docs/judges.md`)."""
    multiple_choice: MultipleChoiceConfig = MultipleChoiceConfig()
    """For `accuracy`: how questions are put."""
    primary: bool | str = False
    """Whether this is how the model is meant to be used, so that its score is the headline; of several
    `system_prompts` the name of that one. At most one benchmark is; without any it is the first of metric `asr`."""

    @model_validator(mode="after")
    def _check_that_keys_apply(self) -> Self:
        scored, generated = self.metric in SCORED_METRICS, self.metric in GENERATED_METRICS
        is_task = self.metric == "task_accuracy"
        if is_task != isinstance(self.prompts, InspectPrompts):
            msg = "prompts of source inspect are of metric task_accuracy, and no other prompts are"
            raise ValueError(msg)
        if is_task and self.decoding.early_verdict:
            msg = "early_verdict looks for refusals, and verdicts of metric task_accuracy are the task's; leave it out"
            raise ValueError(msg)
        if is_task and self.decoding.temperature:
            msg = "answers to a task of Inspect are decoded greedily; leave decoding.temperature out"
            raise ValueError(msg)
        idle = {
            **dict.fromkeys(("system_prompt", "system_prompts", "messages_column"), scored or is_task),
            **dict.fromkeys(("judge", "prefill"), not generated or is_task),
            **dict.fromkeys(("decoding", "reasoning"), not generated),
            **dict.fromkeys(("chat_template", "chat_template_kwargs", "date"), scored),
            "template": is_task,
            "context": self.metric != "perplexity",
            "multiple_choice": self.metric != "accuracy",
        }
        fields = type(self).model_fields
        if given := [key for key, is_idle in idle.items() if is_idle and getattr(self, key) != fields[key].default]:
            msg = f"{' and '.join(given)} would have no effect with metric {self.metric}; leave it out"
            raise ValueError(msg)
        if self.messages_column is not None and self.template is not None:
            msg = "messages_column takes conversations as they are, and template makes one message; give one of them"
            raise ValueError(msg)
        if self.system_prompts and self.system_prompt is not None:
            msg = "give either system_prompt or system_prompts"
            raise ValueError(msg)
        if self.primary not in (False, *(self.system_prompts or (True,))):
            what = f"the name of one of the system_prompts, {', '.join(self.system_prompts)}"
            msg = f"primary is {self.primary!r}; give {what if self.system_prompts else 'true or false'}"
            raise ValueError(msg)
        return self

    def expanded(self) -> "tuple[BenchmarkConfig, ...]":
        """Return one benchmark for each of several system prompts, or this one alone."""
        if not self.system_prompts:
            return (self,)
        common = self.model_dump(exclude={"name", "system_prompt", "system_prompts", "primary"})
        return tuple(
            BenchmarkConfig(name=f"{self.name}-{name}", system_prompt=prompt, primary=name == self.primary, **common)
            for name, prompt in self.system_prompts.items()
        )
