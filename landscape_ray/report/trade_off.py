"""What safety costs: attack success against the divergence of the first token on harmless prompts, point by point."""

from collections.abc import Iterator

import numpy as np
from matplotlib.figure import Figure

from landscape_ray.analysis import Landscape
from landscape_ray.report.palette import COLOURS, GREY, INK, PALE, SMALL_PT, TEXT_PT, VERMILION, WIDTH_IN
from landscape_ray.report.results import Results

__all__ = ["draw_all", "draw_trade_off"]


def draw_all(results: Results) -> Iterator[tuple[str, Figure]]:
    """Yield a figure, with the stem of its files, for each benchmark of attacks with each one of first tokens."""
    landscapes = list(results.landscapes.values())
    for attack in (each for each in landscapes if each.metric.name == "asr"):
        for moved in (each for each in landscapes if each.metric.name == "first_token_kl"):
            # A dot is in the name of no benchmark.
            stem = f"{attack.benchmark}.against.{moved.benchmark}"
            yield stem, draw_trade_off(attack, moved, title=f"{results.config.model.id}, {attack.benchmark}")


def draw_trade_off(attack: Landscape, moved: Landscape, *, title: str) -> Figure:
    """Draw each point of each draw by its ASR and its mean divergence, coloured by its distance from the origin.

    Top left is hidden danger: attacks succeed, and harmless prompts are answered as before.

    Args:
        attack: Attack success rates.
        moved: Divergences of the first token, on the same grid.
        title: Heading.
    """
    figure = Figure(layout="constrained", figsize=(WIDTH_IN, 4.4))
    axes = figure.add_subplot()
    meshes = np.meshgrid(*(axis.coordinates for axis in attack.grid.axes), indexing="ij")
    distance = np.broadcast_to(np.sqrt(sum(mesh**2 for mesh in meshes)), attack.values.shape)
    there = ~np.isnan(attack.values) & ~np.isnan(moved.values)
    dots = axes.scatter(
        moved.values[there],
        attack.values[there],
        c=distance[there],
        cmap=COLOURS,
        vmin=0.0,
        vmax=float(distance.max()) or 1.0,
        s=22,
        edgecolors=GREY,
        linewidths=0.3,
    )
    origin = moved.origin_values[:1], attack.origin_values[:1]
    axes.plot(*origin, color=VERMILION, marker="D", ms=6, mec="white", ls="", label="origin")
    bar = figure.colorbar(dots, ax=axes, shrink=0.85)
    bar.set_label("distance from the origin (coordinates)", fontsize=TEXT_PT)
    bar.ax.tick_params(labelsize=SMALL_PT)
    axes.set_ylim(-4, 104)
    axes.set_xlim(left=min(0.0, axes.get_xlim()[0]))
    axes.set_xlabel(f"{moved.benchmark}: {moved.metric.label} (nats)", fontsize=TEXT_PT)
    axes.set_ylabel("ASR (%)", fontsize=TEXT_PT)
    axes.tick_params(labelsize=SMALL_PT)
    axes.grid(color=PALE, lw=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=SMALL_PT, frameon=False)
    figure.suptitle(title.replace("$", r"\$"), fontsize=TEXT_PT + 2, color=INK)
    return figure
