"""What an engine's process tells the driver: that it is ready, what a visit came to, or what went wrong."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from landscape_ray.engine import EngineFacts
from landscape_ray.errors import DefectError, GenerationError, LandscapeError, TransientError
from landscape_ray.evaluation import Verdict
from landscape_ray.sweep.batches import is_out_of_memory
from landscape_ray.transience import is_transient

__all__ = ["EngineReady", "Trouble", "VisitReport"]

MAX_MESSAGE_CHARS = 2000
# What Python raises for a fault of the program, or for libraries that do not fit each other.
DEFECTS = (AttributeError, ImportError, LookupError, NameError, NotImplementedError, SyntaxError, TypeError)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineReady:
    """An engine has started."""

    node: str
    """Ray's id of its node."""
    facts: EngineFacts
    """What it is and runs on."""
    start_s: float
    """Seconds that starting took."""
    proven: str = ""
    """What is proven of how it places points, in a line; empty where there is nothing to prove."""
    stages_s: Mapping[str, float] = field(default_factory=dict)
    """Seconds of each stage of it, and of steps within the last one where the engine can tell them apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitReport:
    """What the driver learns of a visit; the results themselves are in the store."""

    label: str
    """Label of the point."""
    verdicts: Mapping[str, Mapping[Verdict, int]]
    """How often each verdict was given, per benchmark."""
    num_tokens: int
    """Tokens generated or scored."""
    place_s: float
    """Seconds of placing weights."""
    generate_s: float
    """Seconds of generating."""
    judge_s: float
    """Seconds of judging."""
    publish_s: float
    """Seconds of writing results."""
    log_likelihoods: Mapping[str, tuple[float, int]] = field(default_factory=dict)
    """Sum of the log-likelihoods and number of tokens they are of, per benchmark of metric `perplexity`."""
    divergences: Mapping[str, tuple[float, int]] = field(default_factory=dict)
    """Sum of the divergences and number of prompts they are of, per benchmark of metric `first_token_kl`."""
    spent_s: Mapping[str, float] = field(default_factory=dict)
    """Seconds of the engine by phase, see `profile.PHASES`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What went wrong. Returned, not raised: errors of engines need not survive the way to another process."""

    error: LandscapeError
    """Always one of our own; its message names the original."""
    out_of_memory: bool
    """True if memory ran out."""
    engine_usable: bool
    """False if the engine's state is unknown."""

    @classmethod
    def of(cls, error: Exception) -> "Trouble":
        """Classify an exception.

        Errors of our own leave an engine as it was, except `GenerationError`: requests may linger in it.
        """
        ours = isinstance(error, LandscapeError)
        message = (str(error) if ours else f"{type(error).__name__}: {error}")[:MAX_MESSAGE_CHARS]
        return cls(
            error=(type(error) if isinstance(error, LandscapeError) else GenerationError)(message),
            out_of_memory=is_out_of_memory(error),
            engine_usable=ours and not isinstance(error, GenerationError),
        )

    @classmethod
    def of_start(cls, error: Exception) -> "Trouble":
        """Classify an exception that ended the start of an engine: may another start go better?

        Memory may be short because another process is still on its way out, whatever was being done with it.
        """
        trouble = cls.of(error)
        told = str(trouble.error)
        if trouble.out_of_memory:
            msg = f"Memory ran out while the engine was built: {told}"
            return replace(trouble, error=TransientError(msg))
        if is_transient(error):
            return replace(trouble, error=TransientError(told))
        if isinstance(error, DEFECTS):
            msg = f"The engine cannot be built, because of a fault in this program or a library: {told}"
            return replace(trouble, error=DefectError(msg))
        return trouble
