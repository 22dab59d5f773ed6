"""How far two judges agree, and how far a judge agrees with people.

Completions of one prompt at several points are no independent evidence, so the intervals of two judges' agreement are
clustered by prompt: what prompts contribute is taken for independent, not what completions do.

Shapes: `C` prompts, `V` verdicts.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from landscape_ray.analysis.landscape import FloatArray, IntArray
from landscape_ray.analysis.proportion import clopper_pearson
from landscape_ray.evaluation import Verdict

__all__ = ["Agreement", "Calibration", "Share", "agreement", "calibration"]

SCORED = (Verdict.REFUSED, Verdict.COMPLIED, Verdict.BROKEN)
SUCCESS = (Verdict.COMPLIED, Verdict.BROKEN)
"""Verdicts that count as an attack success."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A share with its sample size and exact interval."""

    num: int
    """How many of them."""
    total: int
    """Of how many."""
    value: float | None
    """The share, 0 to 1; None of nothing."""
    low: float | None
    """Lower end of the Clopper-Pearson interval."""
    high: float | None
    """Upper end."""
    level: float
    """Confidence level of the interval."""

    @classmethod
    def of(cls, num: int, total: int, level: float, *, effective: float | None = None) -> "Share":
        """Return a share with its interval.

        Args:
            num: How many of them.
            total: Of how many.
            level: Confidence level.
            effective: How many independent ones they are worth, by default all of them.

        Source: Korn and Graubard 1998, for clusters.
        """
        if not total:
            return cls(num=0, total=0, value=None, low=None, high=None, level=level)
        effective = total if effective is None else effective
        low, high = clopper_pearson(num * (effective / total), effective, level)
        return cls(num=num, total=total, value=num / total, low=low, high=high, level=level)


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Two judges on the same completions."""

    confusion: tuple[tuple[int, ...], ...]
    """Completions by the first judge's verdict (rows) and the second's (columns), in the order of `verdicts`."""
    verdicts: tuple[str, ...]
    """Verdicts that occur, in a fixed order; unscored ones are in the table and in nothing below."""
    num_scored: int
    """Completions that both judges scored."""
    num_prompts: int
    """Prompts that these are of."""
    raw: Share
    """Share of these on which they agree; the interval is clustered by prompt."""
    kappa: float | None
    """Cohen's kappa on these; None where chance alone would make them agree, or nothing was scored."""
    kappa_low: float | None
    """Lower end of kappa's interval, at least -1; None as for kappa, and where all completions are of one prompt."""
    kappa_high: float | None
    """Upper end, at most 1."""
    success_pct: tuple[float | None, float | None]
    """Attack success rate by each judge on these, in percent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A judge against labels of people; positive is an attack success."""

    num_labelled: int
    """Labels that match a stored completion."""
    num_unscored: int
    """Of these, completions that the judge left unscored; they are in nothing below."""
    precision: Share
    """Of what the judge calls a success, the share that people call one."""
    recall: Share
    """Of what people call a success, the share that the judge calls one."""
    false_positive_rate: Share
    """Of what people call no success, the share that the judge calls one."""
    agreement: Share
    """Share on which judge and people agree."""
    kappa: float | None
    """Cohen's kappa of judge and people; None where chance alone would make them agree."""


def agreement(first: Sequence[str], second: Sequence[str], *, prompts: Sequence[str], level: float = 0.95) -> Agreement:
    """Compare the verdicts of two judges on the same completions.

    Kappa is (p_o - p_e) / (1 - p_e) with the observed agreement p_o and the one expected by chance, p_e, from each
    judge's own frequencies. Its standard error is linearised and clustered: each completion adds to kappa what it adds
    to its linear part, and the sums over prompts are independent. With one completion per prompt that is the error of
    Fleiss, Cohen and Everitt. The interval has a quantile of t, with one degree of freedom less than prompts.

    Args:
        first: Verdicts of the first judge.
        second: Verdicts of the second one, of the same length.
        prompts: The prompt of each completion.
        level: Confidence level of the intervals.

    Source: Cohen 1960; Fleiss, Cohen and Everitt 1969, Eq. 13; for clusters Taylor linearisation as for surveys.
    """
    if not len(first) == len(second) == len(prompts):
        msg = f"{len(first)} and {len(second)} verdicts on completions of {len(prompts)} prompts; these must be equal"
        raise ValueError(msg)
    order = [*SCORED, Verdict.UNSCORED]
    present = [verdict for verdict in order if verdict in set(first) | set(second)]
    tables_CVV = _tables(first, second, prompts, present)
    scored = [place for place, verdict in enumerate(present) if verdict is not Verdict.UNSCORED]
    counts_CVV = tables_CVV[:, scored][:, :, scored]
    counts_CVV = counts_CVV[counts_CVV.any(axis=(1, 2))]
    counts = counts_CVV.sum(axis=0)
    num, num_prompts = int(counts.sum()), len(counts_CVV)
    num_agreed = int(np.trace(counts))
    kappa = kappa_of(counts)
    half = None
    if kappa is not None and num_prompts > 1:
        error = clustered_error(counts_CVV, _slopes_of_kappa(counts))
        half = float(special.stdtrit(num_prompts - 1, (1 + level) / 2)) * error
    success = [place for place, i in enumerate(scored) if present[i] in SUCCESS]
    return Agreement(
        confusion=tuple(tuple(int(value) for value in row) for row in tables_CVV.sum(axis=0)),
        verdicts=tuple(verdict.value for verdict in present),
        num_scored=num,
        num_prompts=num_prompts,
        raw=Share.of(num_agreed, num, level, effective=_effective(counts_CVV, num_agreed, level)),
        kappa=kappa,
        kappa_low=None if kappa is None or half is None else max(-1.0, kappa - half),
        kappa_high=None if kappa is None or half is None else min(1.0, kappa + half),
        success_pct=(
            100 * float(counts[success, :].sum()) / num if num else None,
            100 * float(counts[:, success].sum()) / num if num else None,
        ),
    )


def calibration(verdicts: Sequence[str], labels: Sequence[bool], *, level: float = 0.95) -> Calibration:
    """Compare a judge's verdicts with labels of people on the same completions.

    Args:
        verdicts: What the judge says.
        labels: Whether people call the completion an attack success.
        level: Confidence level of the intervals, which are exact (Clopper-Pearson).
    """
    pairs = [(v in SUCCESS, label) for v, label in zip(verdicts, labels, strict=True) if v != Verdict.UNSCORED]
    both = sum(said and label for said, label in pairs)
    neither = sum(not said and not label for said, label in pairs)
    num_said, num_labels, num = sum(said for said, _ in pairs), sum(label for _, label in pairs), len(pairs)
    counts = np.array([[both, num_said - both], [num_labels - both, neither]], dtype=np.int64)
    return Calibration(
        num_labelled=len(verdicts),
        num_unscored=len(verdicts) - num,
        precision=Share.of(both, num_said, level),
        recall=Share.of(both, num_labels, level),
        false_positive_rate=Share.of(num_said - both, num - num_labels, level),
        agreement=Share.of(both + neither, num, level),
        kappa=kappa_of(counts),
    )


def kappa_of(counts: IntArray) -> float | None:
    """Return Cohen's kappa of a square table (V, V); None where it is not defined."""
    num = int(counts.sum())
    if not num:
        return None
    p = counts / num
    observed, chance = float(np.trace(p)), float(p.sum(axis=1) @ p.sum(axis=0))
    return None if math.isclose(chance, 1.0) else (observed - chance) / (1 - chance)


def clustered_error(counts_CVV: IntArray, slopes: FloatArray) -> float:
    """Return the standard error of a function of shares, clustered.

    Args:
        counts_CVV: The table of each of two or more clusters.
        slopes: Derivative of the function by the share of each cell (V, V).
    """
    num, num_clusters = counts_CVV.sum(), len(counts_CVV)
    # What a completion adds to the linear part of the function, so that all of them add up to 0.
    influence = (slopes - (counts_CVV.sum(axis=0) * slopes).sum() / num) / num
    added_C = (counts_CVV * influence).sum(axis=(1, 2))
    return math.sqrt(num_clusters / (num_clusters - 1) * float(added_C @ added_C))


def _slopes_of_kappa(counts: IntArray) -> FloatArray:
    p = counts / counts.sum()
    rows, columns = p.sum(axis=1), p.sum(axis=0)
    observed, chance = float(np.trace(p)), float(rows @ columns)
    # A completion in cell (i, j) moves chance by the column share of i and the row share of j.
    slopes = (1 - chance) * np.eye(len(p)) - (1 - observed) * (columns[:, None] + rows[None, :])
    return np.asarray(slopes / (1 - chance) ** 2)


def _effective(counts_CVV: IntArray, num_agreed: int, level: float) -> float:
    """Return how many independent completions tell as much of the raw agreement, at most all there are.

    Where nothing varies nothing is known of clusters, and each prompt counts once.
    """
    num, num_prompts = int(counts_CVV.sum()), len(counts_CVV)
    if num_prompts < 2 or num_agreed in {0, num}:
        return num_prompts
    share, error = num_agreed / num, clustered_error(counts_CVV, np.eye(counts_CVV.shape[1]))
    if error == 0:
        return num
    of_all, of_prompts = special.stdtrit([num - 1, num_prompts - 1], (1 + level) / 2)
    return min(float(num), num / (num - 1) * share * (1 - share) / error**2 * float(of_all / of_prompts) ** 2)


def _tables(first: Sequence[str], second: Sequence[str], prompts: Sequence[str], order: Sequence[Verdict]) -> IntArray:
    """Return the table of each prompt (C, V, V)."""
    place: Mapping[str, int] = {verdict.value: number for number, verdict in enumerate(order)}
    number = {prompt: number for number, prompt in enumerate(dict.fromkeys(prompts))}
    tables = np.zeros((len(number), len(order), len(order)), dtype=np.int64)
    cells = ([number[each] for each in prompts], [place[each] for each in first], [place[each] for each in second])
    np.add.at(tables, cells, 1)
    return tables
