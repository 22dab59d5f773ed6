"""The figure of an anatomy: heat maps of what is lost with each group, and of how far its wall is.

Shapes: `N` groups, `A` coordinates; `R` rows and `C` columns of a heat map.
"""

import textwrap
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from landscape_ray.analysis import Along, Anatomy, Landscape
from landscape_ray.analysis.landscape import BoolArray, FloatArray
from landscape_ray.planning import cell_of_group
from landscape_ray.report.anatomy_text import holding_text
from landscape_ray.report.figures import literal
from landscape_ray.report.palette import COLOURS, GREY, INK, PALE, SMALL_PT, TEXT_PT, WIDTH_IN

__all__ = ["draw_anatomy", "rates_of_groups"]

MAX_CAPTION = 100
MAX_WRITTEN = 40
"""Rows up to which cells bear their numbers."""


def rates_of_groups(landscape: Landscape, groups: Sequence[Along]) -> FloatArray:
    """Return the mean attack success rate of each group at each coordinate, (N, A): over the draws measured there.

    NaN where no draw was.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the mean of nothing is NaN, as it should be
        return np.stack([np.nanmean(landscape.values[list(each.draws)], axis=0) for each in groups])


def draw_anatomy(
    landscape: Landscape, groups: Sequence[Along], anatomy: Anatomy, *, is_crossed: bool, title: str
) -> Figure:
    """Draw two heat maps. Dark is safe in both; crosses are what was not measured.

    Args:
        landscape: What was measured.
        groups: The groups.
        anatomy: What is lost with each.
        is_crossed: Groups are a module of a layer each. Then both maps are layers by modules, and the first is of the
            loss; else they are group by group, and the first is of ASR at each distance.
        title: Heading, such as the model and the benchmark.
    """
    walls = np.array([np.nan if each.wall.value is None else each.wall.value for each in anatomy.groups])
    cut = np.array([each.num_draws_cut > 0 for each in anatomy.groups])
    labels = [each.label for each in groups]
    far = anatomy.distance * landscape.grid.axes[0].coordinates[-1]
    if is_crossed:
        losses = np.array([np.nan if each.loss.value is None else each.loss.value for each in anatomy.groups])
        left = _crossed(labels, losses, "loss: mean rise of ASR (points)", 100.0)
        bounds = _crossed(labels, cut.astype(np.float64), "", 1.0).values == 1
        right = _crossed(labels, walls, "distance to the wall", far)._replace(is_bound=bounds)
    else:
        distances = [f"{coordinate * anatomy.distance:.2g}" for coordinate in landscape.grid.axes[0].coordinates]
        left = _Map(rates_of_groups(landscape, groups), labels, distances, "ASR (%)", 100.0)
        right = _Map(walls[:, None], labels, [""], "distance to the wall", far, cut[:, None])
    figure = Figure(layout="constrained")
    figure.set_size_inches(WIDTH_IN + (2.2 if is_crossed else 0.0), 1.9 + 0.24 * len(left.rows))
    shares = (1.0, 1.0) if is_crossed else (float(len(left.columns)), 1.6)
    first, second = figure.subplots(1, 2, sharey=True, width_ratios=shares)
    _draw(figure, first, left, colours=COLOURS)
    _draw(figure, second, right, colours=f"{COLOURS}_r")  # near is bright
    second.tick_params(labelleft=False)
    first.set_xlabel("module" if is_crossed else "distance, as a share of the norm of the weights", fontsize=TEXT_PT)
    figure.suptitle(literal(title), fontsize=TEXT_PT + 2, color=INK)
    note = f"Each group is moved alone, {anatomy.distance:.3g} of the norm of the weights far at coordinate 1."
    caption = textwrap.fill(f"{note} {_sentence(holding_text(anatomy))}.", MAX_CAPTION)
    figure.supxlabel(caption, fontsize=SMALL_PT, color=GREY, linespacing=1.45)
    return figure


def _sentence(text: str) -> str:
    """Return a sentence that matplotlib does not read as mathematics, with a capital letter."""
    return (text[0].upper() + text[1:]).replace("$", r"\$")


class _Map(NamedTuple):
    """A heat map."""

    values: FloatArray
    """Of each cell, (R, C); NaN where there is none."""
    rows: Sequence[str]
    """Names of its rows."""
    columns: Sequence[str]
    """Names of its columns."""
    what: str
    """What the colours show."""
    most: float
    """The top of the scale, which begins at 0."""
    is_bound: BoolArray | None = None
    """Where values are lower bounds."""
    is_crossed: bool = False
    """Rows are layers, and columns modules."""


def _crossed(labels: Sequence[str], values_N: FloatArray, what: str, most: float) -> _Map:
    """Return a heat map of layers by modules."""
    cells = [cell_of_group(label) for label in labels]
    rows = list(dict.fromkeys(layer for layer, _ in cells))
    columns = list(dict.fromkeys(module for _, module in cells))
    values_RC = np.full((len(rows), len(columns)), np.nan)
    for (layer, module), value in zip(cells, values_N, strict=True):
        values_RC[rows.index(layer), columns.index(module)] = value
    return _Map(values_RC, [row or "in no layer" for row in rows], columns, what, most, is_crossed=True)


def _draw(figure: Figure, axes: Axes, map_: _Map, *, colours: str) -> None:
    image = axes.imshow(map_.values, cmap=colours, vmin=0.0, vmax=map_.most, aspect="auto", interpolation="nearest")
    axes.set_facecolor(PALE)
    digits = 0 if map_.most == 100 else 2
    written = len(map_.rows) <= MAX_WRITTEN and len(map_.columns) <= MAX_WRITTEN
    for (row, column), value in np.ndenumerate(map_.values):
        if np.isnan(value):
            if not map_.is_crossed:  # a layer need not have each module
                axes.plot(column, row, color=GREY, marker="x", ms=4, ls="")
        elif written:
            red, green, blue, _ = colormaps[colours](value / map_.most)
            ink = "white" if 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.5 else INK
            least = "≥ " if map_.is_bound is not None and map_.is_bound[row, column] else ""
            text = f"{least}{value:.{digits}f}"
            axes.text(column, row, text, ha="center", va="center", fontsize=SMALL_PT - 2, color=ink)
    axes.set_xticks(range(len(map_.columns)), list(map_.columns), fontsize=SMALL_PT)
    axes.set_yticks(range(len(map_.rows)), [literal(row) for row in map_.rows], fontsize=SMALL_PT)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, location="top", aspect=30, pad=0.02)
    bar.set_label(map_.what, fontsize=SMALL_PT)
    bar.ax.tick_params(labelsize=SMALL_PT - 1)
