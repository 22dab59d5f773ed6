"""What the commands print for people."""

import contextlib
import json
import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import typer

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
from landscape_ray.errors import LandscapeError, number_of
from landscape_ray.planning import SVD_WIDTH, TIME_ASSUMPTIONS, SweepEstimate, kind_costs, random_axes

__all__ = ["Fact", "columns", "failure_told", "plan_text", "print_facts", "print_json"]

Fact: TypeAlias = tuple[str, str]
"""Name and value; a line that goes on has no name."""


def print_facts(facts: Iterable[Fact]) -> None:
    """Print names and values in two columns. Lines are not wrapped, so that paths and commands can be copied."""
    facts = list(facts)
    width = max(len(name) for name, _ in facts)
    for name, value in facts:
        typer.echo(f"{typer.style(name.ljust(width), bold=True)}  {value}")


def columns(lines: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield lines of cells as a table."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for cells in lines:
        yield "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def print_json(data: Mapping[str, Any]) -> None:
    """Print one line of JSON, for scripts."""
    sys.stdout.write(json.dumps(data, allow_nan=False) + "\n")
    sys.stdout.flush()


@contextlib.contextmanager
def failure_told(*, as_json: bool) -> Iterator[None]:
    """Print the last of the JSON lines, if such are wanted, where what is done within fails."""
    try:
        yield
    except LandscapeError as error:
        if as_json:
            print_json({"event": "end", "exit_code": error.exit_code, "error": str(error)})
        raise


def plan_text(config: SweepConfig, size: SweepEstimate, num_prompts: Mapping[str, int]) -> Iterator[Fact]:
    """Yield what a sweep measures and what it will cost."""
    yield "sweep", config.sweep_id
    yield "model", f"{config.model.id} on {config.engine} in {config.dtype}"
    yield "landscape", landscape_text(config)
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
        yield from _cost_text(config)
    elif config.random_directions and (displacement := config.random_directions.displacement) is not None:
        yield "directions", f"random ones rescaled to the displacement {_displacement_text(displacement)}"
    origin = number_of(config.landscape.origin_repeats, "time")
    yield "visits", f"{size.num_visits:,}: {number_of(size.num_points, 'point')}, of these the origin {origin}"
    for benchmark in config.benchmarks:
        limit = number_of(benchmark.decoding.max_new_tokens, "token")
        how = f"at most {limit} each" if benchmark.metric in GENERATED_METRICS else f"{benchmark.metric} by likelihood"
        yield "benchmark", f"{benchmark.name}: {number_of(num_prompts[benchmark.name], 'prompt')}, {how}"
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


def landscape_text(config: SweepConfig) -> str:
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
    return f"{len(axes)}-D {what}: {' x '.join(map(axis_text, axes))}{draws}"


def _direction_text(entry: DirectionConfig) -> str:
    draws = f", {number_of(entry.draws, 'draw')}" if entry.draws > 1 else ""
    length = entry.displacement
    rescaled = f", rescaled to the displacement {_displacement_text(length)}" if length is not None else ""
    return f"{entry.label}{draws}{rescaled}"


def _cost_text(config: SweepConfig) -> Iterator[Fact]:
    """Yield what computing and keeping directions takes."""
    costs = list(kind_costs(config))
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


def axis_text(axis: AxisConfig) -> str:
    """Return an axis in words."""
    return f"{number_of(axis.num, 'point')} on [{axis.start:g}, {axis.stop:g}]"


def duration_text(seconds: float) -> str:
    """Return a duration in its natural unit, such as `4.8 s`, `5.0 min` or `1.8 h`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"
