"""Kinds of directions on the page: how far the wall is along each, and their figure."""

from collections.abc import Iterator, Mapping
from typing import Any

from landscape_ray.analysis import Estimate, KindWall
from landscape_ray.report.inline import svg_uri
from landscape_ray.report.kinds_figure import draw_kinds
from landscape_ray.report.results import Results
from landscape_ray.report.scores import Scores

__all__ = ["kinds_tables"]

COLUMNS = ("Direction", "Draws", "At coordinate 1", "Distance to the wall", "Ratio to random")


def kinds_tables(results: Results, scores: Mapping[str, Scores]) -> Iterator[dict[str, Any]]:
    """Yield a table with its figure for each benchmark whose walls are known along several kinds of directions."""
    for name, of_benchmark in scores.items():
        if not of_benchmark.kinds:
            continue
        yield {
            "title": f"{name}: the wall along each kind of direction",
            "scored": next(each.label for each in results.along if each.draws == results.plan.scored_draws),
            "columns": COLUMNS,
            "rows": [_row(each) for each in of_benchmark.kinds],
            "image": svg_uri(draw_kinds(results.landscapes[name], results.along, title=name)),
        }


def _row(wall: KindWall) -> tuple[str, ...]:
    least = "≥ " if wall.num_draws_cut else ""
    bound = {"at least": "≥ ", "at most": "≤ ", None: ""}[wall.ratio_is]
    ratio = "" if wall.ratio is None else f"{bound}{_text(wall.ratio)}"
    return wall.label, str(wall.num_draws), f"{wall.distance:.3g}", f"{least}{_text(wall.wall)}", ratio


def _text(estimate: Estimate) -> str:
    if estimate.value is None:
        return "undefined"
    interval = estimate.interval
    ends = "" if interval is None else f" ({interval.low:.3g} to {interval.high:.3g})"
    return f"{estimate.value:.3g}{ends}"
