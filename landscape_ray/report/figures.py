"""Figures of landscapes for papers: 1-D curves, 2-D contours beside a heat map, and all benchmarks together.

Drawn on matplotlib's object interface, so nothing global is touched and any thread may draw.
"""

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MultipleLocator

from landscape_ray.analysis import AdaptiveVisage, Landscape, Metric, VisageScore, asked_text, band_of_mean
from landscape_ray.analysis.landscape import FloatArray
from landscape_ray.planning import Axis, Grid, Mark
from landscape_ray.report.palette import (
    BLUE,
    COLOURS,
    DASHES,
    GREY,
    INK,
    MARKERS,
    PALE,
    SERIES,
    SMALL_PT,
    TEXT_PT,
    VERMILION,
    WIDTH_IN,
)

__all__ = ["caption", "draw", "draw_together", "draw_value_axis", "in_unit", "literal", "near", "save"]

PNG_DPI = 200
AXIS_TITLES = ("perturbation α", "perturbation β")
MAX_LABEL = 36
MAX_CAPTION = 110
LEVELS_PCT = np.arange(0, 101, 10)
AXES_OF_UNITS = {"%": "share of prompts (%)", "": "perplexity", "nats": "KL (nats)"}
"""What the axis of values in each unit says, in the order of the panels."""


def draw(
    landscape: Landscape,
    scores: Sequence[VisageScore],
    *,
    title: str | None = None,
    axis_titles: Sequence[str] = AXIS_TITLES,
    marks: Sequence[Mark] = (),
) -> Figure:
    """Draw a landscape with its scores and sample sizes in the caption.

    In 1-D: a thin line per draw, the mean over draws with its pointwise 95 % interval, and the origin. In
    2-D: filled contours and a heat map of the mean over draws, and the origin. What was not measured is a gap in a
    curve and hatched on a plane; the mean has a gap wherever a draw has one.

    Args:
        landscape: What was measured.
        scores: Its VISAGE, by each definition that it has.
        title: Heading, such as the model and the benchmark; by default the benchmark.
        axis_titles: What each axis of the grid is.
        marks: Checkpoints to show; those far from the grid are left out.
    """
    marks = [mark for mark in marks if near(mark, landscape.grid)]
    figure = Figure(layout="constrained")
    if len(landscape.grid.axes) == 1:
        figure.set_size_inches(WIDTH_IN, 4.4)
        _draw_curves(figure.add_subplot(), landscape, marks)
        figure.axes[0].set_xlabel(literal(axis_titles[0]))
    else:
        figure.set_size_inches(WIDTH_IN, 1.75 + 2.4 * _height_to_width(landscape))
        _draw_planes(figure, landscape, marks)
        for axes in figure.axes[:2]:
            axes.set_xlabel(literal(axis_titles[0]))
        figure.axes[0].set_ylabel(literal(axis_titles[1]))
    figure.suptitle(landscape.benchmark if title is None else title, fontsize=TEXT_PT + 2, color=INK)
    figure.supxlabel(caption(landscape, scores), fontsize=SMALL_PT, color=GREY, linespacing=1.45)
    return figure


def draw_together(
    landscapes: Sequence[Landscape],
    *,
    title: str,
    axis_titles: Sequence[str] = AXIS_TITLES,
    marks: Sequence[Mark] = (),
) -> Figure:
    """Draw the means of all benchmarks: in 1-D on one axis, in 2-D as heat maps side by side.

    Percentages share a scale; perplexity has one of its own, which is logarithmic, and so has what is in nats.

    Args:
        landscapes: What was measured on one grid.
        title: Heading, such as the model.
        axis_titles: What each axis of the grid is.
        marks: Checkpoints to show; those far from the grid are left out.
    """
    grid = landscapes[0].grid
    marks = [mark for mark in marks if near(mark, grid)]
    figure = Figure(layout="constrained")
    figure.suptitle(title, fontsize=TEXT_PT + 2, color=INK)
    if len(grid.axes) == 1:
        _draw_lines(figure, landscapes, marks)
        figure.axes[-1].set_xlabel(literal(axis_titles[0]))
    else:
        num_columns = min(len(landscapes), 3)
        num_rows = -(-len(landscapes) // num_columns)
        height = 0.9 + 0.62 * WIDTH_IN / num_columns * _height_to_width(landscapes[0])
        figure.set_size_inches(WIDTH_IN, 0.4 + num_rows * height)
        for axes, landscape in zip(
            figure.subplots(num_rows, num_columns, squeeze=False).flat, landscapes, strict=False
        ):
            axes.set_aspect("equal" if _same_scale(landscape) else "auto")
            axes.set_title(landscape.benchmark, fontsize=SMALL_PT, color=INK)
            _label(axes, *map(literal, axis_titles))
            _draw_cells(axes, landscape)
            _draw_marks(axes, landscape, marks)
            _draw_bar(figure, [axes], landscape)
        for axes in figure.axes[len(landscapes) : num_rows * num_columns]:
            if not axes.has_data():
                axes.remove()
    return figure


def near(mark: Mark, grid: Grid) -> bool:
    """Tell whether a checkpoint lies on the grid or within a tenth of an axis beside it."""
    spans = [(axis.coordinates[0], axis.coordinates[-1]) for axis in grid.axes]
    return all(
        low - (high - low) / 10 <= at <= high + (high - low) / 10
        for at, (low, high) in zip(mark.coordinates, spans, strict=True)
    )


def save(figure: Figure, folder: Path, stem: str) -> tuple[Path, Path, Path]:
    """Write a figure as PNG (200 dpi), SVG and PDF, the same bytes each time; return the paths."""
    png, svg, pdf = (folder / f"{stem}.{suffix}" for suffix in ("png", "svg", "pdf"))
    figure.savefig(png, dpi=PNG_DPI)
    with mpl.rc_context({"svg.hashsalt": "landscape-ray", "pdf.fonttype": 42}):  # 42: text stays text in print
        figure.savefig(svg, metadata={"Date": None})
        figure.savefig(pdf, metadata={"CreationDate": None})
    return png, svg, pdf


def caption(landscape: Landscape, scores: Sequence[VisageScore]) -> str:
    """Return what a reader must know of a figure: scores, their intervals, the sample sizes, what the marks are."""
    metric = landscape.metric
    lines = [fill(_score_text(score), MAX_CAPTION) for score in scores] or [f"{metric.label}, {metric.direction}"]
    axes = f" on {scores[0].axes_text}" if scores else ""
    sizes = [
        asked_text(landscape.num_prompts, landscape.num_samples) + axes,
        _number_of(landscape.num_draws, "draw"),
        f"{' x '.join(map(str, landscape.grid.shape))} points",
    ]
    num_missing = int(np.isnan(landscape.values).sum())
    gap = "left out" if any(isinstance(score, AdaptiveVisage) for score in scores) else "missing"
    if num_missing:
        sizes.append(f"{num_missing} of {landscape.missing.size} {gap}")
    if len(landscape.grid.axes) == 1:
        marks = "band: pointwise 95 % interval of the mean"
    else:
        marks = "diamond: the origin"
        if landscape.num_draws > 1:
            marks = f"mean over draws; {marks}"
        if num_missing:
            marks += f"; hatched: {gap}" if landscape.num_draws == 1 else f"; hatched: {gap} in a draw"
    return "\n".join([*lines, ", ".join(sizes), marks])


def _score_text(score: VisageScore) -> str:
    value = "undefined" if score.value is None else f"{score.value:.1f}"
    if (interval := score.interval) is not None:
        ends = f"{interval.low:.1f} to {interval.high:.1f}"
        value += f" ({100 * interval.level:.0f} % interval over {interval.over}: {ends})"
    label = f"Adaptive estimate of {score.name}" if isinstance(score, AdaptiveVisage) else score.name
    return f"{label} {value}, {score.definition_text}"


def _number_of(num: int, noun: str) -> str:
    return f"{num} {noun}" if num == 1 else f"{num} {noun}s"


def _draw_lines(figure: Figure, landscapes: Sequence[Landscape], marks: Sequence[Mark]) -> None:
    units = [unit for unit in AXES_OF_UNITS if any(landscape.metric.unit == unit for landscape in landscapes)]
    figure.set_size_inches(WIDTH_IN, 2.2 + 1.7 * len(units))
    panels = figure.subplots(len(units), 1, sharex=True, squeeze=False)[:, 0]
    for axes, unit in zip(panels, units, strict=True):
        for number, landscape in enumerate(landscapes):
            if landscape.metric.unit == unit:
                axes.plot(
                    landscape.grid.axes[0].coordinates,
                    landscape.mean_values,
                    color=SERIES[number % len(SERIES)],
                    ls=DASHES[number % len(DASHES)],
                    marker=MARKERS[number % len(MARKERS)],
                    lw=1.6,
                    ms=4,
                    mew=0,
                    label=f"{landscape.benchmark}: {landscape.metric.label}",
                )
        of_unit = [landscape for landscape in landscapes if landscape.metric.unit == unit]
        draw_value_axis(axes, of_unit[0].metric, AXES_OF_UNITS[unit])
        _draw_verticals(axes, landscapes[0].grid.axes[0], marks)
        axes.legend(fontsize=SMALL_PT, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3)


def _draw_curves(axes: Axes, landscape: Landscape, marks: Sequence[Mark]) -> None:
    alpha = np.array(landscape.grid.axes[0].coordinates)
    mean = landscape.mean_values
    if landscape.num_draws > 1:
        for number, curve in enumerate(landscape.values):
            label = "each draw" if number == 0 else None
            axes.plot(alpha, curve, color=GREY, lw=0.7, marker=".", ms=2.5, mew=0, alpha=0.8, label=label)
    if (band := band_of_mean(landscape)) is not None:
        axes.fill_between(alpha, *band, color=BLUE, alpha=0.22, lw=0, label="95 % band")
    label = "mean" if landscape.num_draws > 1 else landscape.metric.label
    axes.plot(alpha, mean, color=BLUE, lw=1.8, marker="o", ms=3.4, mew=0, label=label)
    if landscape.broken is not None and landscape.metric.name == "asr":
        unbroken = landscape.success_unbroken_pct.mean(axis=0)
        axes.plot(alpha, unbroken, color=BLUE, lw=1.2, ls=(0, (1, 1.5)), label="without broken output")
    missing = np.isnan(mean)
    if missing.any():
        at_bottom = axes.get_xaxis_transform()
        rug = np.full(missing.sum(), 0.02)
        axes.plot(alpha[missing], rug, color=INK, marker="x", ms=4, ls="", transform=at_bottom, label="missing")
    draw_value_axis(axes, landscape.metric, f"{landscape.metric.label}{in_unit(landscape.metric)}")
    _draw_verticals(axes, landscape.grid.axes[0], marks)
    if alpha[0] <= 0 <= alpha[-1]:
        origin = landscape.origin_values[:1]
        axes.plot(np.zeros(len(origin)), origin, color=VERMILION, marker="D", ms=6, mec="white", ls="", label="origin")
    axes.legend(fontsize=SMALL_PT, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=5)


def draw_value_axis(axes: Axes, metric: Metric, label: str) -> None:
    """Scale and name the axis of values, and leave out what frames it."""
    if metric.is_rate:
        axes.set_ylim(-4, 104)
        axes.yaxis.set_major_locator(MultipleLocator(20))
    elif metric.unit == "":
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.grid(axis="y", color=PALE, lw=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    _label(axes, "", label)


def _draw_verticals(axes: Axes, axis: Axis, marks: Sequence[Mark]) -> None:
    """Draw a line at the origin and at each checkpoint, with its name."""
    if axis.coordinates[0] <= 0 <= axis.coordinates[-1]:
        axes.axvline(0, color=VERMILION, lw=0.8, ls=(0, (4, 3)), zorder=0)
    for mark in marks:
        axes.axvline(mark.coordinates[0], color=SERIES[3], lw=0.8, ls=(0, (1, 2)), zorder=0)
        place = (mark.coordinates[0], 1.0)
        axes.annotate(
            literal(mark.label),
            place,
            xycoords=axes.get_xaxis_transform(),
            xytext=(-2, -2),
            textcoords="offset points",
            rotation=90,
            ha="right",
            va="top",
            fontsize=SMALL_PT - 1,
            color=SERIES[3],
        ).set_in_layout(False)


def literal(text: str) -> str:
    """Return a text that matplotlib does not read as mathematics, shortened in the middle."""
    short = text if len(text) <= MAX_LABEL else f"{text[: MAX_LABEL // 2]}…{text[-MAX_LABEL // 2 :]}"
    return short.replace("$", r"\$")


def in_unit(metric: Metric) -> str:
    """Return a metric's unit to stand behind its name."""
    return f" ({metric.unit})" if metric.unit else ""


def _norm(landscape: Landscape) -> Normalize:
    """Return the scale of colours: all percentages, or from the least to the largest value."""
    values = landscape.mean_values[~np.isnan(landscape.mean_values)]
    if landscape.metric.is_rate or not len(values) or values.min() == values.max():
        return Normalize(0, 100)
    return (Normalize if landscape.metric.unit else LogNorm)(values.min(), values.max())


def _colours(metric: Metric) -> str:
    """Return the colours in which dark is better."""
    return COLOURS if metric.better == "lower" else f"{COLOURS}_r"


def _draw_cells(axes: Axes, landscape: Landscape) -> None:
    alpha, beta = map(_edges, landscape.grid.axes)
    _hatch(axes, alpha, beta)
    colours = _colours(landscape.metric)
    axes.pcolormesh(alpha, beta, landscape.mean_values.T, cmap=colours, norm=_norm(landscape))


def _draw_marks(axes: Axes, landscape: Landscape, marks: Sequence[Mark]) -> None:
    if all(axis.coordinates[0] <= 0 <= axis.coordinates[-1] for axis in landscape.grid.axes):
        axes.plot(0, 0, color=VERMILION, marker="D", ms=6, mec="white", ls="", label="origin")
    for number, mark in enumerate(marks):
        at = (mark.coordinates[0], mark.coordinates[1])
        shape = MARKERS[(number + 1) % len(MARKERS)]
        axes.plot(*at, color=SERIES[3], marker=shape, ms=6, mec="white", ls="", label=mark.label, clip_on=False)
        axes.annotate(
            literal(mark.label),
            at,
            xytext=(0, 5),
            textcoords="offset points",
            ha="center",
            fontsize=SMALL_PT - 1,
            color="white",
            path_effects=[withStroke(linewidth=2, foreground=INK)],
        ).set_in_layout(False)


def _draw_bar(figure: Figure, panels: Sequence[Axes], landscape: Landscape) -> None:
    metric, norm = landscape.metric, _norm(landscape)
    ticks = MultipleLocator(20) if metric.is_rate else None
    bar = figure.colorbar(ScalarMappable(norm, _colours(metric)), ax=panels, shrink=0.75, ticks=ticks)
    bar.set_label(f"{metric.label}{in_unit(metric)}", fontsize=TEXT_PT)
    bar.ax.tick_params(labelsize=SMALL_PT)


def _draw_planes(figure: Figure, landscape: Landscape, marks: Sequence[Mark]) -> None:
    alpha, beta = landscape.grid.axes
    mean, norm, colours = landscape.mean_values.T, _norm(landscape), _colours(landscape.metric)  # rows are beta
    is_rate = landscape.metric.is_rate
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    names = ("filled contours, line at 50 %" if is_rate else "filled contours", "grid points")
    for axes, name in zip(panels, names, strict=True):
        axes.set_aspect("equal" if _same_scale(landscape) else "auto")
        axes.set_title(name, fontsize=SMALL_PT, color=GREY)
        _label(axes, "", "")
    # Hatched below everything else: what no colour covers was not measured.
    _hatch(panels[0], alpha.coordinates, beta.coordinates)
    if min(mean.shape) > 1 and not np.isnan(mean).all():
        spaced = np.linspace if landscape.metric.unit else np.geomspace
        levels = (
            LEVELS_PCT
            if is_rate
            else spaced(norm.vmin or float(spaced is np.geomspace), norm.vmax or 100.0, len(LEVELS_PCT))
        )
        panels[0].contourf(alpha.coordinates, beta.coordinates, mean, levels, cmap=colours, norm=norm)
        if is_rate and np.nanmin(mean) < 50 < np.nanmax(mean):
            panels[0].contour(alpha.coordinates, beta.coordinates, mean, [50], colors="white", linewidths=1.2)
    _draw_cells(panels[1], landscape)
    for axes in panels:
        _draw_marks(axes, landscape, marks)
    _draw_bar(figure, list(panels), landscape)


def _edges(axis: Axis) -> FloatArray:
    """Return the borders of the cells around an axis' evenly spaced coordinates."""
    start, stop, num = axis.coordinates[0], axis.coordinates[-1], len(axis)
    half = (stop - start) / (num - 1) / 2 if num > 1 else 0.5
    return np.linspace(start - half, stop + half, num + 1)


def _hatch(axes: Axes, x: Sequence[float] | FloatArray, y: Sequence[float] | FloatArray) -> None:
    size = x[-1] - x[0], y[-1] - y[0]
    axes.add_patch(Rectangle((x[0], y[0]), *size, facecolor="white", edgecolor=GREY, hatch="////", lw=0, zorder=0))


def _same_scale(landscape: Landscape) -> bool:
    """Tell whether one unit of alpha and of beta can have the same length on the page."""
    extents = [edges[-1] - edges[0] for edges in map(_edges, landscape.grid.axes)]
    return bool(max(extents) <= 2.5 * min(extents))


def _height_to_width(landscape: Landscape) -> float:
    alpha, beta = map(_edges, landscape.grid.axes)
    return float((beta[-1] - beta[0]) / (alpha[-1] - alpha[0])) if _same_scale(landscape) else 1.0


def _label(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x, fontsize=TEXT_PT, color=INK)
    axes.set_ylabel(y, fontsize=TEXT_PT, color=INK)
    axes.tick_params(labelsize=SMALL_PT, color=GREY, labelcolor=INK)
