"""What the driver needs of other machines before engines start, had in spite of troubles that pass."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import ParamSpec, TypeVar

from landscape_ray.errors import TransientError

__all__ = ["fetched"]

logger = logging.getLogger(__name__)

PAUSES_S = (1.0, 4.0)
"""Pauses between attempts; few, because somebody waits, and the Hub's client has its own before it gives up."""

P = ParamSpec("P")
T = TypeVar("T")


def fetched(fetch: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Fetch something, again after a pause where a failure may pass.

    Raises:
        TransientError: It did not pass.
    """
    return persistently(lambda: fetch(*args, **kwargs), PAUSES_S)


def persistently(fetch: Callable[[], T], pauses_s: Sequence[float], sleep: Callable[[float], object] = time.sleep) -> T:
    """Call a function, and once more after each pause if it fails for what may pass."""
    for pause_s in pauses_s:
        try:
            return fetch()
        except TransientError as error:
            logger.warning("%s Tried again in %g s.", error, pause_s)
        sleep(pause_s)
    return fetch()
