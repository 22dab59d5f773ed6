"""Visits of several points at once, where engines can have points along the same directions in one batch."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from landscape_ray.planning.sweep_plan import PointTask

__all__ = ["LineTask", "Task", "in_lines"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LineTask:
    """One visit to make to several points along the same directions."""

    tasks: tuple[PointTask, ...]
    """The points, at least two, all with the same benchmarks missing."""

    @property
    def benchmarks(self) -> tuple[str, ...]:
        """Names of the benchmarks missing at each of the points."""
        return self.tasks[0].benchmarks

    @property
    def label(self) -> str:
        """Readable name, such as `d1_a-0.05 and 7 more`."""
        return f"{self.tasks[0].label} and {len(self.tasks) - 1} more"

    def halves(self) -> tuple["Task", "Task"]:
        """Return two smaller visits to the same points."""
        middle = len(self.tasks) // 2
        return _task(self.tasks[:middle]), _task(self.tasks[middle:])


Task: TypeAlias = PointTask | LineTask


def in_lines(tasks: Iterable[PointTask], most: int) -> Iterator[Task]:
    """Yield tasks put together where they lie along the same directions, at most so many points at a time.

    With one at a time they are the tasks as they were.

    Repeats of the origin are left alone: they are to come to different engines. Each visit takes points from all along
    the line, near and far, so that visits take about as long as each other.
    """
    if most == 1:
        yield from tasks
        return
    lines: dict[tuple[int | None, tuple[str, ...]], list[PointTask]] = {}
    for task in tasks:
        lines.setdefault((task.point.draw, task.benchmarks), []).append(task)
    for (draw, _), line in lines.items():
        num_visits = len(line) if draw is None else -(-len(line) // most)
        yield from (_task(tuple(line[first::num_visits])) for first in range(num_visits))


def _task(tasks: tuple[PointTask, ...]) -> Task:
    return LineTask(tasks=tasks) if len(tasks) > 1 else tasks[0]
