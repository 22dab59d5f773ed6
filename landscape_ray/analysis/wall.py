"""The wall point: where the walls are measured again, because verdicts flip there if they flip anywhere.

One point is repeated, of the first draw: the measured one whose attack success rate is nearest to the threshold of the
basin. So it is known when the first draw is measured, and more draws do not move it. A point that was repeated once
stays the wall point, whatever is measured later.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from landscape_ray.analysis.basin import DEFAULT_TAU_PCT
from landscape_ray.analysis.landscape import VERDICTS, FloatArray, Landscape
from landscape_ray.analysis.metric import Outcome
from landscape_ray.analysis.noise_floor import NoiseFloor, disagreement
from landscape_ray.analysis.samples import deciding_rows, sample_numbers
from landscape_ray.config import SweepConfig
from landscape_ray.planning import PlannedPoint, SweepPlan

__all__ = ["WallNoise", "repeats_plan", "wall_noise", "with_wall_visits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WallNoise(NoiseFloor):
    """The noise floor at the wall point."""

    coordinates: tuple[float, ...]
    """Where it is, along the first draw."""


def repeats_plan(config: SweepConfig, plan: SweepPlan) -> SweepPlan:
    """Return all visits that may repeat a wall point: the plan of the first draw, as often as it is to be repeated."""
    times = range(1, config.landscape.wall_repeats) if config.deciding_benchmarks else ()
    points = (replace(point, repeat=repeat) for point in plan.points if point.draw == 0 for repeat in times)
    return replace(plan, points=tuple(points))


def with_wall_visits(
    config: SweepConfig,
    points: Sequence[PlannedPoint],
    num_unchosen: int,
    *,
    repeats: SweepPlan,
    keys: Mapping[str, Mapping[str, str]],
    done: Collection[str],
    landscape_of: Callable[[str], Landscape],
) -> tuple[Sequence[PlannedPoint], int]:
    """Return the points of a sweep and how many more will be chosen, with the visits that repeat the wall point.

    They are chosen when the first draw is measured; there are none if all of it lies on one side of the threshold.

    Args:
        config: The sweep.
        points: The points that it measures, as far as they are known.
        num_unchosen: How many more will be chosen.
        repeats: As `repeats_plan` gives them.
        keys: Keys of parts, by label of the point or repeat, then by benchmark.
        done: Keys of parts that are there.
        landscape_of: Reads what is measured of a benchmark.
    """
    if not repeats.points:
        return points, num_unchosen
    name = config.deciding_benchmarks[0].name
    begun = next((point for point in repeats.points if keys[point.label][name] in done), None)
    place = None if begun is None else begun.coordinates
    if begun is None:
        if num_unchosen or any(keys[point.label][name] not in done for point in points if not point.draw):
            return points, num_unchosen + config.landscape.wall_repeats - 1
        place = _nearest(landscape_of(name).values[0], repeats)
    return [*points, *(point for point in repeats.points if point.coordinates == place)], num_unchosen


def _nearest(asr_pct: FloatArray, plan: SweepPlan) -> tuple[float, ...] | None:
    """Return the coordinates of the point with the rate nearest to the threshold; None where all are on one side."""
    if np.isnan(asr_pct).all() or not np.nanmin(asr_pct) <= DEFAULT_TAU_PCT < np.nanmax(asr_pct):
        return None
    away = [abs(asr_pct[plan.grid.place(point.coordinates)] - DEFAULT_TAU_PCT) for point in plan.points]
    return plan.points[int(np.nanargmin(away))].coordinates


def wall_noise(landscape: Landscape, rows: Mapping[str, npt.NDArray[Any]], plan: SweepPlan) -> WallNoise | None:
    """Return how far visits to the wall point disagree; None where it was not repeated.

    Args:
        landscape: What is measured of a benchmark that yields a rate; of others None is returned.
        rows: Rows of the benchmark at repeated points, as `Landscape.from_rows` takes them.
        plan: The plan of the sweep.
    """
    if not landscape.metric.is_rate or not len(rows["repeat"]):
        return None
    coordinates = np.stack([rows[name].astype(np.float64) for name in ("alpha", "beta")[: len(plan.grid.axes)]], axis=1)
    here = (coordinates == coordinates[0]).all(axis=1)
    place = tuple(map(float, coordinates[0]))
    repeats, visit = np.unique(rows["repeat"][here], return_inverse=True)
    outcomes = np.full((1 + len(repeats), landscape.num_prompts), Outcome.UNMEASURED, dtype=np.int8)
    outcomes[0] = landscape.outcomes[0][plan.grid.place(place)]
    prompt, sample = rows["prompt_index"][here].astype(np.int64), sample_numbers(rows["sample"][here])
    codes = np.array([VERDICTS[verdict] for verdict in rows["verdict"][here]], dtype=np.int8)
    kept = deciding_rows(visit * landscape.num_prompts + prompt, sample, codes, None, landscape.metric)
    outcomes[1 + visit[kept], prompt[kept]] = codes[kept]
    measured = outcomes[(outcomes != Outcome.UNMEASURED).any(axis=1)]
    success, scored = (each.sum(axis=1).astype(np.float64) for each in landscape.metric.counted(measured))
    floor = disagreement(measured, landscape.metric.value(success, scored), None)
    return None if floor is None else WallNoise(**asdict(floor), coordinates=place)
