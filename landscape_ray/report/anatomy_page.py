"""An anatomy on the page: its figure, and a table in which every cell opens the answers behind it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_hex, to_rgb

from landscape_ray.analysis import Along, Landscape
from landscape_ray.report.anatomy_figure import draw_anatomy, rates_of_groups
from landscape_ray.report.anatomy_text import holding_text, loss_text, wall_text
from landscape_ray.report.inline import svg_uri
from landscape_ray.report.palette import COLOURS
from landscape_ray.report.results import Results
from landscape_ray.report.scores import Scores

__all__ = ["anatomy_tables"]


def anatomy_tables(results: Results, scores: Mapping[str, Scores]) -> Iterator[dict[str, Any]]:
    """Yield a table with its figure for each benchmark that has an anatomy."""
    for number, (name, of_benchmark) in enumerate(scores.items()):
        if (anatomy := of_benchmark.anatomy) is None:
            continue
        landscape = results.landscapes[name]
        figure = draw_anatomy(landscape, results.along, anatomy, is_crossed=results.is_crossed, title=name)
        coordinates = landscape.grid.axes[0].coordinates
        yield {
            "title": f"{name}: what is lost with each group",
            "benchmark": number,
            "says": holding_text(anatomy),
            "tau": f"{anatomy.tau_pct:g}",
            "distances": [f"{coordinate * anatomy.distance:.3g}" for coordinate in coordinates],
            "rows": [
                {"label": each.label, "cells": cells, "loss": loss_text(each), "wall": wall_text(each)}
                for each, cells in zip(anatomy.groups, _cells(landscape, results.along), strict=True)
            ],
            "image": svg_uri(figure),
        }


def _cells(landscape: Landscape, groups: Sequence[Along]) -> Iterator[list[dict[str, Any]]]:
    """Yield the cells of each group: the mean rate, its colours, and the first draw that was measured there."""
    for each, rates in zip(groups, rates_of_groups(landscape, groups), strict=True):
        missing = landscape.missing[list(each.draws)]
        yield [
            {"draw": each.draws[int(np.argmin(missing[:, place]))], "place": place, **_coloured(float(rate))}
            for place, rate in enumerate(rates)
        ]


def _coloured(rate: float) -> dict[str, str | None]:
    if np.isnan(rate):
        return {"text": None, "colour": None, "ink": None}
    colour = to_hex(colormaps[COLOURS](rate / 100))
    rgb = np.array(to_rgb(colour))
    # Relative luminance, by WCAG 2.1; black and white contrast alike with 0.179.
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    ink = "#ffffff" if linear @ (0.2126, 0.7152, 0.0722) < 0.179 else "#000000"
    return {"text": f"{rate:.0f}", "colour": colour, "ink": ink}
