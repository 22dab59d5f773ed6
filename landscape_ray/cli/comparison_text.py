"""What `compare` prints for people."""

from collections.abc import Iterator

from landscape_ray.analysis import Change
from landscape_ray.cli.results_text import estimate_text
from landscape_ray.cli.text import Fact
from landscape_ray.report.comparison import Comparison
from landscape_ray.report.paired import LABELS
from landscape_ray.report.results import Results

__all__ = ["comparison_text"]


def comparison_text(before: Results, after: Results, comparison: Comparison) -> Iterator[Fact]:
    """Yield what changed, benchmark by benchmark."""
    yield "before", f"{before.config.model.id}, sweep {before.manifest.sweep_id}"
    yield "after", f"{after.config.model.id}, sweep {after.manifest.sweep_id}"
    for benchmark, changes in comparison.benchmarks.items():
        metric = before.landscapes[benchmark].metric
        labels = {**LABELS, "mean_value": (f"mean {metric.label}", 1)}
        lines = [line for name, change in changes.items() for line in _lines(change, *labels[name])]
        yield from zip((benchmark, *[""] * len(lines)), lines, strict=False)
    for which, names in (("before", comparison.only_before), ("after", comparison.only_after)):
        if names:
            yield "", f"only {which}, not compared: {', '.join(names)}"


def _lines(change: Change, label: str, digits: int) -> Iterator[str]:
    was, is_now = ("undefined" if value is None else f"{value:.{digits}f}" for value in (change.before, change.after))
    yield f"{label} {was} -> {is_now}; difference {estimate_text(change.difference, digits=digits)}"
    if change.retention is not None:
        yield f"  retention {estimate_text(change.retention, digits=2)}"
