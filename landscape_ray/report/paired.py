"""Benchmarks of one sweep that ask the same prompts under different system prompts, prompt by prompt.

The same prompts, draws and points are measured in the same visits, so what they have in common cancels: a difference is
known far better than the two scores are.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from landscape_ray.analysis import Estimate, Landscape, compare, where_both_are_measured
from landscape_ray.config import BenchmarkConfig, SweepConfig
from landscape_ray.report.results import ranked

__all__ = ["LABELS", "Paired", "difference_texts", "paired"]

PROMPTS = ("prompts", "limit", "template", "messages_column", "context", "multiple_choice")
COUNTED = ("metric", "judge")
"""Benchmarks that agree in these keys ask the same prompts, and their scores are of one kind."""

LABELS = {
    "visage": ("VISAGE", 1),
    "mean_margin": ("mean margin", 1),
    "radius": ("basin radius", 3),
    "width": ("basin width", 3),
    "area": ("basin area", 3),
}
"""How scores are called, and how many digits behind the point mean something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """A benchmark compared with another one of the same prompts."""

    against: str
    """The other one: of those with these prompts the primary one, else the first."""
    differences: dict[str, Estimate]
    """The benchmark minus the other one, by name of the score as in `analysis.compare`."""


def paired(
    config: SweepConfig, landscapes: Mapping[str, Landscape], *, allow_missing: bool, tau_pct: float
) -> dict[str, Paired]:
    """Return each benchmark that has another one to be compared with, by name.

    Args:
        config: The sweep.
        landscapes: What was measured, by benchmark.
        allow_missing: Compare where both are measured; else nothing is missing.
        tau_pct: Threshold of the basin, in percent.
    """
    groups: dict[str, list[BenchmarkConfig]] = {}
    for benchmark in config.benchmarks:
        if benchmark.name in landscapes:
            shared = benchmark.model_dump_json(include={*PROMPTS, *COUNTED})
            groups.setdefault(shared, []).append(benchmark)
    found = {}
    for group in groups.values():
        against, *others = ranked(group)
        for benchmark in others:
            both = landscapes[against.name], landscapes[benchmark.name]
            if not both[0].prompt_ids or both[0].prompt_ids != both[1].prompt_ids:
                continue
            if allow_missing:
                both = where_both_are_measured(*both)
            changes = compare(
                *both, tau_pct=tau_pct, random_directions=config.landscape.kind == "random", with_retention=False
            )
            found[benchmark.name] = Paired(
                against=against.name, differences={name: change.difference for name, change in changes.items()}
            )
    return found


def difference_texts(landscape: Landscape, found: Paired) -> Iterator[tuple[str, str]]:
    """Yield each score's name and difference, such as `+2.1 (95 % interval over prompts 0.3 to 3.9)`."""
    labels = {**LABELS, "mean_value": (f"mean {landscape.metric.label}", 1)}
    for name, difference in found.differences.items():
        label, digits = labels[name]
        if difference.value is None:
            yield label, "undefined"
            continue
        ends = "no interval: too few prompts decide it"
        if (interval := difference.interval) is not None:
            low, high = (f"{end:+.{digits}f}" for end in (interval.low, interval.high))
            ends = f"{100 * interval.level:.0f} % interval over {interval.over} {low} to {high}"
        yield label, f"{difference.value:+.{digits}f} ({ends})"
