"""What there is to say of a plan."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from landscape_ray.config import (
    GENERATED_METRICS,
    AnatomyLandscape,
    AxisConfig,
    CheckpointConfig,
    DirectionConfig,
    InterpolationLandscape,
    InterpolationRandomLandscape,
    PlaneLandscape,
    RandomLandscape,
    SvdDirection,
    SweepConfig,
)
from landscape_ray.errors import few_of, number_of
from landscape_ray.planning import SVD_WIDTH, TIME_ASSUMPTIONS, KindCost, random_axes
from landscape_ray.report.words import Fact, columns

if TYPE_CHECKING:
    from landscape_ray.library.anatomy import GroupSize
    from landscape_ray.library.planned import PlannedSweep

__all__ = ["duration_text", "planned_text"]


def planned_text(planned: PlannedSweep) -> Iterator[Fact]:
    """Yield what a sweep measures and what it will cost."""
    yield from _size_text(planned)
    yield from _groups_text(planned.groups, planned.in_no_group)
    yield from _certify_text(planned.config, planned.num_draws)
    if planned.not_checked:
        yield "not checked", planned.not_checked
    if planned.precision:
        from landscape_ray.library.precision import precision_text  # noqa: PLC0415

        yield from precision_text(planned.precision)


def _size_text(planned: PlannedSweep) -> Iterator[Fact]:
    config, size = planned.config, planned.size
    yield "sweep", config.sweep_id
    yield "model", f"{config.model.id} on {config.engine} in {config.dtype}"
    yield "landscape", _landscape_text(config)
    if config.adaptive is not None:
        num_grid_points = math.prod(axis.num for axis in config.landscape.axes)
        num_chosen = config.adaptive.num_points(num_grid_points)
        yield (
            "adaptive",
            f"{num_chosen:,} of {number_of(num_grid_points, 'grid point')} per draw, chosen as results come",
        )
    if config.marked:
        yield "marked", ", ".join(checkpoint.label for checkpoint in config.marked)
    if config.kinds:
        yield from (("direction", _direction_text(entry)) for entry in config.kinds)
        yield from _cost_text(config, planned.kinds)
    elif config.random_directions and (displacement := config.random_directions.displacement) is not None:
        yield "directions", f"random ones rescaled to the displacement {_displacement_text(displacement)}"
    origin = number_of(config.landscape.origin_repeats, "time")
    yield "visits", f"{size.num_visits:,}: {number_of(size.num_points, 'point')}, of these the origin {origin}"
    for benchmark in config.benchmarks:
        limit = number_of(benchmark.decoding.max_new_tokens, "token")
        samples = benchmark.decoding.samples
        how = f"at most {limit} {'each' if samples == 1 else f'for each of {samples} answers'}"
        if benchmark.metric not in GENERATED_METRICS:
            how = f"{benchmark.metric} by likelihood"
        yield "benchmark", f"{benchmark.name}: {number_of(planned.num_prompts[benchmark.name], 'prompt')}, {how}"
    if size.num_generations:
        yield "generations", f"{size.num_generations:,}"
        yield "tokens", f"at most {size.max_tokens:,}"
    if size.num_scored:
        yield "scored", f"{size.num_scored:,} prompts by likelihood"
    if size.seconds is None:
        yield "time", "no estimate for this model, engine and type; the first visits of a run will tell"
    else:
        least, most = size.seconds
        engines = number_of(config.run.engines or 1, "engine")
        yield "time", f"about {duration_text(least)} to {duration_text(most)} on {engines}"
        yield "", f"Assumes {TIME_ASSUMPTIONS}"


def _landscape_text(config: SweepConfig) -> str:
    """Return what a landscape shows, where, and how often."""
    match config.landscape:
        case RandomLandscape():
            what = "along directions of several kinds" if config.kinds else "random"
        case InterpolationLandscape(to=to):
            what = f"from the model (0) to {to.label} (1)"
        case InterpolationRandomLandscape(to=to):
            what = f"from the model (0) to {to.label} (1), and random"
        case PlaneLandscape(through=(first, second), gram_schmidt=gram_schmidt):
            how = "made orthogonal (Gram-Schmidt)" if gram_schmidt else "as it is"
            what = f"plane through the model, {first.label} and {second.label}, second axis {how}"
        case AnatomyLandscape(groups=groups):
            what = f"anatomy, {number_of(len(groups), 'group')} of tensors, each moved alone"
    axes = config.landscape.axes
    drawn = "direction" if config.entries else "draw"
    draws = f"; {number_of(config.num_draws, drawn)}" if random_axes(config) else ""
    return f"{len(axes)}-D {what}: {' x '.join(map(_axis_text, axes))}{draws}"


def _direction_text(entry: DirectionConfig) -> str:
    draws = f", {number_of(entry.draws, 'draw')}" if entry.draws > 1 else ""
    length = entry.displacement
    rescaled = f", rescaled to the displacement {_displacement_text(length)}" if length is not None else ""
    return f"{entry.label}{draws}{rescaled}"


def _cost_text(config: SweepConfig, costs: Sequence[KindCost]) -> Iterator[Fact]:
    """Yield what computing and keeping directions takes."""
    for number, cost in enumerate(costs):
        by_engine = cost.core_seconds is None
        seconds = "once, by an engine, " if by_engine else f"{cost.core_seconds:,.0f} s of a core a draw, "
        memory = f"{cost.host_gb:g} GB of host memory in each worker"
        yield "" if number else "computing", f"{cost.label}: {seconds}{memory}"
    if costs:
        yield "", "roughly, for each billion weights moved; cores compute as the sweep begins, and again in each engine"
    if any(isinstance(entry, SvdDirection) for entry in config.kinds):
        yield "", f"singular components: of matrices {SVD_WIDTH:,} square; twice as wide takes twice as long a weight"


def _displacement_text(displacement: float | CheckpointConfig) -> str:
    return f"of {displacement.label}" if isinstance(displacement, CheckpointConfig) else f"{displacement:g}"


def _axis_text(axis: AxisConfig) -> str:
    """Return an axis in words."""
    return f"{number_of(axis.num, 'point')} on [{axis.start:g}, {axis.stop:g}]"


def duration_text(seconds: float) -> str:
    """Return a duration in its natural unit, such as `4.8 s`, `5.0 min` or `1.8 h`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"


def _groups_text(groups: Sequence[GroupSize], left: Sequence[str]) -> Iterator[Fact]:
    """Yield what the groups are and what belongs to none."""
    header = ("", "tensors", "parameters", "points")
    lines = [header, *((g.name, _count(g.num_tensors), _count(g.num_parameters), f"{g.num_points:,}") for g in groups)]
    if groups:
        yield from zip(("groups", *[""] * len(groups)), columns(lines), strict=True)
    if left:
        yield "left", f"{number_of(len(left), 'tensor')} in no group: not moved ({few_of(left)})"


def _count(num: int | None) -> str:
    return "not known" if num is None else f"{num:,}"


def _certify_text(config: SweepConfig, num_draws: int) -> Iterator[Fact]:
    """Yield when a sweep ends that certifies; nothing of any other."""
    if (asked := config.certify) is None:
        return
    from landscape_ray.analysis import allowed_failures  # noqa: PLC0415

    may_fail = allowed_failures(asked, num_draws)
    wanted = f"at least {100 * asked.share:g} % of directions as basins of radius {asked.radius:g}"
    how = f"with a confidence of {100 * asked.confidence:g} %: {may_fail} of {number_of(num_draws, 'draw')} may fail"
    yield "certify", f"{wanted}, {how}; ends as soon as it is settled, so sizes here are upper bounds"
