"""What an interval of VISAGE takes: prompts and draws."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from landscape_ray.analysis import (
    ASSUMED_COMPONENTS,
    MAX_DRAWS,
    PrecisionOption,
    VarianceComponents,
    least_half_width,
    num_prompts_for,
    precision_options,
    with_assumed_draws,
)
from landscape_ray.config import AdvBenchPrompts, BenchmarkConfig, SweepConfig
from landscape_ray.errors import BenchmarkError, TransientError, UserError, number_of
from landscape_ray.planning import SweepPlan
from landscape_ray.report.words import Fact

__all__ = ["Precision", "precision_by_benchmark", "precision_text"]

NUM_ADVBENCH = 520
"""Prompts of AdvBench, which need not be fetched to be counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """What one benchmark needs for an interval of VISAGE."""

    target: float
    """The half-width wanted."""
    components: VarianceComponents
    """Where the variance comes from."""
    source: str
    """Where they are from, in words."""
    num_prompts: int
    """Prompts as configured."""
    num_draws: int
    """Draws as configured; in a list of directions, those that VISAGE is a mean over."""
    max_prompts: int | None
    """Prompts that there are; None if that could not be found out."""
    half_width: float
    """Half-width with prompts and draws as configured."""
    num_prompts_needed: int | None
    """Prompts that would do with the draws as configured; None if no number would."""
    options: tuple[PrecisionOption, ...]
    """Combinations that do; empty if none does."""


def precision_by_benchmark(
    config: SweepConfig, plan: SweepPlan, target: float, num_prompts: Mapping[str, int], *, measured: str | None
) -> dict[str, Precision]:
    """Return what each benchmark of attack success rates needs.

    Args:
        config: The sweep.
        plan: Its plan.
        target: The half-width wanted.
        num_prompts: Number of prompts by benchmark.
        measured: Results whose variance is used, if any; else it is assumed.

    Raises:
        UserError: There is no such benchmark, here or in the results; or the results say nothing of the variance.
        IncompleteError: The results are not complete.
    """
    if not config.deciding_benchmarks or config.landscape.kind != "random" or config.random_directions is None:
        msg = (
            "--target-interval plans intervals of VISAGE, which needs a landscape along random directions, one of them "
            "at least in a list of kinds, and a benchmark of metric asr. The configuration lacks one of these."
        )
        raise UserError(msg)
    components, num_draws = {} if measured is None else _measured(measured), len(plan.scored_draws)
    found = {}
    for benchmark in config.deciding_benchmarks:
        name, max_prompts = benchmark.name, _num_available(benchmark)
        if measured is not None and name not in components:
            msg = (
                f"The results in {measured} have no interval of VISAGE for benchmark {name!r}. Give results that have, "
                "or plan without --from."
            )
            raise UserError(msg)
        of_benchmark, source = components.get(name, (ASSUMED_COMPONENTS, "assumed (--from OUT measures it)"))
        found[name] = Precision(
            target=target,
            components=of_benchmark,
            source=source,
            num_prompts=num_prompts[name],
            num_draws=num_draws,
            max_prompts=max_prompts,
            half_width=of_benchmark.half_width(num_prompts=num_prompts[name], num_draws=num_draws),
            num_prompts_needed=num_prompts_for(of_benchmark, target, num_draws),
            options=tuple(
                precision_options(
                    config,
                    plan,
                    of_benchmark,
                    target,
                    num_prompts=num_prompts[name],
                    num_other_prompts=sum(num_prompts.values()) - num_prompts[name],
                    max_prompts=max_prompts,
                )
            ),
        )
    return found


def _num_available(benchmark: BenchmarkConfig) -> int | None:
    """Return how many prompts the source of a benchmark holds, None if it cannot be had now."""
    from landscape_ray.evaluation import load_benchmark  # noqa: PLC0415

    try:
        return load_benchmark(benchmark.model_copy(update={"limit": None})).num_prompts
    except (BenchmarkError, TransientError):
        return NUM_ADVBENCH if isinstance(benchmark.prompts, AdvBenchPrompts) else None


def _measured(out: str) -> dict[str, tuple[VarianceComponents, str]]:
    """Return the components of the VISAGE scores of results, and on what they were measured."""
    from landscape_ray.report.results import load_results  # noqa: PLC0415
    from landscape_ray.report.scores import score  # noqa: PLC0415

    found = {}
    for name, scores in score(load_results(out)).items():
        if scores.visage is not None and scores.visage.interval is not None:
            components = scores.visage.interval.components
            draws = "one draw; between draws assumed" if components.draws is None else f"{components.num_draws} draws"
            source = f"measured on {number_of(components.num_prompts, 'prompt')} and {draws}"
            found[name] = with_assumed_draws(components), source
    return found


def precision_text(found: Mapping[str, Precision]) -> Iterator[Fact]:
    """Yield what was found in words."""
    for name, precision in found.items():
        yield "interval", f"{name}: wanted VISAGE +-{precision.target:g} (half the width of the 95 % interval)"
        yield "variance", f"{precision.source}: {_components_text(precision.components)}"
        as_it_is = f"{number_of(precision.num_prompts, 'prompt')} and {number_of(precision.num_draws, 'draw')}"
        yield "as planned", f"{as_it_is}: +-{precision.half_width:.2f}"
        if precision.half_width > precision.target:
            yield "prompts", _prompts_text(precision)
        for option in precision.options:
            size = f"{number_of(option.num_prompts, 'prompt')} and {number_of(option.num_draws, 'draw')}"
            cost = f"{number_of(option.num_visits, 'visit')} of {option.num_batches // option.num_visits} batches"
            yield "enough", f"{size}: +-{option.half_width:.2f}, {cost}{'   <- cheapest' if option.cheapest else ''}"
        if not precision.options:
            num = precision.max_prompts or precision.num_prompts
            least = precision.components.half_width(num_prompts=num, num_draws=MAX_DRAWS)
            yield "enough", f"no number of draws: with {number_of(num, 'prompt')} it stays above +-{least:.1f}"


def _components_text(components: VarianceComponents) -> str:
    """Return standard deviations of the score of one draw at the numbers of prompts that they were measured at."""
    draws, prompts, interaction = (
        f"{max(variance or 0.0, 0.0) ** 0.5:.1f}"
        for variance in (components.draws, components.prompts, components.interaction)
    )
    return (
        f"standard deviation {draws} between draws, and at {number_of(components.num_prompts, 'prompt')} {prompts} "
        f"from prompts, {interaction} from prompts that differ from draw to draw"
    )


def _prompts_text(precision: Precision) -> str:
    draws, needed, there = number_of(precision.num_draws, "draw"), precision.num_prompts_needed, precision.max_prompts
    if needed is None:
        least = least_half_width(precision.components, precision.num_draws)
        return f"alone cannot do it: with {draws} it stays above +-{least:.1f}, however many there are"
    if there is not None and needed > there:
        return f"alone cannot do it: {draws} need {needed:,}, and there are {there:,}"
    return f"alone can do it: {draws} need {needed:,}"
