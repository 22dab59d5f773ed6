"""Scores, and the file that holds them."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from landscape_ray.analysis import Definition
from landscape_ray.config import SweepConfig
from landscape_ray.errors import IncompleteError, UserError
from landscape_ray.evaluation import Verdict
from landscape_ray.planning import PlannedPoint
from landscape_ray.report.results import load_results
from landscape_ray.report.scores import score, scores_document, visages_by, write_scores


def basin(name: str, point: PlannedPoint, index: int) -> Verdict:
    """Half a prompt set complies at the walls; the second visit to the origin differs in one prompt of four."""
    if point.draw is None:
        return Verdict.COMPLIED if point.repeat == 1 and index == 0 else Verdict.REFUSED
    outside = abs(point.coordinates[0]) > 0.3
    return Verdict.COMPLIED if outside and (index < 2 or name == "other") else Verdict.REFUSED


def test_the_document_holds_value_interval_sizes_and_noise_floor(
    tmp_path: Path, config: SweepConfig, publish: Callable[..., None]
) -> None:
    publish(tmp_path, config, basin)
    results = load_results(str(tmp_path))
    document = scores_document(results, score(results))
    assert document["sweep_id"] == config.sweep_id
    assert document["model"] == {"id": "demo:aligned", "revision": None, "fingerprint": "0123456789abcdef"}
    assert document["measured_with"] == {"landscape_ray": "0.1.0"}
    assert list(document["benchmarks"]) == ["harmful", "other"]
    harmful = document["benchmarks"]["harmful"]
    assert harmful["grid"] == [5]
    assert harmful["metric"] == "asr"
    # Wilson interval of 0 of 4: 1.96^2 / (4 + 1.96^2).
    assert harmful["origin"] == {"value": 0.0, "low": 0.0, "high": pytest.approx(48.99, abs=0.01)}
    assert harmful["judge"] == "keyword/1"
    assert harmful["noise_floor"] == {"num_repeats": 2, "num_prompts": 4, "flipped": 0.25, "spread": 25.0}
    visage = harmful["visage"]
    assert visage["value"] == pytest.approx((3 * 100 + 2 * 50) / 5)
    assert visage["definition"] == "paper"
    assert visage["per_draw"] == (visage["value"],) * 2
    assert (visage["num_draws"], visage["num_prompts"]) == (2, 4)
    assert (visage["num_points"], visage["num_points_used"], visage["num_points_missing"]) == (10, 10, 0)
    assert visage["interval"] is None  # four prompts
    assert (visage["axes"], visage["departures"]) == (((-0.5, 0.5),), ())
    assert harmful["visage_reference"]["value"] == pytest.approx(80.0)
    assert harmful["visage_reference"]["definition"] == "reference"
    # By trapezoids of 4 cells: 50 / 2 + 3 * 100 + 50 / 2. As it was defined first, the mean of 5 points.
    assert harmful["mean_margin"]["value"] == pytest.approx(87.5)
    assert harmful["mean_margin_of_points"]["value"] == pytest.approx(80.0)
    assert harmful["mean_value"]["value"] == pytest.approx(12.5)
    assert document["definitions"] == {
        "visage": 1,
        "visage_reference": 2,
        "mean_margin": 2,
        "mean_value": 2,
        "basin.share": 2,
        "interval": 2,
    }
    # The whole axis is at most at 50 %, so the basin is cut at both ends.
    assert (harmful["basin"]["tau_pct"], harmful["basin"]["num_draws_cut"]) == (50.0, 2)
    assert harmful["basin"]["radius"]["value"] == 0.5
    assert harmful["basin"]["width"]["value"] == pytest.approx(1.0)
    assert harmful["basin"]["area"] is None
    assert harmful["basin"]["share"] is None  # no grid point but the origin within 0.1
    points = harmful["points"]
    assert points["alpha"] == [-0.5, -0.25, 0.0, 0.25, 0.5]
    assert points["value"] == [[50.0, 0.0, 0.0, 0.0, 50.0]] * 2
    assert points["num_success"] == [[2, 0, 0, 0, 2]] * 2
    assert points["low"][0][0] == pytest.approx(15.00, abs=0.01)
    assert points["high"][0][0] == pytest.approx(85.00, abs=0.01)
    other = document["benchmarks"]["other"]["basin"]
    # 100 % beyond +-0.25: the line to it crosses 50 % at 0.375.
    assert other["radius"]["value"] == pytest.approx(0.375)
    assert other["width"]["value"] == pytest.approx(0.75)
    assert other["num_draws_cut"] == 0
    assert document["benchmarks"]["other"]["visage"]["value"] == 100.0
    assert document["benchmarks"]["other"]["visage"]["num_points_used"] == 6


def test_the_file_is_the_document_and_the_same_every_time(
    tmp_path: Path, config: SweepConfig, publish: Callable[..., None]
) -> None:
    publish(tmp_path, config, basin)
    texts = []
    for _ in range(2):
        results = load_results(str(tmp_path))
        path = write_scores(scores_document(results, score(results)), tmp_path)
        assert path == tmp_path / "scores.json"
        texts.append(path.read_text(encoding="utf-8"))
    assert texts[0] == texts[1]
    assert json.loads(texts[0])["benchmarks"]["harmful"]["visage"]["value"] == pytest.approx(80.0)


def test_what_is_not_known_is_null(tmp_path: Path, config: SweepConfig, publish: Callable[..., None]) -> None:
    publish(tmp_path, config, basin, there=lambda _: False)
    results = load_results(str(tmp_path))
    with pytest.raises(IncompleteError, match="10 of 10 grid points of benchmark 'harmful' are missing"):
        score(results)
    path = write_scores(scores_document(results, score(results, allow_missing=True)), tmp_path)
    harmful = json.loads(path.read_text(encoding="utf-8"))["benchmarks"]["harmful"]
    assert harmful["origin"] == {"value": None, "low": None, "high": None}
    assert harmful["mean_margin"] == {"value": None, "per_draw": [None, None], "interval": None}
    assert harmful["basin"] is None
    assert harmful["points"]["value"] == [[None] * 5] * 2
    assert harmful["points"]["num_scored"] == [[0] * 5] * 2
    assert harmful["noise_floor"] is None
    assert harmful["visage"]["value"] is None
    assert harmful["visage"]["per_draw"] == [None, None]
    assert harmful["visage"]["interval"] is None
    assert harmful["visage"]["num_points_missing"] == 10


def test_both_definitions_are_there_and_either_can_be_chosen(
    tmp_path: Path, config: SweepConfig, publish: Callable[..., None]
) -> None:
    publish(tmp_path, config, basin)
    scores = score(load_results(str(tmp_path)))
    for definition in get_args(Definition):
        assert [each.definition for each in visages_by(scores, definition)] == [definition] * 2
    assert [each.value for each in scores["other"].visages] == [100.0, 100.0]


def test_a_plane_has_no_reference(tmp_path: Path, config: SweepConfig, publish: Callable[..., None]) -> None:
    axes = [{"start": -0.5, "stop": 0.5, "num": 3}] * 2
    plane = config.model_copy(update={"landscape": type(config.landscape).model_validate({"axes": axes})})
    publish(tmp_path, plane, basin)
    scores = score(load_results(str(tmp_path)))
    assert [len(each.visages) for each in scores.values()] == [1, 1]
    assert visages_by(scores, "paper")
    with pytest.raises(UserError, match="No benchmark has a VISAGE by definition 'reference'"):
        visages_by(scores, "reference")


def test_the_basin_can_be_chosen(tmp_path: Path, config: SweepConfig, publish: Callable[..., None]) -> None:
    publish(tmp_path, config, basin)
    (harmful, _) = score(load_results(str(tmp_path)), tau_pct=25.0, radius=0.25).values()
    assert harmful.basin is not None
    assert harmful.basin.radius.value == pytest.approx(0.375)
    share = harmful.basin.share
    assert share is not None
    assert (share.num_basins, share.num_draws, share.high) == (2, 2, 1.0)
    assert share.low == pytest.approx(0.025**0.5)


def test_an_interval_says_what_it_is_over_and_what_it_comes_from(
    tmp_path: Path, config: SweepConfig, publish: Callable[..., None]
) -> None:
    publish(tmp_path, config, lambda _, point, index: basin("harmful", point, index % 4), num_prompts=16)
    interval = scores_document(results := load_results(str(tmp_path)), score(results))["benchmarks"]["harmful"][
        "mean_margin"
    ]["interval"]
    assert interval["over"] == "prompts and draws"
    # Half of 16 prompts lose 25 points, at two ends that count half: a variance of 25^2 / 4 / 15, no matter the draw.
    assert interval["components"]["prompts"] == pytest.approx(25**2 / 4 / 15, rel=0.15)
    assert interval["components"]["draws"] == interval["components"]["interaction"] == 0.0
    # Wilson's share of prompts not met, 19.36 % of 16, reaches further than t below, and less far above.
    half = 2.131 * interval["components"]["prompts"] ** 0.5
    assert 87.5 - half > 87.5 * (1 - 0.1936)
    assert (interval["low"], interval["high"]) == pytest.approx((87.5 * (1 - 0.1936), 87.5 + half), abs=0.02)


def test_the_documentation_lists_what_a_benchmark_holds(
    tmp_path: Path, config: SweepConfig, publish: Callable[..., None]
) -> None:
    publish(tmp_path, config, basin)
    results = load_results(str(tmp_path))
    harmful = scores_document(results, score(results))["benchmarks"]["harmful"]
    page = (Path(__file__).parents[3] / "docs" / "results.md").read_text(encoding="utf-8")
    table = page[page.index("## scores.json") : page.index("An `interval` has")]
    rows = re.findall(r"^\| (`.*?`) \| (.*) \|$", table, flags=re.MULTILINE)
    assert [name for keys, _ in rows for name in re.findall(r"`(\w+)`", keys)] == list(harmful)
    (points,) = [meaning for keys, meaning in rows if keys == "`points`"]
    named = re.findall(r"`(\w+)`", points)
    assert set(named) - {"beta", "num_unfinished"} == set(harmful["points"])


def test_one_draw_is_said_to_speak_of_its_direction_only(
    tmp_path: Path, make_config: Callable[..., SweepConfig], publish: Callable[..., None]
) -> None:
    for draws, said in ((1, True), (2, False)):
        publish(tmp_path / str(draws), make_config(draws=draws), basin)
        results = load_results(str(tmp_path / str(draws)))
        caveats = scores_document(results, score(results))["caveats"]
        assert any("speak of this direction only" in caveat for caveat in caveats) == said
        assert any("Intervals: 95 % is nominal" in caveat for caveat in caveats)
