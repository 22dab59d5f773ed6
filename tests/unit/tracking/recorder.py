"""Trackers of a user: one that takes everything down, and others that go wrong."""

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from landscape_ray.tracking import RunStatus, TrackedRun


class Recorder:
    """Appends what it is told to the file RECORD, a JSON line each."""

    def begin(self, run: TrackedRun) -> str:
        self.record("begin", run.sweep_id, run.name, run.config, run.out)
        return "in the record"

    def update(self, values: Mapping[str, float]) -> None:
        self.record("update", dict(values))

    def end(self, status: RunStatus, scores: Mapping[str, float], figures: Sequence[Path]) -> None:
        self.record("end", status, dict(scores), [[str(figure), figure.exists()] for figure in figures])

    def record(self, *what: object) -> None:
        with Path(os.environ["RECORD"]).open("a", encoding="utf-8") as file:
            file.write(json.dumps(what) + "\n")


class Talker(Recorder):
    """Prints, and asks."""

    def begin(self, run: TrackedRun) -> str:
        print("x" * 100_000)
        try:
            input("Your key? ")
        except EOFError:
            return super().begin(run)
        return "answered"


class Slow(Recorder):
    """Takes three seconds to begin."""

    def begin(self, run: TrackedRun) -> str:
        time.sleep(3.0)
        return super().begin(run)


class NoBegin(Recorder):
    """Has no network."""

    def begin(self, run: TrackedRun) -> str:
        msg = f"no network at https://user:password@host for {run.name}"
        raise ConnectionError(msg)


class NoUpdate(Recorder):
    """Fails at the first counters."""

    def update(self, values: Mapping[str, float]) -> None:
        raise ValueError(values)


class Hangs(Recorder):
    """Never returns from the first counters."""

    def update(self, values: Mapping[str, float]) -> None:
        super().update(values)
        time.sleep(600)


class Dies(Recorder):
    """Takes its process with it."""

    def begin(self, run: TrackedRun) -> str:
        os._exit(7 if run.name else 0)


class Leaves(Recorder):
    """Ends its process as if all were well."""

    def begin(self, run: TrackedRun) -> str:
        sys.exit(0 if run.name else 7)


class NoEnd:
    """Lacks a method."""

    def begin(self, run: TrackedRun) -> str:
        return run.name

    def update(self, values: Mapping[str, float]) -> None:
        """Ignore it."""
