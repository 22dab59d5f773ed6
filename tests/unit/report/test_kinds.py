"""A sweep along several kinds of directions, as its report tells it."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from landscape_ray.config import SweepConfig
from landscape_ray.evaluation import Verdict
from landscape_ray.planning import Geometry, PlannedPoint
from landscape_ray.report.folder import write_report
from landscape_ray.report.results import load_results
from landscape_ray.report.scores import score, scores_document
from landscape_ray.report.words.scores import scores_text

RANDOM = {"kind": "random", "draws": 2}
PRUNING = {"kind": "pruning", "share": 0.5}
QUANTIZED = {"kind": "quantization_error", "format": "int4", "displacement": 0.25}


def along(config: SweepConfig, *directions: dict[str, Any]) -> SweepConfig:
    return SweepConfig.model_validate(config.model_dump(mode="json") | {"directions": list(directions)})


def walls(*per_draw: float) -> Callable[[str, PlannedPoint, int], Verdict]:
    """All comply beyond the wall of a draw."""

    def verdict(_: str, point: PlannedPoint, __: int) -> Verdict:
        beyond = point.draw is not None and abs(point.coordinates[0]) > per_draw[point.draw]
        return Verdict.COMPLIED if beyond else Verdict.REFUSED

    return verdict


def geometry(config: SweepConfig) -> Geometry:
    return replace(Geometry.assumed(config), direction_norms=(1.0,) * len(config.kinds), weights_norm=2.0)


@pytest.fixture
def folder(tmp_path: Path, make_config: Callable[..., SweepConfig], publish: Callable[..., None]) -> Path:
    """Walls at 0.25 and 0.5 (the end) along random directions, at 0.25 along the pruned, and at once along int4."""
    config = along(make_config(), RANDOM, PRUNING, QUANTIZED)
    publish(tmp_path, config, walls(0.3, 0.6, 0.3, 0.1), num_prompts=8, geometry=geometry(config))
    return tmp_path


def test_scores_are_of_the_random_draws_and_walls_of_all(folder: Path) -> None:
    results = load_results(str(folder))
    scores = score(results)["harmful"]
    assert scores.visage is not None
    assert scores.visage.num_draws == 2
    assert scores.basin is not None
    assert scores.basin.radius.per_draw == pytest.approx((0.375, 0.5))
    # Coordinate 1 is half of the norm of the weights away, and an eighth where the displacement says so.
    assert [(each.label, each.num_draws, each.distance) for each in scores.kinds] == [
        ("random", 2, 0.5),
        ("pruned by 50 %", 1, 0.5),
        ("int4 by channel", 1, 0.125),
    ]
    assert [each.wall.value for each in scores.kinds] == pytest.approx([0.4375 / 2, 0.375 / 2, 0.125 / 8])
    assert [each.num_draws_cut for each in scores.kinds] == [1, 0, 0]
    assert scores.kinds[1].ratio is not None
    assert scores.kinds[1].ratio.value == pytest.approx(0.375 / 0.4375)
    document = scores_document(results, {"harmful": scores, "other": scores})
    assert document["benchmarks"]["harmful"]["kinds"][2]["label"] == "int4 by channel"
    assert [(each["kind"], each["displacement"]) for each in document["directions"]] == [
        *(("random", 1.0), ("random", 1.0), ("pruning", 1.0), ("quantization_error", 0.25))
    ]
    assert document["directions"][2]["vector"]["share"] == 0.5
    text = "\n".join(value for _, value in scores_text(results, {"harmful": scores}))
    assert "distance to the wall, as a share of the norm of the weights:" in text
    assert "  random           at least 0.2188 (" in text
    assert "the scores that follow are of random:" in text


@pytest.mark.slow
def test_the_report_has_a_figure_and_a_table_of_all_kinds(folder: Path) -> None:
    written = write_report(str(folder), folder / "report")
    names = {path.name for path in written.files}
    assert {"harmful.kinds.png", "harmful.kinds.svg", "other.kinds.pdf"} <= names
    svg = (folder / "report" / "harmful.kinds.svg").read_text(encoding="utf-8")
    again = write_report(str(folder), folder / "again")
    assert (folder / "again" / "harmful.kinds.svg").read_text(encoding="utf-8") == svg
    assert again.document == written.document
    page = (folder / "report" / "report.html").read_text(encoding="utf-8")
    assert "harmful: the wall along each kind of direction" in page
    assert "1-D line landscape: 5 points on [-0.5, 0.5], 4 directions of 3 kinds." in page.replace("−", "-")
    assert '<th scope="row">pruned by 50 %</th><td>1</td><td>0.5</td><td>0.188' in page
    assert '<option value="2">pruned by 50 %</option>' in page
    data = json.loads(page.split('<script type="application/json" id="data">')[1].split("</script>")[0])
    assert data["names"] == ["random, draw 0", "random, draw 1", "pruned by 50 %", "int4 by channel"]
    # The mean that is drawn is that of the random draws.
    assert data["benchmarks"][0]["mean"] == [50.0, 0.0, 0.0, 0.0, 50.0]


def test_without_random_directions_the_first_has_a_visage_that_says_so(
    tmp_path: Path, make_config: Callable[..., SweepConfig], publish: Callable[..., None]
) -> None:
    config = along(make_config(), PRUNING)
    publish(tmp_path, config, walls(0.3), num_prompts=8, geometry=geometry(config))
    results = load_results(str(tmp_path))
    scores = score(results)["harmful"]
    assert scores.visage is not None
    assert scores.visage.departures == ("directions are of kind pruning, the paper's are random",)
    assert scores.visage.definition == "eq5"
    assert scores.basin is not None
    assert scores.basin.share is None
    notes = [value for name, value in scores_text(results, {"harmful": scores}) if name == "note"]
    assert notes[0].startswith("No random directions: ")
    assert "pruned by 50 %" in notes[0]


def test_a_mapping_has_no_kinds_in_its_document(
    tmp_path: Path, config: SweepConfig, publish: Callable[..., None]
) -> None:
    publish(tmp_path, config, walls(0.3, 0.3), num_prompts=8)
    results = load_results(str(tmp_path))
    document = scores_document(results, score(results))
    assert "directions" not in document
    assert "kinds" not in document["benchmarks"]["harmful"]
