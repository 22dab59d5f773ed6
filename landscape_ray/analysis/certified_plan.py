"""Which draws a sweep measures that is to certify a basin: as many as settle whether it can.

The plan is one sample of `n = directions.draws` draws, certified if at most `c` of them fail, where `c` is the most
with which Clopper and Pearson's bound reaches the share (`allowed_failures`). It is curtailed: with `n - c` basins, or
with `c + 1` failures, the draws that are left can change nothing, so they are not measured. What is decided is what
all `n` draws would have decided, however often one looks.

Draws are measured in their order, in rounds: so many at a time as cannot be spared, and at least `DRAWS_A_ROUND`, to
keep engines busy. A round begins when all draws of the one before are decided, so which draws are measured is a
function of configuration and results alone.

Source: Girshick, Mosteller and Savage 1946, Unbiased Estimates for Certain Binomial Sampling Problems (curtailed single
sampling); Clopper and Pearson 1934. docs/numerics.md has the coverage. Shapes: `B` benchmarks, `D` draws.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from landscape_ray.analysis.certificate import allowed_failures, walks
from landscape_ray.analysis.landscape import BoolArray, Landscape
from landscape_ray.config import CertifyConfig, SweepConfig
from landscape_ray.planning import SweepPlan

__all__ = ["DRAWS_A_ROUND", "certified_plan", "chosen_draws"]

DRAWS_A_ROUND = 8
"""Few enough to waste little where the first draws fail already."""


def certified_plan(
    config: SweepConfig, plan: SweepPlan, landscape_of: Callable[[str], Landscape]
) -> tuple[SweepPlan, int]:
    """Return the plan with the draws chosen so far only, and how many points may still be chosen, at most.

    That is the plan itself, and 0, of a sweep that certifies nothing.

    Args:
        config: The sweep.
        plan: Its plan, with all draws.
        landscape_of: Gives what is measured of a benchmark of attack success rates on the whole plan, by its name.
    """
    if config.certify is None:
        return plan, 0
    found = [walks(landscape_of(benchmark.name), config.certify.radius) for benchmark in config.deciding_benchmarks]
    num_draws, settled = chosen_draws(
        config.certify, np.stack([each.basins for each in found]), np.stack([each.failed for each in found])
    )
    points = tuple(point for point in plan.points if point.draw is None or point.draw < num_draws)
    return replace(plan, draws=num_draws, points=points), 0 if settled else len(plan.points) - len(points)


def chosen_draws(asked: CertifyConfig, basins: BoolArray, failed: BoolArray) -> tuple[int, bool]:
    """Return how many draws are chosen so far, the first ones, and whether all is settled with them.

    Args:
        asked: What is to be certified.
        basins: Which draws are basins, (B, D).
        failed: Which are not, (B, D); neither is what is not decided yet.
    """
    most_draws = basins.shape[1]
    most_failures = allowed_failures(asked, most_draws)
    chosen = 0
    while True:
        num_basins, num_failed = basins[:, :chosen].sum(axis=1), failed[:, :chosen].sum(axis=1)
        if (num_basins + num_failed < chosen).any():
            return chosen, False
        # Of each benchmark, the fewest draws that can still settle it.
        left = np.minimum(most_draws - most_failures - num_basins, most_failures + 1 - num_failed)
        if (left <= 0).all():
            return chosen, True
        chosen = min(most_draws, chosen + max(DRAWS_A_ROUND, int(left.max())))
