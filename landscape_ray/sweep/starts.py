"""Which slot may start an engine, and when: growing pauses, and budgets that failures use up. Pure, like its caller."""

import math
import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from landscape_ray.errors import DefectError, PlacementError, TransientError, UserError

__all__ = ["LASTING", "Engine", "Slot", "Starts"]

# The first retry of an engine comes after a second, later ones after twice the time before, at most a minute.
BACKOFF_S, BACKOFF_MAX_S = 1.0, 60.0
LASTING = (UserError, DefectError, PlacementError)
"""What another start cannot change: the request, the program, or whether the engine takes the weights."""


@dataclass(slots=True, eq=False)
class Budget:
    """Failures in a row, and the pause that follows from them."""

    setbacks: float = 0
    """Failures in a row; infinite: not tried again."""
    not_before_s: float = 0.0
    """No further try before this time."""

    def charge(self, now_s: float, amount: float = 1) -> None:
        """Count a failure, and pause: the more in a row, the longer."""
        self.not_before_s = now_s + min(BACKOFF_S * 2 ** min(self.setbacks, 10), BACKOFF_MAX_S)
        self.setbacks += amount


@dataclass(slots=True, eq=False)
class Slot(Budget):
    """Counts starts, lost engines, and visits that failed through no point's fault, since the last visit done."""

    engine: int | None = None
    """Its engine, starting or up."""

    def charge_loss(self, error: Exception, now_s: float) -> None:
        """Count the loss of its engine, for good if another one would go the same way."""
        self.charge(now_s, math.inf if isinstance(error, LASTING) else 1)


@dataclass(slots=True, eq=False)
class Engine:
    """An engine of a slot, starting or up."""

    slot: Slot
    """Its place, until it drains."""
    num_failed_before: int
    """How many starts had failed when this one began, before any engine came up."""
    has_room: bool = False
    """Its start has begun; until then it waits for a node."""
    node: str | None = None
    """None while starting."""
    draining: bool = False
    """Its node will go away, or it is one too many: it finishes what it has and gets nothing new."""
    saw_origin: bool = False
    visits: deque[int] = field(default_factory=deque)
    """In the order sent. The engine works on the first one, or on the second one while the first is published."""
    busy_since_s: float = 0.0
    """When the first visit became the first."""


class Starts:
    """The slots of a run, and what all starts together have come to until an engine was up for the first time."""

    def __init__(self, max_engine_restarts: int) -> None:
        self.any_up = False
        """Whether an engine has ever come up."""
        self.slots: list[Slot] = []
        self._max_engine_restarts = max_engine_restarts
        self._first = Budget()
        """Of all slots together, until an engine has come up for the first time."""
        self._failed: list[str] = []
        """What went wrong in each failed start until then."""

    @property
    def num_failed(self) -> int:
        """How many starts failed before any engine came up."""
        return len(self._failed)

    def make_room(self, num_engines: int) -> None:
        """Have slots for so many engines, at least."""
        self.slots += [Slot() for _ in range(num_engines - len(self.slots))]

    def shrink(self, num_engines: int, engines: Iterable[Engine]) -> None:
        """Have slots for so many engines, at most; those too many drain, the ones with the least to lose first."""
        holders = [engine for engine in engines if not engine.draining]
        holders.sort(key=lambda engine: (engine.node is not None, len(engine.visits)), reverse=True)
        for engine in holders[num_engines:]:
            engine.draining = True
            engine.slot.engine = None
        self.slots.sort(key=lambda slot: (slot.engine is None, slot.setbacks))
        del self.slots[num_engines:]

    def first_failed(self, error: Exception, *, num_failed_before: int, now_s: float) -> bool:
        """Count a failed start before any engine has come up; starts that were under way together count as one.

        Args:
            error: Why it failed.
            num_failed_before: How many starts had failed when it began.
            now_s: The time.

        Returns:
            True if it failed in the same way as one that had failed before it began, and not in a way that passes:
            then there is no use in another one.
        """
        what = _comparable(error)
        is_known = what in self._failed[:num_failed_before]
        is_another_go = num_failed_before == len(self._failed)
        self._first.charge(now_s, 1 if is_another_go else 0)
        self._failed.append(what)
        return is_known and not isinstance(error, TransientError)

    def most_starting(self, num_waiting: int, now_s: float) -> int:
        """Return how many engines may be starting for so many tasks that wait: one, while none has ever come up."""
        if self._failed and not self.any_up:
            return min(num_waiting, 1) if self._may_try(self._first, now_s) else 0
        return num_waiting

    def free_slots(self, now_s: float) -> list[Slot]:
        """Return the slots that may start an engine now."""
        return [slot for slot in self.slots if slot.engine is None and self._may_try(slot, now_s)]

    def may_start_again(self) -> bool:
        """Tell whether any slot will ever start an engine again."""
        is_open = self.any_up or self._has_tries_left(self._first)
        return is_open and any(map(self._has_tries_left, self.slots))

    def _has_tries_left(self, budget: Budget) -> bool:
        return budget.setbacks <= self._max_engine_restarts

    def _may_try(self, budget: Budget, now_s: float) -> bool:
        return self._has_tries_left(budget) and budget.not_before_s <= now_s


def _comparable(error: Exception) -> str:
    """Return what an error says without the numbers in it: processes, addresses and free memory differ every time."""
    return re.sub(r"\b(0x)?[0-9a-f]*\d[0-9a-f]*\b", "#", f"{type(error).__name__}: {error}", flags=re.IGNORECASE)
