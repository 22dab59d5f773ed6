"""The listener of a sweep that has a tracker told, by a process which may fail or hang without harm to the sweep."""

import contextlib
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from landscape_ray.config import SweepConfig
from landscape_ray.store.redaction import redacted
from landscape_ray.sweep import Progress, SweepStatus
from landscape_ray.tracking.process import TrackerFailedError, TrackerProcess
from landscape_ray.tracking.protocol import RunStatus, TrackedRun

__all__ = ["Tracking", "counters", "flat_scores", "tracked_run"]

UPDATE_EVERY_S = 10.0
END_TIMEOUT_S = 60.0
"""How long a run waits for its tracker to upload what is left."""


class Tracking:
    """Shows a sweep by another listener, and has a tracker told every few seconds.

    Nothing here waits before the end: what the tracker's process does not take at once is dropped.
    """

    def __init__(
        self,
        tracker: str,
        run: TrackedRun,
        shown: Progress,
        *,
        end_timeout_s: float = END_TIMEOUT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare; the tracker's process starts when there is something to tell.

        Args:
            tracker: A name that `check_tracker` let pass.
            run: What is tracked.
            shown: Is told all that this listener is told.
            end_timeout_s: Seconds after which the tracker is not waited for any longer.
            clock: Seconds, of which only differences count.
        """
        self.place = ""
        """Where the run can be found, in the tracker's words; empty until it has ended well."""
        self._tracker = tracker
        self._run = run
        self._shown = shown
        self._end_timeout_s = end_timeout_s
        self._clock = clock
        self._next_s = clock()
        self._process: TrackerProcess | None = None
        self._over = False

    def update(self, status: SweepStatus) -> None:
        """Have the status taken down, if it is time."""
        self._shown.update(status)
        if self._clock() >= self._next_s:
            self._next_s = self._clock() + UPDATE_EVERY_S
            self._tell(status)

    def close(self, status: SweepStatus) -> None:
        """Have the last status taken down."""
        self._shown.close(status)
        self._tell(status)

    def end(self, status: RunStatus, document: Mapping[str, Any] | None = None, figures: Sequence[Path] = ()) -> None:
        """Have scores and figures taken down, and wait for the tracker, though not for long.

        Args:
            status: How the run ended.
            document: Content of scores.json, if there is one.
            figures: The files of the report, of which the PNG are taken.
        """
        if self._over:
            return
        scores = dict(flat_scores(document["benchmarks"])) if document else {}
        images = [str(file.absolute()) for file in figures if file.suffix == ".png"]
        with self._failure_told():
            end = {"end": status, "scores": scores, "figures": images}
            self.place = redacted(self._started().end(end, timeout_s=self._end_timeout_s))
            self._over = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, traceback: TracebackType | None) -> None:
        """Tell a tracker that was begun that the run has failed, if nobody has told it how it ended."""
        if self._process is not None:
            self.end("failed")

    def _tell(self, status: SweepStatus) -> None:
        if not self._over:
            with self._failure_told():
                self._started().tell({"update": counters(status)})

    def _started(self) -> TrackerProcess:
        if self._process is None:
            self._process = TrackerProcess(self._tracker, {"begin": asdict(self._run)})
        return self._process

    @contextlib.contextmanager
    def _failure_told(self) -> Iterator[None]:
        """Warn of a failure, once, and let the tracker be."""
        try:
            yield
        except (TrackerFailedError, OSError) as error:
            self._over = True
            warning = (
                f"Warning: The tracker {self._tracker} failed, and is told nothing more of this run: "
                f"{redacted(str(error))}. Results are not concerned."
            )
            print(warning, file=sys.stderr)


def tracked_run(config: SweepConfig, out: str) -> TrackedRun:
    """Return what a tracker is told of a sweep first."""
    plain = json.loads(redacted(json.dumps(config.model_dump(mode="json"))))
    name = f"{Path(config.model.id).name} {config.sweep_id[:8]}"
    return TrackedRun(sweep_id=config.sweep_id, name=name, config=plain, out=redacted(out))


def counters(status: SweepStatus) -> dict[str, float]:
    """Return the numbers of a status by name; values so far are in the unit of their metric."""
    so_far = {f"so_far/{name}/{metric}": value for name, (metric, value) in status.so_far.items()}
    values = {
        "points/total": status.num_points,
        "points/done": status.num_done,
        "points/failed": status.num_failed,
        "points/missing": status.num_points - status.num_done - status.num_failed,
        "points/per_s": status.points_per_s,
        "engines/up": status.num_up,
        "engines/starting": status.num_starting,
        "tokens/generated": status.num_tokens,
        "tokens/per_s": status.num_tokens / status.work_s if status.work_s > 0 else 0.0,
        **so_far,
    }
    return {name: value for name, value in values.items() if math.isfinite(value)}


def flat_scores(nested: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Yield the numbers of nested scores with their paths, such as `harmful/visage/low`; lists are left out."""
    for name, value in nested.items():
        if isinstance(value, Mapping):
            yield from flat_scores(value, f"{prefix}{name}/")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{prefix}{name}", value
