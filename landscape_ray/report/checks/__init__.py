"""Is this landscape right? What can be told from the results alone, each as a finding that a reader can act on."""

from collections.abc import Callable, Mapping

from landscape_ray.report.checks import answers, basin, danger, record
from landscape_ray.report.checks.check import Check, State, Sweep
from landscape_ray.report.results import Results
from landscape_ray.report.status import FolderStatus
from landscape_ray.report.visits import Visits

__all__ = ["Check", "State", "checks_of"]


def checks_of(results: Results, visits: Mapping[str, Visits], status: FolderStatus) -> tuple[Check, ...]:
    """Return all checks of a sweep, those that ask for attention first."""
    sweep = Sweep(results=results, visits=visits, status=status)
    found = [check(sweep) for check in CHECKS]
    order: tuple[State, ...] = ("attention", "unknown", "pass")
    return tuple(sorted(found, key=lambda check: order.index(check.state)))


CHECKS: tuple[Callable[[Sweep], Check], ...] = (
    record.complete,
    record.undisputed,
    record.origin,
    record.own_weights,
    basin.aligned,
    basin.walls,
    basin.resolved,
    danger.hidden,
    answers.lengths,
    answers.language,
    answers.scored,
    answers.finished,
    answers.apostrophes,
    record.same("One judge decided", {"judge": "judges"}, "All verdicts are of one version of a judge"),
    record.same(
        "One kind of machine computed",
        {"engine": "engines", "torch_version": "versions of torch", "device": "kinds of device"},
        "All points were computed alike",
    ),
    basin.samples,
)
