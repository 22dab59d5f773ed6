"""How far a sweep is, by what its folder holds; cheap enough to ask while it runs."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from landscape_ray.analysis import COLUMNS, Landscape, repeats_plan, with_wall_visits
from landscape_ray.errors import number_of
from landscape_ray.evaluation import Verdict
from landscape_ray.planning import PlannedPoint
from landscape_ray.report.results import load_chosen, load_design
from landscape_ray.report.words import Fact, Told
from landscape_ray.store import (
    LeaseState,
    Manifest,
    PointFailure,
    Quarantined,
    Request,
    ResultStore,
    RunSummary,
    keys_by_label,
    planned_keys,
    planned_sweep,
)

__all__ = ["BenchmarkStatus", "FolderStatus", "load_status"]

MAX_LISTED = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkStatus:
    """How far one benchmark is. Counts are of points, repeats of the origin included."""

    num_points: int
    """Points of the sweep; where they are chosen those chosen so far and, at most, those still to be chosen."""
    num_done: int
    """Points measured."""
    failures: tuple[PointFailure, ...]
    """Points given up, in the order of the plan."""
    num_unfinished: int = 0
    """Answers that never came, because the model did not leave its thinking."""

    @property
    def num_missing(self) -> int:
        """Points neither measured nor given up."""
        return self.num_points - self.num_done - len(self.failures)


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderStatus(Told):
    """How far the sweep is that a results folder was last run with."""

    manifest: Manifest
    """What the folder is about."""
    num_grid_points: int | None
    """Grid points of all draws, of which an adaptive sweep measures a part; None for a full sweep."""
    benchmarks: dict[str, BenchmarkStatus]
    """By name, in the order of the configuration."""
    quarantined: tuple[Quarantined, ...]
    """Files without influence on any score, and why."""
    driver: LeaseState | None
    """The driver that is at work, or was killed; None if the last one has ended by itself."""
    shards: dict[str, LeaseState]
    """The same of each shard, by its name."""
    paused: Request | None
    """By which request a driver, of the sweep or of a shard, is in a pause; None if none is."""
    latest_run: RunSummary | None
    """How far and how fast the latest run was when it last wrote its log, which it does every half minute."""

    @property
    def exit_code(self) -> int:
        """0 done, 3 incomplete but resumable, 4 finished with failed points."""
        if any(benchmark.num_missing for benchmark in self.benchmarks.values()):
            return 3
        return 4 if any(benchmark.failures for benchmark in self.benchmarks.values()) else 0

    def facts(self) -> Iterator[Fact]:
        """Yield how far the sweep is, and what went wrong."""
        yield "sweep", self.manifest.sweep_id
        yield "begun", self.manifest.created_at
        yield from self._drivers()
        if self.paused is not None:
            yield "paused", f"by {self.paused.by}, {self.paused.at}: {self.paused.why}"
        if self.latest_run is not None:
            yield "latest run", _run_text(self.latest_run)
        if self.num_grid_points is not None:
            yield (
                "adaptive",
                f"measures a part of {number_of(self.num_grid_points, 'grid point')}, estimates the scores",
            )
        for name, benchmark in self.benchmarks.items():
            failed = f", {len(benchmark.failures):,} given up" if benchmark.failures else ""
            missing = f", {benchmark.num_missing:,} missing" if benchmark.num_missing else ""
            unfinished = (
                f"; {number_of(benchmark.num_unfinished, 'answer')} unfinished" if benchmark.num_unfinished else ""
            )
            points = number_of(benchmark.num_points, "point")
            yield name, f"{benchmark.num_done:,} of {points} done{failed}{missing}{unfinished}"
            for failure in benchmark.failures[:MAX_LISTED]:
                yield "", f"{failure.label}, {number_of(failure.attempts, 'attempt')}: {failure.error.splitlines()[0]}"
            if len(benchmark.failures) > MAX_LISTED:
                yield "", f"and {len(benchmark.failures) - MAX_LISTED:,} more, see failures/*.json"
        for file in self.quarantined[:MAX_LISTED]:
            yield "no use", f"{file.path}: {file.reason}"
        if len(self.quarantined) > MAX_LISTED:
            yield "", f"and {len(self.quarantined) - MAX_LISTED:,} more"

    def _drivers(self) -> Iterator[Fact]:
        drivers = {"driver": self.driver} if self.driver else {}
        drivers |= {f"shard {name.replace('-of-', '/')}": driver for name, driver in sorted(self.shards.items())}
        for name, driver in drivers.items():
            yield name, f"{driver.holder}; last heard of {driver.renewed_at}"

    def document(self) -> dict[str, Any]:
        """Return what `landscape-ray status --json` prints, as plain JSON types."""
        run = self.latest_run
        return {
            "sweep_id": self.manifest.sweep_id,
            "exit_code": self.exit_code,
            "benchmarks": {
                name: {**asdict(benchmark), "num_missing": benchmark.num_missing}
                for name, benchmark in self.benchmarks.items()
            },
            "quarantined": [file._asdict() for file in self.quarantined],
            "driver": None if self.driver is None else asdict(self.driver),
            "shards": {name: asdict(driver) for name, driver in self.shards.items()},
            "paused": None if self.paused is None else self.paused.model_dump(),
            "latest_run": None if run is None else {**asdict(run), "points_per_min": run.points_per_min},
        }


def load_status(out: str | Path) -> FolderStatus:
    """Count what a results folder holds.

    Of parts only footers are read, and verdicts where they choose points or the model thinks before it answers.

    Args:
        out: Path or URL of the results folder.

    Raises:
        OutputError: There is no sweep, it cannot be read, or another version of landscape-ray wrote it.
    """
    store = ResultStore(str(out))
    manifest = store.require_manifest()
    config, plan, keys_of = planned_sweep(manifest)
    plan, keys_of, num_unchosen = load_chosen(store, config, plan, keys_of)
    design, parts, failures = load_design(store, config, plan, keys_of), store.parts(), store.failures()
    points: Sequence[PlannedPoint] = plan.points
    repeats = repeats_plan(config, plan)
    label_keys = keys_by_label(plan, keys_of) | keys_by_label(repeats, planned_keys(manifest, config, repeats))
    if design is not None:
        points, num_unchosen = [point for point in points if design.wants(point)], design.num_unchosen

    def landscape_of(name: str) -> Landscape:
        return Landscape.from_rows(store.columns(keys_of[name], COLUMNS), plan=plan, benchmark=name)

    points, num_unchosen = with_wall_visits(
        config, points, num_unchosen, repeats=repeats, keys=label_keys, done=parts.keys(), landscape_of=landscape_of
    )
    chosen_keys = {name: [label_keys[point.label][name] for point in points] for name in keys_of}
    if not any(key not in parts and key not in failures for keys in chosen_keys.values() for key in keys):
        num_unchosen = 0  # what the choice waits for has failed
    benchmarks = {
        name: BenchmarkStatus(
            num_points=len(keys) + num_unchosen,
            num_done=sum(key in parts for key in keys),
            failures=tuple(failures[key] for key in keys if key in failures),
            num_unfinished=_num_unfinished(store, manifest, name, [key for key in keys if key in parts]),
        )
        for name, keys in chosen_keys.items()
    }
    drivers = store.drivers()
    paused = store.requests.pause(drivers)
    driver = drivers.pop("", None)
    return FolderStatus(
        manifest=manifest,
        num_grid_points=None if design is None else design.chosen.size,
        benchmarks=benchmarks,
        quarantined=tuple(store.quarantined()),
        driver=driver,
        shards=drivers,
        paused=paused,
        latest_run=store.latest_run(),
    )


def _num_unfinished(store: ResultStore, manifest: Manifest, benchmark: str, keys: Sequence[str]) -> int:
    chat = manifest.benchmarks[benchmark].settled
    if chat is None or chat.reasoning is None:
        return 0
    return int((store.columns(keys, ["verdict"])["verdict"] == Verdict.UNFINISHED).sum())


def _run_text(run: RunSummary) -> str:
    rate = "" if run.points_per_min is None else f", {run.points_per_min:,.1f} a minute"
    return (
        f"{run.event} at {run.at}: {number_of(run.num_done_now, 'point')}{rate}, {number_of(run.num_up, 'engine')} up"
    )
