"""What a user asks for: `SweepConfig`, and how it is read from YAML, the environment and `--set`.

A configuration has two halves. The *science* half (everything but `run`) says what is measured; its hash is the
`sweep_id`. The `run` half says how: cluster size, retries, memory. It may change between resumes of one sweep.
"""

import datetime as dt
import difflib
import hashlib
import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)

from landscape_ray.errors import ConfigError, in_brief

__all__ = [
    "SCORED_METRICS",
    "AdaptiveConfig",
    "AdvBenchPrompts",
    "AxisConfig",
    "BenchmarkConfig",
    "CheckpointConfig",
    "DecodingConfig",
    "DemoPrompts",
    "DirectionsConfig",
    "FilePrompts",
    "HubPrompts",
    "InterpolationLandscape",
    "InterpolationRandomLandscape",
    "LandscapeConfig",
    "Metric",
    "ModelConfig",
    "MultipleChoiceConfig",
    "PlaneLandscape",
    "PromptsConfig",
    "RandomLandscape",
    "ReasoningConfig",
    "RunConfig",
    "SweepConfig",
    "SyntheticFaults",
    "load_config",
    "problems_of",
]

ENVIRONMENT_PREFIX = "LANDSCAPE_RAY__"


class Section(BaseModel):
    """One frozen section of the configuration; an unknown key is an error that lists the valid ones."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, data: Any) -> Any:
        if isinstance(data, Mapping):
            valid = list(cls.model_fields)
            for key in data:
                if key not in valid:
                    near = difflib.get_close_matches(str(key), valid, n=1)
                    hint = f" (did you mean {near[0]!r}?)" if near else ""
                    msg = f"unknown key {key!r}{hint}; valid keys here: {', '.join(valid)}"
                    raise ValueError(msg)
        return data


class ModelConfig(Section):
    """The aligned model at the centre of the landscape."""

    id: str = Field(min_length=1)
    """A Hub id, a folder with safetensors, or `demo:aligned` / `demo:finetuned` for the embedded models."""
    revision: str | None = None
    """Branch, tag or commit on the Hub; resolved to a commit before anything is measured. Null: the default branch."""


class CheckpointConfig(Section):
    """A further checkpoint of the same architecture, whose difference from the model is a direction."""

    id: str = Field(min_length=1)
    """As `model.id`; or a PEFT LoRA adapter (folder, Hub id, or `demo:adapter` of the embedded model), which stands for
    the model with the adapter merged."""
    revision: str | None = None
    """Branch, tag or commit on the Hub, as `model.revision`."""
    name: str | None = Field(default=None, min_length=1)
    """How figures and tables call it; null: its id and revision."""

    @property
    def label(self) -> str:
        """What figures and tables call it."""
        return self.name or (f"{self.id}@{self.revision}" if self.revision else self.id)


class AxisConfig(Section):
    """Evenly spaced coordinates along one direction."""

    start: float = -0.5
    """First coordinate (a random direction's is a fraction of each tensor's norm under `layer` normalization)."""
    stop: float = 0.5
    """Last coordinate, included."""
    num: int = Field(default=21, ge=1, le=100_001)
    """Number of coordinates, odd or even. 0 is measured in any case: the origin is always visited."""

    @model_validator(mode="after")
    def _check_range(self) -> Self:
        if not (abs(self.start) < float("inf") and abs(self.stop) < float("inf")):
            msg = f"axis from {self.start} to {self.stop} is not finite"
            raise ValueError(msg)
        if self.num > 1 and self.stop <= self.start:
            msg = f"axis from {self.start} to {self.stop} is empty; stop must be larger than start"
            raise ValueError(msg)
        if self.num == 1 and self.stop != self.start:
            msg = f"an axis of one point needs start == stop, not {self.start} and {self.stop}"
            raise ValueError(msg)
        return self


# Far enough to see the basins of both checkpoints (0 and 1), and the walls behind them.
BEYOND_BOTH = AxisConfig(start=-0.5, stop=1.5, num=21)


class _Landscape(Section):
    """What all kinds of landscape have in common."""

    origin_repeats: int = Field(default=2, ge=1, le=64)
    """How often the origin is measured (on different engines where possible); the spread is the noise floor."""
    wall_repeats: int = Field(default=1, ge=1, le=64)
    """How often the point nearest to the wall is measured, where verdicts flip most; 2 or more give the noise floor
    there. It is the point of the first draw whose attack success rate is nearest to 50 %, and is measured again when
    that draw is."""


class _CheckpointLandscape(_Landscape):
    """What landscapes through further checkpoints have in common."""

    marked: tuple[CheckpointConfig, ...] = ()
    """Further checkpoints, such as those of each epoch of a finetuning, to be projected on the axes that lead to
    checkpoints, and marked there."""


class RandomLandscape(_Landscape):
    """A landscape along random directions (Peng et al. 2024, Eq. 1 and Eq. 3)."""

    kind: Literal["random"] = "random"
    """The kind of landscape."""
    axes: tuple[AxisConfig, ...] = Field(default=(AxisConfig(),), min_length=1, max_length=2)
    """One axis for a 1-D landscape, two for a 2-D landscape."""


class InterpolationLandscape(_CheckpointLandscape):
    """The line through the model, at 0, and another checkpoint, at 1 (Peng et al. 2024, Eq. 1)."""

    kind: Literal["interpolation"]
    """The kind of landscape."""
    to: CheckpointConfig
    """The checkpoint at 1."""
    axes: tuple[AxisConfig, ...] = Field(default=(BEYOND_BOTH,), min_length=1, max_length=1)
    """The axis, in steps from the model to the checkpoint."""

    @property
    def endpoints(self) -> tuple[CheckpointConfig, ...]:
        """Checkpoints whose differences from the model are axes, in axis order."""
        return (self.to,)


class InterpolationRandomLandscape(_CheckpointLandscape):
    """A 2-D landscape: towards another checkpoint, and along a random direction."""

    kind: Literal["interpolation-random"]
    """The kind of landscape."""
    to: CheckpointConfig
    """The checkpoint at (1, 0)."""
    axes: tuple[AxisConfig, ...] = Field(default=(BEYOND_BOTH, AxisConfig()), min_length=2, max_length=2)
    """First the axis towards the checkpoint, then the random one."""

    @property
    def endpoints(self) -> tuple[CheckpointConfig, ...]:
        """Checkpoints whose differences from the model are axes, in axis order."""
        return (self.to,)


class PlaneLandscape(_CheckpointLandscape):
    """The plane through the model and two other checkpoints (Peng et al. 2024, Eq. 4)."""

    kind: Literal["plane"]
    """The kind of landscape."""
    through: tuple[CheckpointConfig, CheckpointConfig]
    """Two checkpoints. The first lies at (1, 0)."""
    gram_schmidt: bool = True
    """Make the second axis orthogonal to the first, as the paper says; the second checkpoint then lies at (p, 1), where
    p is its projection. False: it lies at (0, 1), which is what the authors' code computes."""
    axes: tuple[AxisConfig, ...] = Field(default=(BEYOND_BOTH, BEYOND_BOTH), min_length=2, max_length=2)
    """The axes, in steps from the model."""

    @property
    def endpoints(self) -> tuple[CheckpointConfig, ...]:
        """Checkpoints whose differences from the model are axes, in axis order."""
        return self.through


def _kind(landscape: Any) -> Any:
    """Return the kind of a landscape; the random one need not say so."""
    return landscape.get("kind", "random") if isinstance(landscape, Mapping) else getattr(landscape, "kind", None)


LandscapeConfig: TypeAlias = Annotated[
    Annotated[RandomLandscape, Tag("random")]
    | Annotated[InterpolationLandscape, Tag("interpolation")]
    | Annotated[InterpolationRandomLandscape, Tag("interpolation-random")]
    | Annotated[PlaneLandscape, Tag("plane")],
    Discriminator(
        _kind,
        custom_error_type="landscape_kind",
        custom_error_message="a landscape is of kind 'random', 'interpolation', 'interpolation-random' or 'plane'",
    ),
]


class AdaptiveConfig(Section):
    """Measure a part of the grid, chosen as results come in, and estimate the full grid's score from it.

    A coarse lattice comes first, finer ones follow where the landscape changes, and a random sample of the points left
    out keeps the estimate unbiased. Points measured are the same as in a full sweep, and a full sweep reuses them.
    """

    fraction: float = Field(default=0.45, gt=0, le=1)
    """Share of each draw's grid points to measure."""
    stride: int = Field(default=4, ge=2, le=64)
    """The first lattice holds every so many coordinates of each axis; a power of two. 4 suits 21 points an axis."""

    def num_points(self, num_grid_points: int) -> int:
        """Return how many points to measure of a grid of so many."""
        return math.ceil(self.fraction * num_grid_points)

    @model_validator(mode="after")
    def _check_stride(self) -> Self:
        if self.stride & (self.stride - 1):
            msg = f"stride {self.stride} is no power of two; it is halved from lattice to lattice"
            raise ValueError(msg)
        return self


class DirectionsConfig(Section):
    """Random directions in weight space."""

    draws: int = Field(default=3, ge=1, le=10_000)
    """Independent draws of the direction(s); the paper averages VISAGE over 3."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Root seed. A draw's vector depends on seed, draw and axis only, so more draws extend a sweep."""
    normalization: Literal["layer", "filter", "none"] = "layer"
    """`layer`: each tensor of the vector gets the norm of the weight tensor (Eq. 2). `filter`: each output row
    (Li et al. 2018). `none`: raw standard normals."""
    included: tuple[str, ...] = ()
    """Regular expressions searched in checkpoint tensor names; only matching tensors are perturbed. Empty: all."""
    excluded: tuple[str, ...] = ("norm",)
    """Regular expressions searched in checkpoint tensor names; matching tensors are not perturbed. Where it is left
    out, and the model's norms have other names, it becomes the patterns of those (`docs/numerics.md`)."""
    displacement: Annotated[float, Field(gt=0, allow_inf_nan=False)] | CheckpointConfig | None = None
    """Rescale each direction so that the step to coordinate 1 has this Frobenius norm over all weights; a checkpoint
    (`{id: ...}`) stands for the norm of its difference from the model. Null: no rescaling."""

    @model_validator(mode="after")
    def _check_patterns(self) -> Self:
        for key, patterns in (("included", self.included), ("excluded", self.excluded)):
            for pattern in patterns:
                try:
                    re.compile(pattern)
                except re.error as error:
                    msg = f"{key} has {pattern!r}, which is not a regular expression: {error}"
                    raise ValueError(msg) from error
        return self


class DemoPrompts(Section):
    """Prompts written for the embedded model."""

    source: Literal["demo"] = "demo"
    """Marks this kind of source."""
    name: Literal["harmful", "harmless", "choices", "answers"] = "harmful"
    """Which of the shipped sets: requests for `asr` and `over_refusal`, questions for `accuracy`, or answers to
    requests for `perplexity`."""


class AdvBenchPrompts(Section):
    """AdvBench harmful behaviours (Zou et al. 2023, MIT licence, 520 rows), fetched at run time, never shipped."""

    source: Literal["advbench"] = "advbench"
    """Marks this kind of source."""
    path: str | None = None
    """A local copy of harmful_behaviors.csv; null: fetch from the pinned address. Its sha256 is checked either way."""


Where: TypeAlias = dict[str, str | int | float | bool]
"""Values of columns, as YAML reads them; see `evaluation.row_filter` for what equals them in a file."""


class FilePrompts(Section):
    """Prompts from a file of the user."""

    source: Literal["file"] = "file"
    """Marks this kind of source."""
    path: str = Field(min_length=1)
    """A .csv, .jsonl or .parquet file; relative to the working directory."""
    column: str = "prompt"
    """Column (or JSON key) that holds the prompt text."""
    id_column: str | None = None
    """Column with a unique id per prompt; null: the row number."""
    where: Where = {}
    """Take only the rows whose columns have these values, such as `{label: safe}`."""


class HubPrompts(Section):
    """Prompts from a data set on the Hugging Face Hub."""

    source: Literal["hub"] = "hub"
    """Marks this kind of source."""
    id: str = Field(min_length=1)
    """Data set id, such as `JailbreakBench/JBB-Behaviors`."""
    config: str = "default"
    """Configuration (subset) of the data set."""
    split: str = "train"
    """Split of the configuration."""
    files: str | None = None
    """Path of the file to read, or a pattern of several, where no configuration of the data set names it; null: the
    files of `config` and `split`."""
    revision: str = Field(pattern=r"^[0-9a-f]{40}$")
    """Commit of the data set, 40 hexadecimal digits: measurements must not move with a branch."""
    column: str = "prompt"
    """Column that holds the prompt text."""
    id_column: str | None = None
    """Column with a unique id per prompt; null: the row number."""
    where: Where = {}
    """Take only the rows whose columns have these values, such as `{label: safe}`."""


PromptsConfig = Annotated[DemoPrompts | AdvBenchPrompts | FilePrompts | HubPrompts, Field(discriminator="source")]


class DecodingConfig(Section):
    """How completions are decoded: greedily."""

    max_new_tokens: int = Field(default=512, ge=1, le=1_000_000)
    """Upper bound on generated tokens per prompt; the paper uses 512."""
    early_verdict: bool = False
    """End each generation at its first refusal keyword, where the verdict of the keyword judge is settled: the same
    verdicts, sooner. What would have followed is not there for other judges."""
    max_thinking_tokens: int | None = Field(default=None, ge=1)
    """End thinking after so many tokens: the end mark is put in, and the model answers. Null: thinking ends by itself,
    or at `max_new_tokens` without an answer."""

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


Metric: TypeAlias = Literal["asr", "over_refusal", "accuracy", "perplexity"]
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
    texts."""
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
        scored = self.metric in SCORED_METRICS
        idle = {
            **dict.fromkeys(("system_prompt", "system_prompts", "decoding", "judge"), scored),
            **dict.fromkeys(("chat_template", "chat_template_kwargs", "reasoning", "date"), scored),
            "context": self.metric != "perplexity",
            "multiple_choice": self.metric != "accuracy",
        }
        fields = type(self).model_fields
        if given := [key for key, is_idle in idle.items() if is_idle and getattr(self, key) != fields[key].default]:
            msg = f"{' and '.join(given)} would have no effect with metric {self.metric}; leave it out"
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


class SyntheticFaults(Section):
    """What goes wrong, on demand, in the synthetic engine; for tests of the sweep itself."""

    delay_s: float = Field(default=0.0, ge=0.0)
    """Seconds that each visit takes."""
    start_delay_s: float = Field(default=0.0, ge=0.0)
    """Seconds that the engine takes to start."""
    failure_rate: float = Field(default=0.0, ge=0.0, le=1.0)
    """Share of visits that raise an error (pseudo-random in point and attempt)."""
    death_rate: float = Field(default=0.0, ge=0.0, le=1.0)
    """Share of visits at which the process dies (pseudo-random in point and attempt)."""
    hang_rate: float = Field(default=0.0, ge=0.0, le=1.0)
    """Share of visits that never end (pseudo-random in point and attempt)."""
    out_of_memory_rate: float = Field(default=0.0, ge=0.0, le=1.0)
    """Share of visits that run out of memory (pseudo-random in point and attempt)."""
    poison_coordinates: tuple[tuple[float, ...], ...] = ()
    """Grid coordinates at which every attempt fails."""
    poison_prompts: tuple[str, ...] = ()
    """Ids of prompts on which the engine fails, everywhere."""
    deadly_coordinates: tuple[tuple[float, ...], ...] = ()
    """Grid coordinates at which every attempt ends the process."""


class RunConfig(Section):
    """How the sweep is run; nothing here changes a measured number."""

    engines: int | None = Field(default=None, ge=1)
    """Most engine actors. Null: one per GPU of the cluster, or without any GPU one per `cpus_per_engine` cores. Set it
    where an autoscaler is to bring nodes: engines that wait for a node are what makes a cluster grow."""
    min_engines: int = Field(default=1, ge=1)
    """Engines that stay up until the sweep ends, though they have nothing to do; the others end, so that an autoscaler
    can take their nodes away."""
    keep_engines_s: float = Field(default=0.0, ge=0.0)
    """Seconds that engines stay up after the sweep for the next one that needs engines built in the same way; on a
    running Ray cluster only. 0: they end with the sweep."""
    accelerator: Literal["auto", "gpu", "cpu"] = "auto"
    """What engines compute on. `auto`: GPUs if the cluster has any (the synthetic engine: CPU cores); `gpu`: GPUs, and
    if there are none yet, wait for an autoscaler to bring them; `cpu`: CPU cores, even beside GPUs."""
    node_labels: tuple[dict[str, str], ...] = ()
    """Labels that an engine's node must have; alternatives in order of preference. Empty: any node. To prefer spot
    nodes give node types a `priority` in the cluster file: the autoscaler waits for the first alternative here."""
    tensor_parallel: int = Field(default=1, ge=1)
    """GPUs per engine. Prefer 1, and more engines, when the model fits one GPU."""
    cpus_per_engine: int = Field(default=1, ge=1)
    """CPU cores per engine; without a GPU these are the cores the engine computes on."""
    max_attempts: int = Field(default=3, ge=1)
    """Attempts at a point before it is given up and reported as failed."""
    max_engine_restarts: int = Field(default=8, ge=0)
    """Restarts of one engine in a row, without a visit done in between, before it is left off."""
    visit_timeout_s: float = Field(default=3600.0, gt=0)
    """Seconds that a visit may take; then its engine counts as hung and is replaced."""
    base_location: Literal["device", "host"] = "device"
    """Where the pristine weights live: on the accelerator (fast) or in pinned host memory (saves one model copy). With
    `tensor_parallel` each GPU has the part that it computes with."""
    kv_cache_gib: float | None = Field(default=None, gt=0)
    """Size of vLLM's key-value cache in GiB. A fixed size keeps batching equal on every engine. Null: on a GPU what
    `gpu_memory_utilization` leaves, on a CPU 1 GiB."""
    gpu_memory_utilization: float = Field(default=0.9, gt=0, le=1)
    """Share of GPU memory that vLLM plans with when `kv_cache_gib` is null; the base copy is subtracted from it."""
    max_num_seqs: int = Field(default=128, ge=1)
    """Most sequences decoded at once by one engine."""
    points_per_visit: int = Field(default=16, ge=1)
    """Most points of one visit where `batching` is `line`. `max_num_seqs` should hold all of their prompts."""
    enforce_eager: bool = False
    """Do without CUDA graphs and compilation (slower; always so on CPU)."""
    strict: bool = False
    """Use vLLM's batch-invariant kernels (GPUs only, slower): an answer then does not depend on what else is in its
    batch. Stored with each result, because answers may differ from those of the usual kernels."""
    synthetic: SyntheticFaults = SyntheticFaults()
    """Faults of the synthetic engine."""

    @model_validator(mode="after")
    def _check_engines(self) -> Self:
        if self.engines is not None and self.min_engines > self.engines:
            msg = f"min_engines is {self.min_engines}, more than engines, which is {self.engines}"
            raise ValueError(msg)
        return self


class SweepConfig(Section):
    """The whole request."""

    model: ModelConfig
    """The model at the centre."""
    engine: Literal["vllm", "transformers", "synthetic"] = "vllm"
    """Which engine generates. Part of the science: two engines need not agree to the last token."""
    dtype: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    """Type the perturbed weights are cast to, and computed in."""
    batching: Literal["point", "line"] = "point"
    """`line`: points along the same directions share batches, each sequence with the coefficients of its point.
    Faster with few prompts a point, and not with many (`docs/performance.md`). Part of the science: the last bits
    differ from those of cast weights. Takes the memory of one more model for each direction."""
    landscape: LandscapeConfig = RandomLandscape()
    """Which points."""
    directions: DirectionsConfig = DirectionsConfig()
    """Along which random directions."""
    adaptive: AdaptiveConfig | None = None
    """Measure only a part of the points, and estimate the score. Null: measure all."""
    benchmarks: tuple[BenchmarkConfig, ...] = Field(min_length=1)
    """What is measured at each point, all in one visit."""
    run: RunConfig = RunConfig()
    """How it is run; may change between resumes."""

    @field_validator("benchmarks")
    @classmethod
    def _expand(cls, benchmarks: tuple[BenchmarkConfig, ...]) -> tuple[BenchmarkConfig, ...]:
        return tuple(single for benchmark in benchmarks for single in benchmark.expanded())

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        names = [benchmark.name for benchmark in self.benchmarks]
        if doubled := sorted({name for name in names if names.count(name) > 1}):
            msg = f"benchmark names must differ; used more than once: {', '.join(doubled)}"
            raise ValueError(msg)
        if len(primary := [benchmark.name for benchmark in self.benchmarks if benchmark.primary]) > 1:
            msg = f"one benchmark can be primary; these are: {', '.join(primary)}"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _check_adaptive(self) -> Self:
        if self.adaptive:
            stride, nums = self.adaptive.stride, [axis.num for axis in self.landscape.axes]
            lattice = 1 + math.prod(len({*range(0, num, stride), num - 1}) for num in nums)  # and the origin
            if 4 * lattice > 3 * (budget := self.adaptive.num_points(math.prod(nums))):
                msg = (
                    f"adaptive.fraction {self.adaptive.fraction:g} allows {budget} points, and the first lattice of "
                    f"stride {stride} takes {lattice}, more than three quarters; raise adaptive.fraction or "
                    "adaptive.stride"
                )
                raise ValueError(msg)
            if not self.deciding_benchmarks:
                msg = "adaptive needs a benchmark of metric asr: attack success rates decide which points are measured"
                raise ValueError(msg)
        return self

    @property
    def deciding_benchmarks(self) -> tuple[BenchmarkConfig, ...]:
        """The benchmarks that decide which points an adaptive sweep measures: those of attack success rates."""
        return tuple(benchmark for benchmark in self.benchmarks if benchmark.metric == "asr")

    @model_validator(mode="after")
    def _check_displacement(self) -> Self:
        if self.directions.displacement is not None and len(self.endpoints) == len(self.landscape.axes):
            msg = (
                "directions.displacement rescales random directions, and a landscape of kind "
                f"{self.landscape.kind!r} has none; leave it out"
            )
            raise ValueError(msg)
        return self

    @property
    def endpoints(self) -> tuple[CheckpointConfig, ...]:
        """Checkpoints that axes lead to, in axis order."""
        return () if isinstance(self.landscape, RandomLandscape) else self.landscape.endpoints

    @property
    def marked(self) -> tuple[CheckpointConfig, ...]:
        """Checkpoints that are only marked."""
        return () if isinstance(self.landscape, RandomLandscape) else self.landscape.marked

    @property
    def checkpoints(self) -> tuple[CheckpointConfig, ...]:
        """Every checkpoint beside the model: the endpoints, the one that gives the displacement, the marked ones."""
        displacement = self.directions.displacement
        return (
            *self.endpoints,
            *((displacement,) if isinstance(displacement, CheckpointConfig) else ()),
            *self.marked,
        )

    def as_written(self) -> dict[str, Any]:
        """Return the whole configuration as plain JSON types; what its model is to decide stays out."""
        written = self.model_dump(mode="json")
        if "excluded" not in self.directions.model_fields_set:
            del written["directions"]["excluded"]
        return written

    def science(self) -> dict[str, Any]:
        """Return the part of the configuration that decides what is measured, as plain JSON types.

        What has its default is left out where it came later than the first results, so that ids of sweeps stay.
        """
        science = self.model_dump(mode="json", exclude={"run"})
        for benchmark in science["benchmarks"]:
            if not benchmark["decoding"]["early_verdict"]:
                del benchmark["decoding"]["early_verdict"]
            del benchmark["primary"]  # says which score is shown first, and decides none
            for key in ("labels_column", "first_number"):
                if not benchmark["multiple_choice"][key]:
                    del benchmark["multiple_choice"][key]
            if benchmark["decoding"]["max_thinking_tokens"] is None:
                del benchmark["decoding"]["max_thinking_tokens"]
            for later, default in (("chat_template_kwargs", {}), ("reasoning", "auto"), ("date", None)):
                if benchmark[later] == default:
                    del benchmark[later]
        del science["landscape"]["wall_repeats"]  # says what is measured again, and decides no point
        if self.batching == "point":
            del science["batching"]
        return science

    @property
    def sweep_id(self) -> str:
        """Hash of the science fields: 16 hexadecimal digits."""
        canonical = json.dumps(self.science(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def load_config(
    path: str | Path,
    overrides: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> SweepConfig:
    """Read a configuration; command line beats environment, environment beats the file.

    Args:
        path: A YAML file.
        overrides: `key.sub=value` strings; values are YAML, list items are addressed by number
            (`benchmarks.0.limit=8`).
        environment: Variables such as `LANDSCAPE_RAY__RUN__ENGINES=4`; the process environment by default.

    Raises:
        ConfigError: The file cannot be read, is not YAML, or describes no valid sweep.
    """
    path = Path(path)
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        msg = f"Cannot read the configuration {path}: {error.strerror or error}. Give the path of a YAML file."
        raise ConfigError(msg) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        msg = f"{path} is not valid YAML: {in_brief(error)}. Correct it there."
        raise ConfigError(msg) from error
    if not isinstance(data, dict):
        msg = f"{path} must hold a YAML mapping with the keys 'model' and 'benchmarks', not {type(data).__name__}."
        raise ConfigError(msg)
    variables = os.environ if environment is None else environment
    for name in sorted(variables):
        if name.startswith(ENVIRONMENT_PREFIX):
            keys = name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")
            _set(data, keys, variables[name], origin=f"environment variable {name}")
    for override in overrides:
        dotted, equals, value = override.partition("=")
        if not equals:
            msg = (
                f"--set {override!r} has no '='; write --set key.sub=value, for example --set landscape.axes.0.num=11."
            )
            raise ConfigError(msg)
        _set(data, dotted.split("."), value, origin=f"--set {override}")
    try:
        return SweepConfig.model_validate(data)
    except ValidationError as error:
        msg = f"{path} does not describe a valid sweep:\n{problems_of(error)}"
        raise ConfigError(msg) from error


def _set(data: dict[str, Any], keys: Sequence[str], value: str, *, origin: str) -> None:
    """Put a YAML value at a dotted place of nested mappings and lists, in place."""
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError as error:
        msg = f"{origin}: the value is not valid YAML: {in_brief(error)}."
        raise ConfigError(msg) from error
    node: Any = data
    for depth, key in enumerate(keys):
        last = depth == len(keys) - 1
        if isinstance(node, list):
            if not key.isdigit() or int(key) >= len(node):
                place = ".".join(keys[:depth])
                msg = f"{origin}: {place} is a list of {len(node)} items; {key!r} is not one of 0..{len(node) - 1}."
                raise ConfigError(msg)
            index: Any = int(key)
        elif isinstance(node, dict):
            index = key
        else:
            msg = f"{origin}: {'.'.join(keys[:depth])} is {node!r}, which has no parts."
            raise ConfigError(msg)
        if last:
            node[index] = parsed
        elif isinstance(node, dict):
            if node.get(index) is None:
                if keys[depth + 1].isdigit():
                    place = ".".join(keys[: depth + 1])
                    msg = f"{origin}: {place} has no items to change; set the whole list, as in {place}='[...]'."
                    raise ConfigError(msg)
                node[index] = {}
            node = node[index]
        else:
            node = node[index]


def problems_of(error: ValidationError, *, with_values: bool = True) -> str:
    """Return what is wrong with a configuration, one line for each key: ours first, then what pydantic says.

    Args:
        error: What pydantic found.
        with_values: Repeat values; not where there may be a secret among them.
    """
    errors = error.errors()
    # A list whose items are all invalid is reported as too short as well; that says nothing more.
    causes = [e for e in errors if not any(_is_inside(other["loc"], e["loc"]) for other in errors)]
    return "\n".join(f"  {_where(e['loc'])}: {_what(e, with_values=with_values)}" for e in causes)


def _is_inside(loc: tuple[int | str, ...], outer: tuple[int | str, ...]) -> bool:
    return len(loc) > len(outer) and loc[: len(outer)] == outer


def _where(loc: tuple[int | str, ...]) -> str:
    if loc[:1] == ("landscape",):
        loc = ("landscape", *loc[2:])  # without the kind, which is no key: what is left can be given to --set
    return ".".join(str(part) for part in loc) or "(top level)"


def _what(error: Any, *, with_values: bool) -> str:
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "value_error":  # a message of our own
        return message
    if error["type"] == "missing":
        return "is needed, and is not there"
    value, quoted = f"{error['input']!r:.80}" if with_values else "what it is", ""
    if error["type"] == "string_type" and isinstance(value := error["input"], bool | int | float | date):
        quoted = f", which YAML takes for a {type(value).__name__}; write text that looks like one in quotes"
    return f"cannot be {value}{quoted}: {message[0].lower()}{message[1:]}"
