"""Signals that ask a run to end."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

__all__ = ["stop_requests"]


@contextlib.contextmanager
def stop_requests(given: threading.Event | None = None) -> Iterator[threading.Event]:
    """Turn the first SIGTERM or SIGINT into an event; a second one is treated as ever.

    Args:
        given: The event of a caller who sees to signals; they are left alone then.
    """
    stop = given or threading.Event()
    if given or threading.current_thread() is not threading.main_thread():  # only that one may handle signals
        yield stop
        return

    def request(signum: int, _frame: FrameType | None) -> None:
        stop.set()
        signal.signal(signum, signal.default_int_handler if signum == signal.SIGINT else signal.SIG_DFL)

    before = {signum: signal.signal(signum, request) for signum in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
