from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from landscape_ray.analysis import (
    AdaptiveDesign,
    Landscape,
    adaptive_mean,
    adaptive_visage,
    design_points,
    mean_margin,
    mean_value,
    visage,
)
from landscape_ray.analysis.lattices import pulled_back
from landscape_ray.config import AdaptiveConfig
from landscape_ray.errors import IncompleteError

FromCounts = Callable[..., Landscape]
Counts = npt.NDArray[np.int64]

NUM_PROMPTS = 20
ADAPTIVE = AdaptiveConfig(fraction=0.45, stride=4)


def disc(num: int = 21, *, radius: float = 6.5, slope: float = 4.0) -> Counts:
    """Return successes out of 20 on a square grid, one draw: a round basin with a sloping wall, off the centre."""
    i, j = np.meshgrid(np.arange(num), np.arange(num), indexing="ij")
    distance = np.hypot(i - num // 2 - 0.7, j - num // 2 + 0.4)
    counts: Counts = np.clip(np.round(slope * (distance - radius)), 0, NUM_PROMPTS).astype(np.int64)[None]
    return counts


def measured(counts: Counts, chosen: npt.NDArray[np.bool_]) -> Counts:
    return np.where(chosen, counts, -1)


@pytest.fixture
def landscape(landscape_from_counts: FromCounts) -> Callable[[Counts], Landscape]:
    return lambda counts: landscape_from_counts(counts, num_prompts=NUM_PROMPTS)


Make = Callable[[Counts], Landscape]


def rounds(counts: Counts, landscape: Make, *, seed: int = 0, adaptive: AdaptiveConfig = ADAPTIVE) -> list[Any]:
    """Play a sweep: measure what is chosen until all is; return the design at each time."""
    designs: list[AdaptiveDesign] = []
    known = np.full_like(counts, -1)
    for _ in range(10):
        designs.append(design_points([landscape(known)], adaptive, seed=seed))
        if designs[-1].sample is not None:
            return designs
        known = measured(counts, designs[-1].chosen)
    pytest.fail("the choice never ends")


def test_lattice_then_the_cells_of_the_wall_then_a_sample(landscape: Make) -> None:
    first, second, third, last = rounds(disc(), landscape)
    lattice = np.zeros((21, 21), dtype=np.bool_)
    lattice[::4, ::4] = lattice[10, 10] = True
    assert (first.chosen[0] == lattice).all()
    assert first.num_unchosen == 199 - 37

    added = second.chosen[0] & ~first.chosen[0]
    assert {(int(i) % 2, int(j) % 2) for i, j in np.argwhere(added)} == {(0, 0)}
    i, j = np.nonzero(added)
    distance = np.hypot(i - 10.7, j - 9.6)
    assert distance.min() > 1.5  # no cell around the middle of the basin
    assert distance.max() < 6.5 + 5 + 4 * np.sqrt(2)  # nor farther from the wall than a cell is wide

    assert third.chosen.sum() == 199  # 0.45 of 441, rounded up
    assert third.num_unchosen == 0
    assert third.sample is None
    assert (last.chosen == third.chosen).all()
    near = np.hypot(*(np.indices((21, 21)).reshape(2, -1) - np.array([[10.7], [9.6]]))).reshape(21, 21)
    wall = (near > 6) & (near < 12)
    left = ~second.chosen[0]
    assert third.chosen[0][left & wall].mean() > 3 * third.chosen[0][left & ~wall].mean() > 0


def test_results_that_were_not_asked_for_change_nothing(landscape: Make) -> None:
    counts = disc()
    all_measured = design_points([landscape(counts)], ADAPTIVE, seed=0)
    assert (rounds(counts, landscape)[-1].chosen == all_measured.chosen).all()


def test_the_choice_is_a_function_of_seed_and_results(landscape: Make) -> None:
    first, again, other = (rounds(disc(), landscape, seed=seed)[-1] for seed in (0, 0, 1))
    assert (first.chosen == again.chosen).all()
    assert (first.chosen != other.chosen).sum() > 40
    assert (first.sample.lattices == other.sample.lattices).all()


def test_a_larger_budget_keeps_most_of_the_choice(landscape: Make) -> None:
    small, large = (
        design_points([landscape(disc())], AdaptiveConfig(fraction=fraction), seed=0).chosen
        for fraction in (0.45, 0.55)
    )
    assert large.sum() == 243
    assert (small & large).sum() > 0.95 * small.sum()


def test_a_round_waits_for_every_landscape(landscape: Make) -> None:
    counts = disc()
    chosen = design_points([landscape(counts * 0 - 1)], ADAPTIVE, seed=0).chosen
    known, unknown = landscape(measured(counts, chosen)), landscape(counts * 0 - 1)
    assert (design_points([known, unknown], ADAPTIVE, seed=0).chosen == chosen).all()
    assert design_points([known, known], ADAPTIVE, seed=0).chosen.sum() > chosen.sum()


def test_draws_are_chosen_apart_and_the_design_waits_for_all(landscape: Make) -> None:
    two = np.concatenate([disc(), disc(radius=3.0)])
    designs = rounds(two, landscape)
    for draw, counts in enumerate((disc(), disc(radius=3.0))):
        alone = rounds(counts, landscape)[-1].sample
        assert (designs[-1].sample.lattices[draw] == alone.lattices[0]).all()
    assert (designs[-1].chosen[0] != designs[-1].chosen[1]).any()


def test_weights_add_up_to_the_grid_and_estimate_linear_fields_exactly(landscape: Make) -> None:
    sample = rounds(disc(), landscape)[-1].sample
    i, j = np.indices((21, 21))
    ends = np.where(np.isin(i, (0, 20)), 0.5, 1.0) * np.where(np.isin(j, (0, 20)), 0.5, 1.0)
    for counts, total in ((np.ones((21, 21)), 441), (ends, 400)):
        weights = sample.weights(counts, 4)
        assert weights.sum() == pytest.approx(total)
        assert (weights[0] * (3 * i - j)).sum() == pytest.approx((counts * (3 * i - j)).sum())


@pytest.mark.parametrize("shape", [(21,), (11, 21)])
def test_each_point_stands_for_itself_on_average(shape: tuple[int, ...], landscape: Make) -> None:
    """The mean weight of every point over seeds is its count: the total of any field is estimated without bias."""
    of = landscape(disc()[:, : shape[0], : shape[-1]] if len(shape) == 2 else disc()[:, 10])
    counts = 0.5 + (np.arange(np.prod(shape)).reshape(shape) % 2).astype(np.float64)
    weights = []
    for seed in range(300):
        sample = design_points([of], ADAPTIVE, seed=seed).sample
        assert sample is not None
        weights.append(sample.weights(counts, 4)[0])
    mean, error = np.mean(weights, axis=0), np.std(weights, axis=0, ddof=1) / np.sqrt(len(weights))
    off = np.abs(mean - counts) / np.maximum(error, 1e-12)
    assert off[error > 1e-9].max() < 4.5  # standard errors; 231 points
    assert np.abs(mean - counts)[error <= 1e-9].max(initial=0) < 1e-9


def test_a_grid_measured_whole_has_the_score_of_a_full_sweep(landscape: Make) -> None:
    of = landscape(np.concatenate([disc(), disc(radius=4.0)]))
    design = design_points([of], AdaptiveConfig(fraction=1.0), seed=0)
    estimate, score = adaptive_visage(of, design), visage(of)
    assert design.chosen.all()
    assert estimate.per_draw == pytest.approx(score.per_draw)
    assert estimate.design_se == 0
    assert adaptive_mean(of, design, margin=True).per_draw == pytest.approx(mean_margin(of).per_draw)
    assert adaptive_mean(of, design).per_draw == pytest.approx(mean_value(of).per_draw)
    assert estimate.interval is not None
    assert score.interval is not None
    assert (estimate.interval.low, estimate.interval.high) == pytest.approx((score.interval.low, score.interval.high))


def test_the_estimate_and_its_standard_error_by_hand(landscape: Make) -> None:
    """Weights and strata are the design's; the ratio and Cochran's formula are written down again, in loops."""
    counts = disc()
    design = rounds(counts, landscape)[-1]
    sample, chosen = design.sample, design.chosen[0]
    result = adaptive_visage(landscape(measured(counts, design.chosen)), design)
    depth = {(i, j): 100 - 5.0 * counts[0, i, j] for i, j in np.argwhere(chosen)}
    weight = {at: sample.weights(np.ones((21, 21)), 4)[0][at] for at in depth}
    size = sum(weight[at] for at in depth if depth[at] > 0)
    ratio = sum(weight[at] * depth[at] for at in depth) / size
    assert result.value == pytest.approx(ratio)

    # A residual is a point's margin without what its interpolation makes of the margins on the lattices.
    variance = 0.0
    for stratum in set(sample.strata[0].ravel()) - {0}:
        members = np.argwhere(sample.strata[0] == stratum)
        taken = [(i, j) for i, j in members if chosen[i, j]]
        num, of = len(taken), len(members)
        lattices = sample.lattices[0]
        margin = np.zeros((21, 21))
        for at, value in depth.items():
            margin[at] = (value - ratio * (value > 0)) / size
        errors = []
        for at in taken:
            unit = np.zeros((21, 21))
            unit[at] = 1.0
            errors.append(margin[at] - (pulled_back(unit, lattices, 4) * margin).sum())
        mean = sum(errors) / num
        variance += of**2 * (1 / num - 1 / of) * sum((error - mean) ** 2 for error in errors) / (num - 1)
    assert result.design_se == pytest.approx(np.sqrt(variance))
    assert result.num_points_measured == 199
    assert result.num_points == 441


def test_no_score_before_all_points_are_chosen_and_measured(landscape: Make) -> None:
    counts = disc()
    for design in rounds(counts, landscape)[:-1]:
        with pytest.raises(IncompleteError, match="is not finished"):
            adaptive_visage(landscape(measured(counts, design.chosen)), design)


def test_where_everything_complies_there_is_no_score(landscape: Make) -> None:
    of = landscape(np.full((1, 21, 21), NUM_PROMPTS))
    result = adaptive_visage(of, design_points([of], ADAPTIVE, seed=0))
    assert (result.value, result.interval, result.design_se, result.per_draw) == (None, None, None, (None,))
