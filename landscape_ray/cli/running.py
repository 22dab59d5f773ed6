"""What `run` prints at its start and end, and what it tells a tracker."""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from landscape_ray import library
from landscape_ray.cli import text
from landscape_ray.cli.next_steps import next_steps
from landscape_ray.config import SweepConfig

if TYPE_CHECKING:
    from landscape_ray.library import Progress, SweepOutcome, Tracking, WrittenReport

__all__ = ["end_of_run", "print_run", "progress", "start_of_run", "tell_end", "tracking"]


def progress(*, profile: bool, heading: tuple[str, str] | None = None) -> "Progress":
    """Return who shows how a run goes, with a heading, and where the time of the engines went if that is asked for."""
    shown = library.progress_for(sys.stderr, heading=heading)
    return library.ProfiledProgress(shown, sys.stderr) if profile else shown


@contextlib.contextmanager
def tracking(tracker: str | None, sweep: SweepConfig, folder: str, shown: "Progress") -> Iterator["Tracking | None"]:
    """Have a tracker told of a run, if one is asked for; one that cannot be had is refused here."""
    if tracker is None:
        yield None
        return
    library.check_tracker(tracker)
    with library.Tracking(tracker, library.tracked_run(library.as_run(sweep), folder), shown) as told:
        yield told


def tell_end(told: "Tracking | None", report: "WrittenReport | None") -> None:
    """Have scores and figures taken down by the tracker, if there is one; without a report the sweep is incomplete."""
    if told is not None:
        if report is None:
            told.end("incomplete")
        else:
            told.end("finished", report.document, report.files)


def start_of_run(sweep: SweepConfig, folder: str) -> dict[str, Any]:
    """Return the first JSON line of a run."""
    sweep = library.as_run(sweep)
    return {"event": "start", "sweep_id": sweep.sweep_id, "out": folder, "num_points": library.num_visits(sweep)}


def print_run(
    sweep: SweepConfig,
    command: Sequence[str],
    folder: str,
    outcome: "SweepOutcome",
    report: "WrittenReport | None",
    *,
    place: str,
) -> None:
    """Print the scores, where all is measured, where a tracker has them, and what to try next."""
    if report is not None:
        text.print_facts([*report.facts(), *(() if outcome.exit_code else report.certificates().facts())])
    if place:
        text.print_facts([("tracked", place)])
    text.print_facts(next_steps(sweep, command, folder, **asdict(outcome)))


def end_of_run(outcome: "SweepOutcome", report: "WrittenReport | None") -> dict[str, Any]:
    """Return the last JSON line of a run."""
    end = {"event": "end", "exit_code": outcome.exit_code, **asdict(outcome), "num_missing": outcome.num_missing}
    if report is not None:
        end |= {"files": [str(file) for file in report.files], "scores": report.document}
        if not outcome.exit_code and (found := report.certificates()):
            end["certificates"] = {name: asdict(each) for name, each in found.items()}
    return end
