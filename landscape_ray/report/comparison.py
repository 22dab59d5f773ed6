"""Two results folders side by side: `compare_results`, and what it takes for two sweeps to be comparable."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from landscape_ray.analysis import (
    Change,
    Definition,
    OriginChange,
    VisageConditions,
    check_complete,
    compare,
    origin_change,
    visage_conditions,
    where_both_are_measured,
)
from landscape_ray.errors import OutputError, UserError
from landscape_ray.report.caveats import one_direction
from landscape_ray.report.results import Results
from landscape_ray.report.scores import DEFAULT_TAU_PCT

__all__ = ["Comparison", "compare_results", "comparison_document"]

SCIENCE = ("landscape", "directions", "engine", "dtype")
"""Sections of the configuration that must agree."""
MAY_DIFFER = frozenset({"landscape.origin_repeats", "landscape.marked"})
"""Repeated visits give the noise floor, marked checkpoints are for figures; neither enters a score."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How the scores changed from one sweep to another."""

    benchmarks: dict[str, dict[str, Change]]
    """Changes by benchmark, in the order of the first sweep, and by name of the score."""
    origins: dict[str, OriginChange]
    """How the unperturbed model changed, by benchmark of attacks."""
    conditions: dict[str, VisageConditions]
    """What the VISAGE of a benchmark stands under, by benchmark that has one."""
    only_before: tuple[str, ...]
    """Benchmarks that the second sweep does not have."""
    only_after: tuple[str, ...]
    """Benchmarks that the first sweep does not have."""


def compare_results(
    before: Results,
    after: Results,
    *,
    definition: Definition = "paper",
    allow_missing: bool = False,
    tau_pct: float = DEFAULT_TAU_PCT,
) -> Comparison:
    """Compare the benchmarks that two sweeps have in common, point by point and prompt by prompt.

    Args:
        before: The first sweep.
        after: The second sweep, of another model.
        definition: Which VISAGE.
        allow_missing: Compare where both are measured; by default an incomplete sweep is not compared.
        tau_pct: Threshold of the basin, in percent.

    Raises:
        OutputError: The sweeps differ in more than the model; the message names each difference.
        IncompleteError: Points are missing, and `allow_missing` is false.
        UserError: One of them is adaptive and has measured a part of the grid.
    """
    names = [name for name in before.landscapes if name in after.landscapes]
    _check_comparable(before, after, names)
    benchmarks, origins, conditions = {}, {}, {}
    random_directions = before.config.landscape.kind == "random"
    for name in names:
        pair = before.scored(name), after.scored(name)
        if allow_missing:
            pair = where_both_are_measured(*pair)
        else:
            for landscape in pair:
                check_complete(landscape)
        benchmarks[name] = compare(
            *pair,
            definition=definition,
            tau_pct=tau_pct,
            random_directions=random_directions,
        )
        if pair[0].metric.name == "asr":
            origins[name] = origin_change(*pair)
        if "visage" in benchmarks[name]:
            along = before.config.scored_directions
            conditions[name] = VisageConditions(**visage_conditions(pair[0], definition, along))
    return Comparison(
        benchmarks=benchmarks,
        origins=origins,
        conditions=conditions,
        only_before=tuple(name for name in before.landscapes if name not in after.landscapes),
        only_after=tuple(name for name in after.landscapes if name not in before.landscapes),
    )


def comparison_document(before: Results, after: Results, comparison: Comparison) -> dict[str, Any]:
    """Return a comparison with what was compared, as plain JSON types; what is unknown is null."""
    return {
        **{
            which: {
                "sweep_id": results.manifest.sweep_id,
                "model": {
                    "id": results.config.model.id,
                    "revision": results.manifest.model_revision,
                    "fingerprint": results.manifest.fingerprint,
                },
            }
            for which, results in (("before", before), ("after", after))
        },
        "caveats": [note] if (note := one_direction(before)) else [],
        **asdict(comparison),
    }


def _check_comparable(before: Results, after: Results, names: list[str]) -> None:
    """Refuse sweeps whose scores of these benchmarks say nothing of the models; see `compare_results`."""
    if differences := list(_differences(before, after, names)):
        listing = "".join(f"\n  {line}" for line in differences)
        msg = (
            f"The sweeps {before.manifest.sweep_id} and {after.manifest.sweep_id} cannot be compared, because they "
            f"differ in more than the model:{listing}\nMeasure the second model with the configuration of the first, "
            f"changing only `model`."
        )
        raise OutputError(msg)
    for results in (before, after):
        if results.design is not None and any(landscape.missing.any() for landscape in results.landscapes.values()):
            msg = (
                f"The sweep {results.manifest.sweep_id} is adaptive: the points that it measured were chosen by its "
                f"own results, and differ from model to model. Compare sweeps of the whole grid; a run without "
                f"`adaptive` into the same folder measures what is missing."
            )
            raise UserError(msg)


def _differences(before: Results, after: Results, common: list[str]) -> Iterator[str]:
    """Yield what makes two sweeps incomparable, a line each."""
    one, other = before.config.science(), after.config.science()
    for section in SCIENCE:
        yield from _changed(one[section], other[section], section)
    if not common:
        yield f"benchmarks: {', '.join(before.landscapes)} before, {', '.join(after.landscapes)} after; none in common"
    configured = [{each["name"]: each for each in science["benchmarks"]} for science in (one, other)]
    for name in common:
        first, second = before.manifest.benchmarks[name], after.manifest.benchmarks[name]
        for field in ("metric", "num_prompts"):
            yield from _changed(getattr(first, field), getattr(second, field), f"benchmarks.{name}.{field}")
        yield from _changed(before.judge_of(name), after.judge_of(name), f"benchmarks.{name}.judge")
        ids = before.landscapes[name].prompt_ids, after.landscapes[name].prompt_ids
        if first.digest != second.digest:
            named = list(_changed(configured[0][name], configured[1][name], f"benchmarks.{name}"))
            yield from named or [f"benchmarks.{name}: the content of the prompts"]
        elif all(ids) and ids[0] != ids[1]:
            yield f"benchmarks.{name}: the ids of the prompts"


def _changed(one: Any, other: Any, place: str) -> Iterator[str]:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for name in sorted(one.keys() | other.keys()):
            yield from _changed(one.get(name), other.get(name), f"{place}.{name}")
    elif one != other and place not in MAY_DIFFER:
        yield f"{place}: {one!r} before, {other!r} after"
