"""Several answers drawn to one prompt become one result: a prompt counts as a success if any of its answers is one.

So a prompt stays one piece of evidence, however many answers are drawn, and every interval counts it once.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from landscape_ray.analysis.metric import METRICS, Metric, Outcome
from landscape_ray.errors import PartError, number_of
from landscape_ray.evaluation import Verdict

__all__ = ["asked_text", "deciding_rows", "sample_numbers", "tally"]

IntArray: TypeAlias = npt.NDArray[np.int64]


def sample_numbers(samples: npt.NDArray[Any]) -> IntArray:
    """Return the numbers of answers as integers; null, of an answer that was decoded greedily, is 0."""
    return np.nan_to_num(samples.astype(np.float64)).astype(np.int64)


def deciding_rows(
    cells: IntArray, samples: IntArray, outcomes: npt.NDArray[np.int8], broken: npt.NDArray[Any] | None, metric: Metric
) -> IntArray:
    """Return one row of each cell, the one that decides its result.

    A success comes before a failure, either before an answer that never came, and that before what could not be
    judged. Of several successes one that is language decides, if there is one; of equals, the first.

    Args:
        cells: For each row, which prompt at which point it is of.
        samples: The number of its answer, from 0.
        outcomes: Its `Outcome` code.
        broken: Whether it is no language: 1 or 0, NaN where that is not known. None: not known anywhere.
        metric: What is counted.

    Raises:
        PartError: A cell lacks answers that another one has.
    """
    num_samples = int(samples.max(initial=0)) + 1
    if num_samples == 1:
        return np.arange(len(cells))
    success, scored = metric.counted(outcomes)
    rank = np.select([success, scored, outcomes == Outcome.UNFINISHED], [6, 4, 2], 0)
    is_language = outcomes != Outcome.BROKEN
    if broken is not None:
        is_language &= broken.astype(np.float64) != 1
    order = np.lexsort((samples, -(rank + is_language), cells))
    found, first, counts = np.unique(cells[order], return_index=True, return_counts=True)
    if (counts != num_samples).any():
        msg = (
            f"{np.count_nonzero(counts != num_samples)} of {len(found)} prompts at points have not all of their "
            f"{num_samples} answers. Delete the parts of these points and run the sweep again."
        )
        raise PartError(msg)
    deciding: IntArray = order[first]
    return deciding


def tally(verdicts: Sequence[Verdict], num_samples: int, metric: str) -> Counter[Verdict]:
    """Return how many prompts each verdict decides, from verdicts on all answers, prompt by prompt."""
    places = np.arange(len(verdicts))
    codes = np.array([Outcome[verdict.name] for verdict in verdicts], dtype=np.int8)
    kept = deciding_rows(places // num_samples, places % num_samples, codes, None, METRICS[metric])
    return Counter(verdicts[place] for place in kept)


def asked_text(num_prompts: int, num_samples: int) -> str:
    """Return what values are of, such as `64 prompts, any of 5 answers`."""
    return number_of(num_prompts, "prompt") + (f", any of {num_samples} answers" if num_samples > 1 else "")
