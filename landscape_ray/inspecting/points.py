"""From the name of a point to what an engine needs to go there."""

import secrets
from dataclasses import dataclass, replace
from pathlib import Path

from landscape_ray.config import SweepConfig, load_config
from landscape_ray.engine import EngineSpec
from landscape_ray.errors import BenchmarkError, ConfigError, number_of
from landscape_ray.evaluation import Benchmark
from landscape_ray.inspecting.names import PointName
from landscape_ray.planning import PlannedPoint, SweepPlan
from landscape_ray.store import ResultStore
from landscape_ray.sweep import PreparedSweep, prepare
from landscape_ray.sweep.on_node import with_files_here

__all__ = ["SweepPoint", "find_point"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepPoint:
    """A point of a sweep, on the grid or anywhere else on its axes."""

    spec: EngineSpec
    """What its engine is built from; no benchmark limits its context."""
    point: PlannedPoint
    """Where."""
    digests: frozenset[str]
    """Digest of the weights that the sweep measured there; none if it has not been there."""
    pattern: Benchmark
    """A benchmark of the sweep, as which conversations are put to the model."""


def find_point(name: PointName, benchmark: str | None = None) -> SweepPoint:
    """Prepare the sweep of a results folder or of a configuration, and find a point in it.

    Args:
        name: Of the point.
        benchmark: The benchmark whose chat template and reasoning apply; None: that on which all agree.

    Raises:
        UserError: There is no such sweep or point, or its model is not there; the message says what to change.
        TransientError: Something that it needs cannot be had at the moment.
    """
    sweep = _prepared(name.source)
    point = _planned(sweep, name)
    keys = sweep.keys.get(point.label, {}).values()
    digests = sweep.store.columns(list(keys), ["weights_digest"])["weights_digest"]
    spec = with_files_here(sweep.spec, out=sweep.out, fingerprint=sweep.manifest.fingerprint)
    return SweepPoint(
        spec=replace(spec, benchmarks=()),
        point=point,
        digests=frozenset(map(str, digests)),
        pattern=_pattern(sweep, name.source, benchmark),
    )


def _prepared(source: str) -> PreparedSweep:
    if Path(source).suffix in {".yaml", ".yml"}:
        config = load_config(source)
        if config.computed_directions:
            msg = (
                f"{source} has directions that an engine computes first ({config.computed_directions[0].label!r}). Run "
                "it, and name its results folder instead."
            )
            raise ConfigError(msg)
        out = f"memory://landscape-ray-{secrets.token_hex(8)}"  # nothing is written
    else:
        config, out = ResultStore(source).require_manifest().request(), source
    if config.engine == "synthetic":
        msg = f"{source} is about the synthetic engine, which has no model to ask. Name a sweep of another engine."
        raise ConfigError(msg)
    return prepare(config, out)


def _planned(sweep: PreparedSweep, name: PointName) -> PlannedPoint:
    """Return a point as the sweep would plan it if its axes held nothing else, so that on the grid it is the same."""
    config: SweepConfig = sweep.config
    axes = config.landscape.axes
    if len(name.coordinates) != len(axes):
        wanted = "ALPHA:BETA" if len(axes) == 2 else "ALPHA"
        given = ":".join(f"{each:g}" for each in name.coordinates)
        msg = f"A point of {name.source} is named by {wanted}, because it has that many axes; {given} names none."
        raise ConfigError(msg)
    if name.draw >= config.num_draws:
        msg = f"{name.source} has {number_of(config.num_draws, 'draw')}, counted from 0; there is no draw {name.draw}."
        raise ConfigError(msg)
    only = [
        axis.model_copy(update={"start": coordinate, "stop": coordinate, "num": 1})
        for axis, coordinate in zip(axes, name.coordinates, strict=True)
    ]
    landscape = config.landscape.model_copy(update={"axes": only, "origin_repeats": 1})
    plan = SweepPlan.from_config(config.model_copy(update={"landscape": landscape}), sweep.manifest.geometry)
    origin = plan.points[0]
    return next((point for point in plan.points if point.draw == name.draw), origin)


def _pattern(sweep: PreparedSweep, source: str, name: str | None) -> Benchmark:
    generated = [each for each in sweep.spec.benchmarks if each.is_generated and name in {None, each.name}]
    if not generated:
        which = "benchmark" if name is None else f"benchmark {name!r}"
        msg = f"{source} has no {which} with generated answers, which would say how the model is asked."
        raise BenchmarkError(msg)
    ways = {(each.chat_template, each.template_arguments, each.settled.reasoning) for each in generated}
    if len(ways) > 1:
        msg = (
            f"The benchmarks of {source} put conversations to the model in {len(ways)} ways. Say which one applies: "
            f"-M benchmark=NAME, of {', '.join(each.name for each in generated)}."
        )
        raise BenchmarkError(msg)
    return generated[0]
