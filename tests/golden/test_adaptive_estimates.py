"""Adaptive estimates against the full grid in simulated sweeps: the numbers in docs/planning.md at a smaller scale."""

import runpy
from pathlib import Path

import pytest

from landscape_ray.config import AdaptiveConfig

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "adaptive_estimates.py"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "num_sweeps"),
    [
        ("steep wall", 20),
        pytest.param("steep wall", 200, marks=pytest.mark.long),
        pytest.param("synthetic engine's formula", 200, marks=pytest.mark.long),
    ],
)
def test_less_than_half_of_the_points_give_the_same_score_and_interval(kind: str, num_sweeps: int) -> None:
    script = runpy.run_path(str(SCRIPT))
    findings = script["simulate"](script["KINDS"][kind], num_sweeps, adaptive=AdaptiveConfig())
    assert findings.points_saved > 2.2
    assert abs(findings.bias) < 4 * findings.bias_error
    assert findings.rms_error < 0.7
    if num_sweeps < 200:
        return  # too few to say how wide intervals should be
    assert findings.mean_se == pytest.approx(findings.rms_error, rel=0.15)
    # Nominal: 0.95, with a Monte-Carlo error of 0.015 in 200 sweeps.
    assert 0.90 <= findings.covered_full_grid <= 0.98
    assert findings.covered >= findings.covered_by_full - 0.03
    assert 1.0 < findings.width / findings.width_of_full < 1.15
