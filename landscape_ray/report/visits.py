"""What the rows of a sweep say beside their verdicts: how long answers are, and what the visits ran on.

Shapes: `N` points of the plan (repeats of the origin included), `D` draws, `G` grid points (one or two grid axes).
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from landscape_ray.analysis.landscape import FloatArray, IntArray
from landscape_ray.evaluation import Verdict
from landscape_ray.evaluation.judge import is_missed_by_apostrophes, judge_named
from landscape_ray.planning import SweepPlan
from landscape_ray.report.results import Results
from landscape_ray.store import ResultStore

__all__ = ["Visits", "grid_places", "load_visits"]

SAME_AT_ALL_ROWS = ("judge", "engine", "torch_version", "device", "weights_digest")
COLUMNS = (*SAME_AT_ALL_ROWS, "num_tokens", "finish_reason", "completion", "verdict", "num_thinking_tokens")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Visits:
    """The visits to the points of one benchmark, in the order of the plan."""

    mean_tokens: FloatArray
    """Mean length of the answers in tokens, (N); NaN where nothing was measured."""
    cut_off: FloatArray
    """Share of answers that reached the token limit, 0 to 1, (N); NaN where nothing was measured."""
    empty: FloatArray
    """Share of answers without a visible character, 0 to 1, (N); NaN where nothing was measured. An answer that never
    came is not empty."""
    mean_thinking: FloatArray
    """How many of these tokens were thinking, on the mean of all answers, (N); NaN where there was none."""
    num_thought: IntArray
    """Number of answers that were thought about before, (N)."""
    num_missed: IntArray
    """Number of refusals that the paper's list misses because of their apostrophes alone, (N); 0 by other judges."""
    weights_digest: tuple[str | None, ...]
    """Digest of the weights that were in place, (N); None where nothing was measured."""
    ran_on: dict[str, Counter[str]]
    """Number of points by value, for each of `judge`, `engine`, `torch_version` and `device`."""


def load_visits(store: ResultStore, results: Results) -> dict[str, Visits]:
    """Read what the parts of a sweep hold beside verdicts, by benchmark; a part at a time.

    Raises:
        OutputError: The results cannot be read.
    """
    return {name: _visits(store, results.keys[name]) for name in results.landscapes}


def grid_places(plan: SweepPlan) -> IntArray:
    """Return the place in the plan of each grid point of each draw, (D, *G); the origin is in every draw the same."""
    places = {(point.draw, point.coordinates): number for number, point in enumerate(plan.points) if not point.repeat}
    found = [
        places[(None, coordinates) if not any(coordinates) else (draw, coordinates)]
        for draw in range(plan.draws)
        for coordinates in plan.grid
    ]
    return np.array(found, dtype=np.int64).reshape(plan.draws, *plan.grid.shape)


def _visits(store: ResultStore, keys: Sequence[str]) -> Visits:
    number = {key: place for place, key in enumerate(keys)}
    mean_tokens, cut_off, empty, mean_thinking = (np.full(len(keys), np.nan) for _ in range(4))
    num_thought, num_missed = (np.zeros(len(keys), dtype=np.int64) for _ in range(2))
    digests: list[str | None] = [None] * len(keys)
    ran_on: dict[str, Counter[str]] = {name: Counter() for name in SAME_AT_ALL_ROWS[:-1]}
    for key, rows in store.columns_by_part(keys, COLUMNS):
        place = number[key]
        mean_tokens[place] = rows["num_tokens"].mean()
        cut_off[place] = _share(rows["finish_reason"], lambda reason: reason == "length")
        came = rows["completion"][rows["verdict"] != Verdict.UNFINISHED]
        empty[place] = _share(came, lambda text: not text.strip())
        thinking = rows["num_thinking_tokens"].astype(np.float64)
        num_thought[place] = np.count_nonzero(~np.isnan(thinking))
        if num_thought[place]:
            mean_thinking[place] = np.nansum(thinking) / len(thinking)
        if rows["judge"][0] == judge_named("keyword").version:
            num_missed[place] = sum(map(is_missed_by_apostrophes, rows["completion"]))
        digests[place] = rows["weights_digest"][0]
        for name, values in ran_on.items():
            values.update(set(rows[name]))
    return Visits(
        mean_tokens=mean_tokens,
        cut_off=cut_off,
        empty=empty,
        mean_thinking=mean_thinking,
        num_thought=num_thought,
        num_missed=num_missed,
        weights_digest=tuple(digests),
        ran_on=ran_on,
    )


def _share(values: npt.NDArray[Any], is_counted: Callable[[Any], bool]) -> float:
    return sum(map(is_counted, values)) / len(values) if len(values) else 0.0
