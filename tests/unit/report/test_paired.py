"""Benchmarks of the same prompts against each other, and which score comes first."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from landscape_ray.config import SweepConfig
from landscape_ray.evaluation import Verdict
from landscape_ray.planning import PlannedPoint
from landscape_ray.report.html import page
from landscape_ray.report.results import Results, load_results, open_results
from landscape_ray.report.scores import score, scores_document
from landscape_ray.report.visits import load_visits
from landscape_ray.report.words.scores import scores_text

PROMPTS = {"source": "file", "path": "gone.csv"}
NUM_PROMPTS = 40


def config_of(make_config: Callable[..., SweepConfig], *benchmarks: dict[str, Any], draws: int = 1) -> SweepConfig:
    data = make_config(5, draws=draws).model_dump(mode="json")
    return SweepConfig.model_validate({**data, "benchmarks": benchmarks})


def walls(name: str, point: PlannedPoint, index: int) -> Verdict:
    """At both ends of the axis 20 of 40 prompts comply, under the safety prompt 5 of these do not."""
    first = 5 if name.endswith("safety") else 0
    return Verdict.COMPLIED if abs(point.coordinates[0]) > 0.3 and first <= index < 20 else Verdict.REFUSED


@pytest.fixture
def measured(
    tmp_path: Path, make_config: Callable[..., SweepConfig], publish: Callable[..., None]
) -> Callable[..., Results]:
    def measure(*benchmarks: dict[str, Any], **how: Any) -> Results:
        config = config_of(make_config, *benchmarks)
        publish(tmp_path, config, walls, num_prompts=NUM_PROMPTS, **how)
        return load_results(str(tmp_path))

    return measure


CONDITIONS = {"name": "a", "prompts": PROMPTS, "system_prompts": {"none": None, "safety": "Be careful."}}
FLUENCY = {"name": "fluency", "metric": "perplexity", "prompts": PROMPTS}


def test_a_difference_is_known_prompt_by_prompt(measured: Callable[..., Results]) -> None:
    scores = score(measured(CONDITIONS))
    assert scores["a-none"].paired is None
    found = scores["a-safety"].paired
    assert found is not None
    assert found.against == "a-none"
    assert list(found.differences) == ["visage", "mean_margin", "radius", "width", "mean_value"]
    margins = [scores[name].mean_margin for name in ("a-none", "a-safety")]
    without, with_safety = (margin.value for margin in margins if margin is not None)
    assert without is not None
    assert with_safety is not None
    difference = found.differences["mean_margin"]
    assert difference.value == pytest.approx(with_safety - without)
    assert with_safety > without
    assert difference.interval is not None
    # The difference is that of five prompts alone, whatever the others do.
    per_prompt = np.array([(with_safety - without) * NUM_PROMPTS / 5] * 5 + [0.0] * (NUM_PROMPTS - 5))
    error = per_prompt.std(ddof=1) / np.sqrt(NUM_PROMPTS)
    low, high = stats.t.interval(0.95, NUM_PROMPTS - 1, loc=with_safety - without, scale=error)
    assert (difference.interval.low, difference.interval.high) == pytest.approx((low, high), abs=0.35)
    assert low > 0  # though the intervals of both scores overlap
    intervals = [margin.interval for margin in margins if margin is not None and margin.interval is not None]
    assert intervals[1].low < intervals[0].high


def test_only_the_same_prompts_counted_alike_are_compared(measured: Callable[..., Results]) -> None:
    plain = {"prompts": PROMPTS}
    results = measured(
        {"name": "first", **plain},
        {"name": "second", "chat_template": "{{ messages }}", **plain},
        {"name": "elsewhere", "prompts": {**PROMPTS, "path": "other.csv"}},
        {"name": "filled", "template": "{goal} now", **plain},
        {"name": "fewer", "limit": 40, **plain},
        {"name": "harmless", "metric": "over_refusal", **plain},
    )
    against = {name: each.paired and each.paired.against for name, each in score(results).items()}
    assert against == {
        "first": None,
        "second": "first",
        "elsewhere": None,
        "filled": None,
        "fewer": None,
        "harmless": None,
    }


def test_the_primary_benchmark_comes_first_and_is_what_others_are_compared_with(
    measured: Callable[..., Results], tmp_path: Path
) -> None:
    results = measured(FLUENCY, {**CONDITIONS, "primary": "safety"})
    scores = score(results)
    found = scores["a-none"].paired
    assert (scores["a-safety"].paired, found and found.against) == (None, "a-safety")
    document = scores_document(results, scores)
    assert document["headline"] == "a-safety"
    assert list(document["benchmarks"]) == ["fluency", "a-none", "a-safety"]
    assert document["benchmarks"]["a-none"]["paired"]["against"] == "a-safety"
    facts = list(scores_text(results, scores))
    assert [name for name, _ in facts if name not in {"", "note"}] == ["a-safety", "fluency", "a-none"]
    lines = [text for _, text in facts]
    visage, margin = lines[lines.index("minus a-safety, prompt by prompt:") + 1 :][:2]
    assert visage.startswith("  VISAGE -")
    assert re.fullmatch(r"  mean margin -\d+\.\d \(95 % interval over prompts -\d+\.\d to -\d+\.\d\)", margin)

    visits = load_visits(open_results(str(tmp_path), None), results)
    shown = page(results, scores, visits, [], {})
    assert re.findall(r'<article class="(card.*?)" aria-label="(.*?)"', shown) == [
        ("card headline", "a-safety"),
        ("card", "fluency"),
        ("card", "a-none"),
    ]
    assert re.search(
        r"<caption>a-none minus a-safety</caption>\s*<tr><th scope=\"row\">VISAGE</th><td>-\d.*? \(95 % interval", shown
    )


def test_without_a_primary_benchmark_the_first_of_attacks_is_the_headline(measured: Callable[..., Results]) -> None:
    results = measured(FLUENCY, CONDITIONS)
    assert results.headline == "a-none"
    assert measured(FLUENCY).headline == "fluency"


def test_an_unfinished_sweep_is_compared_where_both_are_measured(measured: Callable[..., Results]) -> None:
    results = measured(CONDITIONS, there=lambda point: point.coordinates[0] < 0.3)
    found = score(results, allow_missing=True)["a-safety"].paired
    assert found is not None
    assert "radius" not in found.differences
    margin = found.differences["mean_margin"].value
    assert margin is not None
    assert margin > 0
