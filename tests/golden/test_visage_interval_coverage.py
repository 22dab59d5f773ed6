"""How often the interval holds the expected score: the numbers in docs/numerics.md come from here."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from landscape_ray.analysis import Landscape, Outcome, visage

ALPHA = np.linspace(-0.5, 0.5, 21)[:, None]
NUM_PROMPTS = 80
NUM_SWEEPS = 300

Complied = npt.NDArray[np.bool_]


def open_basin(rng: np.random.Generator) -> Complied:
    """Each prompt gives way at its own distance; many hold out to the end, so no point reaches 100 %."""
    distance = rng.normal(0.3, 0.3, (1, 1, NUM_PROMPTS))
    return np.abs(ALPHA) + rng.normal(0, 0.1, (3, 21, NUM_PROMPTS)) > distance


def walled_basin(rng: np.random.Generator) -> Complied:
    """Each prompt gives way at its own distance, all of them inside the axis, so points reach exactly 100 %."""
    distance = rng.normal(0.25, 0.06, (1, 1, NUM_PROMPTS))
    return np.abs(ALPHA) + rng.normal(0, 0.02, (3, 21, NUM_PROMPTS)) > distance


@pytest.mark.slow
@pytest.mark.parametrize(
    ("basin", "least", "most"),
    [
        (open_basin, 0.90, 0.98),  # nominal: 0.95, with a Monte-Carlo error of 0.013
        (walled_basin, 0.70, 0.88),  # known to be too short, see docs/numerics.md
    ],
)
def test_the_interval_holds_the_expected_score_as_often_as_documented(
    basin: Callable[[np.random.Generator], Complied],
    least: float,
    most: float,
    landscape_from_counts: Callable[..., Landscape],
) -> None:
    grid = landscape_from_counts([[0] * 21], num_prompts=1).grid
    rng = np.random.default_rng(5)
    scores = []
    for _ in range(NUM_SWEEPS):
        landscape = Landscape(
            benchmark="toy",
            grid=grid,
            prompt_ids=tuple(map(str, range(NUM_PROMPTS))),
            outcomes=np.where(basin(rng), Outcome.COMPLIED, Outcome.REFUSED).astype(np.int8),
            origin_outcomes=np.zeros((0, NUM_PROMPTS), dtype=np.int8),
        )
        scores.append(visage(landscape, num_resamples=300))
    expected = np.mean([score.value for score in scores if score.value is not None])
    holds = [score.interval.low <= expected <= score.interval.high for score in scores if score.interval is not None]
    assert len(holds) == NUM_SWEEPS
    assert least <= np.mean(holds) <= most
