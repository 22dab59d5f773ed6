"""The figure of all kinds of directions of a sweep, on one axis of distances."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from landscape_ray.analysis import Along, Landscape
from landscape_ray.report.figures import draw_value_axis, in_unit, literal
from landscape_ray.report.palette import DASHES, INK, MARKERS, SERIES, SMALL_PT, TEXT_PT, WIDTH_IN

__all__ = ["draw_kinds"]


def draw_kinds(landscape: Landscape, along: Sequence[Along], *, title: str) -> Figure:
    """Draw the mean along each entry of a list of directions, all on one axis of distances.

    Where distances differ by more than a factor of ten the axis is logarithmic, and has no place for the origin.

    Args:
        landscape: What was measured, along all draws.
        along: The entries.
        title: Heading, such as the model and the benchmark.
    """
    figure = Figure(layout="constrained")
    figure.set_size_inches(WIDTH_IN, 3.6 + 0.2 * len(along))
    axes = figure.add_subplot()
    alpha = np.array(landscape.grid.axes[0].coordinates)
    lengths = [each.distance for each in along]
    is_log = max(lengths) > 10 * min(lengths)
    sides = ((alpha > 0, 1), (alpha < 0, -1)) if is_log else ((np.isfinite(alpha), 1),)
    for number, each in enumerate(along):
        mean = landscape.of_draws(each.draws).mean_values
        for which, sign in sides:
            if which.any():
                style = _style(number, each.label, backwards=sign < 0)
                axes.plot(sign * alpha[which] * each.distance, mean[which], **style)
    draw_value_axis(axes, landscape.metric, f"{landscape.metric.label}{in_unit(landscape.metric)}")
    if is_log:
        axes.set_xscale("log")
    axes.set_xlabel("distance, as a share of the norm of the weights", fontsize=TEXT_PT, color=INK)
    axes.legend(fontsize=SMALL_PT, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
    figure.suptitle(title, fontsize=TEXT_PT + 2, color=INK)
    return figure


def _style(number: int, label: str, *, backwards: bool) -> dict[str, Any]:
    """Return how the line of an entry looks; hollow markers where it leads the other way."""
    colour = SERIES[number % len(SERIES)]
    return {
        "color": colour,
        "ls": DASHES[number % len(DASHES)],
        "marker": MARKERS[(number + number // len(MARKERS)) % len(MARKERS)],
        "mfc": "white" if backwards else colour,
        "mew": 1 if backwards else 0,
        "ms": 4,
        "lw": 1.6,
        "label": f"{literal(label)}, backwards" if backwards else literal(label),
    }
