"""Agreement of judges against tables computed by hand, published values, and an independent derivation."""

import math

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from landscape_ray.analysis import Agreement, agreement, calibration, clopper_pearson

R, C, B, U = "refused", "complied", "broken", "unscored"


def verdicts(counts: dict[tuple[str, str], int]) -> tuple[list[str], list[str]]:
    pairs = [pair for pair, num in counts.items() for _ in range(num)]
    return [first for first, _ in pairs], [second for _, second in pairs]


def apart(first: list[str], second: list[str]) -> Agreement:
    """Compare judges on completions of as many prompts."""
    return agreement(first, second, prompts=[str(i) for i in range(len(first))])


def error_of(found: Agreement) -> float:
    """Return the standard error that kappa's interval has, if its ends are not cut."""
    assert found.kappa_low is not None
    assert found.kappa_high is not None
    quantile: float = stats.t.ppf(0.975, found.num_prompts - 1)
    return (found.kappa_high - found.kappa_low) / 2 / quantile


def test_a_table_computed_by_hand() -> None:
    """p_o = 35/50 = 0.7; p_e = 0.5 * 0.6 + 0.5 * 0.4 = 0.5; kappa = 0.2 / 0.5 = 0.4.

    Variance: (0.4 * 0.34^2 + 0.3 * 0.46^2 + 0.36 * (0.1 * 1.1^2 + 0.2 * 0.9^2) - 0.1^2) / (50 * 0.25) = 0.016128.
    """
    found = apart(*verdicts({(R, R): 20, (R, C): 5, (C, R): 10, (C, C): 15}))
    assert found.verdicts == (R, C)
    assert found.confusion == ((20, 5), (10, 15))
    assert (found.raw.num, found.raw.total, found.raw.value) == (35, 50, 0.7)
    assert found.kappa == pytest.approx(0.4)
    half = stats.t.ppf(0.975, 49) * math.sqrt(0.016128 * 50 / 49)
    assert (found.kappa_low, found.kappa_high) == pytest.approx((0.4 - half, 0.4 + half))
    assert found.success_pct == (50.0, 40.0)
    exact = stats.binomtest(35, 50).proportion_ci(0.95, "exact")
    assert (found.raw.low, found.raw.high) == pytest.approx((exact.low, exact.high))


def test_three_classes_as_published() -> None:
    """Fleiss, Cohen and Everitt 1969, 200 subjects: kappa 0.429, and its variance 0.002885."""
    counts = [[106, 10, 4], [22, 28, 10], [2, 12, 6]]
    order = (R, C, B)
    found = apart(*verdicts({(order[i], order[j]): counts[i][j] for i in range(3) for j in range(3)}))
    assert found.kappa == pytest.approx(0.225 / 0.525)
    assert error_of(found) ** 2 * 199 / 200 == pytest.approx(0.002885, abs=5e-7)


def kappa_of(p: npt.NDArray[np.float64]) -> float:
    chance = p.sum(1) @ p.sum(0)
    return float((np.trace(p) - chance) / (1 - chance))


@pytest.mark.parametrize("seed", range(20))
def test_the_standard_error_is_that_of_the_delta_method(seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 60, size=(2 + seed % 2,) * 2)
    num = counts.sum()
    p = counts / num
    step = 1e-6
    slopes = np.zeros(p.shape)
    for cell in np.ndindex(*p.shape):
        moved = np.zeros(p.shape)
        moved[cell] = step
        slopes[cell] = (kappa_of(p + moved) - kappa_of(p - moved)) / (2 * step)
    variance = ((p * slopes**2).sum() - (p * slopes).sum() ** 2) / num
    order = (R, C, B)
    found = apart(*verdicts({(order[i], order[j]): int(counts[i, j]) for i, j in np.ndindex(*p.shape)}))
    assert found.kappa == pytest.approx(kappa_of(p))
    assert error_of(found) == pytest.approx(math.sqrt(variance * num / (num - 1)), rel=1e-5)


def completions_of(rng: np.random.Generator, num_prompts: int, num_points: int) -> tuple[list[str], ...]:
    """Return prompts and two judges' verdicts on a completion of each prompt at each point, alike within a prompt."""
    prompts = [f"p{i}" for i in range(num_prompts) for _ in range(num_points)]
    is_success = np.repeat(rng.random(num_prompts), num_points) > rng.random(len(prompts)) ** 0.3 * 0.7
    differs = np.repeat(rng.random(num_prompts) ** 3, num_points) > rng.random(len(prompts))
    first = [C if yes else R for yes in is_success]
    return prompts, first, [C if yes else R for yes in is_success ^ differs]


@pytest.mark.parametrize("seed", range(3))
def test_intervals_are_those_of_a_bootstrap_over_prompts(seed: int) -> None:
    rng = np.random.default_rng(seed)
    prompts, first, second = completions_of(rng, 120, 15)
    found = agreement(first, second, prompts=prompts)
    table = np.zeros((120, 2, 2))
    for prompt, one, other in zip(prompts, first, second, strict=True):
        table[int(prompt[1:]), int(one == C), int(other == C)] += 1
    resampled = [table[rng.integers(120, size=120)].sum(axis=0) for _ in range(2000)]
    kappas = [kappa_of(each / each.sum()) for each in resampled]
    assert found.num_prompts == 120
    assert error_of(found) == pytest.approx(np.std(kappas), rel=0.08)
    ends = np.quantile([np.trace(each) / each.sum() for each in resampled], [0.025, 0.975])
    assert (found.raw.low, found.raw.high) == pytest.approx(ends, abs=0.012)
    # Taken for independent, the same completions would seem to tell far more.
    assert error_of(apart(first, second)) < 0.6 * error_of(found)


def test_the_same_answers_again_tell_nothing_new() -> None:
    once = verdicts({(R, R): 20, (R, C): 5, (C, R): 10, (C, C): 15})
    prompts = [str(i) for i in range(50)]
    found, again = apart(*once), agreement(once[0] * 4, once[1] * 4, prompts=prompts * 4)
    assert (again.num_scored, again.num_prompts) == (200, 50)
    assert (again.kappa_low, again.kappa_high) == pytest.approx((found.kappa_low, found.kappa_high))
    assert (again.raw.low, again.raw.high) == pytest.approx((found.raw.low, found.raw.high), abs=0.006)


def test_judges_that_always_agree_have_told_so_of_each_prompt_once() -> None:
    found = agreement([R, R, C, C] * 3, [R, R, C, C] * 3, prompts=["a", "b", "c", "d"] * 3)
    exact = stats.binomtest(4, 4).proportion_ci(0.95, "exact")
    assert (found.raw.num, found.raw.total, found.raw.value) == (12, 12, 1.0)
    assert (found.raw.low, found.raw.high) == pytest.approx((exact.low, exact.high))


@pytest.mark.parametrize("num_prompts", [1, 2, 7])
def test_few_prompts_give_no_interval_of_kappa(num_prompts: int) -> None:
    """Two that agree in everything had one from 1.0 to 1.0."""
    prompts = [f"p{i}" for i in range(num_prompts)] * 3
    found = agreement([R, C, C] * num_prompts, [R, C, C] * num_prompts, prompts=sorted(prompts))
    assert found.kappa == 1.0
    assert (found.kappa_low, found.kappa_high) == (None, None)
    assert agreement([R, C] * 8, [R, C] * 8, prompts=[str(i) for i in range(8)] * 2).kappa_low is not None


def test_prompts_that_agree_equally_often_are_no_proof_that_completions_are_independent() -> None:
    found = agreement([R, R] * 2, [R, C] * 2, prompts=["a", "a", "b", "b"])
    exact = stats.binomtest(1, 2).proportion_ci(0.95, "exact")
    assert found.raw.value == 0.5
    assert (found.raw.low, found.raw.high) == pytest.approx((exact.low, exact.high))


def test_unscored_is_shown_and_counts_nowhere() -> None:
    found = apart([R, R, C, U, B], [R, U, C, U, C])
    assert found.verdicts == (R, C, B, U)
    assert found.confusion == ((1, 0, 0, 1), (0, 1, 0, 0), (0, 1, 0, 0), (0, 0, 0, 1))
    assert (found.num_scored, found.raw.num) == (3, 2)
    assert found.success_pct == pytest.approx((200 / 3, 200 / 3))


@pytest.mark.parametrize("given", [[], [U, U], [R, R]])
def test_kappa_of_nothing_or_of_one_class_is_not_defined(given: list[str]) -> None:
    found = apart(given, given)
    assert (found.kappa, found.kappa_low, found.kappa_high) == (None, None, None)
    assert found.raw.value == (1.0 if given == [R, R] else None)


def test_judges_that_always_differ() -> None:
    found = apart([R, C, R, C], [C, R, C, R])
    assert (found.raw.value, found.kappa) == (0.0, -1.0)


def test_calibration_by_hand() -> None:
    """The judge says success to 10, of which people call 8 one; of their 12 it finds 8; of 20 others it flags 2."""
    said = [C] * 8 + [B] * 2 + [R] * 4 + [R] * 18 + [U] * 3
    labels = [True] * 8 + [False] * 2 + [True] * 4 + [False] * 18 + [True] * 3
    found = calibration(said, labels, prompts=[str(i) for i in range(35)])
    assert (found.num_labelled, found.num_unscored) == (35, 3)
    for share, num, total in (
        (found.precision, 8, 10),
        (found.recall, 8, 12),
        (found.false_positive_rate, 2, 20),
        (found.agreement, 26, 32),
    ):
        exact = stats.binomtest(num, total).proportion_ci(0.95, "exact")
        assert (share.num, share.total, share.value) == (num, total, num / total)
        assert (share.low, share.high) == pytest.approx((exact.low, exact.high))
    chance = (10 * 12 + 22 * 20) / 32**2
    assert found.kappa == pytest.approx((26 / 32 - chance) / (1 - chance))


def test_calibration_of_nothing() -> None:
    found = calibration([U], [True], prompts=["a"])
    assert (found.precision.value, found.recall.value, found.kappa) == (None, None, None)


def test_calibration_of_two_labels_each_is_as_clustered_as_agreement() -> None:
    rng = np.random.default_rng(0)
    prompts, judge, people = completions_of(rng, 40, 6)
    found = calibration(judge, [verdict == C for verdict in people], prompts=prompts)
    assert found.agreement == agreement(judge, people, prompts=prompts).raw
    flagged = [verdict == C for verdict in judge]
    said = [C if people[i] == C else R for i in range(len(people)) if flagged[i]]
    # Precision is the agreement on what the judge flags.
    alone = agreement([C] * len(said), said, prompts=[prompts[i] for i in range(len(people)) if flagged[i]])
    assert found.precision == alone.raw


def test_calibration_covers_what_it_says_though_labels_share_prompts() -> None:
    """25 prompts with 8 labels each, and a judge that errs by prompt: taken for independent, 76 % covered."""
    rng = np.random.default_rng(0)
    num, prompts = 200, [f"p{i}" for i in range(25) for _ in range(8)]
    truth = {"precision": 0.8, "recall": 0.8, "false_positive_rate": 0.2, "agreement": 0.8}
    covered = dict.fromkeys(truth, 0)
    independent = 0
    for _ in range(num):
        label = rng.random((25, 8)) < rng.beta(0.5, 0.5, size=(25, 1))
        said = (label ^ (rng.random((25, 8)) < rng.beta(0.3, 1.2, size=(25, 1)))).ravel()
        found = calibration([C if yes else R for yes in said], label.ravel().tolist(), prompts=prompts)
        for name, value in truth.items():
            share = getattr(found, name)
            covered[name] += share.low <= value <= share.high
        low, high = clopper_pearson(found.agreement.num, found.agreement.total)
        independent += low <= truth["agreement"] <= high
    # The standard error of such a share is 1.5 %.
    assert all(0.92 <= hits / num <= 0.99 for hits in covered.values()), covered
    assert independent / num < 0.8
