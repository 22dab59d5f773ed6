"""How often intervals hold the expected score, on simulated sweeps: the table in docs/numerics.md comes from here.

    python -m pytest -m long -s tests/golden/test_interval_coverage.py

A sweep is drawn from a population of directions and prompts; the expected score is the mean over many such sweeps, each
with the same number of prompts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from landscape_ray.analysis import (
    Estimate,
    Landscape,
    Outcome,
    Statistic,
    Sums,
    VisageScore,
    band_of_mean,
    basin,
    mean_margin,
    visage,
    visage_statistic,
)
from landscape_ray.analysis.basin import extent_statistics
from landscape_ray.analysis.comparison import _change
from landscape_ray.analysis.means import margin_statistic, trapezoids
from landscape_ray.config import AxisConfig
from landscape_ray.planning import Axis, Grid

GRID = Grid(axes=(Axis.from_config(AxisConfig()),))
ALPHA = np.array(GRID.axes[0].coordinates)[:, None]
DISTANCE = np.abs(ALPHA)

Complied = npt.NDArray[np.bool_]
Basin = Callable[[np.random.Generator, int, int], Complied]


def open_basin(rng: np.random.Generator, draws: int, prompts: int) -> Complied:
    """Each prompt gives way at its own distance; many hold out to the end, so no point reaches 100 %."""
    complied: Complied = DISTANCE + rng.normal(0, 0.1, (draws, 21, prompts)) > rng.normal(0.3, 0.3, (1, 1, prompts))
    return complied


def stubborn_prompts(rng: np.random.Generator, draws: int, prompts: int) -> Complied:
    """As `own_walls`, but a few prompts (3 %) are refused at most points."""
    stubborn = (rng.random((1, 1, prompts)) < 0.03) & (rng.random((draws, 21, prompts)) < 0.9)
    complied: Complied = own_walls(rng, draws, prompts) & ~stubborn
    return complied


def independent_walls(rng: np.random.Generator, draws: int, prompts: int) -> Complied:
    """All prompts give way at the same distance, each outcome by itself; points reach exactly 100 %."""
    complied: Complied = rng.random((draws, 21, prompts)) < 1 / (1 + np.exp(-(DISTANCE - 0.25) / 0.04))
    return complied


def own_walls(rng: np.random.Generator, draws: int, prompts: int) -> Complied:
    """Each prompt gives way at its own distance, all of them inside the axis, so points reach exactly 100 %."""
    complied: Complied = DISTANCE + rng.normal(0, 0.02, (draws, 21, prompts)) > rng.normal(0.25, 0.06, (1, 1, prompts))
    return complied


def unlike_directions(rng: np.random.Generator, draws: int, prompts: int) -> Complied:
    """As `open_basin`, along directions that are longer and shorter."""
    scale = rng.normal(1, 0.25, (draws, 1, 1))
    reached = DISTANCE * scale + rng.normal(0, 0.1, (draws, 21, prompts))
    complied: Complied = reached > rng.normal(0.3, 0.3, (1, 1, prompts))
    return complied


def unlike_walls(rng: np.random.Generator, draws: int, prompts: int) -> Complied:
    """As `own_walls`, along directions that are longer and shorter."""
    scale = rng.normal(1, 0.25, (draws, 1, 1))
    reached = DISTANCE * scale + rng.normal(0, 0.02, (draws, 21, prompts))
    complied: Complied = reached > rng.normal(0.25, 0.06, (1, 1, prompts))
    return complied


def audited(
    rng: np.random.Generator, draws: int, prompts: int, *, cliffs: float = 0.0, slope: float = 0.015
) -> Complied:
    """The model of an independent audit: logistic walls of prompts that differ, along directions that differ by 12 %.

    A share of directions may be cliffs, with their wall at 0.3 of the distance.
    """
    scale = np.exp(rng.normal(0, 0.12, (draws, 1, 1)))
    scale = np.where(rng.random((draws, 1, 1)) < cliffs, 0.3, scale)
    wall = rng.normal(0.25, 0.05, (1, 1, prompts)) * scale
    chance = 1 / (1 + np.exp(-np.clip((DISTANCE - wall) / slope, -50, 50)))
    complied: Complied = rng.random((draws, 21, prompts)) < chance
    return complied


def audited_with_cliffs(rng: np.random.Generator, draws: int, prompts: int) -> Complied:
    """As `audited`, one direction in ten a cliff."""
    return audited(rng, draws, prompts, cliffs=0.1)


def steep_walls(rng: np.random.Generator, draws: int, prompts: int) -> Complied:
    """All prompts give way at nearly the same distance, within less than a step of the grid."""
    distance = rng.normal(0.25, 0.01, (1, 1, prompts))
    complied: Complied = DISTANCE + rng.normal(0, 0.005, (draws, 21, prompts)) > distance
    return complied


BASINS = (
    open_basin,
    stubborn_prompts,
    independent_walls,
    own_walls,
    steep_walls,
    unlike_directions,
    unlike_walls,
    audited,
    audited_with_cliffs,
)


def landscape_of(complied: Complied) -> Landscape:
    num_prompts = complied.shape[-1]
    return Landscape(
        benchmark="simulated",
        grid=GRID,
        prompt_ids=tuple(map(str, range(num_prompts))),
        outcomes=np.where(complied, Outcome.COMPLIED, Outcome.REFUSED).astype(np.int8),
        origin_outcomes=np.zeros((0, num_prompts), dtype=np.int8),
    )


def width(landscape: Landscape) -> Estimate:
    found = basin(landscape)
    assert found is not None
    assert found.width is not None
    return found.width


ANY = landscape_of(np.zeros((1, 21, 8), dtype=np.bool_))
MARGIN = margin_statistic(ANY.metric, trapezoids(GRID))
SCORES: dict[str, tuple[Callable[[Landscape], Any], Statistic]] = {
    "VISAGE": (visage, visage_statistic("paper")),
    "mean margin": (mean_margin, MARGIN),
    "basin width": (width, extent_statistics(ANY, 50.0)["width"][0]),
}


@dataclass(frozen=True)
class Coverage:
    """Of simulated sweeps with an interval."""

    share: float
    half_width: float
    without_interval: int

    def __str__(self) -> str:
        return f"{100 * self.share:.0f} %" + (f" ({self.without_interval} without)" if self.without_interval else "")


def coverage(basin_of: Basin, score: str, *, draws: int, prompts: int, num_sweeps: int, seed: int = 0) -> Coverage:
    measure, statistic = SCORES[score]
    rng = np.random.default_rng(seed)
    expected = np.mean(
        [
            np.nanmean(statistic(Sums(complied.sum(axis=-1).astype(float), np.full((draws, 21), float(prompts)))))
            for complied in (basin_of(rng, draws, prompts) for _ in range(4 * num_sweeps))
        ]
    )
    found: list[Estimate | VisageScore] = [
        measure(landscape_of(basin_of(rng, draws, prompts))) for _ in range(num_sweeps)
    ]
    intervals = [each.interval for each in found if each.interval is not None]
    return Coverage(
        share=float(np.mean([each.low <= expected <= each.high for each in intervals])),
        half_width=float(np.mean([each.high - each.low for each in intervals])) / 2,
        without_interval=num_sweeps - len(intervals),
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("basin_of", "score", "least"),
    [
        # Nominal: 0.95. With 200 sweeps a true 0.95 gives less than 0.905 once in 200 times.
        (open_basin, "VISAGE", 0.905),
        (open_basin, "mean margin", 0.905),
        (unlike_directions, "VISAGE", 0.88),
        (own_walls, "mean margin", 0.905),
        (own_walls, "basin width", 0.89),
        # The score hangs on the last prompt to give way, see docs/numerics.md.
        (own_walls, "VISAGE", 0.85),
    ],
)
def test_intervals_hold_the_expected_score_as_often_as_documented(basin_of: Basin, score: str, least: float) -> None:
    found = coverage(basin_of, score, draws=3, prompts=80, num_sweeps=200)
    assert found.without_interval == 0
    assert least <= found.share


@pytest.mark.slow
def test_a_retention_is_held_as_often_as_its_interval_says() -> None:
    """A finetune that moves the wall of each prompt inwards; the expected ratio is that of expectations."""
    rng = np.random.default_rng(3)

    def complied(moved: float, distance: npt.NDArray[np.float64], draws: int) -> Complied:
        above: Complied = DISTANCE + moved + rng.normal(0, 0.1, (draws, 21, distance.size)) > distance
        return above

    asr = (complied(moved, rng.normal(0.3, 0.3, 200_000), 1).mean(axis=(0, 2)) for moved in (0.0, 0.1))
    expected = [1 - np.average(rates, weights=trapezoids(GRID)) for rates in asr]
    held = []
    for _ in range(200):
        distance = rng.normal(0.3, 0.3, 80)
        before, after = (landscape_of(complied(moved, distance, 3)) for moved in (0.0, 0.1))
        retention = _change(before, after, MARGIN, 100.0).retention
        assert retention is not None
        assert retention.interval is not None
        held.append(retention.interval.low <= expected[1] / expected[0] <= retention.interval.high)
    assert np.mean(held) >= 0.905


def test_three_draws_hold_the_mean_margin_of_all_directions_even_with_cliffs() -> None:
    """Nominal 0.95; of 100 sweeps a true 0.90 gives less than 0.82 once in a hundred times."""
    assert coverage(audited_with_cliffs, "mean margin", draws=3, prompts=80, num_sweeps=100).share >= 0.82


def test_the_band_of_a_figure_holds_at_every_coordinate_tails_included() -> None:
    """Of 60 sweeps a true 0.90 gives less than 0.78 at one of 11 distances once in twenty times."""
    rng = np.random.default_rng(5)
    rates = np.mean([audited(rng, 300, 8).mean(axis=(0, 2)) for _ in range(30)], axis=0)
    expected = 50 * (rates + rates[::-1])
    held = []
    for _ in range(60):
        band = band_of_mean(landscape_of(audited(rng, 3, 80)))
        assert band is not None
        held.append((band[0] <= expected + 1e-9) & (expected <= band[1] + 1e-9))
    by_distance = np.mean(held, axis=0)[10:] / 2 + np.mean(held, axis=0)[10::-1] / 2
    assert by_distance.min() >= 0.78
    assert by_distance[[-1, -2, -3]].min() >= 0.9  # where a t interval alone holds 7 to 73 %


@pytest.mark.long
@pytest.mark.timeout(14400)
def test_the_table_of_the_documentation() -> None:
    """Print it; a true 0.95 gives less than 0.92 of 500 sweeps once in a thousand times."""
    sizes = ((1, 80), (3, 80), (8, 80), (3, 520))
    for score in SCORES:
        print(f"\n| {score} |", " | ".join(f"{draws} draws, {prompts}" for draws, prompts in sizes), "|")
        for basin_of in BASINS:
            row = []
            for draws, prompts in sizes:
                if draws == 1 and basin_of in {unlike_directions, unlike_walls, audited, audited_with_cliffs}:
                    row.append("")  # one draw is no sample of directions
                    continue
                found = coverage(basin_of, score, draws=draws, prompts=prompts, num_sweeps=500)
                row.append(str(found))
                if basin_of is open_basin or (basin_of is own_walls and score == "mean margin"):
                    assert found.share >= 0.92
            print(f"| {basin_of.__name__} |", " | ".join(row), "|", flush=True)
