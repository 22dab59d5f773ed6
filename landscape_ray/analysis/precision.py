"""How many prompts and draws a wanted interval needs.

The interval's own variance components (`VarianceComponents`) predict its width for other numbers of prompts and draws;
see `landscape_ray.analysis.uncertainty` for the model. Half-widths are in VISAGE points.
"""

import bisect
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from landscape_ray.analysis.uncertainty import VarianceComponents
from landscape_ray.config import SweepConfig
from landscape_ray.planning import SweepPlan, num_planned_visits

__all__ = [
    "ASSUMED_COMPONENTS",
    "MAX_DRAWS",
    "PrecisionOption",
    "least_half_width",
    "num_draws_for",
    "num_prompts_for",
    "precision_options",
    "with_assumed_draws",
]

MAX_DRAWS, MAX_PROMPTS = 10_000, 1_000_000
# One draw does not say how draws differ, so its interval would not be the one planned for.
MIN_DRAWS, MIN_PROMPTS = 2, 8
FEWEST_PROMPTS = 20

# Where nothing was measured. In a toy basin like those of Peng et al. 2024, binomial noise alone gives one direction of
# 21 points and 80 prompts a standard deviation of 3.9; how much of that prompts take along to other directions is not
# known, and half of the variance is assumed. Neighbours in the paper's ranking are 3.3 to 5.1 apart; directions of one
# model are assumed to differ as much as the two closest models.
ASSUMED_COMPONENTS = VarianceComponents(
    num_prompts=80, num_draws=1, prompts=3.9**2 / 2, draws=3.3**2, interaction=3.9**2 / 2
)


def with_assumed_draws(components: VarianceComponents) -> VarianceComponents:
    """Return components that say how draws differ: as measured, or where only one draw was, as assumed."""
    if components.draws is not None:
        return components
    half = components.prompts / 2
    return replace(components, prompts=half, draws=ASSUMED_COMPONENTS.draws, interaction=half)


def num_draws_for(components: VarianceComponents, half_width: float, num_prompts: int) -> int | None:
    """Return the fewest draws that do with so many prompts; None if `MAX_DRAWS` do not."""
    draws = range(MIN_DRAWS, MAX_DRAWS + 1)
    place = bisect.bisect_left(
        draws, -half_width, key=lambda num: -components.half_width(num_prompts=num_prompts, num_draws=num)
    )
    return draws[place] if place < len(draws) else None


def num_prompts_for(components: VarianceComponents, half_width: float, num_draws: int) -> int | None:
    """Return the fewest prompts, to a hundredth, that do with so many draws; None if no number does."""
    for num in _numbers_of_prompts():
        if components.half_width(num_prompts=num, num_draws=num_draws) <= half_width:
            return num
    return None


def least_half_width(components: VarianceComponents, num_draws: int) -> float:
    """Return the smallest half-width that any number of prompts gives with so many draws.

    That need not be the largest number. With more prompts, more of what variance is left is between draws; if these are
    few, it is known so poorly that the interval grows.
    """
    return min(components.half_width(num_prompts=num, num_draws=num_draws) for num in _numbers_of_prompts())


def _numbers_of_prompts() -> Iterator[int]:
    """Yield numbers of prompts, all up to 100, then in steps of a hundredth."""
    num = MIN_PROMPTS
    while num <= MAX_PROMPTS:
        yield num
        num += max(num // 100, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrecisionOption:
    """One combination of prompts and draws that gives the wanted interval."""

    num_prompts: int
    """Prompts of the benchmark."""
    num_draws: int
    """The fewest draws that do with these: of those that are scored."""
    half_width: float
    """Half the width of the 95 % interval, at most the one wanted."""
    num_visits: int
    """Visits of the sweep."""
    num_batches: int
    """Visits times batches of `run.max_num_seqs` prompts, those of other benchmarks included: what time goes by."""
    cheapest: bool
    """Whether no other of the options takes fewer batches; among equals, the one with fewer prompts."""


def precision_options(
    config: SweepConfig,
    plan: SweepPlan,
    components: VarianceComponents,
    half_width: float,
    *,
    num_prompts: int,
    num_other_prompts: int,
    max_prompts: int | None,
) -> list[PrecisionOption]:
    """Return combinations of prompts and draws that give the wanted interval, fewer prompts first.

    Args:
        config: The sweep.
        plan: Its plan.
        components: Where the variance comes from.
        half_width: The wanted half-width.
        num_prompts: Prompts of the benchmark as configured.
        num_other_prompts: Prompts of all other benchmarks.
        max_prompts: Prompts that there are; None if that is not known.
    """
    repeats = config.landscape.origin_repeats
    per_draw = (num_planned_visits(config, plan) - repeats) // plan.draws
    num_others = plan.draws - len(plan.scored_draws)  # draws of other kinds of directions, which stay
    found = []
    for num in sorted({num_prompts, *_ladder(max_prompts)}):
        draws = num_draws_for(components, half_width, num)
        if draws is not None:
            visits = repeats + (num_others + draws) * per_draw
            found.append((num, draws, visits, visits * math.ceil((num + num_other_prompts) / config.run.max_num_seqs)))
    cheapest = min(((batches, num) for num, _, _, batches in found), default=None)
    return [
        PrecisionOption(
            num_prompts=num,
            num_draws=draws,
            half_width=components.half_width(num_prompts=num, num_draws=draws),
            num_visits=visits,
            num_batches=batches,
            cheapest=(batches, num) == cheapest,
        )
        for num, draws, visits, batches in _worthwhile(found)
    ]


def _ladder(max_prompts: int | None) -> Iterator[int]:
    """Yield numbers of prompts, each twice the one before, and all there are."""
    num = FEWEST_PROMPTS
    while num < (FEWEST_PROMPTS * 2**9 if max_prompts is None else max_prompts):
        yield num
        num *= 2
    if max_prompts is not None:
        yield max_prompts


def _worthwhile(found: Iterable[tuple[int, int, int, int]]) -> Iterator[tuple[int, int, int, int]]:
    """Leave out combinations with more prompts than another and no fewer draws."""
    fewest = math.inf
    for option in found:
        if option[1] < fewest:
            fewest = option[1]
            yield option
