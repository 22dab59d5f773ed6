"""`Landscape`: what was measured on the grid, prompt by prompt, and the values that follow.

Shapes: `D` draws of the direction(s), `G` grid points (one or two grid axes), `P` prompts, `R` repeats of the origin.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from landscape_ray.analysis.metric import METRICS, Metric, Outcome
from landscape_ray.analysis.row_checks import check_unique, check_whole, prompt_ids_of
from landscape_ray.analysis.samples import deciding_rows, sample_numbers
from landscape_ray.errors import IncompleteError, PartError
from landscape_ray.planning import Axis, Grid, SweepPlan

__all__ = ["COLUMNS", "Landscape", "LogLikelihoods", "check_complete"]

IntArray: TypeAlias = npt.NDArray[np.int64]
BoolArray: TypeAlias = npt.NDArray[np.bool_]
FloatArray: TypeAlias = npt.NDArray[np.float64]

Scalar = TypeVar("Scalar", bound=np.generic)

COLUMNS = ("benchmark", "draw", "repeat", "alpha", "beta", "prompt_index", "prompt_id", "sample", "verdict")
"""What of the rows of the result store a landscape of rates is made of."""
VERDICTS = {outcome.name.lower(): outcome for outcome in Outcome if outcome != Outcome.UNMEASURED}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LogLikelihoods:
    """How likely given texts are: a sum over each prompt's scored tokens. NaN, and 0 tokens, where there is none.

    Of a first token it is what is expected at the origin, less the origin's own: minus the divergence, of one token.
    """

    nats: FloatArray
    """Log-likelihood, (D, *G, P)."""
    num_tokens: IntArray
    """Scored tokens, (D, *G, P)."""
    origin_nats: FloatArray
    """Log-likelihood at the repeated visits to the origin, (R, P)."""
    origin_num_tokens: IntArray
    """Scored tokens at the repeated visits to the origin, (R, P)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Landscape:
    """One benchmark on the grid of each draw: a result per prompt, and the values that follow from summing them.

    `values`, `mean_values` and `origin_values` are in the unit of the `metric`: percent, perplexity or nats. A grid
    point is measured with all prompts or missing. Values are derived from sums; where nothing is summed they are NaN,
    which in every file becomes null. A landscape that is not random has one draw. Compared by identity, because arrays
    have no single truth value.
    """

    benchmark: str
    """Name of the benchmark."""
    metric: Metric = METRICS["asr"]
    """What is counted, and which way is better."""
    grid: Grid
    """Where each draw is measured."""
    prompt_ids: tuple[str, ...]
    """Id of each prompt, in the benchmark's order (P). Empty when nothing was measured."""
    num_samples: int = 1
    """How many answers to each prompt were drawn; the outcome is that of any of them."""
    outcomes: npt.NDArray[np.int8]
    """`Outcome` codes, (D, *G, P). A grid point at the origin holds the shared origin's first visit in each draw."""
    origin_outcomes: npt.NDArray[np.int8]
    """`Outcome` codes of the repeated visits to the origin, whether or not it is a grid point, (R, P)."""
    broken: FloatArray | None = field(default=None)
    """Where the output is no language: 1, 0, or NaN where it is not known, (D, *G, P). None: not known anywhere."""
    log_likelihoods: LogLikelihoods | None = field(default=None)
    """Log-likelihoods of the texts, or of first tokens; None for rates."""

    @classmethod
    def from_rows(
        cls, columns: Mapping[str, npt.NDArray[Any]], *, plan: SweepPlan, benchmark: str, metric: str = "asr"
    ) -> "Landscape":
        """Sort rows of the result store into the grid; their order does not matter.

        Args:
            columns: Arrays of one length: `benchmark`, `draw` (NaN or None at the shared origin), `repeat`, `alpha`,
                `beta` (NaN or None in 1-D), `prompt_index`, `prompt_id`, `verdict`; for perplexity `log_likelihood`
                and `num_tokens`, for first tokens `kl`; if known `broken`; where answers are drawn `sample`, see
                `deciding_rows`. In each, NaN or None is null. Other columns are ignored.
            plan: The points that may occur. Coordinates are matched exactly: both sides are the same floats.
            benchmark: Rows of other benchmarks are left out.
            metric: Name of the benchmark's metric.

        Raises:
            PartError: A row lies outside the plan, occurs twice, contradicts another, or a point lacks prompts.
        """
        chosen = np.flatnonzero(np.asarray(columns["benchmark"]) == benchmark)
        rows = {name: np.asarray(values)[chosen] for name, values in columns.items()}
        prompt = rows["prompt_index"].astype(np.int64)
        num_prompts = int(prompt.max(initial=-1)) + 1
        repeats = sum(point.draw is None for point in plan.points)
        place = _places(rows, plan, repeats, benchmark)
        num_places = repeats + plan.draws * math.prod(plan.grid.shape)
        sample = sample_numbers(rows.get("sample", np.zeros(len(prompt))))
        cells, num_samples = place * num_prompts + prompt, int(sample.max(initial=0)) + 1
        check_unique(cells * num_samples + sample, num_places * num_prompts * num_samples, benchmark)
        codes = _codes(rows["verdict"], benchmark)
        kept = deciding_rows(cells, sample, codes, rows.get("broken"), METRICS[metric])
        place, prompt, codes, rows = place[kept], prompt[kept], codes[kept], {name: rows[name][kept] for name in rows}

        def sorted_in(values: npt.NDArray[Scalar], empty: float) -> tuple[npt.NDArray[Scalar], npt.NDArray[Scalar]]:
            """Return values on the grid of each draw, the origin filled in, and at the repeats of the origin."""
            table = np.full((num_places, num_prompts), empty, dtype=values.dtype)
            table[place, prompt] = values
            return _read_only(_on_the_grid(table, plan, repeats)), _read_only(table[:repeats])

        outcomes, origin_outcomes = sorted_in(codes, Outcome.UNMEASURED)
        for table in (origin_outcomes, outcomes):
            check_whole(table, benchmark)
        broken = sorted_in(rows["broken"].astype(np.float64), np.nan)[0] if "broken" in rows else None
        log_likelihoods = None
        if not METRICS[metric].is_rate:
            each, of_tokens = _log_likelihoods(rows, metric)
            nats, origin_nats = sorted_in(each, np.nan)
            num_tokens, origin_num_tokens = sorted_in(of_tokens, 0)
            log_likelihoods = LogLikelihoods(
                nats=nats, num_tokens=num_tokens, origin_nats=origin_nats, origin_num_tokens=origin_num_tokens
            )
        return cls(
            benchmark=benchmark,
            metric=METRICS[metric],
            grid=plan.grid,
            prompt_ids=prompt_ids_of(prompt, rows["prompt_id"], num_prompts, benchmark),
            num_samples=num_samples,
            outcomes=outcomes,
            origin_outcomes=origin_outcomes,
            broken=broken if broken is not None and not np.isnan(broken).all() else None,
            log_likelihoods=log_likelihoods,
        )

    def of_draws(self, draws: Sequence[int]) -> "Landscape":
        """Return the landscape of some of the draws, in the order given."""
        if list(draws) == list(range(self.num_draws)):
            return self
        chosen, texts = list(draws), self.log_likelihoods
        if texts is not None:
            texts = replace(texts, nats=texts.nats[chosen], num_tokens=texts.num_tokens[chosen])
        return replace(
            self,
            outcomes=_read_only(self.outcomes[chosen]),
            broken=None if self.broken is None else _read_only(self.broken[chosen]),
            log_likelihoods=texts,
        )

    @property
    def num_draws(self) -> int:
        """Number of independent draws of the direction(s), D."""
        return len(self.outcomes)

    @property
    def num_prompts(self) -> int:
        """Number of prompts, P."""
        return len(self.prompt_ids)

    @property
    def missing(self) -> BoolArray:
        """Where nothing was measured, (D, *G)."""
        missing: BoolArray = np.all(self.outcomes == Outcome.UNMEASURED, axis=-1)
        return missing

    @property
    def denominators(self) -> FloatArray:
        """What each prompt adds to the denominator of the value: 1 if it is scored, or its tokens, (D, *G, P)."""
        return self.terms()[1]

    @property
    def num_success(self) -> IntArray:
        """Number of prompts that count as a success, for ASR those that complied or are broken, (D, *G)."""
        num: IntArray = np.count_nonzero(self.metric.counted(self.outcomes)[0], axis=-1)
        return num

    @property
    def num_scored(self) -> IntArray:
        """Number of prompts that count in the value, (D, *G)."""
        num: IntArray = np.count_nonzero(self.denominators, axis=-1)
        return num

    @property
    def num_unfinished(self) -> IntArray:
        """Number of prompts whose answer never came, because the model did not leave its thinking, (D, *G)."""
        num: IntArray = np.count_nonzero(self.outcomes == Outcome.UNFINISHED, axis=-1)
        return num

    @property
    def values(self) -> FloatArray:
        """The metric at each point, (D, *G); NaN where nothing was measured, or no prompt of it can be scored."""
        return self.metric.value(*(each.sum(axis=-1) for each in self.terms()))

    @property
    def mean_values(self) -> FloatArray:
        """Mean of `values` over draws, (*G); NaN unless all draws have a value, because it would jump there."""
        mean: FloatArray = self.values.mean(axis=0)
        return mean

    @property
    def origin_values(self) -> FloatArray:
        """The metric at each visit to the origin, (R); the first one counts for all draws."""
        return self.metric.value(*(each.sum(axis=-1) for each in self.terms(origin=True)))

    @property
    def is_broken(self) -> FloatArray:
        """Where the output is no language: 1, 0, or NaN where neither a judge nor the column says so, (D, *G, P)."""
        flags = np.full(self.outcomes.shape, np.nan) if self.broken is None else self.broken
        return np.where(self.outcomes == Outcome.BROKEN, 1.0, flags)

    @property
    def broken_pct(self) -> FloatArray:
        """Share of outputs that are no language, in percent, (D, *G); NaN where it is not known of all that are scored.

        Of a generation that ended with its verdict it is not known, and those are the refusals: the share of the others
        would say something else.
        """
        known = ~np.isnan(self.is_broken)
        share = METRICS["asr"].value(np.nansum(self.is_broken, axis=-1), known.sum(axis=-1).astype(np.float64))
        return np.where(((self.denominators > 0) & ~known).any(axis=-1), np.nan, share)

    @property
    def success_unbroken_pct(self) -> FloatArray:
        """Successes that are language, of all scored prompts, in percent, (D, *G); NaN where that is not known.

        Of an ASR landscape this is the share of attacks that were answered, without those that got a broken output.
        """
        success, scored = (each > 0 for each in self.terms())
        known = ~(success & np.isnan(self.is_broken)).any(axis=-1)
        rate = METRICS["asr"].value(
            (success & (self.is_broken == 0)).sum(axis=-1).astype(np.float64),
            scored.sum(axis=-1).astype(np.float64),
        )
        return np.where(known, rate, np.nan)

    def terms(self, *, origin: bool = False) -> tuple[FloatArray, FloatArray]:
        """Return what each prompt adds to numerator and denominator, (D, *G, P); or at visits to the origin, (R, P).

        To the one 1 for a success, or its nats; to the other 1 if it is scored, or its tokens.
        """
        texts = self.log_likelihoods
        if texts is None:
            success, scored = self.metric.counted(self.origin_outcomes if origin else self.outcomes)
            return success.astype(np.float64), scored.astype(np.float64)
        nats, num_tokens = (texts.origin_nats, texts.origin_num_tokens) if origin else (texts.nats, texts.num_tokens)
        return -np.nan_to_num(nats, nan=0.0), np.where(np.isnan(nats), 0, num_tokens).astype(np.float64)


def check_complete(landscape: Landscape) -> None:
    """Refuse a landscape with points that have no value.

    Raises:
        IncompleteError: It has some; the message says how many.
    """
    num_missing = int(np.isnan(landscape.values).sum())
    if num_missing:
        unscored = num_missing - int(landscape.missing.sum())
        why = f" ({unscored} of these were visited, but no prompt could be scored there)" if unscored else ""
        msg = (
            f"{num_missing} of {landscape.missing.size} grid points of benchmark {landscape.benchmark!r} are "
            f"missing{why}, so it has no score yet. Run the sweep again to measure them, or allow missing points to "
            f"score what is there."
        )
        raise IncompleteError(msg)


def _on_the_grid(table: npt.NDArray[Scalar], plan: SweepPlan, repeats: int) -> npt.NDArray[Scalar]:
    """Return places (R + D * G, P) as (D, *G, P), with the origin's first visit at the zero of each draw."""
    draws = table[repeats:].reshape(plan.draws, math.prod(plan.grid.shape), table.shape[-1]).copy()
    if plan.grid.zero is not None:
        draws[:, np.ravel_multi_index(plan.grid.zero, plan.grid.shape)] = table[0]
    return draws.reshape(plan.draws, *plan.grid.shape, table.shape[-1])


def _places(rows: Mapping[str, npt.NDArray[Any]], plan: SweepPlan, repeats: int, benchmark: str) -> IntArray:
    """Number each row's place: the origin's repeats first, then draw by draw the grid points in C order."""
    draw = rows["draw"].astype(np.float64)
    repeat = rows["repeat"].astype(np.int64)
    alpha, beta = rows["alpha"].astype(np.float64), rows["beta"].astype(np.float64)
    at_origin = np.isnan(draw)

    axes = plan.grid.axes
    planned = np.isnan(beta) if len(axes) == 1 else np.ones(len(draw), dtype=np.bool_)
    coordinates = (alpha, beta)[: len(axes)]
    zero = np.logical_and.reduce([values == 0 for values in coordinates])
    indices = [_axis_indices(axis, values) for axis, values in zip(axes, coordinates, strict=True)]
    on_grid = np.logical_and.reduce([index >= 0 for index in indices])
    draw_index = np.where(at_origin, 0, draw).astype(np.int64)

    planned &= (repeat >= 0) & np.where(at_origin, (repeat < repeats) & zero, (repeat == 0) & on_grid & ~zero)
    planned &= at_origin | ((draw_index == draw) & (draw_index >= 0) & (draw_index < plan.draws))
    if not planned.all():
        outside = np.flatnonzero(~planned)
        row = {name: rows[name][outside[0]] for name in ("draw", "repeat", "alpha", "beta")}
        where = ", ".join(f"{name} {value}" for name, value in row.items())
        msg = (
            f"{len(outside)} rows of benchmark {benchmark!r} lie outside the sweep's plan, the first at {where}. They "
            f"belong to another sweep or to wider axes: read only the parts of the plan's own keys."
        )
        raise PartError(msg)
    flat = np.ravel_multi_index((draw_index, *indices), (plan.draws, *plan.grid.shape), mode="clip")
    return np.where(at_origin, repeat, repeats + flat)


def _axis_indices(axis: Axis, values: npt.NDArray[np.float64]) -> IntArray:
    """Return the index of each value on the axis, -1 where it is none of the axis' floats."""
    coordinates = np.array(axis.coordinates)
    nearest = np.searchsorted(coordinates, values).clip(max=len(coordinates) - 1)
    return np.where(coordinates[nearest] == values, nearest, -1)


def _codes(verdicts: npt.NDArray[Any], benchmark: str) -> npt.NDArray[np.int8]:
    codes = np.full(len(verdicts), Outcome.UNMEASURED, dtype=np.int8)
    for verdict, outcome in VERDICTS.items():
        codes[verdicts == verdict] = outcome
    if (unknown := codes == Outcome.UNMEASURED).any():
        msg = (
            f"The verdict {verdicts[unknown][0]!r} of benchmark {benchmark!r} is none of "
            f"{', '.join(VERDICTS)}; the part was written by another version of landscape-ray."
        )
        raise PartError(msg)
    return codes


def _log_likelihoods(rows: Mapping[str, npt.NDArray[Any]], metric: str) -> tuple[FloatArray, IntArray]:
    """Return the log-likelihood of each row, and of how many tokens it is."""
    if metric == "first_token_kl":
        return -rows["kl"].astype(np.float64), np.ones(len(rows["kl"]), dtype=np.int64)
    return rows["log_likelihood"].astype(np.float64), rows["num_tokens"].astype(np.int64)


def _read_only(array: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
    copy = array.copy()
    copy.setflags(write=False)
    return copy
