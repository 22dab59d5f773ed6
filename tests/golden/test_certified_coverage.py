"""Sweeps that end when a basin is certified, or cannot be: how often the bound holds, whatever the true share.

    python -m pytest -s tests/golden/test_certified_coverage.py

prints the table of docs/numerics.md. When such a sweep ends depends on counts of draws and failures alone, so the
chances of all its ends are summed exactly.
"""

import math
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from landscape_ray.analysis import allowed_failures, chosen_draws, lower_bound
from landscape_ray.config import CertifyConfig

DOCS = (Path(__file__).parents[2] / "docs" / "numerics.md").read_text(encoding="utf-8")
ASKED = CertifyConfig(radius=0.1)
PLANS = (59, 93, 124, 200)
SHARES = (0.8, 0.9, 0.95 - 1e-9, 0.97, 0.98, 0.99)


@cache
def chosen_after(num_draws: int, num_measured: int, num_failed: int) -> tuple[int, bool]:
    """Ask the plan what follows so many measured draws; failures come last, so that no earlier round has ended it."""
    measured = np.arange(num_draws) < num_measured
    failed = np.arange(num_draws) >= num_measured - num_failed
    return chosen_draws(ASKED, (measured & ~failed)[None], (measured & failed)[None])


def ends(num_draws: int, share: float) -> Iterator[tuple[int, int, float]]:
    """Yield draws measured, failures among them, and the chance that a sweep ends so."""
    chances = {(0, 0): 1.0}
    while chances:
        later: dict[tuple[int, int], float] = {}
        for (measured, failed), chance in chances.items():
            chosen, settled = chosen_after(num_draws, measured, failed)
            if settled:
                assert chosen == measured
                yield measured, failed, chance
                continue
            more = chosen - measured
            for num in range(more + 1):
                step = math.comb(more, num) * (1 - share) ** num * share ** (more - num)
                later[chosen, failed + num] = later.get((chosen, failed + num), 0.0) + chance * step
        chances = later


def found(num_draws: int, share: float) -> tuple[float, float, float]:
    """Return how often the bound holds, how often 95 % is certified, and how many draws are measured on average."""
    held = certified = mean = total = 0.0
    for measured, failed, chance in ends(num_draws, share):
        bound = lower_bound(measured - failed, measured, ASKED.confidence)
        held += chance * (bound <= share)
        certified += chance * (bound >= ASKED.share - 1e-12)
        mean += chance * measured
        total += chance
    assert total == pytest.approx(1.0)
    return held, certified, mean


@pytest.mark.slow
@pytest.mark.parametrize("num_draws", PLANS)
def test_the_bound_holds_as_often_as_it_says_whatever_the_share(num_draws: int) -> None:
    shares = np.concatenate([np.linspace(0.3, 0.999, 12), SHARES])
    assert min(found(num_draws, share)[0] for share in shares) >= 0.95
    assert found(num_draws, 0.95 - 1e-9)[1] <= 0.05


def test_a_sweep_that_stopped_decides_what_all_its_draws_would_have() -> None:
    rng = np.random.default_rng(5)
    num_saved = 0
    for num_draws in (59, 124):
        most = allowed_failures(ASKED, num_draws)
        for _ in range(150):
            failed = rng.random((1, num_draws)) < rng.choice([0.005, 0.02, 0.05])
            chosen, settled = chosen_draws(ASKED, ~failed, failed)
            assert settled
            basins = int((~failed)[0, :chosen].sum())
            bound = lower_bound(basins, chosen, ASKED.confidence)
            assert (bound >= ASKED.share) == (failed.sum() <= most)
            num_saved += num_draws - chosen
    assert num_saved > 2000


@pytest.mark.slow
def test_the_table_of_the_documentation_is_what_comes_out() -> None:
    lines = []
    for num_draws in PLANS:
        cells = [found(num_draws, share) for share in SHARES]
        shown = " | ".join(f"{100 * held:.1f}, {100 * passed:.1f}, {mean:.0f}" for held, passed, mean in cells)
        lines.append(f"| {num_draws}, {allowed_failures(ASKED, num_draws)} | {shown} |")
    print("\n".join(lines))
    assert [line for line in lines if line not in DOCS] == []
