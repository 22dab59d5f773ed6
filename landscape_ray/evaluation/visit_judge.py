"""Who gives verdicts during a visit: a list of keywords, or a task of Inspect."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from landscape_ray.errors import BenchmarkError
from landscape_ray.evaluation.benchmark import Benchmark
from landscape_ray.evaluation.inspect_package import require_inspect
from landscape_ray.evaluation.judge import judge_named
from landscape_ray.evaluation.records import Completion, Verdict

if TYPE_CHECKING:
    from landscape_ray.evaluation.inspect_task import InspectTask

__all__ = ["VisitJudge", "judge_of", "load_task"]


class VisitJudge(Protocol):
    """Gives verdicts during a visit."""

    def verdicts(self, completions: Iterable[Completion]) -> tuple[Verdict, ...]:
        """Return the verdict on the answer to each prompt, in the benchmark's order."""
        ...


def load_task(name: str, limit: int | None) -> "InspectTask":
    """Load a task of Inspect, see `InspectTask`.

    Raises:
        ResourceError: Inspect is not installed.
        UserError: The task cannot be had, or not be run in a visit.
    """
    require_inspect()
    from landscape_ray.evaluation.inspect_task import InspectTask  # noqa: PLC0415 - an optional package

    return InspectTask(name, limit)


def judge_of(benchmark: Benchmark) -> VisitJudge:
    """Return who gives the verdicts on a benchmark's answers.

    Raises:
        BenchmarkError: There is no such judge; or the task is not here, or another one than where the sweep was begun.
    """
    if benchmark.task is None:
        return judge_named(benchmark.judge)
    task = load_task(benchmark.task, len(benchmark.prompts))
    if task.version != benchmark.judge:
        msg = f"The task {benchmark.task} is {task.version} here and {benchmark.judge} where the sweep was begun."
        raise BenchmarkError(msg)
    return task
