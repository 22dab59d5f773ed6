"""What happened in a run, kept beside its results: Ray's own logs vanish with their nodes.

One JSON object per line, each with `at` and `event`: `started`, `engine_up`, `first_visit_done`,
`engine_start_failed`, `engine_lost`, `visit_failed`, `node_draining`, `tasks_added`, `requested`, `stop_requested`,
`given_up`, `out_of_engines`, `left_out`; the last line is `finished`, or `running` if the driver died. Visits that go
well are in the parts.
"""

import json
import logging
import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from landscape_ray.errors import OutputError, TransientError
from landscape_ray.store import ResultStore, RunSummary
from landscape_ray.store.redaction import redacted
from landscape_ray.sweep.events import (
    Assign,
    EngineLost,
    EngineStartFailed,
    Event,
    Finished,
    GiveUp,
    Instruction,
    NodeDraining,
    Requested,
    StopRequested,
    TasksAdded,
    VisitDone,
    VisitFailed,
)
from landscape_ray.sweep.reports import EngineReady, VisitReport
from landscape_ray.sweep.watching.progress import SweepStatus

__all__ = ["Journal"]

logger = logging.getLogger(__name__)

WRITE_EVERY = timedelta(seconds=30)
MAX_BYTES = 1 << 20
"""The whole file is written each time, so it must stay small; beyond this, the oldest lines but the first go."""
MAX_ERROR_CHARS = 1000


def _now() -> datetime:
    return datetime.now(UTC)


class Journal:
    """The log of one run, a file `log/<start>-<random>.jsonl` of the results.

    Object stores cannot append, so the file is replaced as a whole, every half minute and at the end. A log that cannot
    be written stops no sweep.
    """

    def __init__(self, store: ResultStore, now: Callable[[], datetime] = _now, **facts: Any) -> None:
        """Begin a log.

        Args:
            store: Where.
            now: The time.
            **facts: What there is to say at the start.
        """
        self._store = store
        self._now = now
        began = now()
        self._name = f"{began:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}.jsonl"
        self._first = self._line("started", facts)
        self._lines: deque[bytes] = deque()
        self._num_bytes = len(self._first)
        self._num_left_out = 0
        self._write_at = began
        self._visits: dict[int, tuple[str, int]] = {}
        self._any_done = False

    def note(self, item: Event | Instruction | EngineReady | VisitReport | None) -> None:  # noqa: C901, PLR0912  (one case each)
        """Take note of an event, an instruction or a report."""
        match item:
            case Assign():
                self._visits[item.visit] = (item.task.label, item.attempt)
            case VisitDone():
                self._visits.pop(item.visit, None)
                if not self._any_done:
                    self._any_done = True
                    self._add("first_visit_done")
            case VisitFailed():
                label, attempt = self._visits.pop(item.visit, ("", 0))
                self._add(
                    "visit_failed",
                    label=label,
                    attempt=attempt,
                    error=_text(item.error),
                    out_of_memory=item.out_of_memory,
                    engine_usable=item.engine_usable,
                )
            case EngineReady():
                self._add(
                    "engine_up",
                    node=item.node,
                    engine=item.facts.engine,
                    torch_version=item.facts.torch_version,
                    device=item.facts.device,
                    proven=item.proven,
                    start_s=round(item.start_s, 3),
                    stages_s={name: round(seconds, 3) for name, seconds in item.stages_s.items()},
                )
            case EngineStartFailed():
                self._add("engine_start_failed", error=_text(item.error))
            case EngineLost():
                self._add("engine_lost", preempted=item.preempted, error=_text(item.error))
            case NodeDraining():
                self._add("node_draining", node=item.node)
            case TasksAdded():
                self._add("tasks_added", num_to_visit=len(item.tasks))
            case StopRequested():
                self._add("stop_requested")
            case Requested():
                self._add("requested", **asdict(item))
            case GiveUp():
                self._add(
                    "given_up",
                    label=item.task.point.label,
                    benchmarks=item.task.benchmarks,
                    attempts=item.attempts,
                    error=_text(item.error),
                )
            case Finished(error=Exception() as error):
                self._add("out_of_engines", error=_text(error))

    def update(self, status: SweepStatus) -> None:
        """Write the file if it is time to."""
        if self._now() >= self._write_at:
            self._write("running", status)

    def close(self, status: SweepStatus) -> None:
        """Write the file with its last line."""
        self._write("finished", status)

    def _add(self, event: str, **facts: Any) -> None:
        line = self._line(event, facts)
        self._lines.append(line)
        self._num_bytes += len(line)
        while self._num_bytes > MAX_BYTES:
            self._num_bytes -= len(self._lines.popleft())
            self._num_left_out += 1

    def _line(self, event: str, facts: dict[str, Any]) -> bytes:
        return json.dumps({"at": self._timestamp(), "event": event, **facts}).encode() + b"\n"

    def _timestamp(self) -> str:
        return self._now().isoformat(timespec="milliseconds")

    def _write(self, event: Literal["running", "finished"], status: SweepStatus) -> None:
        summary = RunSummary(
            at=self._timestamp(),
            event=event,
            num_points=status.num_points,
            num_done=status.num_done,
            num_done_now=status.num_done_now,
            num_failed=status.num_failed,
            num_starting=status.num_starting,
            num_up=status.num_up,
            num_tokens=status.num_tokens,
            start_s=round(status.start_s, 3),
            work_s=round(status.work_s, 3),
            spent_s={phase: round(seconds, 3) for phase, seconds in status.spent_s.items()},
        )
        last = json.dumps(asdict(summary)).encode() + b"\n"
        left_out = [self._line("left_out", {"num_lines": self._num_left_out})] if self._num_left_out else []
        try:
            content = b"".join([self._first, *left_out, *self._lines, last])
            self._store.write_log(self._name, content)
        except (OutputError, TransientError) as error:
            logger.warning("The log of this run was not written: %s", error)
        self._write_at = self._now() + WRITE_EVERY


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {redacted(str(error))}"[:MAX_ERROR_CHARS]
