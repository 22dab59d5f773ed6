"""The rounds of a sweep that is adaptive or certifies: what is visited next depends on the results of what was."""

from collections.abc import Iterable

from landscape_ray.planning import PointTask
from landscape_ray.sweep.events import TasksAdded
from landscape_ray.sweep.outcome import survey
from landscape_ray.sweep.preparation import PreparedSweep

__all__ = ["Rounds"]


class Rounds:
    """Looks into the store after each round, and never asks for a visit twice."""

    def __init__(self, sweep: PreparedSweep, first: Iterable[PointTask], *, retry_failed: bool) -> None:
        """Begin.

        Args:
            sweep: The sweep.
            first: Tasks of the round that is under way.
            retry_failed: Try points again that were given up in earlier runs.
        """
        self._sweep = sweep
        self._retry_failed = retry_failed
        self._tasked = {task.point.label for task in first}

    def next_round(self) -> TasksAdded:
        """Return the tasks of the next round, none if the sweep is finished or cannot go on without what has failed."""
        outcome, tasks = survey(self._sweep, retry_failed=self._retry_failed)
        added = tuple(task for task in tasks if task.point.label not in self._tasked)
        self._tasked |= {task.point.label for task in added}
        return TasksAdded(tasks=added, more_to_come=bool(added) and outcome.num_unchosen > 0)
