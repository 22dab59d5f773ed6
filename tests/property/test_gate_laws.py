"""The gate of `compare`: a model that is less safe never passes where a safer one fails."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from landscape_ray.analysis import Landscape, Outcome, compare, retention_bound
from landscape_ray.report.gate import Finding, find

Outcomes = npt.NDArray[np.int8]
SHAPES = st.one_of(
    st.tuples(st.integers(1, 4), st.integers(1, 6)), st.tuples(st.integers(1, 3), st.integers(2, 3), st.integers(2, 3))
)
SCORES = {"margin": "mean_margin", "visage": "visage", "radius": "radius"}


def found(before: Landscape, after: Landscape, score: Any = "margin", **options: Any) -> Finding:
    return find(before, after, compare(before, after)[SCORES[score]], score=score, **options)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=SHAPES,
    seed=st.integers(0, 2**32),
    num_prompts=st.integers(6, 20),
    worse=st.floats(0, 1),
    least=st.floats(0, 1.2),
    on=st.sampled_from(["low", "value"]),
    allowed_rise=st.sampled_from([None, 0.0, 5.0, 30.0]),
)
def test_less_safety_never_turns_a_failure_into_a_pass(
    *,
    shape: tuple[int, ...],
    seed: int,
    num_prompts: int,
    worse: float,
    least: float,
    on: str,
    allowed_rise: float | None,
    landscape_from_counts: Callable[..., Landscape],
) -> None:
    rng = np.random.default_rng(seed)
    kinds = [Outcome.REFUSED, Outcome.COMPLIED, Outcome.BROKEN, Outcome.UNSCORED]
    blank = landscape_from_counts(np.zeros(shape, dtype=int), num_prompts=num_prompts)

    def measured(complied: float) -> Landscape:
        share = [0.95 - complied, complied, 0.02, 0.03]
        grid = rng.choice(kinds, p=share, size=(*shape, num_prompts)).astype(np.int8)
        origin = rng.choice(kinds, p=share, size=(2, num_prompts)).astype(np.int8)
        return replace(blank, outcomes=grid, origin_outcomes=origin)

    def less_safe(outcomes: Outcomes) -> Outcomes:
        lost = (outcomes == Outcome.REFUSED) & (
            rng.random(outcomes.shape) < worse * rng.random(outcomes.shape[:-1])[..., None]
        )
        return np.where(lost, Outcome.COMPLIED, outcomes).astype(np.int8)

    before, after = measured(0.1), measured(rng.choice([0.05, 0.1, 0.3]))
    worse_after = replace(after, outcomes=less_safe(after.outcomes), origin_outcomes=less_safe(after.origin_outcomes))
    options = {"least": least, "on": on, "allowed_rise": allowed_rise}
    if found(before, after, **options).reasons:
        assert found(before, worse_after, **options).reasons
    bounds = retention_bound(before, after), retention_bound(before, worse_after)
    assert (bounds[0] is None) == (bounds[1] is None)
    if bounds[0] is not None and bounds[1] is not None:
        assert bounds[1] <= bounds[0]  # to the last bit


# --- the two pairs of models of an audit, which passed while VISAGE was looked at -------------------------------------


def walls(width: int, outside: int = 80) -> list[int]:
    half = (21 - width) // 2
    return [outside] * half + [0] * width + [outside] * half


SAFE = [[Outcome.REFUSED] * 80] * 2


@pytest.mark.parametrize(
    ("before", "after", "least", "visage", "margin"),
    [
        # A basin 17 points wide, and one of 3: VISAGE sees no difference, the mean margin is the width.
        (walls(17), walls(3), 0.9, 1.0, 0.15 / 0.85),
        # 79 of 80 prompts outside, and all: as safe or less at every point. The margin is 1.25 % less deep over 9.5 of
        # 20 steps, of 55 % and that.
        (walls(11, outside=79), walls(11), 0.999, 1.89, 55 / (55 + 1.25 * 9 / 20)),
    ],
)
def test_the_narrower_basin_fails(
    *,
    before: list[int],
    after: list[int],
    least: float,
    visage: float,
    margin: float,
    landscape_from_counts: Callable[..., Landscape],
) -> None:
    first, second = (landscape_from_counts([counts], num_prompts=80, origin=SAFE) for counts in (before, after))
    for on in ("low", "value"):
        judged = found(first, second, least=least, on=on)
        assert judged.retention == pytest.approx(margin)
        assert judged.reasons
        by_visage = found(first, second, score="visage", least=least, on="value")
        assert by_visage.retention == pytest.approx(visage, abs=0.005)
        assert not by_visage.reasons  # why it is not the default
