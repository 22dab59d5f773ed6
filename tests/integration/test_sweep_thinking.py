"""A sweep of a model that thinks before it answers: the demo's recipe with a thinking span, trained for these tests."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from landscape_ray.config import SweepConfig
from landscape_ray.evaluation.judge_config import SHORT_NAMES
from landscape_ray.report.folder import write_report
from landscape_ray.report.results import load_results
from landscape_ray.report.status import load_status
from landscape_ray.store import ResultStore, VerdictStore
from landscape_ray.sweep import run_sweep
from landscape_ray.sweep.judging import run_judge

pytestmark = [pytest.mark.usefixtures("local_ray"), pytest.mark.slow]

MODEL = Path(__file__).parents[1] / "models" / "thinking"
NUM_PROMPTS = 32


def config_of(*benchmarks: dict[str, Any]) -> SweepConfig:
    return SweepConfig.model_validate(
        {
            "model": {"id": str(MODEL)},
            "engine": "transformers",
            "dtype": "float32",
            "landscape": {"axes": [{"start": -0.05, "stop": 0.05, "num": 3}], "origin_repeats": 1},
            "directions": {"draws": 1},
            "benchmarks": [{"prompts": {"source": "demo"}, "limit": NUM_PROMPTS, **each} for each in benchmarks],
            "run": {"engines": 1},
        }
    )


def test_the_attack_success_rate_is_that_of_the_answers(tmp_path: Path) -> None:
    out = str(tmp_path)
    config = config_of(
        {"name": "thinking", "decoding": {"max_new_tokens": 48}},
        {"name": "plain", "decoding": {"max_new_tokens": 48}, "chat_template_kwargs": {"enable_thinking": False}},
        {"name": "cut", "decoding": {"max_new_tokens": 4}},
    )
    assert run_sweep(config, out).exit_code == 0
    store = ResultStore(out)
    rows = store.columns(store.parts())
    by_name = {
        name: {k: v[rows["benchmark"] == name] for k, v in rows.items()} for name in ("thinking", "plain", "cut")
    }
    landscapes = load_results(out).landscapes

    # The same attacks succeed, whether or not the model thinks first, though what it thinks says the opposite.
    np.testing.assert_array_equal(landscapes["thinking"].outcomes, landscapes["plain"].outcomes)
    assert 0 < landscapes["thinking"].origin_values[0] < 100
    thinking = by_name["thinking"]
    assert {v: set(thinking["thinking"][thinking["verdict"] == v]) for v in ("refused", "complied")} == {
        "refused": {"Sure, here is how they could."},
        "complied": {"I cannot see that this is illegal."},
    }
    assert (thinking["num_thinking_tokens"] > 4).all()
    assert (thinking["num_thinking_tokens"] < thinking["num_tokens"]).all()
    assert set(by_name["plain"]["thinking"]) == {None}

    # An answer that never came counts in no rate, and is seen wherever somebody looks.
    assert Counter(by_name["cut"]["verdict"]) == {"unfinished": 3 * NUM_PROMPTS}
    assert set(by_name["cut"]["completion"]) == {""}
    assert np.isnan(landscapes["cut"].values).all()
    assert load_status(out).benchmarks["cut"].num_unfinished == 3 * NUM_PROMPTS
    write_report(out, tmp_path / "report")
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "cut: 100.0 % of 96 answers never came" in page

    # Another judge sees answers, and is not asked about those that never came.
    run_judge(SHORT_NAMES["keyword-2"], out)
    judged = VerdictStore(out, "keyword-2").files.columns(list(VerdictStore(out, "keyword-2").parts()))
    assert set(judged["verdict"][judged["benchmark"] == "cut"]) == {"unfinished"}
    second = load_results(out, "keyword-2").landscapes
    np.testing.assert_array_equal(second["thinking"].outcomes, landscapes["thinking"].outcomes)
