"""Kinds of directions on the page: how far the wall is along each, and their figure."""

from collections.abc import Iterator, Mapping
from typing import Any

from landscape_ray.analysis import KindWall
from landscape_ray.report.inline import svg_uri
from landscape_ray.report.kinds_figure import draw_kinds
from landscape_ray.report.results import Results
from landscape_ray.report.scores import Scores
from landscape_ray.report.words import brief_text

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
    ratio = "" if wall.ratio is None else f"{bound}{brief_text(wall.ratio, '.3g')}"
    return wall.label, str(wall.num_draws), f"{wall.distance:.3g}", f"{least}{brief_text(wall.wall, '.3g')}", ratio
