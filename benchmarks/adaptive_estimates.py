"""How good adaptive estimates are: simulated 2-D sweeps, scored from the whole grid and from a part of it.

    python benchmarks/adaptive_estimates.py

prints the table of docs/planning.md. Each line is one kind of landscape; three draws have their own walls and angles,
kept from sweep to sweep, while prompts and the choice of points are drawn anew. A test runs a small version.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from landscape_ray.analysis import Landscape, Outcome, adaptive_visage, design_points, visage
from landscape_ray.config import AdaptiveConfig, AxisConfig
from landscape_ray.planning import Axis, Grid

GRID = Grid(axes=(Axis.from_config(AxisConfig()), Axis.from_config(AxisConfig())))
NUM_PROMPTS = 80
NUM_SWEEPS = 200
# (wall along the first and the second direction, angle between wall and directions) of each draw
WALLS = ((0.38, 0.24, 0.4), (0.30, 0.30, 0.0), (0.22, 0.35, 1.1))

FloatArray = npt.NDArray[np.float64]
Outcomes = Callable[[FloatArray, np.random.Generator], npt.NDArray[np.bool_]]


def distances() -> FloatArray:
    """Return the distance of each point of each draw from the origin, in walls, (D, 21, 21, 1)."""
    alpha, beta = np.meshgrid(*(axis.coordinates for axis in GRID.axes), indexing="ij")
    draws = []
    for wall, other_wall, angle in WALLS:
        along = alpha * np.cos(angle) + beta * np.sin(angle)
        across = beta * np.cos(angle) - alpha * np.sin(angle)
        draws.append(np.hypot(along / wall, across / other_wall))
    return np.stack(draws)[..., None]


def thresholds(mean: float, spread: float, noise: float) -> Outcomes:
    """Each prompt gives way at a distance of its own; noise is drawn anew at each point."""

    def outcomes(distance: FloatArray, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
        threshold = rng.normal(mean, spread, NUM_PROMPTS)
        return distance + rng.normal(0.0, noise, (*distance.shape[:-1], NUM_PROMPTS)) > threshold

    return outcomes


def formula(distance: FloatArray, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """The formula of the synthetic engine: thresholds uniform on [0.5, 1.5)."""
    complied: npt.NDArray[np.bool_] = distance >= rng.uniform(0.5, 1.5, NUM_PROMPTS)
    return complied


def with_hole(distance: FloatArray, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """A basin in which every prompt complies within 0.07 of a place that no lattice knows."""
    alpha, beta = np.meshgrid(*(axis.coordinates for axis in GRID.axes), indexing="ij")
    hole = np.hypot(alpha - 0.13, beta + 0.06) < 0.07
    return thresholds(1.0, 0.1, 0.05)(distance, rng) | hole[None, ..., None]


KINDS: Mapping[str, Outcomes] = {
    "synthetic engine's formula": formula,
    "steep wall": thresholds(1.0, 0.05, 0.02),
    "medium wall": thresholds(1.0, 0.15, 0.05),
    "prompts undecided at the wall": thresholds(1.0, 0.15, 0.25),
    "a hole in the basin": with_hole,
    "open: no point reaches 100 %": thresholds(1.2, 0.6, 0.1),
}


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What the sweeps of one kind of landscape have shown; errors are against the full grid with the same prompts."""

    points_saved: float
    """Grid points over points measured."""
    bias: float
    """Mean error."""
    bias_error: float
    """Standard error of the mean error."""
    rms_error: float
    """Root of the mean squared error."""
    mean_se: float
    """Mean of the standard errors given for the choice of points."""
    covered_full_grid: float
    """How often value +- 1.96 standard errors holds the full grid's score."""
    covered: float
    """How often the interval holds the expected score."""
    covered_by_full: float
    """The same for the full grid's interval."""
    width: float
    """Mean width of the interval."""
    width_of_full: float
    """Mean width of the full grid's interval."""


def simulate(outcomes: Outcomes, num_sweeps: int, *, adaptive: AdaptiveConfig) -> Findings:
    """Score so many sweeps from the full grid and from a part of it."""
    rng = np.random.default_rng(7)
    full, part = [], []
    for number in range(num_sweeps):
        complied = outcomes(distances(), rng)
        landscape = Landscape(
            benchmark="simulated",
            grid=GRID,
            prompt_ids=tuple(map(str, range(NUM_PROMPTS))),
            outcomes=np.where(complied, Outcome.COMPLIED, Outcome.REFUSED).astype(np.int8),
            origin_outcomes=np.zeros((0, NUM_PROMPTS), dtype=np.int8),
        )
        full.append(visage(landscape))
        design = design_points([landscape], adaptive, seed=number)
        part.append(adaptive_visage(landscape, design))
    ends = np.array(
        [[(s.interval.low, s.interval.high) for s in scores if s.interval is not None] for scores in (full, part)]
    )
    values = np.array([[s.value for s in scores] for scores in (full, part)], dtype=np.float64)
    ses = np.array([score.design_se for score in part], dtype=np.float64)
    errors = values[1] - values[0]
    expected = values[0].mean()
    covered_by_full, covered = ((ends[..., 0] <= expected) & (expected <= ends[..., 1])).mean(axis=1)
    width_of_full, width = (ends[..., 1] - ends[..., 0]).mean(axis=1)
    return Findings(
        points_saved=part[0].num_points / float(np.mean([score.num_points_measured for score in part])),
        bias=float(errors.mean()),
        bias_error=float(errors.std(ddof=1) / np.sqrt(num_sweeps)),
        rms_error=float(np.sqrt((errors**2).mean())),
        mean_se=float(ses.mean()),
        covered_full_grid=float((np.abs(errors) <= 1.96 * ses).mean()),
        covered=float(covered),
        covered_by_full=float(covered_by_full),
        width=float(width),
        width_of_full=float(width_of_full),
    )


def main(kinds: Sequence[str]) -> None:
    """Print the table, or the lines of some kinds."""
    print("| landscape | fewer points | bias | r.m.s. error | standard error given | full score held by it "
          "| width of interval, full | width, adaptive | expected score held, full | held, adaptive |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|---|")
    for kind in kinds or KINDS:
        f = simulate(KINDS[kind], NUM_SWEEPS, adaptive=AdaptiveConfig())
        print(
            f"| {kind} | {f.points_saved:.2f}x | {f.bias:+.2f} +- {f.bias_error:.2f} | {f.rms_error:.2f} "
            f"| {f.mean_se:.2f} | {100 * f.covered_full_grid:.0f} % | {f.width_of_full:.1f} | {f.width:.1f} "
            f"| {100 * f.covered_by_full:.0f} % | {100 * f.covered:.0f} % |",
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:])
