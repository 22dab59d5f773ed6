"""What there is to say of two sweeps side by side."""

from collections.abc import Iterator

from landscape_ray.analysis import Change, OriginChange
from landscape_ray.errors import number_of
from landscape_ray.report.caveats import one_direction
from landscape_ray.report.comparison import Comparison
from landscape_ray.report.gate import VISAGE_RISES
from landscape_ray.report.paired import LABELS
from landscape_ray.report.results import Results
from landscape_ray.report.words import Fact
from landscape_ray.report.words.scores import estimate_text

__all__ = ["comparison_text"]


def comparison_text(before: Results, after: Results, comparison: Comparison) -> Iterator[Fact]:
    """Yield what changed, benchmark by benchmark."""
    yield "before", f"{before.config.model.id}, sweep {before.manifest.sweep_id}"
    yield "after", f"{after.config.model.id}, sweep {after.manifest.sweep_id}"
    for benchmark, changes in comparison.benchmarks.items():
        metric = before.landscapes[benchmark].metric
        visage = comparison.conditions[benchmark].name if benchmark in comparison.conditions else "VISAGE"
        labels = {**LABELS, "visage": (visage, 1), "mean_value": (f"mean {metric.label}", 1)}
        lines: list[str] = []
        for name, change in changes.items():
            lines += _lines(change, *labels[name])
            if name == "visage":
                lines.append(f"  {comparison.conditions[benchmark].text}; {VISAGE_RISES}")
        if (origin := comparison.origins.get(benchmark)) is not None:
            lines += _origin_lines(origin)
        yield from zip((benchmark, *[""] * len(lines)), lines, strict=False)
    if note := one_direction(before):
        yield "note", note
    for which, names in (("before", comparison.only_before), ("after", comparison.only_after)):
        if names:
            yield "", f"only {which}, not compared: {', '.join(names)}"


def _origin_lines(origin: OriginChange) -> Iterator[str]:
    was, is_now = ("unknown" if value is None else f"{value:.1f} %" for value in (origin.before, origin.after))
    yield f"origin ASR {was} -> {is_now}"
    if origin.p_value is not None:
        floor = "unknown" if origin.noise_floor_pct is None else f"{origin.noise_floor_pct:.1f} % of verdicts"
        pairs = f"of {number_of(origin.num_prompts, 'prompt')} {origin.num_lost:,} lost, {origin.num_won:,} won"
        yield f"  {pairs}; McNemar's exact test p = {origin.p_value:.2g}; noise floor before {floor}"


def _lines(change: Change, label: str, digits: int) -> Iterator[str]:
    was, is_now = ("undefined" if value is None else f"{value:.{digits}f}" for value in (change.before, change.after))
    yield f"{label} {was} -> {is_now}; difference {estimate_text(change.difference, digits=digits)}"
    if change.retention is not None:
        yield f"  retention {estimate_text(change.retention, digits=2)}"
