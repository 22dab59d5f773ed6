"""Which points of the grid an adaptive sweep measures.

Per draw, points come in rounds. First a coarse lattice; then finer lattices inside the cells whose corners differ; last
a random sample of all points that are left, dense where the landscape is expected to bend. Every choice is a function
of the settings, the seed and the results of earlier rounds, so it can be repeated at any time.

Only the last round is random, and each point that is left has a known chance above zero in it. So whatever the rounds
before it found, the total of any quantity over the full grid is estimated without bias by the difference estimator::

    sum over all points of the interpolation  +  sum over sampled points of (value - interpolation) / chance

The interpolation is linear in the values measured, so this is a weighted sum of them, with one weight per point.

Source: Cochran 1977, Sampling Techniques, chapters 5 and 7; Särndal, Swensson and Wretman 1992, Model Assisted Survey
Sampling, chapter 6. Shapes: D draws, G grid points (one or two grid axes).
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from landscape_ray.analysis.landscape import BoolArray, FloatArray, IntArray, Landscape
from landscape_ray.analysis.lattices import interpolated, lattice, pulled_back
from landscape_ray.config import AdaptiveConfig, SweepConfig
from landscape_ray.planning import Grid, PlannedPoint

__all__ = ["AdaptiveDesign", "Sample", "design_points", "planned_design"]

# Cells whose corners differ by more than this are refined. Every point left out is taken to differ from its
# interpolation by at least MIN_RANGE: the smaller, the fewer points are spent where nothing is expected, and the more
# a surprise there weighs. Both in percentage points of ASR.
REFINE_ABOVE = 5.0
MIN_RANGE = 10.0
# This share of the points is kept for the sample, however much there is to refine.
SAMPLE_SHARE = 1 / 3
POINTS_PER_STRATUM = 8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sample:
    """The last round of all draws, and what it makes of each point."""

    lattices: BoolArray
    """Points chosen before, from which the others are interpolated, (D, *G)."""
    strata: IntArray
    """Stratum in which a point was left to chance, 1 and up; 0 where it was chosen for certain, (D, *G)."""
    expansion: FloatArray
    """One over the chance that a point of this round had, on those that it took; 0 on all others, (D, *G)."""

    def weights(self, counts: FloatArray, stride: int) -> FloatArray:
        """Return the weight of each point in totals over the full grid, 0 where it is not chosen, (D, *G).

        Args:
            counts: How often each point counts in the total, (*G); in each draw the weights sum to the sum of these.
            stride: Of the first lattice.
        """
        return np.stack(
            [
                pulled_back(counts * (1.0 - expansion), lattices, stride) + counts * expansion
                for expansion, lattices in zip(self.expansion, self.lattices, strict=True)
            ]
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AdaptiveDesign:
    """The points that an adaptive sweep has chosen so far."""

    chosen: BoolArray
    """Points to be measured, (D, *G). The origin, where it is a grid point, is always one of them."""
    sample: Sample | None
    """None unless all points are chosen and measured."""
    num_unchosen: int
    """How many more points will be chosen, at most."""
    stride: int
    """Stride of the first lattice."""
    grid: Grid
    """Where each draw is measured."""

    def of_draws(self, draws: Sequence[int]) -> "AdaptiveDesign":
        """Return what was chosen of some of the draws, in the order given."""
        chosen = list(draws)
        sample = self.sample and Sample(
            lattices=self.sample.lattices[chosen],
            strata=self.sample.strata[chosen],
            expansion=self.sample.expansion[chosen],
        )
        return replace(self, chosen=self.chosen[chosen], sample=sample)

    def wants(self, point: PlannedPoint) -> bool:
        """Tell whether a point of the plan is to be measured; visits to the origin always are."""
        return point.draw is None or bool(self.chosen[point.draw, *self.grid.place(point.coordinates)])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Draw:
    """The design of one draw; arrays are (*G)."""

    chosen: BoolArray
    lattices: BoolArray
    strata: IntArray | None
    """None before the last round."""
    measured: bool
    """Whether all chosen points are measured."""


def design_points(landscapes: Sequence[Landscape], adaptive: AdaptiveConfig, *, seed: int) -> AdaptiveDesign:
    """Repeat the choice of points, as far as there are results for it.

    Only results at points chosen by earlier rounds are looked at: more results than were asked for change nothing. A
    round begins when the one before is measured in all landscapes.

    Args:
        landscapes: The benchmarks that decide where to look, on one grid; at least one, all of attack success rates.
        adaptive: How many points.
        seed: Root seed of the sweep.
    """
    draws = [
        _design([landscape.values[draw] for landscape in landscapes], landscapes[0], adaptive, seed=seed, draw=draw)
        for draw in range(landscapes[0].num_draws)
    ]
    strata = [draw.strata for draw in draws if draw.strata is not None]
    all_chosen = len(strata) == len(draws)
    sample = None
    if all_chosen and all(draw.measured for draw in draws):
        sample = Sample(
            lattices=np.stack([draw.lattices for draw in draws]),
            strata=np.stack(strata),
            expansion=np.stack([_expansion(draw, of) for draw, of in zip(draws, strata, strict=True)]),
        )
    chosen = np.stack([draw.chosen for draw in draws])
    num_points = adaptive.num_points(chosen[0].size)
    return AdaptiveDesign(
        chosen=chosen,
        sample=sample,
        num_unchosen=0 if all_chosen else max(len(draws) * num_points - int(chosen.sum()), 0),
        stride=adaptive.stride,
        grid=landscapes[0].grid,
    )


def planned_design(config: SweepConfig, landscape_of: Callable[[str], Landscape]) -> AdaptiveDesign | None:
    """Return the points that a sweep has chosen by what is measured of it; None if all points are to be.

    Args:
        config: The sweep.
        landscape_of: Gives what is measured of a benchmark of attack success rates, by its name.
    """
    if config.adaptive is None:
        return None
    deciding = [landscape_of(benchmark.name) for benchmark in config.deciding_benchmarks]
    return design_points(deciding, config.adaptive, seed=config.seed)


def _design(
    asr_pct: Sequence[FloatArray], landscape: Landscape, adaptive: AdaptiveConfig, *, seed: int, draw: int
) -> _Draw:
    shape, zero = landscape.grid.shape, landscape.grid.zero
    measured: BoolArray = ~np.any(np.isnan(asr_pct), axis=0)
    num_points = adaptive.num_points(measured.size)

    lattices = np.zeros(shape, dtype=np.bool_)
    lattices[np.ix_(*(lattice(num, adaptive.stride) for num in shape))] = True
    if zero is not None:
        lattices[zero] = True
    stride = adaptive.stride
    while stride > 2 and measured[lattices].all():
        most = num_points - round(num_points * SAMPLE_SHARE)
        lattices = _refined(_signals(asr_pct, lattices, adaptive.stride), lattices, stride, most)
        stride //= 2
    if not measured[lattices].all():
        return _Draw(chosen=lattices, lattices=lattices, strata=None, measured=False)
    expected = _expected_range(_signals(asr_pct, lattices, adaptive.stride), lattices, adaptive.stride)
    strata, sampled = _sample(expected, lattices, num_points, seed=seed, draw=draw)
    chosen = lattices | sampled
    return _Draw(chosen=chosen, lattices=lattices, strata=strata, measured=bool(measured[chosen].all()))


def _signals(asr_pct: Sequence[FloatArray], lattices: BoolArray, stride: int) -> list[FloatArray]:
    """Return the fields whose changes tell where to look, known on the lattices: two for each benchmark.

    One is the depth, `100 - S`. The other is what a point adds to the linearised ratio that VISAGE is: depth minus
    VISAGE in the basin, 0 where S is 100. It jumps at the edge of the basin, where a depth of one prompt counts as much
    as none elsewhere; but it sees no wall at all between a depth of 100 and S = 100.
    """
    weights = pulled_back(np.ones(lattices.shape), lattices, stride)
    signals = []
    for rates in asr_pct:
        depth = np.where(lattices, 100.0 - rates, 0.0)
        below = depth > 0
        size = (weights * below).sum()
        score = (weights * depth).sum() / size if size > 0 else 0.0
        signals += [depth, depth - score * below]
    return signals


def _refined(signals: Sequence[FloatArray], lattices: BoolArray, stride: int, most: int) -> BoolArray:
    """Halve the stride in cells whose corners differ, the most different first, until there are so many points."""
    ends = [lattice(num, stride) for num in lattices.shape]
    place = np.ix_(*ends)
    num_corners = _windows(lattices[place].astype(np.float64), 2).sum(axis=-1)
    spread = np.max([_window_range(signal[place], 2) for signal in signals], axis=0)
    spread[num_corners < 2**lattices.ndim] = 0.0  # inside a cell that was not refined before
    refined = lattices.copy()
    for cell in np.argsort(-spread, axis=None, kind="stable"):
        at = np.unravel_index(cell, spread.shape)
        if spread[at] <= REFINE_ABOVE:
            break
        finer = refined.copy()
        within = [
            [i for i in lattice(num, stride // 2) if end[k] <= i <= end[k + 1]]
            for num, end, k in zip(lattices.shape, ends, at, strict=True)
        ]
        finer[np.ix_(*within)] = True
        if finer.sum() > most:
            break
        refined = finer
    return refined


def _expected_range(signals: Sequence[FloatArray], lattices: BoolArray, stride: int) -> FloatArray:
    """Return how far each point may be from its interpolation: the range of the interpolation around it, (*G)."""
    ranges = [_window_range(np.pad(interpolated(signal, lattices, stride), 1, mode="edge"), 3) for signal in signals]
    expected: FloatArray = np.maximum(np.max(ranges, axis=0), MIN_RANGE)
    return expected


def _windows(field: FloatArray, width: int) -> FloatArray:
    """Return what lies in the window that begins at each point, (*G, width ** axes)."""
    windows = np.lib.stride_tricks.sliding_window_view(field, (width,) * field.ndim)
    return windows.reshape(*windows.shape[: field.ndim], -1)


def _window_range(field: FloatArray, width: int) -> FloatArray:
    spread: FloatArray = np.ptp(_windows(field, width), axis=-1)
    return spread


def _sample(
    expected: FloatArray, lattices: BoolArray, num_points: int, *, seed: int, draw: int
) -> tuple[IntArray, BoolArray]:
    """Sample the points left, with chances about proportional to what is expected of them.

    Points due more than one choice are taken for certain. The others are sorted into strata of about equal expected
    sums, each of which gets about the same number of choices: those with the smallest random numbers. These belong to
    the points, so that a larger budget keeps most of what a smaller one chose.

    Returns:
        Stratum of each point, 0 where not left to chance, and whether it is taken; both (*G).
    """
    strata = np.zeros(expected.shape, dtype=np.int64)
    sampled = np.zeros(expected.shape, dtype=np.bool_)
    left = np.flatnonzero(~lattices)
    order = left[np.argsort(-expected.flat[left], kind="stable")]
    size = expected.flat[order]
    num = min(num_points - int(lattices.sum()), len(order))
    certain = 0
    while certain < num and (num - certain) * size[certain] >= size[certain:].sum():
        certain += 1
    sampled.flat[order[:certain]] = True
    order, size, num = order[certain:], size[certain:], num - certain
    if len(order) == 0:
        return strata, sampled
    num = max(num, 2)  # from one choice no variance could be told
    num_strata = max(num // POINTS_PER_STRATUM, 1)
    stratum_of = ((np.cumsum(size) - size) * num_strata / size.sum()).astype(np.int64).clip(max=num_strata - 1)
    due = 0
    for stratum in range(num_strata):
        members = order[stratum_of == stratum]
        due += num // num_strata + (stratum < num % num_strata)
        taken = members[np.argsort([_random_number(seed, draw, index) for index in members])[:due]]
        due -= len(taken)
        sampled.flat[taken] = True
        if len(taken) < len(members):
            strata.flat[members] = stratum + 1
    return strata, sampled


def _random_number(seed: int, draw: int, index: int) -> int:
    """Return the random number of a grid point, a hash: uniform on 64 bits."""
    digest = hashlib.blake2b(f"landscape-ray/adaptive/{seed}/{draw}/{index}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def _expansion(draw: _Draw, strata: IntArray) -> FloatArray:
    """Return one over the chance of each sampled point, 0 on all others, (*G)."""
    expansion: FloatArray = np.where(draw.lattices, 0.0, draw.chosen)
    for stratum in np.unique(strata[strata > 0]):
        members = strata == stratum
        expansion[members & draw.chosen] = members.sum() / (members & draw.chosen).sum()
    return expansion
