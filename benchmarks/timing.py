"""Seconds of calls, and how tables give the spread of what was measured."""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

__all__ = ["spread", "timed"]

Result = TypeVar("Result")


def timed(call: Callable[[], Result]) -> tuple[float, Result]:
    """Return the seconds that a call takes, and its result."""
    began = time.perf_counter()
    result = call()
    return time.perf_counter() - began, result


def spread(values: Sequence[float], *, decimals: int = 1) -> str:
    """Return the median, and in brackets least to most."""
    median, least, most = (f"{of(values):.{decimals}f}" for of in (statistics.median, min, max))
    return f"{median} ({least} to {most})"
