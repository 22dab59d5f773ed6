"""The exceptions of landscape-ray.

::

    LandscapeError                  exit code 1
    ├── UserError                   exit code 2: the request cannot be carried out as written
    │   ├── ConfigError             the configuration
    │   ├── BenchmarkError          prompts, chat template, judge
    │   ├── CheckpointError         model files, tensor names
    │   ├── OutputError             the output folder belongs to another sweep, or cannot be written
    │   └── ResourceError           no GPU, too few cores, a package that is not installed
    ├── TransientError              what may pass by itself: the network, memory that another process holds
    ├── DefectError                 a fault of the program or a library, which the same call would meet again
    ├── PlacementError              the engine did not take the perturbed weights exactly
    ├── GenerationError             the engine failed, in starting or at work
    ├── PartError                   a result file that does not prove itself
    ├── IncompleteError             exit code 3: a score was asked of a landscape with missing points
    └── LeaseError                  exit code 3: another run is measuring this sweep

Every message is one paragraph that says what was wrong, the value, where, and what to do. Exceptions travel
between Ray processes, so each takes exactly one argument, its message, and therefore pickles.
"""

from collections.abc import Iterable
from typing import ClassVar

__all__ = [
    "BenchmarkError",
    "CheckpointError",
    "ConfigError",
    "DefectError",
    "GenerationError",
    "IncompleteError",
    "LandscapeError",
    "LeaseError",
    "OutputError",
    "PartError",
    "PlacementError",
    "ResourceError",
    "TransientError",
    "UserError",
    "few_of",
    "in_brief",
    "number_of",
]

MOST_NAMES = 3
MOST_CHARS = 300


class LandscapeError(Exception):
    """Any failure that landscape-ray itself reports."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str) -> None:
        super().__init__(message)


class UserError(LandscapeError):
    """The request cannot be carried out as written; the message says what to change."""

    exit_code = 2


class ConfigError(UserError):
    """The configuration is not valid."""


class BenchmarkError(UserError):
    """Prompts, a chat template or a judge cannot be had as configured."""


class CheckpointError(UserError):
    """Model files are missing, in a refused format, or do not hold what the configuration names."""


class OutputError(UserError):
    """The output folder belongs to another sweep, or cannot be written."""


class ResourceError(UserError):
    """The machine or cluster lacks something the request needs."""


class TransientError(LandscapeError):
    """What may pass by itself: a network or service that does not answer, memory that another process still holds."""


class DefectError(LandscapeError):
    """A fault of the program or of a library, which the same call would meet again."""


class PlacementError(LandscapeError):
    """The engine did not take the perturbed weights exactly as computed."""


class GenerationError(LandscapeError):
    """The engine failed, in starting or at work; nobody knows whether it would fail again."""


class PartError(LandscapeError):
    """A result file does not prove itself: torn, foreign, or with another content than it claims."""


class IncompleteError(LandscapeError):
    """A score was asked of a landscape that still has missing points."""

    exit_code = 3


class LeaseError(LandscapeError):
    """Another run is measuring this sweep, or has taken it over."""

    exit_code = 3


def few_of(names: Iterable[str]) -> str:
    """List at most three names, and say how many more there are: `a, b, c and 4 more`."""
    names = list(names)
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more:,} more" if more > 0 else "")


def number_of(num: int, noun: str) -> str:
    """Return a count with its noun, such as `1 draw` or `3 draws`."""
    return f"{num:,} {noun}" if num == 1 else f"{num:,} {noun}s"


def in_brief(error: object) -> str:
    """Return what another library says, shortened, on one line: it follows a sentence of our own."""
    line = " ".join(str(error).split())
    said = line if len(line) <= MOST_CHARS else line[:MOST_CHARS].rpartition(" ")[0] + " ..."
    return said.rstrip(".") or type(error).__name__
