"""What there is to say of judges side by side."""

from collections.abc import Iterator, Mapping

from landscape_ray.analysis import Agreement, Calibration, Share
from landscape_ray.errors import number_of
from landscape_ray.report.agreement import Comparison
from landscape_ray.report.words import Fact

__all__ = ["comparisons_text"]


def comparisons_text(comparisons: Mapping[str, Comparison]) -> Iterator[Fact]:
    """Yield what there is to say of judges on each benchmark, and of labels that say nothing of any."""
    for name, comparison in comparisons.items():
        yield from _comparison_text(name, comparison)
    if num := max(each.num_labels_unmatched for each in comparisons.values()):
        yield "labels left out", f"{num:,}: they match no completion that all judged"


def _comparison_text(name: str, comparison: Comparison) -> Iterator[Fact]:
    """Yield what there is to say of judges on one benchmark."""
    left_out = f"; {comparison.num_points_left_out:,} left out" if comparison.num_points_left_out else ""
    yield name, f"{number_of(comparison.num_points, 'point')} judged by all{left_out}"
    for (i, j), found in comparison.agreements.items():
        yield "", f"{comparison.judges[i]} (rows) and {comparison.judges[j]} (columns)"
        yield from (("", line) for line in _agreement_lines(found))
    for judge_version, calibrated in zip(comparison.judges, comparison.calibrations, strict=False):
        yield "", f"{judge_version} and {number_of(calibrated.num_labelled, 'label')} by people"
        yield from (("", line) for line in _calibration_lines(calibrated))


def _agreement_lines(found: Agreement) -> Iterator[str]:
    width = max(9, *(len(verdict) for verdict in found.verdicts)) if found.verdicts else 9
    yield "  " + " ".join([" " * width, *(verdict.rjust(width) for verdict in found.verdicts)])
    for verdict, row in zip(found.verdicts, found.confusion, strict=True):
        yield "  " + " ".join([verdict.ljust(width), *(f"{num:,}".rjust(width) for num in row)])
    yield f"  agreement {_share(found.raw)}"
    if found.kappa is None:
        yield "  Cohen's kappa undefined: chance alone would make them agree"
    elif found.kappa_low is None or found.kappa_high is None:
        yield f"  Cohen's kappa {found.kappa:.3f} (no interval: fewer than eight prompts)"
    else:
        yield f"  Cohen's kappa {found.kappa:.3f} (95 % interval {found.kappa_low:.3f} to {found.kappa_high:.3f})"
    first, second = found.success_pct
    if first is not None and second is not None:
        yield f"  ASR {first:.1f} % and {second:.1f} %"


def _calibration_lines(found: Calibration) -> Iterator[str]:
    if found.num_unscored:
        yield f"  {found.num_unscored:,} unscored and left out"
    yield f"  precision {_share(found.precision)}"
    yield f"  recall {_share(found.recall)}"
    yield f"  false positive rate {_share(found.false_positive_rate)}"
    yield f"  agreement {_share(found.agreement)}"
    if found.kappa is not None:
        yield f"  Cohen's kappa {found.kappa:.3f}"


def _share(share: Share) -> str:
    if share.value is None or share.low is None or share.high is None:
        return "of nothing"
    interval = f"{100 * share.level:.0f} % interval {100 * share.low:.1f} to {100 * share.high:.1f} %"
    return f"{100 * share.value:.1f} % ({share.num:,} of {share.total:,}; {interval})"
