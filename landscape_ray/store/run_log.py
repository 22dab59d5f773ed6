"""The last line of a run's log: how far the run is and how fast it goes, for those who read the store alone."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

__all__ = ["MAX_LOG_BYTES", "RunSummary", "summary_of"]

MAX_LOG_BYTES = 4 << 20
"""Larger files are no logs."""

Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """How a run stood when it wrote its log."""

    at: Annotated[str, Field(pattern=r"^[0-9T:.+Z-]{1,40}$")]
    """When, ISO 8601, UTC."""
    event: Literal["running", "finished"]
    """`running` in the log of a run that goes on, or whose driver was killed."""
    num_points: Count
    """Points of the sweep, repeats of the origin included."""
    num_done: Count
    """Points done, those of earlier runs included."""
    num_done_now: Count
    """Points done in this run."""
    num_failed: Count
    """Points given up, those of earlier runs included."""
    num_starting: Count
    """Engines that were starting, or waiting for a node."""
    num_up: Count
    """Engines that were up."""
    num_tokens: Count
    """Tokens generated in this run."""
    start_s: Seconds
    """Seconds from the start of the run until its first engine was up."""
    work_s: Seconds
    """Seconds since then."""
    spent_s: dict[str, Seconds] = field(default_factory=dict)
    """Seconds of engines in visits, by phase; see `landscape-ray run --profile`."""

    @property
    def points_per_min(self) -> float | None:
        """Points done in a minute of work; None before any."""
        return 60 * self.num_done_now / self.work_s if self.num_done_now and self.work_s else None


_SUMMARY = TypeAdapter(RunSummary)


def summary_of(content: bytes) -> RunSummary | None:
    """Return what the last line of a log says; None if that is no summary."""
    last = content.rstrip(b"\n").rpartition(b"\n")[2]
    try:
        return _SUMMARY.validate_json(last)
    except ValidationError:
        return None
