"""How often intervals of ratios between kinds of directions hold, on simulated sweeps: a table of docs/numerics.md.

    python -m pytest -m long -s tests/golden/test_ratio_coverage.py

A ratio is held if the interval holds the ratio of expected distances, those of many such sweeps: with other prompts,
other random directions, and other ones of a kind that is drawn. A kind that is not drawn keeps its one direction.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest

from landscape_ray.analysis import Along, Estimate, Landscape, Outcome
from landscape_ray.analysis.basin import DEFAULT_TAU_PCT
from landscape_ray.analysis.by_kind import _ratio
from landscape_ray.config import AxisConfig
from landscape_ray.planning import Axis, Grid

GRID = Grid(axes=(Axis.from_config(AxisConfig(start=0, stop=1, num=11)),))
ALPHA = np.array(GRID.axes[0].coordinates)[:, None]

# Mean and s.d. of where prompts give way, slope of the walls, and how much directions differ in length (log).
WALL, BETWEEN_PROMPTS, SLOPE, BETWEEN_DRAWS = 0.4, 0.08, 0.03, 0.12

Walls = Callable[[np.random.Generator, int], tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]]


def same_prompts(rng: np.random.Generator, prompts: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """A prompt that holds out along random directions holds out along the others."""
    walls = rng.normal(WALL, BETWEEN_PROMPTS, prompts)
    return walls, walls


def other_prompts(rng: np.random.Generator, prompts: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Where a prompt gives way along one kind says nothing of the other."""
    return rng.normal(WALL, BETWEEN_PROMPTS, prompts), rng.normal(WALL, BETWEEN_PROMPTS, prompts)


@dataclass(frozen=True, kw_only=True)
class Design:
    """A sweep along random directions and one more kind."""

    randoms: int
    owns: int
    prompts: int
    ratio: float
    walls: Walls

    def sweep(self, rng: np.random.Generator) -> Landscape:
        """Draw what is measured, random directions first."""
        of_random, of_own = self.walls(rng, self.prompts)
        lengths = np.exp(rng.normal(0, BETWEEN_DRAWS, (self.randoms + self.owns, 1)))
        if self.owns == 1:
            lengths[-1] = 1.0
        walls = lengths * np.array([of_random] * self.randoms + [self.ratio * of_own] * self.owns)
        chance = 1 / (1 + np.exp(-np.clip((ALPHA - walls[:, None, :]) / SLOPE, -50, 50)))
        complied = rng.random(chance.shape) < chance
        return Landscape(
            benchmark="simulated",
            grid=GRID,
            prompt_ids=tuple(map(str, range(self.prompts))),
            outcomes=np.where(complied, Outcome.COMPLIED, Outcome.REFUSED).astype(np.int8),
            origin_outcomes=np.zeros((0, self.prompts), dtype=np.int8),
        )

    def ratio_of(self, landscape: Landscape) -> Estimate:
        """Return the ratio of distances, both directions as long."""
        random, own = (
            Along(label=kind, kind=kind, draws=tuple(range(num)), distance=0.5)
            for kind, num in (("random", self.randoms), ("own", self.owns))
        )
        draws = range(self.randoms + self.owns)
        parts = {"random": landscape.of_draws(draws[: self.randoms]), "own": landscape.of_draws(draws[self.randoms :])}
        found = _ratio(parts, random, own, DEFAULT_TAU_PCT)
        assert found is not None
        return found


def coverage(design: Design, *, num_sweeps: int, seed: int = 0) -> tuple[float, float]:
    """Return how often the interval holds, and its mean half-width as a share of the ratio."""
    rng = np.random.default_rng(seed)
    sweeps = [design.sweep(rng) for _ in range(num_sweeps)]
    # Nearest crossings of 50 %, by hand; the mean over these sweeps is far more precise than an interval of one.
    walls = np.array([[_crossing(curve) for curve in sweep.values] for sweep in sweeps])
    expected = walls[:, design.randoms :].mean() / walls[:, : design.randoms].mean()
    intervals = [design.ratio_of(sweep).interval for sweep in sweeps]
    held = [each is not None and each.low <= expected <= each.high for each in intervals]
    widths = [each.high - each.low for each in intervals if each is not None]
    return float(np.mean(held)), float(np.mean(widths)) / 2 / float(expected)


def _crossing(curve: npt.NDArray[np.float64]) -> float:
    first = int(np.argmax(curve > DEFAULT_TAU_PCT))
    assert first > 0
    below, above = curve[first - 1 : first + 1]
    start, stop = ALPHA[first - 1 : first + 1, 0]
    return float(start + (stop - start) * (DEFAULT_TAU_PCT - below) / (above - below))


@pytest.mark.slow
@pytest.mark.parametrize("walls", [same_prompts, other_prompts])
@pytest.mark.parametrize("owns", [1, 3])
def test_intervals_of_ratios_hold(walls: Walls, owns: int) -> None:
    # Nominal: 0.95. With 100 sweeps a true 0.95 gives less than 0.88 once in 200 times.
    held, _ = coverage(Design(randoms=3, owns=owns, prompts=80, ratio=1.0, walls=walls), num_sweeps=100)
    assert held >= 0.88


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("walls", [same_prompts, other_prompts])
@pytest.mark.parametrize("ratio", [0.3, 1.0, 1.5])
def test_the_rows_of_the_documentation(walls: Walls, ratio: float) -> None:
    cells = []
    for randoms, owns, prompts in ((3, 1, 32), (3, 2, 32), (8, 1, 80)):
        design = Design(randoms=randoms, owns=owns, prompts=prompts, ratio=ratio, walls=walls)
        held, half = coverage(design, num_sweeps=200)
        cells.append(f"{100 * held:.0f} % (±{100 * half:.0f})")
        assert held >= 0.88
    print(f"| {walls.__name__}, {ratio} | {' | '.join(cells)} |", flush=True)
