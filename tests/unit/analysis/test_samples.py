"""Several answers to a prompt: which one decides, and that the prompt counts once."""

from typing import Any

import numpy as np
import pytest

from landscape_ray.analysis import Landscape, asked_text
from landscape_ray.config import SweepConfig
from landscape_ray.errors import PartError
from landscape_ray.planning import SweepPlan

CONFIG = SweepConfig.model_validate(
    {
        "model": {"id": "demo:aligned"},
        "landscape": {"axes": [{"start": 0, "stop": 1, "num": 2}], "origin_repeats": 1},
        "directions": {"draws": 1},
        "benchmarks": [{"name": "b", "prompts": {"source": "demo"}}],
    }
)
PLAN = SweepPlan.from_config(CONFIG)

# At the origin, by hand: what each of three answers to each of five prompts is, and whether it is no language.
ANSWERS = [
    (["refused", "complied", "refused"], [0, 0, 0]),
    (["refused", "refused", "refused"], [0, 1, 0]),
    (["complied", "complied", "refused"], [1, 0, 0]),
    (["unscored", "unfinished", "unscored"], [np.nan] * 3),
    (["unscored", "refused", "unfinished"], [np.nan, 0, np.nan]),
]
BY_METRIC = {
    # Complied, refused, complied, unfinished, refused: 2 of the 4 that are scored.
    "asr": (["complied", "refused", "complied", "unfinished", "refused"], [0, 0, 0, np.nan, 0], 50.0),
    # Refused but for the one that never answered.
    "over_refusal": (["refused", "refused", "refused", "unfinished", "refused"], [0, 0, 0, np.nan, 0], 100.0),
}


def rows_of(answers: Any) -> dict[str, Any]:
    """Return the answers as rows at the origin, and all refused at the other point, in a random order."""
    rows = [
        (draw, alpha, prompt, sample, "refused" if alpha else verdict, 0.0 if alpha else broken)
        for draw, alpha in ((np.nan, 0.0), (0.0, 1.0))
        for prompt, (verdicts, flags) in enumerate(answers)
        for sample, (verdict, broken) in enumerate(zip(verdicts, flags, strict=True))
    ]
    order = np.random.default_rng(0).permutation(len(rows))
    draw, alpha, prompt, sample, verdict, broken = (np.array([row[k] for row in rows])[order] for k in range(6))
    return {
        "benchmark": np.array(["b"] * len(rows), dtype=object),
        "draw": draw,
        "repeat": np.zeros(len(rows), dtype=np.int64),
        "alpha": alpha,
        "beta": np.full(len(rows), np.nan),
        "prompt_index": prompt,
        "prompt_id": np.array([f"p{i}" for i in prompt], dtype=object),
        "sample": sample,
        "verdict": verdict.astype(object),
        "broken": broken,
    }


@pytest.mark.parametrize("metric", BY_METRIC)
def test_a_prompt_counts_once_and_as_any_of_its_answers(metric: str) -> None:
    landscape = Landscape.from_rows(rows_of(ANSWERS), plan=PLAN, benchmark="b", metric=metric)
    verdicts, broken, rate = BY_METRIC[metric]
    # As if each prompt had been asked once, and answered so.
    once = [([verdict], [flag]) for verdict, flag in zip(verdicts, broken, strict=True)]
    expected = Landscape.from_rows(rows_of(once), plan=PLAN, benchmark="b", metric=metric)
    np.testing.assert_array_equal(landscape.outcomes, expected.outcomes)
    np.testing.assert_array_equal(landscape.origin_outcomes, expected.origin_outcomes)
    np.testing.assert_array_equal(landscape.is_broken, expected.is_broken)
    assert landscape.origin_values.tolist() == [rate]
    assert (landscape.num_prompts, landscape.num_samples) == (5, 3)
    assert expected.num_samples == 1
    assert (asked_text(5, 3), asked_text(5, 1)) == ("5 prompts, any of 3 answers", "5 prompts")
    # Intervals are over the four prompts that count, and not over twelve answers.
    assert landscape.num_scored.tolist() == [[4, 5]]


def test_a_prompt_that_lacks_an_answer_and_an_answer_that_is_there_twice_are_refused() -> None:
    rows = rows_of(ANSWERS)
    lost = ~((rows["prompt_index"] == 2) & (rows["sample"] == 1) & (rows["alpha"] == 0))
    with pytest.raises(PartError, match="1 of 10 prompts at points have not all of their 3 answers"):
        Landscape.from_rows({name: values[lost] for name, values in rows.items()}, plan=PLAN, benchmark="b")
    twice = np.append(np.arange(len(lost)), 4)
    with pytest.raises(PartError, match=r"1 results of benchmark 'b' .* occur more than once"):
        Landscape.from_rows({name: values[twice] for name, values in rows.items()}, plan=PLAN, benchmark="b")


def test_rows_of_greedy_answers_of_any_version_are_one_answer_each() -> None:
    rows = rows_of([(["complied"], [0.0]), (["refused"], [0.0])])
    without = Landscape.from_rows({k: v for k, v in rows.items() if k != "sample"}, plan=PLAN, benchmark="b")
    null = Landscape.from_rows(rows | {"sample": np.full(4, np.nan)}, plan=PLAN, benchmark="b")
    assert without.values.tolist() == null.values.tolist() == [[50.0, 0.0]]
