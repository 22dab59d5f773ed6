"""The page of models is what its recorded results say, and they say what it promises."""

import json
import runpy
from pathlib import Path
from typing import Any

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
PAGE: dict[str, Any] = runpy.run_path(str(BENCHMARKS / "model_page.py"))
RESULTS: dict[str, Any] = json.loads(PAGE["RESULTS"].read_text())
FAMILIES = runpy.run_path(str(BENCHMARKS / "tiny_models.py"))["FAMILIES"]
WAYS = {"reload", "in place", "lines"}


def cells_of(family: dict[str, Any]) -> list[dict[str, Any]]:
    return [*family["vllm"].values(), family["transformers"]]


def test_the_page_is_made_from_the_results() -> None:
    assert PAGE["PAGE"].read_text() == PAGE["page"](RESULTS)


def test_all_families_were_measured() -> None:
    assert list(RESULTS["families"]) == list(FAMILIES)
    assert all(family["vllm"].keys() == WAYS for family in RESULTS["families"].values())
    assert len({family["architecture"] for family in RESULTS["families"].values()}) >= 40


def test_each_disagreement_of_libraries_is_explained_and_nothing_else() -> None:
    agreements = {name: family["agreement"] for name, family in RESULTS["families"].items() if family["agreement"]}
    assert {name for name, found in agreements.items() if found["state"] != "right"} == PAGE["DIFFERENCES"].keys()


def test_none_is_wrong_and_each_refusal_says_why() -> None:
    for name, family in RESULTS["families"].items():
        for found in cells_of(family):
            assert found["state"] in {"right", "refused", "error", "not used", "not measured"}, (name, found)
            assert ("why" in found) == (found["state"] in {"refused", "error"}), (name, found)
            if found["state"] == "right":
                equal, of = found["texts"].split("/")
                assert equal == of
                assert found["nats"] <= 1e-3
