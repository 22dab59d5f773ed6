"""Prompts and answers fit into the page: all of them, or evenly chosen ones."""

import base64
import itertools
import json
import random
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from landscape_ray.config import SweepConfig
from landscape_ray.evaluation import Verdict
from landscape_ray.planning import PlannedPoint
from landscape_ray.report.results import load_results
from landscape_ray.report.texts import MIN_PROMPTS, Texts, load_texts
from landscape_ray.store import ResultStore


def unpacked(block: str) -> Any:
    """Take a block apart as the page does."""
    return json.loads(zlib.decompress(base64.b64decode(block)))


def letters(name: str, point: PlannedPoint, index: int) -> str:
    """Return a thousand letters that hardly compress, the same each time."""
    return "".join(random.Random(f"{name}{point.label}{index}").choices("abcdefghijklmnop", k=1000))  # noqa: S311


def refused(*_: Any) -> Verdict:
    return Verdict.REFUSED


def texts_of(out: Path, **options: Any) -> dict[str, Texts]:
    return load_texts(ResultStore(str(out)), load_results(str(out)), **options)


def test_all_texts_are_there_when_they_fit(tmp_path: Path, config: SweepConfig, publish: Callable[..., None]) -> None:
    publish(tmp_path, config, refused, answer=lambda name, point, i: f"{name} {point.label} {i}", num_prompts=3)
    texts = texts_of(tmp_path)
    assert list(texts) == ["harmful", "other"]
    other = texts["other"]
    assert unpacked(other.prompts) == [[0, "p0", "prompt 0"], [1, "p1", "prompt 1"], [2, "p2", "prompt 2"]]
    assert list(other.answers) == list(range(10))  # two visits to the origin, four points in each of two draws
    assert unpacked(other.answers[0]) == [[f"other origin-r0 {i}", "refused", 3, "stop"] for i in range(3)]
    assert unpacked(other.answers[9])[2] == ["other d1_a+0.5 2", "refused", 3, "stop"]
    assert (other.num_prompts, other.num_prompts_shown, other.num_points) == (3, 3, 10)


def test_thinking_comes_with_the_answers_that_have_some(
    tmp_path: Path, config: SweepConfig, publish: Callable[..., None]
) -> None:
    publish(
        tmp_path,
        config,
        refused,
        thinking=lambda name, _, i: ("I must", "", None, None)[i] if name == "other" else None,
    )
    texts = texts_of(tmp_path)
    rows = unpacked(texts["other"].answers[0])
    without = ["x", "refused", 1, "stop"]
    assert rows == [["x", "refused", 3, "stop", "I must", 2], [*without, "", 0], without, without]
    assert {len(row) for row in unpacked(texts["harmful"].answers[0])} == {4}


def test_what_answers_were_begun_with_comes_with_their_prompts(
    tmp_path: Path, config: SweepConfig, publish: Callable[..., None]
) -> None:
    publish(tmp_path, config, refused, prefill=lambda name, i: "Sure" if (name, i) == ("other", 1) else "")
    texts = texts_of(tmp_path)
    assert unpacked(texts["other"].prompts)[:3] == [
        [0, "p0", "prompt 0"],
        [1, "p1", "prompt 1", "Sure"],
        [2, "p2", "prompt 2"],
    ]
    assert {len(row) for row in unpacked(texts["harmful"].prompts)} == {3}
    assert {len(row) for row in unpacked(texts["other"].answers[0])} == {4}


def test_every_point_shows_the_same_prompts_where_not_all_fit(
    tmp_path: Path, config: SweepConfig, publish: Callable[..., None]
) -> None:
    publish(tmp_path, config, refused, answer=letters, num_prompts=40)
    limit = 300_000  # of 40 prompts at 10 points, twice, of 1000 letters: about 0.7 of a byte each in base64
    texts = texts_of(tmp_path, max_bytes=limit)
    for name in ("harmful", "other"):
        found = texts[name]
        shown = [index for index, *_ in unpacked(found.prompts)]
        assert MIN_PROMPTS <= len(shown) == found.num_prompts_shown < 40
        assert (shown[0], shown[-1]) == (0, 39)
        assert max(b - a for a, b in itertools.pairwise(shown)) <= 40 // len(shown) + 2
        assert len(found.answers) == 10
        for place, block in found.answers.items():
            assert len(unpacked(block)) == len(shown), place
        point = load_results(str(tmp_path)).plan.points[5]
        assert [text for text, *_ in unpacked(found.answers[5])] == [letters(name, point, i) for i in shown]
    total = sum(len(block) for found in texts.values() for block in found.answers.values())
    assert 0.6 * limit < total <= limit


def test_points_are_left_out_where_prompts_would_be_too_few(
    tmp_path: Path, make_config: Callable[..., SweepConfig], publish: Callable[..., None]
) -> None:
    publish(tmp_path, make_config(21, names=("harmful",)), refused, answer=letters, num_prompts=10)
    found = texts_of(tmp_path, max_bytes=60_000)["harmful"]
    assert found.num_prompts_shown == MIN_PROMPTS
    assert found.num_points == 42
    assert 5 <= len(found.answers) < 42
    assert 0 in found.answers
    assert sum(map(len, found.answers.values())) <= 60_000


def test_the_same_results_give_the_same_texts(
    tmp_path: Path, config: SweepConfig, publish: Callable[..., None]
) -> None:
    publish(tmp_path, config, refused, answer=letters, num_prompts=20)
    assert texts_of(tmp_path, max_bytes=50_000) == texts_of(tmp_path, max_bytes=50_000)


def test_missing_points_have_no_texts(tmp_path: Path, config: SweepConfig, publish: Callable[..., None]) -> None:
    publish(tmp_path, config, refused, there=lambda point: point.draw == 1)
    assert list(texts_of(tmp_path)["harmful"].answers) == [6, 7, 8, 9]
    empty = tmp_path / "empty"
    publish(empty, config, refused, there=lambda _: False)
    assert texts_of(empty)["harmful"].answers == {}
