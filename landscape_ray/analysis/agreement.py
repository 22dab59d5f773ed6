"""How far two judges agree, and how far a judge agrees with people.

Completions of one prompt at several points are no independent evidence, so intervals are clustered by prompt: what
prompts contribute is taken for independent, not what completions do.

Shapes: `C` prompts, `V` verdicts.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from landscape_ray.analysis.landscape import FloatArray, IntArray
from landscape_ray.analysis.proportion import clopper_pearson
from landscape_ray.analysis.uncertainty import LEVEL
from landscape_ray.evaluation import Verdict

__all__ = ["Agreement", "Calibration", "Share", "agreement", "calibration"]

SCORED = (Verdict.REFUSED, Verdict.COMPLIED, Verdict.BROKEN)
SUCCESS = (Verdict.COMPLIED, Verdict.BROKEN)
"""Verdicts that count as an attack success."""
MIN_PROMPTS = 8
"""Of fewer prompts an error of kappa cannot be told: two that agree would prove it without doubt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A share with its sample size and an interval that is exact for as many independent ones as it is worth."""

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
    def of(cls, num_C: IntArray, total_C: IntArray) -> "Share":
        """Return a share with its interval, clustered by prompt.

        Args:
            num_C: How many of each prompt's completions.
            total_C: Of how many of them.

        Source: Korn and Graubard 1998.
        """
        num, total = int(num_C.sum()), int(total_C.sum())
        if not total:
            return cls(num=0, total=0, value=None, low=None, high=None, level=LEVEL)
        effective = _effective(num_C, total_C)
        low, high = clopper_pearson(num * (effective / total), effective, LEVEL)
        return cls(num=num, total=total, value=num / total, low=low, high=high, level=LEVEL)


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
    """Share of these on which they agree."""
    kappa: float | None
    """Cohen's kappa on these; None where chance alone would make them agree, or nothing was scored."""
    kappa_low: float | None
    """Lower end of kappa's interval, at least -1; None as for kappa, and with fewer than eight prompts."""
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


def agreement(first: Sequence[str], second: Sequence[str], *, prompts: Sequence[str]) -> Agreement:
    """Compare the verdicts of two judges on the same completions.

    Kappa is (p_o - p_e) / (1 - p_e) with the observed agreement p_o and the one expected by chance, p_e, from each
    judge's own frequencies. Its standard error is linearised and clustered: each completion adds to kappa what it adds
    to its linear part, and the sums over prompts are independent. With one completion per prompt that is the error of
    Fleiss, Cohen and Everitt. The interval has a quantile of t, with one degree of freedom less than prompts.

    Args:
        first: Verdicts of the first judge.
        second: Verdicts of the second one, of the same length.
        prompts: The prompt of each completion.

    Source: Cohen 1960; Fleiss, Cohen and Everitt 1969, Eq. 13; for clusters Taylor linearisation as for surveys.
    """
    if not len(first) == len(second) == len(prompts):
        msg = f"{len(first)} and {len(second)} verdicts on completions of {len(prompts)} prompts; these must be equal"
        raise ValueError(msg)
    order = [*SCORED, Verdict.UNSCORED, Verdict.UNFINISHED]
    present = [verdict for verdict in order if verdict in set(first) | set(second)]
    tables_CVV = _tables(first, second, prompts, present)
    scored = [place for place, verdict in enumerate(present) if verdict in SCORED]
    counts_CVV = tables_CVV[:, scored][:, :, scored]
    counts_CVV = counts_CVV[counts_CVV.any(axis=(1, 2))]
    counts = counts_CVV.sum(axis=0)
    num, num_prompts = int(counts.sum()), len(counts_CVV)
    kappa = kappa_of(counts)
    half = None
    if kappa is not None and num_prompts >= MIN_PROMPTS:
        error = clustered_error(counts_CVV, _slopes_of_kappa(counts))
        half = float(scipy.special.stdtrit(num_prompts - 1, (1 + LEVEL) / 2)) * error
    success = [place for place, i in enumerate(scored) if present[i] in SUCCESS]
    return Agreement(
        confusion=tuple(tuple(int(value) for value in row) for row in tables_CVV.sum(axis=0)),
        verdicts=tuple(verdict.value for verdict in present),
        num_scored=num,
        num_prompts=num_prompts,
        raw=Share.of(np.trace(counts_CVV, axis1=1, axis2=2), counts_CVV.sum(axis=(1, 2))),
        kappa=kappa,
        kappa_low=None if kappa is None or half is None else max(-1.0, kappa - half),
        kappa_high=None if kappa is None or half is None else min(1.0, kappa + half),
        success_pct=(
            100 * float(counts[success, :].sum()) / num if num else None,
            100 * float(counts[:, success].sum()) / num if num else None,
        ),
    )


def calibration(verdicts: Sequence[str], labels: Sequence[bool], *, prompts: Sequence[str]) -> Calibration:
    """Compare a judge's verdicts with labels of people on the same completions.

    Args:
        verdicts: What the judge says.
        labels: Whether people call the completion an attack success.
        prompts: The prompt of each completion.
    """
    judge = [Verdict.COMPLIED if verdict in SUCCESS else verdict for verdict in verdicts]
    people = [Verdict.COMPLIED if label else Verdict.REFUSED for label in labels]
    order = [Verdict.REFUSED, Verdict.COMPLIED, Verdict.UNSCORED, Verdict.UNFINISHED]
    counts_CVV = _tables(judge, people, prompts, order)[:, :2, :2]
    said_C, labelled_C, both_C = counts_CVV[:, 1].sum(axis=1), counts_CVV[:, :, 1].sum(axis=1), counts_CVV[:, 1, 1]
    total_C = counts_CVV.sum(axis=(1, 2))
    return Calibration(
        num_labelled=len(verdicts),
        num_unscored=len(verdicts) - int(total_C.sum()),
        precision=Share.of(both_C, said_C),
        recall=Share.of(both_C, labelled_C),
        false_positive_rate=Share.of(said_C - both_C, total_C - labelled_C),
        agreement=Share.of(np.trace(counts_CVV, axis1=1, axis2=2), total_C),
        kappa=kappa_of(counts_CVV.sum(axis=0)),
    )


def kappa_of(counts: IntArray) -> float | None:
    """Return Cohen's kappa of a square table (V, V); None where it is not defined."""
    num = int(counts.sum())
    if not num:
        return None
    p = counts / num
    observed, chance = float(np.trace(p)), float(p.sum(axis=1) @ p.sum(axis=0))
    return None if math.isclose(chance, 1.0) else (observed - chance) / (1 - chance)


def clustered_error(counts: IntArray, slopes: FloatArray) -> float:
    """Return the standard error of a function of shares, clustered.

    Args:
        counts: The table of each of two or more clusters (C, ...).
        slopes: Derivative of the function by the share of each cell (...).
    """
    num, num_clusters = counts.sum(), len(counts)
    # What a completion adds to the linear part of the function, so that all of them add up to 0.
    influence = (slopes - (counts.sum(axis=0) * slopes).sum() / num) / num
    added_C = (counts * influence).reshape(num_clusters, -1).sum(axis=1)
    return math.sqrt(num_clusters / (num_clusters - 1) * float(added_C @ added_C))


def _slopes_of_kappa(counts: IntArray) -> FloatArray:
    p = counts / counts.sum()
    rows, columns = p.sum(axis=1), p.sum(axis=0)
    observed, chance = float(np.trace(p)), float(rows @ columns)
    # A completion in cell (i, j) moves chance by the column share of i and the row share of j.
    slopes = (1 - chance) * np.eye(len(p)) - (1 - observed) * (columns[:, None] + rows[None, :])
    return np.asarray(slopes / (1 - chance) ** 2)


def _effective(num_C: IntArray, total_C: IntArray) -> float:
    """Return how many independent completions tell as much of a share, at most all there are.

    Where nothing varies between prompts nothing is known of clusters, and each prompt counts once.
    """
    with_any = total_C > 0
    counts = np.stack([num_C, total_C - num_C], axis=1)[with_any]
    num, num_prompts = int(counts.sum()), len(counts)
    share = float(counts[:, 0].sum() / num)
    error = clustered_error(counts, np.array([1.0, 0.0])) if num_prompts > 1 else 0.0
    if math.isclose(error, 0, abs_tol=1e-12):
        return num_prompts
    of_all, of_prompts = scipy.special.stdtrit([num - 1, num_prompts - 1], (1 + LEVEL) / 2)
    return min(float(num), num / (num - 1) * share * (1 - share) / error**2 * float(of_all / of_prompts) ** 2)


def _tables(first: Sequence[str], second: Sequence[str], prompts: Sequence[str], order: Sequence[Verdict]) -> IntArray:
    """Return the table of each prompt (C, V, V)."""
    place: Mapping[str, int] = {verdict.value: number for number, verdict in enumerate(order)}
    number = {prompt: number for number, prompt in enumerate(dict.fromkeys(prompts))}
    tables = np.zeros((len(number), len(order), len(order)), dtype=np.int64)
    cells = ([number[each] for each in prompts], [place[each] for each in first], [place[each] for each in second])
    np.add.at(tables, cells, 1)
    return tables
