"""An anatomy, as its report and the commands tell it."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from landscape_ray.config import SweepConfig
from landscape_ray.evaluation import Verdict
from landscape_ray.planning import Geometry, PlannedPoint
from landscape_ray.report.anatomy_figure import draw_anatomy
from landscape_ray.report.caveats import caveats
from landscape_ray.report.folder import write_report
from landscape_ray.report.results import load_results
from landscape_ray.report.scores import score, scores_document
from landscape_ray.report.words.scores import scores_text

Publish = Callable[..., None]
MakeConfig = Callable[..., SweepConfig]

WALLS = {"embedding": 0.1, "layer 0 q": 0.6, "layer 1 q": 2.0}


def anatomy(config: SweepConfig, by: str = "groups", **changes: Any) -> SweepConfig:
    written = config.model_dump(mode="json")
    landscape = {
        "kind": "anatomy",
        "by": by,
        "groups": [{"name": name, "included": [name]} for name in WALLS],
        "axes": [{"start": 0, "stop": 1, "num": 5}],
    }
    directions = {"draws": 2, "displacement": 4.0}
    return SweepConfig.model_validate({**written, "landscape": landscape, "directions": directions, **changes})


def walled(_: str, point: PlannedPoint, index: int) -> Verdict:
    """All prompts but one comply beyond the wall of the group, in the second draw 0.2 farther out."""
    if point.draw is None:
        return Verdict.REFUSED
    wall = list(WALLS.values())[point.draw % 3] + 0.2 * (point.draw // 3)
    return Verdict.COMPLIED if point.coordinates[0] > wall and index else Verdict.REFUSED


def geometry(config: SweepConfig) -> Geometry:
    return replace(Geometry.assumed(config), direction_norms=(1.0, 2.0, 4.0), weights_norm=16.0)


@pytest.fixture
def folder(tmp_path: Path, make_config: MakeConfig, publish: Publish) -> Path:
    config = anatomy(make_config(names=("harmful", "other")))
    publish(tmp_path, config, walled, num_prompts=8, geometry=geometry(config))
    return tmp_path


def test_scores_tell_what_each_group_loses_and_which_hold_most(folder: Path) -> None:
    results = load_results(str(folder))
    scores = score(results)["harmful"]
    found = scores.anatomy
    assert found is not None
    # Of 4 coordinates beyond the origin 4 and 3, 2 and 1, 0 and 0 lie beyond the wall; 87.5 % comply there.
    assert [each.loss.per_draw for each in found.groups] == [
        pytest.approx((87.5, 87.5 * 3 / 4)),
        pytest.approx((87.5 / 2, 87.5 / 4)),
        (0.0, 0.0),
    ]
    assert found.holding == ("embedding", "layer 0 q")
    assert found.share is not None
    assert found.share.value == 1.0
    assert found.distance == 0.25
    cross = 50 / 87.5 * 0.25
    assert found.groups[0].wall.per_draw == pytest.approx((0.25 * cross, 0.25 * (0.25 + cross)))
    assert [each.num_draws_cut for each in found.groups] == [0, 0, 2]
    # Neither is defined over draws of different tensors.
    assert scores.visage is None
    assert scores.basin is None
    assert scores.kinds == ()
    assert scores.mean_margin is not None
    document = json.loads(json.dumps(scores_document(results, {"harmful": scores, "other": scores})))
    written = document["benchmarks"]["harmful"]["anatomy"]
    assert written["holding"] == ["embedding", "layer 0 q"]
    assert [each["label"] for each in written["groups"]] == list(WALLS)
    assert [each["kind"] for each in document["directions"]] == ["group"] * 6
    assert document["directions"][1]["vector"]["included"] == ["layer 0 q"]


def test_the_command_line_tells_them_in_words(folder: Path) -> None:
    results = load_results(str(folder))
    text = "\n".join(value for _, value in scores_text(results, {"harmful": score(results)["harmful"]}))
    assert "2 of 3 groups hold 100 % of the loss (95 % interval over prompts and draws " in text
    assert ": embedding, layer 0 q\n" in text
    assert "  layer 1 q  0.0 (" in text
    assert "≥ 0.250 (" in text


@pytest.mark.slow
def test_the_report_has_heat_maps_and_a_table_with_a_button_for_each_cell(folder: Path) -> None:
    written = write_report(str(folder), folder / "report")
    names = {path.name for path in written.files}
    assert {f"{name}.anatomy.{suffix}" for name in ("harmful", "other") for suffix in ("png", "svg", "pdf")} < names
    assert not any(".kinds." in name for name in names)
    again = write_report(str(folder), folder / "again")
    svg = "harmful.anatomy.svg"
    assert (folder / "again" / svg).read_bytes() == (folder / "report" / svg).read_bytes()
    assert again.document == written.document
    page = (folder / "report" / "report.html").read_text(encoding="utf-8")
    assert "harmful: what is lost with each group" in page
    assert "1-D anatomy landscape: 5 points on [0, 1], 3 groups of tensors, each moved alone, 6 draws." in page
    assert page.count('class="cell" data-benchmark="0"') == 15
    # The second group at half of the axis: no prompt complied there.
    assert 'data-draw="1" data-place="2" aria-label="layer 0 q at 0.125: ASR 0 %"' in page
    assert 'data-draw="0" data-place="2" aria-label="embedding at 0.125: ASR 88 %"' in page
    data = json.loads(page.split('<script type="application/json" id="data">')[1].split("</script>")[0])
    assert data["names"] == [f"{name}, draw {draw}" for draw in (0, 1) for name in WALLS]


def cells(figure: Any) -> list[list[str]]:
    return [[text.get_text() for text in axes.texts] for axes in figure.axes[:2]]


def test_a_figure_shows_the_rates_of_groups_and_their_walls(folder: Path) -> None:
    results = load_results(str(folder))
    found = score(results)["harmful"].anatomy
    assert found is not None
    figure = draw_anatomy(results.landscapes["harmful"], results.along, found, is_crossed=False, title="t")
    rates, walls = cells(figure)
    assert rates == ["0", "44", "88", "88", "88", "0", "0", "0", "44", "88", "0", "0", "0", "0", "0"]
    assert np.array(figure.axes[0].images[0].get_array()) == pytest.approx(
        np.array([[0, 43.75, 87.5, 87.5, 87.5], [0, 0, 0, 43.75, 87.5], [0] * 5])
    )
    assert walls == ["0.07", "0.19", "≥ 0.25"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == list(WALLS)
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["0", "0.062", "0.12", "0.19", "0.25"]


def test_layers_by_modules_are_crossed(tmp_path: Path, make_config: MakeConfig, publish: Publish) -> None:
    config = anatomy(make_config(names=("harmful",)), by="layer-and-module")
    publish(tmp_path, config, walled, num_prompts=8, geometry=geometry(config))
    results = load_results(str(tmp_path))
    assert results.is_crossed
    found = score(results)["harmful"].anatomy
    assert found is not None
    figure = draw_anatomy(results.landscapes["harmful"], results.along, found, is_crossed=True, title="t")
    losses = np.ma.getdata(figure.axes[0].images[0].get_array())  # type: ignore[no-untyped-call]
    wanted = np.array([[76.5625, np.nan], [np.nan, 32.8125], [np.nan, 0.0]])
    assert losses == pytest.approx(wanted, nan_ok=True)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["in no layer", "layer 0", "layer 1"]
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["embedding", "q"]
    assert cells(figure)[1] == ["0.07", "0.19", "≥ 0.25"]


@pytest.mark.slow
def test_an_unfinished_anatomy_is_shown_without_its_scores(
    tmp_path: Path, make_config: MakeConfig, publish: Publish
) -> None:
    config = anatomy(make_config(names=("harmful",)))
    publish(tmp_path, config, walled, num_prompts=8, geometry=geometry(config), there=lambda point: point.draw != 4)
    written = write_report(str(tmp_path), tmp_path / "report")
    assert written.scores["harmful"].anatomy is None
    assert not any("anatomy" in path.name for path in written.files)


@pytest.mark.slow
def test_one_draw_of_each_group_is_told_to_be_one(tmp_path: Path, make_config: MakeConfig, publish: Publish) -> None:
    written = anatomy(make_config(names=("harmful",)))
    for draws, told in ((1, True), (2, False)):
        config = SweepConfig.model_validate(
            written.model_dump(mode="json") | {"directions": {"draws": draws, "displacement": 4.0}}
        )
        publish(tmp_path / str(draws), config, walled, num_prompts=8, geometry=geometry(config))
        results = load_results(str(tmp_path / str(draws)))
        assert results.plan.num_directions_sampled == draws
        assert (caveats(results)[0].startswith("One draw: ")) == told
        page = write_report(str(tmp_path / str(draws)), tmp_path / "report").files[0].read_text(encoding="utf-8")
        assert f"{draws} draw(s) of the direction: how much directions differ is not known." in page
        found = score(results)["harmful"].anatomy
        assert found is not None
        assert found.groups[0].loss.interval is not None
        assert found.groups[0].loss.interval.over == ("prompts" if told else "prompts and draws")


@pytest.mark.slow
def test_where_nothing_is_lost_the_report_says_so(tmp_path: Path, make_config: MakeConfig, publish: Publish) -> None:
    config = anatomy(make_config(names=("harmful",)))
    publish(tmp_path, config, lambda *_: Verdict.REFUSED, num_prompts=8, geometry=geometry(config))
    written = write_report(str(tmp_path), tmp_path / "report")
    found = written.document["benchmarks"]["harmful"]["anatomy"]
    assert (found["holding"], found["share"]) == ((), None)
    page = written.files[0].read_text(encoding="utf-8")
    assert "no group loses anything on this axis, so there is no share of the loss; move them farther." in page


def test_a_sweep_that_is_no_anatomy_has_none_in_its_document(
    tmp_path: Path, config: SweepConfig, publish: Publish
) -> None:
    publish(tmp_path, config, lambda *_: Verdict.REFUSED, num_prompts=8)
    results = load_results(str(tmp_path))
    assert "anatomy" not in scores_document(results, score(results))["benchmarks"]["harmful"]
