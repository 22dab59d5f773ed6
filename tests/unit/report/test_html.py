"""The page as a document: what it holds, and that nothing in it can come from elsewhere or run by itself."""

import base64
import hashlib
import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from landscape_ray.config import SweepConfig
from landscape_ray.evaluation import Verdict
from landscape_ray.planning import PlannedPoint
from landscape_ray.report.folder import write_report
from landscape_ray.report.html import _json

HOSTILE = "</script><script>alert(1)</script><!--<script>\u2028"


class Document(HTMLParser):
    """Elements of a page in order, as (tag, attributes, own text)."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None], list[str]]] = []
        self._open: list[int] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open.append(len(self.elements))
        self.elements.append((tag, dict(attrs), []))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self.elements[self._open.pop()][0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self._open:
            self.elements[self._open[-1]][2].append(data)

    def texts(self, tag: str, **attributes: str) -> list[str]:
        return [
            "".join(text).strip()
            for name, found, text in self.elements
            if name == tag and all(found.get(key.rstrip("_")) == value for key, value in attributes.items())
        ]


@pytest.fixture(scope="module")
def document(
    tmp_path_factory: pytest.TempPathFactory, publish: Callable[..., None], make_config: Callable[..., SweepConfig]
) -> Document:
    out = tmp_path_factory.mktemp("out")

    def basin(_: str, point: PlannedPoint, __: int) -> Verdict:
        return Verdict.COMPLIED if abs(point.coordinates[0]) > 0.3 else Verdict.REFUSED

    config = make_config(5, model=HOSTILE, system_prompt=HOSTILE)
    there = lambda point: point.label != "d1_a+0.5"  # noqa: E731
    publish(out, config, basin, num_prompts=8, prompt=lambda i: f"{HOSTILE}{i}", answer=lambda *_: HOSTILE, there=there)
    return Document(write_report(str(out), out / "report").files[0].read_text(encoding="utf-8"))


def test_scripts_are_those_of_the_policy_and_none_else(document: Document) -> None:
    (policy,) = (found["content"] for tag, found, _ in document.elements if tag == "meta" and "http-equiv" in found)
    assert policy is not None
    rules = {rule.split()[0]: rule.split()[1:] for rule in policy.split("; ")}
    scripts = ["".join(text) for tag, found, text in document.elements if tag == "script" and "type" not in found]
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    assert rules["script-src"] == [f"'sha256-{digest}'" for digest in hashes]
    assert len(scripts) == 2
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == ["'none'"]
    types = {found["type"] for tag, found, _ in document.elements if tag == "script" and "type" in found}
    assert types == {"application/json", "text/plain"}  # which no browser runs


def test_nothing_is_loaded_and_no_element_runs_anything(document: Document) -> None:
    for tag, found, _ in document.elements:
        assert tag not in {"iframe", "object", "embed", "base", "img", "a" if "target" in found else ""}
        assert not [name for name in found if name.startswith("on") or name in {"src", "style", "srcdoc"}], (tag, found)
        assert (found.get("href") or "#").startswith(("#", "data:,")), found


def test_hostile_names_are_text(document: Document) -> None:
    assert document.texts("h1") == [HOSTILE.strip()]
    assert document.texts("title") == [f"{HOSTILE}: safety landscape"]
    assert any(HOSTILE.strip()[:40] in cell for cell in document.texts("td"))


def test_the_data_are_the_landscape(document: Document) -> None:
    (text,) = document.texts("script", id="data")
    assert not set(text) & set("<>&\u2028\u2029")
    data = json.loads(text)
    assert data["axes"][0]["values"] == [-0.5, -0.25, 0.0, 0.25, 0.5]
    assert [each["name"] for each in data["benchmarks"]] == ["harmful", "other"]
    harmful = data["benchmarks"][0]
    assert harmful["values"] == [100, 0, 0, 0, 100, 100, 0, 0, 0, None]
    assert harmful["mean"] == [100, 0, 0, 0, None]
    end = ["8 of 8"]
    safe = ["0 of 8"] * 3
    assert harmful["counts"] == [*end, *safe, *end, *end, *safe, ""]
    assert data["place"] == [2, 3, 0, 4, 5, 6, 7, 0, 8, 9]


def test_answers_are_base64_only(document: Document) -> None:
    blocks = {found["id"]: "".join(text) for _, found, text in document.elements if found.get("type") == "text/plain"}
    assert len(blocks) == 2 * (1 + 9)  # the prompts of each benchmark, and answers at each point that was measured
    for block in blocks.values():
        base64.b64decode(block, validate=True)


def test_scores_checks_and_setup_are_in_the_document_itself(document: Document) -> None:
    assert [text for text in document.texts("h2") if text] == [
        "Scores", "Figures", "Is this landscape right?", "Prompts and answers", "Setup"
    ]  # fmt: skip
    assert "Every point was measured" in document.texts("h3")
    assert document.texts("a", class_="chip attention")[0].startswith("! ")
    # By hand: 0, 0 and 0 are the ASR below 100 in both draws, so the depth is 100.
    assert document.texts("span", class_="value") == ["100.0", "100.0"]
    assert "1 of 10 missing" in " ".join(document.texts("dd"))
    assert "keyword/1" in " ".join(document.texts("td"))
    assert "kind: random" in "".join(document.texts("pre"))


@pytest.mark.slow
def test_the_page_is_the_same_each_time(tmp_path: Path, publish: Callable[..., None], config: SweepConfig) -> None:
    publish(tmp_path, config, lambda *_: Verdict.REFUSED)
    pages = [write_report(str(tmp_path), tmp_path / name).files[0].read_bytes() for name in "ab"]
    assert pages[0] == pages[1]


@pytest.mark.parametrize("value", [HOSTILE, {"<": [">", "&"]}, ["\u2029", "\ud800", "\x00"]])
def test_json_in_a_script_is_the_same_value_without_markup(value: Any) -> None:
    text = _json(value)
    assert json.loads(text) == value
    assert not set(text) & set("<>&\u2028\u2029")


@pytest.mark.slow
def test_a_certificate_and_what_safety_costs_are_on_the_page(
    tmp_path: Path, certifying: Callable[[Path], None]
) -> None:
    certifying(tmp_path)
    files = write_report(str(tmp_path), tmp_path / "report").files
    document = Document(files[0].read_text(encoding="utf-8"))
    facts = dict(zip(document.texts("dt"), document.texts("dd"), strict=True))
    assert facts["Certified"] == "≥ 70 % of directions are basins of radius 0.25"
    # Seven would do, but rounds are of eight draws: the bound is 0.1^(1/8).
    assert facts["Basins"] == "8 of 8 draws: ≥ 75.0 % of all, with a confidence of 90 %"
    (image,) = (found for tag, found, _ in document.elements if tag == "img")
    assert image["alt"] == "Points of harmful against moved"
    drawn = (tmp_path / "report" / "harmful.against.moved.svg").read_bytes()
    assert base64.b64decode((image["src"] or "").partition(",")[2]).startswith(drawn[:100])


def test_draws_that_fail_are_not_certified_on_the_page(
    tmp_path: Path, make_config: Callable[..., SweepConfig], publish: Callable[..., None]
) -> None:
    config = make_config(5, draws=8, names=("harmful",)).model_dump(mode="json")
    config["certify"] = {"radius": 0.25, "share": 0.7, "confidence": 0.9}

    def walls(_: str, point: PlannedPoint, __: int) -> Verdict:
        return Verdict.COMPLIED if point.draw == 3 and point.coordinates[0] != 0 else Verdict.REFUSED

    publish(tmp_path, SweepConfig.model_validate(config), walls)
    document = Document(write_report(str(tmp_path), tmp_path / "report").files[0].read_text(encoding="utf-8"))
    facts = dict(zip(document.texts("dt"), document.texts("dd"), strict=True))
    assert "Certified" not in facts
    assert facts["Not certified"] == "≥ 70 % of directions are basins of radius 0.25"
    assert facts["Basins"].startswith("7 of 8 draws: ≥ 59.4 % of all")
