"""Campaigns on the command line: what `run` and `plan` do with several sweeps."""

import contextlib
import shlex
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from landscape_ray import library
from landscape_ray.cli import running, text
from landscape_ray.cli.text import print_json
from landscape_ray.config import CampaignSweep, SweepConfig, load_campaign
from landscape_ray.errors import LandscapeError, OutputError, number_of

if TYPE_CHECKING:
    from landscape_ray.library import EndedSweep, PlannedSweep, Progress, Shard, Tracking, WrittenReport

__all__ = ["load", "plan", "run"]


def load(
    configs: Sequence[Path], overrides: Sequence[str], *, adaptive: bool, until_certified: float | None
) -> tuple[CampaignSweep, ...]:
    """Load sweeps, adaptive with their own settings or else the default ones, if that is asked for."""
    overrides = [*overrides, *([] if until_certified is None else [f"certify.radius={until_certified!r}"])]
    sweeps = load_campaign(configs, overrides)
    if not adaptive:
        return sweeps
    by_default = load_campaign(configs, ["adaptive={}", *overrides])
    return tuple(own if own.config.adaptive else other for own, other in zip(sweeps, by_default, strict=True))


def plan(
    sweeps: Sequence[CampaignSweep], planned: Callable[[SweepConfig], "PlannedSweep"], *, as_json: bool
) -> tuple[LandscapeError, ...]:
    """Print the plan of each sweep and their sum; return what was wrong with prompts."""
    found = []
    for sweep in sweeps:
        found.append(planned(sweep.config))
        if not as_json:
            text.print_facts([("folder", f"OUT/{sweep.name}"), *found[-1].facts()])
            typer.echo()
    num_visits, times = sum(each.size.num_visits for each in found), [each.size.seconds for each in found]
    seconds = None if None in times else [sum(each) for each in zip(*times, strict=True)]
    if as_json:
        documents = [{"name": sweep.name, **each.document()} for sweep, each in zip(sweeps, found, strict=True)]
        print_json({"sweeps": documents, "num_visits": num_visits, "seconds": seconds})
    else:
        took = f", about {' to '.join(map(library.duration_text, seconds))}" if seconds else ""
        text.print_facts([("campaign", f"{number_of(len(sweeps), 'sweep')}, {num_visits:,} visits{took}")])
    return tuple(problem for each in found for problem in each.problems)


def run(
    sweeps: Sequence[CampaignSweep],
    configs: Sequence[Path],
    out: str | None,
    *,
    retry_failed: bool,
    profile: bool,
    track: str | None,
    shard: "Shard | None",
    as_json: bool,
) -> int:
    """Run a campaign, print how each sweep and the whole ended, and return the exit code.

    Args:
        sweeps: The sweeps.
        configs: Their files.
        out: Folder or URL of the campaign, if one is given.
        retry_failed: Try points again that were given up in earlier runs.
        profile: Print where the time of the engines went.
        track: Who else is told of each sweep, see `landscape_ray.tracking`.
        shard: The share of this driver in each sweep.
        as_json: Print JSON lines.
    """
    folder = out or f"results/{'campaign' if len(configs) > 1 else configs[0].stem}"
    command = shlex.join(
        ["landscape-ray", "run", *map(str, configs), "--out", folder, *(["--shard", str(shard)] if shard else [])]
    )
    near = Path("results", folder.rstrip("/").rpartition("/")[2]) if "://" in folder else Path(folder)
    with text.failure_told(as_json=as_json):
        if track is not None:
            library.check_tracker(track)
        prepared = library.prepare_campaign(sweeps, folder)
        teller = _Teller([each.out for each in prepared], near, profile=profile, track=track, as_json=as_json)
        ended = []
        with teller.tracking:
            for each in library.run_campaign(prepared, teller.begin, retry_failed=retry_failed, shard=shard):
                ended.append(each)
                teller.end(each)
        code = library.worst(each.exit_code for each in ended)
        measured = [each.out for each in ended if each.outcome is not None and each.outcome.num_done]
        _tell_whole(measured, ended, near, command, code, as_json=as_json)
    return code


class _Teller:
    """Tells of each sweep as it begins and ends, on the terminal and to a tracker."""

    def __init__(self, outs: Sequence[str], near: Path, *, profile: bool, track: str | None, as_json: bool) -> None:
        self._outs = outs
        self._near = near
        self._profile = profile
        self._track = track
        self._as_json = as_json
        self.tracking = contextlib.ExitStack()
        self._told: Tracking | None = None

    def begin(self, number: int, sweep: CampaignSweep) -> "Progress":
        """Tell that a sweep begins; return who listens to it."""
        num, out = len(self._outs), self._outs[number - 1]
        if self._as_json:
            start = running.start_of_run(sweep.config, out)
            print_json({**start, "name": sweep.name, "number": number, "num_sweeps": num})
        shown = running.progress(profile=self._profile, heading=(f"model {number} of {num}", sweep.name))
        self._told = self.tracking.enter_context(running.tracking(self._track, sweep.config, out, shown))
        return self._told or shown

    def end(self, ended: "EndedSweep") -> None:
        """Write the report of a sweep that has ended, and tell how it did."""
        report = _report(ended, self._near / ended.sweep.name / "report")
        running.tell_end(self._told, report)
        self.tracking.close()
        self._told = None
        if self._as_json:
            print_json(_end(ended, report))
        elif ended.error is not None:
            sys.stderr.write(f"Error: {ended.sweep.name}: {ended.error}\n")
        elif ended.measured and ended.outcome is not None:
            facts = [("folder", ended.out), ("points", f"{ended.outcome.num_done:,} of {ended.outcome.num_points:,}")]
            text.print_facts([*facts, *(("written", str(file)) for file in (report.files[:1] if report else ()))])


def _report(ended: "EndedSweep", folder: Path) -> "WrittenReport | None":
    """Write the report of a sweep that is finished, unless it is there already."""
    if ended.outcome is None or ended.outcome.num_missing:
        return None
    if not ended.measured and (folder / "report.html").exists():
        return None
    return library.write_report(ended.out, folder)


def _end(ended: "EndedSweep", report: "WrittenReport | None") -> dict[str, Any]:
    """Return the last JSON line of a sweep."""
    named = {"name": ended.sweep.name, "out": ended.out}
    if ended.error is not None or ended.outcome is None:
        return {"event": "end", "exit_code": ended.exit_code, **named, "error": ended.error and str(ended.error)}
    return running.end_of_run(ended.outcome, report) | named


def _tell_whole(
    measured: Sequence[str], ended: "Iterable[EndedSweep]", near: Path, command: str, code: int, *, as_json: bool
) -> None:
    """Print and write the table of all sweeps that have points, and say how to go on where any are missing."""
    files = [near / "table.csv", near / "table.html"] if measured else []
    table = library.sweeps_table(measured) if measured else None
    if table is not None:
        try:
            near.mkdir(parents=True, exist_ok=True)
            files[0].write_text(library.csv_text(table), encoding="utf-8")
            files[1].write_text(library.table_page(table), encoding="utf-8")
        except OSError as error:
            msg = f"Cannot write {files[0].parent}/table.*: {error.strerror or error}. Make room for it there."
            raise OutputError(msg) from error
    if as_json:
        document = table.document() if table else {}
        print_json({"event": "campaign", "exit_code": code, "files": [str(file) for file in files], **document})
        return
    if table is not None:
        typer.echo(str(table))
    facts = [("written", str(file)) for file in files]
    missing = [each.sweep.name for each in ended if each.error or each.outcome is None or each.outcome.num_missing]
    if missing:
        facts.append(("missing", f"points of {', '.join(missing)}; the same command measures them: {command}"))
    if given_up := [each.sweep.name for each in ended if each.outcome and each.outcome.num_failed]:
        facts.append(("given up", f"points of {', '.join(given_up)}; {command} --retry-failed"))
    if facts:
        text.print_facts(facts)
