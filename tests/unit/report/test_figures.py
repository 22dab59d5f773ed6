"""Figures show what was measured, say how much of it, and survive every shape. Warnings are errors here."""

import io
import struct
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure

from landscape_ray.analysis import METRICS, Landscape, LogLikelihoods, Outcome, band_of_mean, visage
from landscape_ray.config import AxisConfig
from landscape_ray.planning import Axis, Grid, Mark
from landscape_ray.report.figures import caption, draw, draw_together, near, save
from landscape_ray.report.trade_off import draw_trade_off

VISIT = (Outcome.REFUSED, Outcome.COMPLIED, Outcome.REFUSED, Outcome.REFUSED)


def figure_of(landscape: Landscape, **options: Any) -> Figure:
    return draw(landscape, [visage(landscape, allow_missing=True)], **options)


def line(axes: Axes, label: str) -> Any:
    return next(line for line in axes.lines if line.get_label() == label)


def heat_map(figure: Figure) -> Any:
    return next(c for axes in figure.axes[:2] for c in axes.collections if isinstance(c, QuadMesh))


@pytest.fixture
def curve(landscape_from_counts: Callable[..., Landscape]) -> Landscape:
    return landscape_from_counts([[4, 1, 0, 2, 4], [4, 3, 0, 1, -1]], num_prompts=4, origin=[VISIT])


def test_a_curve_shows_every_draw_their_mean_and_the_origin(curve: Landscape) -> None:
    axes = figure_of(curve).axes[0]
    mean = line(axes, "mean").get_ydata()
    assert mean[:4].tolist() == [100.0, 50.0, 0.0, 37.5]
    assert np.isnan(mean[4])
    draws: list[Any] = [drawn.get_ydata() for drawn in axes.lines[:2]]
    assert draws[0].tolist() == [100.0, 25.0, 0.0, 50.0, 100.0]
    assert draws[1][:4].tolist() == [100.0, 75.0, 0.0, 25.0]
    assert np.isnan(draws[1][4])
    origin = line(axes, "origin")
    assert (origin.get_xdata().tolist(), origin.get_ydata().tolist()) == ([0.0], [25.0])
    assert line(axes, "missing").get_xdata().tolist() == [0.1]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("perturbation α", "ASR (%)")
    bottom, top = axes.get_ylim()
    assert bottom < 0
    assert top > 100


def test_the_band_is_the_interval_of_the_mean(landscape_from_counts: Callable[..., Landscape]) -> None:
    landscape = landscape_from_counts([[20, 6, 0, 9, 20]] * 2, num_prompts=20)
    band = band_of_mean(landscape)
    assert band is not None
    drawn = figure_of(landscape).axes[0].collections[0].get_paths()[0].vertices
    for low_or_high in band:
        for alpha, value in zip(landscape.grid.axes[0].coordinates, low_or_high, strict=True):
            assert np.isclose(drawn, (alpha, value)).all(axis=1).any()


def test_an_origin_between_grid_points_is_marked_at_its_own_rate(
    landscape_from_counts: Callable[..., Landscape],
) -> None:
    axes = figure_of(landscape_from_counts([[4, 0, 0, 4]], num_prompts=4, origin=[VISIT])).axes[0]
    assert line(axes, "origin").get_ydata().tolist() == [25.0]
    assert line(axes, "ASR").get_ydata().tolist() == [100.0, 0.0, 0.0, 100.0]


def test_the_heat_map_has_alpha_to_the_right_and_beta_upwards(
    landscape_from_counts: Callable[..., Landscape],
) -> None:
    # counts[draw][alpha][beta]: 3 alphas, 2 betas.
    landscape = landscape_from_counts([[[0, 1], [2, 3], [4, -1]]], num_prompts=4)
    figure = figure_of(landscape)
    assert heat_map(figure).get_array().filled(-1).tolist() == [[0.0, 50.0, 100.0], [25.0, 75.0, -1.0]]
    edges = heat_map(figure).get_coordinates()
    assert edges[0, :, 0].tolist() == pytest.approx([-0.075, -0.025, 0.025, 0.075])
    assert edges[:, 0, 1].tolist() == pytest.approx([-0.05, 0.0, 0.05])
    assert figure.axes[0].get_xlabel() == "perturbation α"
    assert figure.axes[0].get_ylabel() == "perturbation β"


def test_missing_cells_are_hatched(landscape_from_counts: Callable[..., Landscape]) -> None:
    figure = figure_of(landscape_from_counts([[[0, 1], [2, -1]]], num_prompts=4))
    for axes in figure.axes[:2]:
        (hatched,) = [patch for patch in axes.patches if patch.get_hatch()]
        assert hatched.get_zorder() < min(collection.get_zorder() for collection in axes.collections)


@pytest.mark.parametrize(
    "counts",
    [
        [[0]],
        [[4, 4]],
        [[-1, -1, -1]],
        [[0, -1, 0, -1, 0]] * 20,
        [[[2]]],
        [[[0, 1, 2, 3]]],
        [[[0], [1], [2], [3]]],
        [[[4, 4], [4, 4]]],
        [[[0, 0], [0, 0]]],
        [[[2, 2], [2, 2]]],
        [[[-1, -1], [-1, -1]]],
        [[[2, -1], [-1, 2]]],
        [[[0, 1, 4], [-1, 2, 4], [0, 4, 4], [0, 1, 3]]] * 2,
        [[[0, 4] * 8] * 2],
        [[[4] * 10] * 9],
    ],
)
def test_every_shape_is_drawn_without_a_warning(
    counts: list[Any], landscape_from_counts: Callable[..., Landscape]
) -> None:
    figure = figure_of(landscape_from_counts(counts, num_prompts=4, origin=[VISIT]))
    page = io.BytesIO()
    figure.savefig(page, dpi=30)
    assert page.getvalue().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("counts", "lines"), [([[[0, 4], [0, 4]]], 1), ([[[0, 1], [0, 1]]], 0), ([[[4, 4], [4, 4]]], 0)]
)
def test_the_line_at_50_percent_is_drawn_where_the_landscape_crosses_it(
    counts: list[Any], lines: int, landscape_from_counts: Callable[..., Landscape]
) -> None:
    contours = figure_of(landscape_from_counts(counts, num_prompts=4)).axes[0].collections
    assert sum(isinstance(contour, ContourSet) and not contour.filled for contour in contours) == lines


def test_one_prompt_has_a_curve_without_a_band(landscape_from_counts: Callable[..., Landscape]) -> None:
    axes = figure_of(landscape_from_counts([[1, 0, 1]], num_prompts=1)).axes[0]
    assert not axes.collections
    assert line(axes, "ASR").get_ydata().tolist() == [100.0, 0.0, 100.0]


@pytest.mark.slow
def test_files_are_the_same_each_time_and_sharp_enough_for_print(curve: Landscape, tmp_path: Path) -> None:
    first, second = (save(figure_of(curve), tmp_path, stem) for stem in "ab")
    assert [path.name for path in first] == ["a.png", "a.svg", "a.pdf"]
    contents = [path.read_bytes() for path in first]
    assert contents == [path.read_bytes() for path in second]
    assert ET.fromstring(contents[1]).tag.endswith("svg")  # noqa: S314 - our own file
    (width,) = struct.unpack(">I", contents[0][16:20])
    assert width == 6.4 * 200
    assert contents[2].startswith(b"%PDF")


def test_the_caption_says_score_interval_and_sizes(landscape_from_counts: Callable[..., Landscape]) -> None:
    landscape = landscape_from_counts([[80, 40, 0, 40, 80]] * 3, num_prompts=80)
    score = visage(landscape)
    assert score.interval is not None
    text = caption(landscape, [score, visage(landscape, "reference")])
    # Lines are broken to fit the page.
    words = " ".join(text.split())
    assert words.startswith("VISAGE on [-0.1, 0.1] 66.7 (95 % interval over prompts and draws: ")
    ends = f"{score.interval.low:.1f} to {score.interval.high:.1f})"
    assert f"{ends}, definition: Eq. 5, not the paper's setting: the paper's axis is" in words
    assert "), definition: reference, not the paper's setting" in words
    assert max(map(len, text.splitlines())) <= 110
    assert "80 prompts on [-0.1, 0.1], 3 draws, 5 points" in text
    assert "band: pointwise 95 % interval of the mean" in text


def test_the_caption_says_what_is_missing_or_undefined(landscape_from_counts: Callable[..., Landscape]) -> None:
    landscape = landscape_from_counts([[[4, 4, 4], [4, -1, 4]]], num_prompts=4)
    text = caption(landscape, [visage(landscape, allow_missing=True)])
    assert text.startswith("VISAGE on [-0.025, 0.025] by [-0.05, 0.05] undefined, definition: Eq. 5")
    assert "4 prompts on [-0.025, 0.025] by [-0.05, 0.05], 1 draw, 2 x 3 points, 1 of 6 missing" in text
    assert text.endswith("\ndiamond: the origin; hatched: missing")


def test_the_caption_says_that_a_plane_is_a_mean(landscape_from_counts: Callable[..., Landscape]) -> None:
    complete = landscape_from_counts([[[1, 0], [0, 1]]] * 2, num_prompts=4)
    assert caption(complete, [visage(complete)]).endswith("\nmean over draws; diamond: the origin")
    gap = landscape_from_counts([[[1, 0], [0, 1]], [[1, 0], [-1, 1]]], num_prompts=4)
    text = caption(gap, [visage(gap, allow_missing=True)])
    assert text.endswith("\nmean over draws; diamond: the origin; hatched: missing in a draw")


MARKS = (
    Mark(label="tuned $x$", coordinates=(0.05, 0.025), residual=0.0),
    Mark(label="beside", coordinates=(0.105, 0.0), residual=0.5),
    Mark(label="far away", coordinates=(1.0, 0.0), residual=0.0),
)


def test_near_is_on_the_grid_or_a_tenth_of_it_beside(landscape_from_counts: Callable[..., Landscape]) -> None:
    grid = landscape_from_counts([[[1, 1]] * 5], num_prompts=2).grid  # alpha to 0.1, beta to 0.025
    assert [near(mark, grid) for mark in MARKS] == [True, True, False]


def test_checkpoints_are_marked_on_a_plane(landscape_from_counts: Callable[..., Landscape]) -> None:
    landscape = landscape_from_counts([[[1, 1]] * 5], num_prompts=2)
    for axes in figure_of(landscape, marks=MARKS).axes[:2]:
        drawn = {str(point.get_label()): tuple(np.array(point.get_xydata())[0]) for point in axes.lines}
        assert drawn == {"origin": (0, 0), "tuned $x$": (0.05, 0.025), "beside": (0.105, 0.0)}
        assert [text.get_text() for text in axes.texts] == [r"tuned \$x\$", "beside"]


def test_checkpoints_are_marked_on_a_line(curve: Landscape) -> None:
    marks = [Mark(label=mark.label, coordinates=mark.coordinates[:1], residual=0.0) for mark in MARKS]
    axes = figure_of(curve, marks=marks, axis_titles=["α: towards $x"]).axes[0]
    drawn = [np.array(each.get_xydata()) for each in axes.lines]
    places = [float(points[0, 0]) for points in drawn if points[:, 1].tolist() == [0, 1]]
    assert places == [0, 0.05, 0.105]
    assert [text.get_text() for text in axes.texts] == [r"tuned \$x\$", "beside"]
    assert axes.get_xlabel() == r"α: towards \$x"


def perplexity_of(nats: Any) -> Landscape:
    """A landscape of two texts of ten tokens each, with these log-likelihoods per point."""
    values = -np.array(nats, dtype=np.float64)[..., None].repeat(2, axis=-1)
    axes = (Axis.from_config(AxisConfig(start=-0.1, stop=0.1, num=num)) for num in values.shape[1:-1])
    return Landscape(
        benchmark="texts",
        metric=METRICS["perplexity"],
        grid=Grid(axes=tuple(axes)),
        prompt_ids=("a", "b"),
        outcomes=np.full(values.shape, Outcome.UNSCORED, dtype=np.int8),
        origin_outcomes=np.full((1, 2), Outcome.UNSCORED, dtype=np.int8),
        log_likelihoods=LogLikelihoods(
            nats=values,
            num_tokens=np.full(values.shape, 10),
            origin_nats=np.full((1, 2), -1.0),
            origin_num_tokens=np.full((1, 2), 10),
        ),
    )


def test_perplexity_is_drawn_on_a_logarithmic_scale() -> None:
    axes = draw(perplexity_of([[20, 10, 30]]), []).axes[0]
    assert axes.get_yscale() == "log"
    assert axes.get_ylabel() == "perplexity"
    assert line(axes, "perplexity").get_ydata() == pytest.approx(np.exp([2, 1, 3]))
    cells = heat_map(draw(perplexity_of([[[20, 10], [30, 40]]]), []))
    assert (cells.norm.vmin, cells.norm.vmax) == pytest.approx((np.exp(1), np.exp(4)))
    assert type(cells.norm).__name__ == "LogNorm"


def divergence_of(values: Any) -> Landscape:
    """A landscape of two prompts with these divergences per point, and 0 at the origin."""
    like = perplexity_of(values)
    texts = LogLikelihoods(
        nats=-np.array(values, dtype=np.float64)[..., None].repeat(2, axis=-1),
        num_tokens=np.ones(like.outcomes.shape, dtype=np.int64),
        origin_nats=np.zeros((1, 2)),
        origin_num_tokens=np.ones((1, 2), dtype=np.int64),
    )
    return replace(like, benchmark="moved", metric=METRICS["first_token_kl"], log_likelihoods=texts)


def test_divergences_begin_at_0_on_an_even_scale() -> None:
    axes = draw(divergence_of([[0.5, 0, 0.25]]), []).axes[0]
    assert (axes.get_yscale(), axes.get_ylim()[0]) == ("linear", 0)
    assert axes.get_ylabel() == "KL of the first token (nats)"
    cells = heat_map(draw(divergence_of([[[0.0, 0.5], [0.25, 1.0]]]), []))
    assert (type(cells.norm).__name__, cells.norm.vmin, cells.norm.vmax) == ("Normalize", 0, 1)


def test_attacks_are_drawn_against_divergences_by_distance(landscape_from_counts: Callable[..., Landscape]) -> None:
    attack = landscape_from_counts(
        [[4, 1, 0], [2, -1, 4]], num_prompts=4, origin=[[Outcome.REFUSED] * 4], axes=[(-0.2, 0.2)]
    )
    figure = draw_trade_off(attack, divergence_of([[0.5, 0.1, 0.25], [0.3, 0.2, 0.7]]), title="a $model")
    dots = figure.axes[0].collections[0]
    # The point in the middle of the second draw was not measured.
    expected = np.array([[0.5, 100], [0.1, 25], [0.25, 0], [0.3, 50], [0.7, 100]])
    assert np.asarray(dots.get_offsets()) == pytest.approx(expected)
    assert np.asarray(dots.get_array()) == pytest.approx(np.array([0.2, 0, 0.2, 0.2, 0.2]))
    assert np.asarray(line(figure.axes[0], "origin").get_xydata()).tolist() == [[0, 0]]


def test_dark_is_better_for_every_metric(landscape_from_counts: Callable[..., Landscape]) -> None:
    attack = landscape_from_counts([[[0, 4]]], num_prompts=4)
    accuracy = replace(
        attack, metric=METRICS["accuracy"], outcomes=np.where(attack.outcomes == 2, 6, 5).astype(np.int8)
    )
    for landscape, better in ((attack, 0), (accuracy, 1)):
        cells = heat_map(draw(landscape, []))
        brightness = cells.to_rgba(cells.get_array())[..., :3].sum(axis=-1).ravel()
        assert brightness[better] < brightness[1 - better]


def test_rates_perplexity_and_divergences_have_a_panel_each(curve: Landscape) -> None:
    figure = draw_together([divergence_of([[0.5, 0, 0, 0, 1]]), curve, perplexity_of([[10] * 5])], title="a model")
    assert [axes.get_ylabel() for axes in figure.axes] == ["share of prompts (%)", "perplexity", "KL (nats)"]


def test_all_benchmarks_share_an_axis_and_perplexity_has_its_own(curve: Landscape) -> None:
    texts = perplexity_of([[10, 10, 10, 20, 20]])
    figure = draw_together([curve, texts, replace(curve, benchmark="other")], title="a model")
    rates, logarithmic = figure.axes
    assert [drawn.get_label() for drawn in rates.lines[:2]] == ["advbench: ASR", "other: ASR"]
    assert rates.lines[0].get_linestyle() != rates.lines[1].get_linestyle()
    assert rates.lines[0].get_color() != rates.lines[1].get_color()
    assert line(logarithmic, "texts: perplexity").get_ydata() == pytest.approx(np.exp([1, 1, 1, 2, 2]))
    assert rates.get_ylim() == (-4, 104)
    assert logarithmic.get_yscale() == "log"
    assert figure.get_suptitle() == "a model"


def test_planes_stand_side_by_side(landscape_from_counts: Callable[..., Landscape]) -> None:
    plane = landscape_from_counts([[[0, 1], [2, 4]]], num_prompts=4)
    planes = [replace(plane, benchmark=name) for name in ("one", "two", "three", "four")]
    figure = draw_together([*planes, perplexity_of([[[20, 10], [30, 40]]])], title="a model", marks=MARKS)
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles == ["one", "two", "three", "four", "texts"]
    page = io.BytesIO()
    figure.savefig(page, dpi=30)


def test_answers_in_language_are_drawn_apart(curve: Landscape) -> None:
    complied = curve.outcomes == Outcome.COMPLIED
    broken = np.where(complied & (np.arange(4) == 0), 1.0, 0.0)  # of those who comply the first prompt is broken
    axes = figure_of(replace(curve, broken=broken)).axes[0]
    assert line(axes, "without broken output").get_ydata()[:4].tolist() == [75.0, 25.0, 0.0, 25.0 / 2]


def test_the_title_is_given_or_the_benchmark(curve: Landscape) -> None:
    assert figure_of(curve, title="demo:aligned").get_suptitle() == "demo:aligned"
    assert figure_of(curve).get_suptitle() == "advbench"
