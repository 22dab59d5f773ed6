"""The noise floor: how much repeated measurements of the same weights differ, at the origin or at a wall."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from landscape_ray.analysis.landscape import FloatArray, Landscape
from landscape_ray.analysis.metric import Outcome

__all__ = ["NoiseFloor", "disagreement", "noise_floor"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseFloor:
    """How far repeated visits to a point disagree, where greedy decoding of equal weights should not."""

    num_repeats: int
    """Visits to the point that are measured, at least 2."""
    num_prompts: int
    """Prompts of each visit."""
    flipped: float
    """Share of prompts, 0 to 1, whose verdict (of a text: log-likelihood) is not the same at all visits."""
    spread: float | None
    """Largest minus smallest value over the visits, in the unit of the metric; None if a visit has no scored prompt."""


def noise_floor(landscape: Landscape) -> NoiseFloor | None:
    """Return the noise floor at the origin, or None where the origin was not measured at least twice."""
    measured = (landscape.origin_outcomes != Outcome.UNMEASURED).any(axis=1)
    texts = landscape.log_likelihoods
    return disagreement(
        landscape.origin_outcomes[measured],
        landscape.origin_values[measured],
        None if texts is None else texts.origin_nats[measured],
    )


def disagreement(outcomes: npt.NDArray[np.int8], values: FloatArray, nats: FloatArray | None) -> NoiseFloor | None:
    """Return how far visits to the same weights disagree, or None with fewer than two.

    Args:
        outcomes: `Outcome` codes of each visit, (R, P).
        values: The metric at each visit, (R).
        nats: Log-likelihoods of each visit, (R, P); None for rates.
    """
    if len(outcomes) < 2:
        return None
    flipped = (outcomes != outcomes[0]).any(axis=0)
    if nats is not None:
        known = np.nan_to_num(nats, nan=np.inf)
        flipped |= (known != known[0]).any(axis=0)
    return NoiseFloor(
        num_repeats=len(outcomes),
        num_prompts=outcomes.shape[1],
        flipped=float(flipped.mean()),
        spread=None if np.isnan(values).any() else float(np.ptp(values)),
    )
