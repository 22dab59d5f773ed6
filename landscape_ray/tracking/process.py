"""The process of a tracker, from outside: nothing in it can make the sweep fail or wait."""

import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from typing import Any, cast

__all__ = ["TrackerFailedError", "TrackerProcess"]


class TrackerFailedError(Exception):
    """The tracker is told nothing more; the message is why."""


class TrackerProcess:
    """Takes events as long as its pipe has room for them."""

    def __init__(self, tracker: str, begin: Mapping[str, Any]) -> None:
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the process has ended
        self._child = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-P", "-m", "landscape_ray.tracking.child", tracker],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=self._words,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the driver, which tells how the run ended
        )
        self._pipe = cast("io.FileIO", self._child.stdin)
        os.set_blocking(self._pipe.fileno(), False)
        self._unsent = _line(begin)

    def tell(self, event: Mapping[str, Any]) -> None:
        """Send what is left of earlier events, then this one, unless there is no room for it: then it is dropped.

        Raises:
            TrackerFailedError: The process has ended.
        """
        try:
            self._flush()
            if not self._unsent:
                self._unsent = _line(event)
                self._flush()
        except BrokenPipeError as error:
            self.end(event, timeout_s=1.0)
            msg = "its process ended early"
            raise TrackerFailedError(msg) from error

    def end(self, event: Mapping[str, Any], *, timeout_s: float) -> str:
        """Send the last event, wait for the process to end, and return its words.

        Raises:
            TrackerFailedError: It ended with an error, or not in time: then it is killed.
        """
        try:
            self._child.communicate(self._unsent + _line(event), timeout_s)
        except subprocess.TimeoutExpired as error:
            self._child.kill()
            self._child.communicate()
            msg = f"it did not end within {timeout_s:.0f} s"
            raise TrackerFailedError(msg) from error
        finally:
            with self._words as words:
                words.seek(0)
                said = words.read().decode("utf-8", "replace")
        if self._child.returncode:
            raise TrackerFailedError(said or f"its process ended with {self._child.returncode}")
        return said

    def _flush(self) -> None:
        self._unsent = self._unsent[self._pipe.write(self._unsent) or 0 :]


def _line(event: Mapping[str, Any]) -> bytes:
    return json.dumps(event).encode() + b"\n"
