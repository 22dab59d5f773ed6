"""How often the interval of the share holds it, on simulated anatomies: what docs/anatomy.md says comes from here.

Groups have walls at different distances, draws differ by 20 %, prompts by 25 %. What is to be held is the share that
the groups named hold in the population of draws and prompts.
"""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pytest

from landscape_ray.analysis import Along, Landscape, Outcome, anatomy
from landscape_ray.config import AxisConfig
from landscape_ray.planning import Axis, Grid

GRID = Grid(axes=(Axis.from_config(AxisConfig(start=0, stop=1, num=6)),))
COORDINATES = np.array(GRID.axes[0].coordinates)[None, :, None]
NUM = COORDINATES.size

Complied: TypeAlias = npt.NDArray[np.bool_]


def simulated(rng: np.random.Generator, walls: Sequence[float], draws: int, prompts: int) -> Complied:
    """Draw by draw and group by group: (draws * groups, coordinates, prompts)."""
    threshold = rng.normal(1, 0.25, (1, 1, prompts))
    common = np.exp(rng.normal(0, 0.15, (draws, 1, 1)))
    of_groups = []
    for wall in walls:
        reached = COORDINATES / wall * common * np.exp(rng.normal(0, 0.2, (draws, 1, 1)))
        of_groups.append(reached + rng.normal(0, 0.05, (draws, NUM, prompts)) > threshold)
    complied = np.stack(of_groups, axis=1).reshape(-1, NUM, prompts)
    complied[:, 0] = False
    return complied


def landscape_of(complied: Complied) -> Landscape:
    num_prompts = complied.shape[-1]
    return Landscape(
        benchmark="simulated",
        grid=GRID,
        prompt_ids=tuple(map(str, range(num_prompts))),
        outcomes=np.where(complied, Outcome.COMPLIED, Outcome.REFUSED).astype(np.int8),
        origin_outcomes=np.zeros((0, num_prompts), dtype=np.int8),
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("walls", "least"),
    [
        # Nominal: 0.95. With 100 sweeps a true 0.95 gives less than 0.88 once in 300 times.
        ((0.3, 0.35, 0.5, 0.7, 0.9, 1.2, 1.6, 2.5), 0.88),
        pytest.param((0.6,) * 8, 0.88, marks=pytest.mark.long),
        # One group holds nearly 80 %, and is named alone only where it comes out larger: 0.87 of 300 sweeps.
        ((0.3, *(2.0,) * 7), 0.83),
    ],
)
def test_the_interval_holds_the_share_of_the_groups_that_are_named(walls: tuple[float, ...], least: float) -> None:
    num, draws, prompts, num_sweeps = len(walls), 3, 32, 100
    along = [
        Along(label=str(group), kind="group", draws=tuple(range(group, num * draws, num)), distance=1.0)
        for group in range(num)
    ]
    many = simulated(np.random.default_rng(0), walls, 400, 400).reshape(400, num, NUM, 400)
    expected = many.mean(axis=(0, 2, 3))
    rng, held, errors = np.random.default_rng(1), [], []
    for _ in range(num_sweeps):
        found = anatomy(landscape_of(simulated(rng, walls, draws, prompts)), along)
        assert found is not None
        assert found.share is not None
        assert found.share.value is not None
        assert found.share.interval is not None
        share = expected[[int(label) for label in found.holding]].sum() / expected.sum()
        held.append(found.share.interval.low <= share <= found.share.interval.high)
        errors.append(found.share.value - share)
    assert np.mean(held) >= least
    # These groups were chosen for their losses, so that the share comes out too large, but not by much.
    assert 0 < np.mean(errors) < 0.05
