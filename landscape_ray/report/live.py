"""The report of a sweep that runs: its page, made anew when there is more to see, and a line on how it goes."""

import hashlib
import threading
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from landscape_ray.errors import LandscapeError, number_of
from landscape_ray.report.checks import checks_of
from landscape_ray.report.html import page
from landscape_ray.report.results import load_results
from landscape_ray.report.scores import score
from landscape_ray.report.status import FolderStatus, load_status
from landscape_ray.report.texts import load_texts
from landscape_ray.report.visits import load_visits
from landscape_ray.store import LAPSE_S, LeaseState, ResultStore
from landscape_ray.store.filesystem import explained, open_filesystem

__all__ = ["LiveReport", "Shown"]

EVERY_S = 5.0
"""The store is looked into no more often, and a page takes at most a quarter of the time."""
FOLDERS = ("parts", "failures", "quarantine", "log")
"""A file more in one of them is something to see: a point, a point given up, a finding, another run."""


class Shown(NamedTuple):
    """What there is to show."""

    version: str
    """Tells this page from those before and after it."""
    line: str
    """How the sweep goes."""
    page: bytes
    """The page."""


class LiveReport:
    """What a results folder holds by now, for any number of readers and threads."""

    def __init__(self, out: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Read the folder for the first time.

        Args:
            out: Path or URL of the results folder.
            clock: Seconds, of which only differences count.

        Raises:
            OutputError: There is no sweep, it cannot be read, or another version of landscape-ray wrote it.
        """
        self._out, self._clock = out, clock
        self._store, self._files = ResultStore(out), open_filesystem(out)
        self._reading = threading.Lock()
        self._heard_of: dict[str, tuple[str, float]] = {}
        self._next_s = 0.0
        self._status, self._shown = self._make(self._version())

    def look(self) -> Shown:
        """Return what there is to show; the store is looked into if it is time to."""
        with self._reading:
            if (began_s := self._clock()) >= self._next_s:
                try:
                    drivers = self._store.drivers()  # first: what is there when they have ended is all that will be
                    if (version := self._version()) != self._shown.version:
                        self._status, self._shown = self._make(version)
                    self._shown = self._shown._replace(line=self._line(drivers))
                except LandscapeError as error:  # of a store that is away for a while the last page stays
                    self._shown = self._shown._replace(line=str(error))
                self._next_s = max(began_s + EVERY_S, self._clock() + 3 * (self._clock() - began_s))
            return self._shown

    def _version(self) -> str:
        with explained(self._store.location, "read"):
            names = [[entry.name for entry in self._files.files(folder)] for folder in FOLDERS]
        return hashlib.sha256(repr(names).encode()).hexdigest()[:16]

    def _make(self, version: str) -> tuple[FolderStatus, Shown]:
        status, results = load_status(self._out), load_results(self._out)
        visits, texts = load_visits(self._store, results), load_texts(self._store, results)
        scores, checks = score(results, allow_missing=True), checks_of(results, visits, status)
        return status, Shown(version, "", page(results, scores, visits, checks, texts, live=version).encode())

    def _line(self, drivers: Mapping[str, LeaseState]) -> str:
        """Return how the sweep goes; what `status` says, in a line."""
        benchmarks = self._status.benchmarks.items()
        points = [f"{name} {each.num_done:,} of {number_of(each.num_points, 'point')}" for name, each in benchmarks]
        if not drivers:
            is_missing = any(each.num_missing for _, each in benchmarks)
            how = "no run is under way; the same command measures what is missing" if is_missing else "finished"
            return f"{how}: {', '.join(points)}"
        driver = next(iter(drivers.values()))
        by = f"driver on {driver.host or 'an unnamed machine'}, process {driver.pid}"
        by += f", and {number_of(len(drivers) - 1, 'driver')} more" if len(drivers) > 1 else ""
        silent = [self._is_silent(each) for each in drivers.values()]
        if all(silent):
            how = f"the driver is silent, last heard of {driver.renewed_at}; the same command goes on from here"
        elif (pause := self._store.requests.pause(drivers)) is not None:
            how = f"paused by {pause.by} ({pause.why})"
        else:
            how, run = "running", self._store.latest_run()
            if run is not None and run.event == "running" and run.num_up:  # written every half minute
                by = f"{number_of(run.num_up, 'engine')}, {by}"
        return f"{how}: {', '.join(points)}; {by}"

    def _is_silent(self, driver: LeaseState) -> bool:
        """Tell whether a driver has died, or has not renewed its lease for too long by the clock here."""
        said, heard_s = self._heard_of.get(driver.token, ("", 0.0))
        if said != driver.renewed_at:
            said, heard_s = self._heard_of[driver.token] = driver.renewed_at, self._clock()
        return driver.has_died or self._clock() - heard_s > LAPSE_S
