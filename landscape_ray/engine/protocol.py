"""The seam between a sweep and whatever generates: `Engine`, and the specification that builds one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from landscape_ray.config import RunConfig
from landscape_ray.engine.stopwatch import Stopwatch
from landscape_ray.evaluation import Benchmark, Completion, FirstTokens, LogLikelihood, ScoredText
from landscape_ray.planning import CheckpointDelta, Perturbation

__all__ = ["IN_LINES", "IN_PLACE", "RELOADING", "Engine", "EngineFacts", "EngineSpec", "LineEngine"]

IN_PLACE, RELOADING, IN_LINES = "in place", "reloading", "in lines"
"""Ways of placing points: written into the live weights, by the library's own loading, or beside the weights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSpec:
    """Everything an engine is built from. Plain data: it is sent to the node that runs the engine."""

    engine: Literal["vllm", "transformers", "synthetic"]
    """Which engine."""
    model: str
    """Local folder of the checkpoint, or a Hub id."""
    revision: str | None
    """Commit on the Hub; None for a folder."""
    dtype: Literal["float32", "bfloat16", "float16"]
    """Type of the placed weights and of the computation."""
    run: RunConfig
    """Cluster and memory settings."""
    benchmarks: tuple[Benchmark, ...] = ()
    """What will be asked of the engine, so that it can size its context; empty: it takes the model's own."""
    deltas: tuple[CheckpointDelta, ...] = ()
    """The checkpoints whose differences perturbations may hold; fetched like the model where they are not there yet."""
    batching: Literal["point", "line"] = "point"
    """Whether several points may be asked for in one batch, see `LineEngine`."""
    num_directions: int = 0
    """Along how many directions the points of a batch lie where `batching` is `line`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFacts:
    """What an engine is and runs on; stored with each result, but for the times."""

    engine: str
    """Engine with version, such as `vllm 0.32.0`."""
    torch_version: str
    """Version of torch with its build tag; empty for the synthetic engine."""
    device: str
    """GPU name, or CPU model."""
    way: str = ""
    """How it places points: `IN_PLACE`, `RELOADING` or `IN_LINES`; empty for the synthetic engine."""
    start_s: Mapping[str, float] = field(default_factory=dict)
    """Seconds of the steps of its start that it can tell apart."""


class Engine(Protocol):
    """A language model whose weights can be put anywhere in weight space.

    An engine starts at the origin. `place` always starts from the pristine base weights, so the order of visits
    does not matter and a visit may be repeated.
    """

    @property
    def facts(self) -> EngineFacts:
        """What the engine is and runs on."""
        ...

    @property
    def stopwatch(self) -> Stopwatch:
        """Where the time of the calls goes: `place`, `reset` (of caches), `prefill`, `decode`, `detokenize`.

        Prefill is everything up to the first token: prompts made tokens, and steps in which any are read; answers that
        are longer already go on in these steps, too. An engine that cannot tell it apart counts it as decode.
        """
        ...

    def admit(self, benchmarks: Sequence[Benchmark]) -> None:
        """Make sure that the engine has room for benchmarks other than those it was built for.

        Raises:
            ResourceError: It has not.
        """
        ...

    def place(self, perturbation: Perturbation) -> str:
        """Put `cast(base + sum of coefficient * vector)` into the engine.

        Returns:
            The digest of the placed weights, 16 hexadecimal digits.

        Raises:
            CheckpointError: A pattern of the perturbation matches no tensor of the checkpoint.
            PlacementError: The engine did not take every tensor exactly.
        """
        ...

    def generate(self, benchmarks: Sequence[Benchmark]) -> list[tuple[Completion, ...]]:
        """Complete all prompts of all benchmarks with the weights in place, greedily, as one batch.

        A prompt that leaves no room for a token in the context yields an empty completion with finish reason
        `PROMPT_TOO_LONG`; it never fails the batch. A completion of a benchmark with `stop_strings` ends with the token
        that completes the first of them, with finish reason `VERDICT`.

        Returns:
            For each benchmark, one completion per prompt in the benchmark's order.

        Raises:
            BenchmarkError: A chat template cannot render a prompt.
            GenerationError: The engine failed. It may have survived; nothing of the batch is left in it.
        """
        ...

    def log_likelihoods(self, texts: Sequence[ScoredText]) -> list[LogLikelihood | None]:
        """Score texts with the weights in place, as one batch.

        Tokens are as in lm-evaluation-harness: white space at the end of a context moves to the text, and the tokens
        scored are those of both together from the number of the context's own on. The first token of a text without a
        context is scored after the tokenizer's beginning-of-text token, or its end-of-text token if it has none.

        Returns:
            One item per text, in their order; None for a text that with its context fills the model's context.

        Raises:
            BenchmarkError: A text has no token of its own.
            GenerationError: The engine failed.
        """
        ...

    def first_tokens(self, benchmark: Benchmark, wanted: Sequence[Sequence[int]] | None) -> list[FirstTokens | None]:
        """Say how likely tokens are to begin the answers to a benchmark's prompts, with the weights in place.

        Args:
            benchmark: Its prompts are rendered as in `generate`.
            wanted: Tokens of each prompt; None: the `NUM_TOKENS` likeliest ones, the likeliest first.

        Returns:
            One item per prompt, in their order; None for a prompt that fills the model's context.

        Raises:
            BenchmarkError: A chat template cannot render a prompt.
            GenerationError: The engine failed.
        """
        ...

    def close(self) -> None:
        """Release memory and processes. The engine cannot be used afterwards."""
        ...


class LineEngine(Engine, Protocol):
    """An engine that can have several points in one batch, with weights and directions apart.

    Answers are those at `base + sum of coefficient * vector` without the cast to the engine's type, so their last bits
    differ from those after `place`.
    """

    def place_points(self, perturbations: Sequence[Perturbation]) -> list[str]:
        """Make ready for several points, until the next call of this method or of `place`.

        Returns:
            A digest for each point, equal if weights, directions and coefficients are: that of the placed weights
            only at the origin.

        Raises:
            CheckpointError: A pattern matches no tensor of the checkpoint, or the model has layers that are not
                covered.
            PlacementError: The engine did not take every tensor exactly.
        """
        ...

    def generate_points(self, benchmarks: Sequence[Benchmark]) -> list[list[tuple[Completion, ...]]]:
        """Return what `generate` gives, for each of the points."""
        ...

    def log_likelihoods_points(self, texts: Sequence[ScoredText]) -> list[list[LogLikelihood | None]]:
        """Return what `log_likelihoods` gives, for each of the points."""
        ...

    def first_tokens_points(
        self, benchmark: Benchmark, wanted: Sequence[Sequence[int]] | None
    ) -> list[list[FirstTokens | None]]:
        """Return what `first_tokens` gives, for each of the points."""
        ...
