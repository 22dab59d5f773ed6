"""The tasks of a run: which wait, in which order, and what failures come to. Pure, like its caller."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from landscape_ray.planning import LineTask, PointTask, Task, in_lines
from landscape_ray.sweep.events import GiveUp, Policy

__all__ = ["OpenTask", "TaskQueue"]


@dataclass(slots=True, eq=False)
class OpenTask:
    """A task, and what has become of it so far."""

    task: Task
    failures: int = 0
    """Charged to it."""
    error: Exception | None = None
    """The last failure."""
    num_batches: int = 1
    """Into how many its prompts are split."""
    visits: set[int] = field(default_factory=set)
    """On an engine, running or queued there; two while a straggler is repeated. Empty while the task waits."""
    alone: bool = False
    """An engine was lost with this and another visit under way. It shares none any more, so that the cause shows."""
    settled: bool = False
    """Done, given up or halved."""
    halves: "list[OpenTask]" = field(default_factory=list)
    """What it was halved into."""

    @property
    def is_origin(self) -> bool:
        """Whether it is of the origin or a repeat of it."""
        return self.task.tasks[0].point.draw is None


class TaskQueue:
    """Tasks in the order in which they are sent: the origin and its repeats first, failed ones last."""

    def __init__(self, policy: Policy) -> None:
        self.num_open = 0
        """Tasks neither done nor given up, waiting or not."""
        self._policy = policy
        self._origin: deque[OpenTask] = deque()
        self._others: deque[OpenTask] = deque()

    def __len__(self) -> int:
        """How many wait."""
        return len(self._origin) + len(self._others)

    def add(self, tasks: Iterable[PointTask], num_engines: int) -> None:
        """Take in tasks, several points in one where engines can have them in one batch.

        Args:
            tasks: New ones.
            num_engines: Visits are smaller where the points would not last for so many engines.
        """
        tasks = tuple(tasks)
        most = min(self._policy.points_per_visit, -(-len(tasks) // num_engines))
        self._enqueue(OpenTask(task) for task in in_lines(tasks, max(most, 1)))

    def first(self, *, but_the_origin: bool) -> OpenTask:
        """Return the task to send next: of the origin, unless that is better left to another engine and there is more.

        Args:
            but_the_origin: Whether it is.
        """
        if but_the_origin and self._others:
            return self._others[0]
        return (self._origin or self._others)[0]

    def may_repeat(self, task: OpenTask) -> bool:
        """Tell whether a second engine may be sent to a task that has one."""
        return len(task.visits) == 1 and not task.settled and task.failures < self._policy.max_attempts

    def remove(self, task: OpenTask) -> None:
        """Take out a task that waits no longer."""
        self._queue_of(task).remove(task)

    def release(self, task: OpenTask, visit: int, charged: Exception | None) -> list[GiveUp]:
        """Take a visit from its task; if no other engine is at it, let it wait again, halve it, or give it up.

        Args:
            task: The task.
            visit: The visit.
            charged: The failure that is counted against the task; None: it is not to blame.
        """
        if charged is not None:
            task.failures += 1
            task.error = charged
        task.visits.discard(visit)
        if task.visits or task.settled:
            return []
        if task.error and isinstance(task.task, LineTask):
            self._settle(task)
            task.halves = [OpenTask(half) for half in task.task.halves()]
            self._enqueue(task.halves)
        elif task.error and task.failures >= self._policy.max_attempts and isinstance(task.task, PointTask):
            self._settle(task)
            return [GiveUp(task=task.task, attempts=task.failures, error=task.error)]
        else:
            # Behind all others: if the point is to blame, the rest of the sweep is done before it does more harm.
            self._queue_of(task).append(task)
        return []

    def complete(self, task: OpenTask) -> None:
        """Count a task as done, and what it was halved into."""
        for half in task.halves:
            self.complete(half)
        if not task.settled:
            if not task.visits:  # it waits again: an engine that was written off has done it after all
                self.remove(task)
            self._settle(task)

    def _enqueue(self, tasks: Iterable[OpenTask]) -> None:
        for task in tasks:
            self.num_open += 1
            self._queue_of(task).append(task)

    def _settle(self, task: OpenTask) -> None:
        task.settled = True
        self.num_open -= 1

    def _queue_of(self, task: OpenTask) -> deque[OpenTask]:
        return self._origin if task.is_origin else self._others
