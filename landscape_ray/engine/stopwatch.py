"""Where the time of an engine's calls goes."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Stopwatch"]


class Stopwatch:
    """Adds up seconds by phase, from one `take` to the next."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        """Begin with nothing.

        Args:
            clock: Seconds, of which only differences count.
        """
        self.clock = clock
        self._spent_s: dict[str, float] = {}

    def add(self, phase: str, seconds: float) -> None:
        """Count seconds to a phase."""
        self._spent_s[phase] = self._spent_s.get(phase, 0.0) + seconds

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count what the body takes, errors included; phases do not nest."""
        began = self.clock()
        try:
            yield
        finally:
            self.add(name, self.clock() - began)

    def take(self) -> dict[str, float]:
        """Return the seconds by phase, and begin with nothing again."""
        spent_s, self._spent_s = self._spent_s, {}
        return spent_s
