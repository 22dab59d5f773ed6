"""What a sweep will measure and cost, before anything is started."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from landscape_ray.config import SweepConfig
from landscape_ray.errors import BenchmarkError, LandscapeError, TransientError
from landscape_ray.report.words import Fact, Told

if TYPE_CHECKING:
    from pathlib import Path

    from landscape_ray.evaluation import Benchmark
    from landscape_ray.library.anatomy import GroupSize
    from landscape_ray.library.precision import Precision
    from landscape_ray.planning import KindCost, SweepEstimate

__all__ = ["PlannedSweep", "num_visits", "plan"]


@dataclass(frozen=True, kw_only=True)
class PlannedSweep(Told):
    """What a sweep will measure and cost; `plan` makes one, `print` shows it."""

    config: SweepConfig
    """The sweep, with what its model decides."""
    num_draws: int
    """Draws of all directions."""
    num_prompts: Mapping[str, int]
    """By benchmark."""
    size: SweepEstimate
    """Points, visits, answers, tokens, and a rough time."""
    problems: tuple[LandscapeError, ...]
    """Why prompts cannot be had that a run will need; `limit` is counted for these."""
    not_checked: str | None
    """Why the model was not looked at; None if it was."""
    groups: tuple[GroupSize, ...]
    """The groups of tensors of an anatomy."""
    in_no_group: tuple[str, ...]
    """Tensors that none of these moves, though none is excluded."""
    kinds: tuple[KindCost, ...]
    """What directions cost that take computing, in a list of several kinds."""
    precision: Mapping[str, Precision]
    """What the wanted interval takes, by benchmark; empty if none was wanted."""

    @property
    def sweep_id(self) -> str:
        """The sweep's id, under which its results will stand."""
        return self.config.sweep_id

    def facts(self) -> Iterator[Fact]:
        """Yield what `landscape-ray plan` prints."""
        from landscape_ray.library.planned_words import planned_text  # noqa: PLC0415

        return planned_text(self)

    def document(self) -> dict[str, Any]:
        """Return what `landscape-ray plan --json` prints, as plain JSON types."""
        document = {"sweep_id": self.sweep_id, "num_prompts": dict(self.num_prompts), **asdict(self.size)}
        document |= {"problems": [str(problem) for problem in self.problems], "not_checked": self.not_checked}
        if self.groups:
            document |= {"groups": [asdict(group) for group in self.groups], "in_no_group": list(self.in_no_group)}
        if self.config.kinds:
            document["kinds"] = [asdict(cost) for cost in self.kinds]
        if self.precision:
            document["precision"] = {name: asdict(need) for name, need in self.precision.items()}
        return document


def plan(
    config: SweepConfig, *, target_interval: float | None = None, measured: str | Path | None = None
) -> PlannedSweep:
    """Plan a sweep: check it as far as its prompts and its model can be had here, and count what it takes.

    Starts nothing, and fetches no weights.

    Args:
        config: The sweep.
        target_interval: Half the width that the 95 % interval of VISAGE is to have, in points: what that takes is
            found out, too.
        measured: Folder or URL of results whose variance is used for this; else it is assumed.

    Raises:
        UserError: The sweep cannot be carried out as configured, or has no interval of VISAGE to plan.
    """
    from landscape_ray.engine.preflight import check_ahead  # noqa: PLC0415
    from landscape_ray.library.anatomy import group_sizes  # noqa: PLC0415
    from landscape_ray.planning import Geometry, SweepPlan, estimate, kind_costs  # noqa: PLC0415

    benchmarks, num_prompts, problems = _prompts(config)
    config, not_checked = check_ahead(config, benchmarks)
    points = SweepPlan.from_config(config, Geometry.assumed(config))
    size = estimate(config, points, num_prompts)
    groups, left = group_sizes(config, points)
    precision: Mapping[str, Precision] = {}
    if target_interval is not None:
        from landscape_ray.library.precision import precision_by_benchmark  # noqa: PLC0415

        out = None if measured is None else str(measured)
        precision = precision_by_benchmark(config, points, target_interval, num_prompts, measured=out)
    return PlannedSweep(
        config=config,
        num_draws=points.draws,
        num_prompts=num_prompts,
        size=size,
        problems=tuple(problems),
        not_checked=not_checked,
        groups=tuple(groups),
        in_no_group=left,
        kinds=tuple(kind_costs(config)) if config.kinds else (),
        precision=precision,
    )


def num_visits(config: SweepConfig) -> int:
    """Return how many visits a sweep makes, without looking at its prompts and its model as `plan` does."""
    from landscape_ray.planning import Geometry, SweepPlan, num_planned_visits  # noqa: PLC0415

    return num_planned_visits(config, SweepPlan.from_config(config, Geometry.assumed(config)))


def _prompts(config: SweepConfig) -> tuple[list[Benchmark], dict[str, int], list[LandscapeError]]:
    """Return benchmarks, their numbers of prompts by name, and why prompts that will be needed cannot be had now."""
    from landscape_ray.evaluation import load_benchmark  # noqa: PLC0415

    benchmarks: list[Benchmark] = []
    num_prompts: dict[str, int] = {}
    problems: list[LandscapeError] = []
    for benchmark in config.benchmarks:
        try:
            benchmarks.append(load_benchmark(benchmark))
            num_prompts[benchmark.name] = benchmarks[-1].num_prompts
        except (BenchmarkError, TransientError) as error:
            if benchmark.limit is None:
                raise
            num_prompts[benchmark.name] = benchmark.limit
            problems.append(error)
    return benchmarks, num_prompts, problems
