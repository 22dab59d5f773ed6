"""Fixtures that several folders of tests share: landscapes and rows of the result store, made by hand."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pytest

from landscape_ray.analysis import Landscape, Outcome
from landscape_ray.config import AxisConfig, SweepConfig
from landscape_ray.evaluation import Verdict
from landscape_ray.plan import Axis, Grid, PlannedPoint, SweepPlan


class LandscapeFromCounts(Protocol):
    """Make a landscape in which the first so many prompts of each point comply, the rest refuse."""

    def __call__(
        self, counts: Sequence[Any], *, num_prompts: int, origin: Sequence[Sequence[Outcome]] = ()
    ) -> Landscape:
        """`counts` is nested as (D, *G); a negative count is a point that was not measured."""
        ...


@pytest.fixture
def landscape_from_counts() -> LandscapeFromCounts:
    def build(counts: Sequence[Any], *, num_prompts: int, origin: Sequence[Sequence[Outcome]] = ()) -> Landscape:
        successes = np.array(counts)
        outcomes = np.where(np.arange(num_prompts) < successes[..., None], Outcome.COMPLIED, Outcome.REFUSED)
        outcomes[successes < 0] = Outcome.UNMEASURED
        axes = (
            Axis.from_config(AxisConfig(start=(1 - num) / 40, stop=(num - 1) / 40, num=num))
            for num in successes.shape[1:]
        )
        return Landscape(
            benchmark="advbench",
            grid=Grid(axes=tuple(axes)),
            prompt_ids=tuple(f"p{i}" for i in range(num_prompts)),
            outcomes=outcomes.astype(np.int8),
            origin_outcomes=np.array(origin, dtype=np.int8).reshape(len(origin), num_prompts),
        )

    return build


Columns = dict[str, npt.NDArray[Any]]


class RowsOf(Protocol):
    """Make the columns that the result store would read for a plan."""

    def __call__(
        self,
        points: Sequence[PlannedPoint],
        verdict: Callable[[PlannedPoint, int], Verdict],
        *,
        num_prompts: int,
        benchmark: str = "advbench",
    ) -> Columns:
        """One row per point and prompt, in this order; `verdict` gets the point and the prompt's index."""
        ...


@pytest.fixture(scope="session")
def rows_of() -> RowsOf:
    def build(
        points: Sequence[PlannedPoint],
        verdict: Callable[[PlannedPoint, int], Verdict],
        *,
        num_prompts: int,
        benchmark: str = "advbench",
    ) -> Columns:
        cells = [(point, index) for point in points for index in range(num_prompts)]
        alphas_betas = [(*point.coordinates, np.nan)[:2] for point, _ in cells]
        return {
            "benchmark": np.array([benchmark for _ in cells], dtype=object),
            "draw": np.array([np.nan if point.draw is None else point.draw for point, _ in cells]),
            "repeat": np.array([point.repeat for point, _ in cells], dtype=np.int64),
            "alpha": np.array([alpha for alpha, _ in alphas_betas], dtype=np.float64),
            "beta": np.array([beta for _, beta in alphas_betas], dtype=np.float64),
            "prompt_index": np.array([index for _, index in cells], dtype=np.int64),
            "prompt_id": np.array([f"p{index}" for _, index in cells], dtype=object),
            "verdict": np.array([verdict(point, index).value for point, index in cells], dtype=object),
        }

    return build


class PlanOf(Protocol):
    """Make a plan from the number of points of each axis."""

    def __call__(self, *nums: int, draws: int = 3, repeats: int = 2, limit: float = 0.5) -> SweepPlan:
        """Axes run over [-limit, limit]."""
        ...


@pytest.fixture(scope="session")
def plan_of() -> PlanOf:
    def build(*nums: int, draws: int = 3, repeats: int = 2, limit: float = 0.5) -> SweepPlan:
        config = SweepConfig.model_validate(
            {
                "model": {"id": "demo:aligned"},
                "landscape": {
                    "axes": [{"start": -limit, "stop": limit, "num": num} for num in nums],
                    "origin_repeats": repeats,
                },
                "directions": {"draws": draws},
                "benchmarks": [{"name": "advbench", "prompts": {"source": "demo"}}],
            }
        )
        return SweepPlan.from_config(config)

    return build
