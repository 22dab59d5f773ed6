"""What a run is asked through its folder, as events for the scheduler: each is carried out and answered once."""

import contextlib
import logging
from collections.abc import Iterator

from landscape_ray.errors import OutputError, TransientError
from landscape_ray.store import RequestStore
from landscape_ray.sweep.events import Requested, StopRequested

__all__ = ["Requests"]

logger = logging.getLogger(__name__)


class Requests:
    """The requests to the driver of one lease."""

    def __init__(self, store: RequestStore, epoch: int, shard: str = "") -> None:
        """Begin; nothing is read yet.

        Args:
            store: Where they are.
            epoch: Number of the lease. What earlier drivers were asked is refused.
            shard: Name of its shard. What drivers of others are asked is left to them.
        """
        self._store = store
        self._epoch = epoch
        self._shard = shard
        self._seen: set[str] = set()

    def events(self) -> Iterator[Requested | StopRequested]:
        """Yield what is asked that was not before; once an event is taken in, its request is answered.

        A store that is away for a while is looked into again the next time.
        """
        try:
            found = self._store.asked(but=self._seen)
        except (OutputError, TransientError):
            return
        for each in found:
            self._seen.add(each.name)
            is_for_another = not isinstance(each.request, str) and each.request.shard != self._shard
            if each.answer is not None or is_for_another:
                continue
            refused = None
            if isinstance(each.request, str):
                refused = f"it is no request: {each.request}"
            elif each.request.epoch != self._epoch:
                refused = "the run that it was for had ended"
            else:
                asked = each.request
                yield Requested(action=asked.action, num_engines=asked.engines, by=asked.by, why=asked.why)
                if asked.action == "stop":
                    yield StopRequested()
            if refused:
                logger.warning("A request was refused, because %s (control/%s.json)", refused, each.name)
            with contextlib.suppress(OutputError, TransientError):
                self._store.answer(each.name, refused)
