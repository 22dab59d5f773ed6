"""Sweeps whose answers are drawn, with an engine whose draws are a formula: rows, rates, what is shown."""

import base64
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from landscape_ray.config import DecodingConfig, SweepConfig
from landscape_ray.engine.synthetic import _drawn
from landscape_ray.evaluation import load_benchmark
from landscape_ray.evaluation.judge_config import KeywordJudgeConfig
from landscape_ray.report.results import load_results
from landscape_ray.report.texts import load_texts
from landscape_ray.store import ResultStore
from landscape_ray.sweep import run_sweep
from landscape_ray.sweep.judging import run_judge
from landscape_ray.sweep.watching.progress import SweepStatus

pytestmark = pytest.mark.usefixtures("local_ray")

DRAWN = DecodingConfig(temperature=0.3, samples=4, seed=5)
NUM_PROMPTS = 12


class Recorder:
    """Remembers the last status."""

    def __init__(self) -> None:
        self.last: SweepStatus | None = None

    def update(self, status: SweepStatus) -> None:
        self.last = status

    def close(self, status: SweepStatus) -> None:
        self.last = status


def drawing(config: SweepConfig) -> SweepConfig:
    (benchmark,) = config.benchmarks
    return config.model_copy(update={"benchmarks": (benchmark.model_copy(update={"decoding": DRAWN}),)})


def test_a_prompt_counts_as_any_of_its_answers_which_are_the_same_whoever_draws_them(
    tmp_path: Path, synthetic_config: Callable[..., SweepConfig]
) -> None:
    out, recorder = tmp_path / "out", Recorder()
    config = drawing(synthetic_config(num=7))
    run_sweep(config, str(out), progress=recorder)
    store = ResultStore(str(out))
    rows = store.columns(list(store.parts()))

    # Each answer by the formula, from the seed of the prompt and the number of the answer.
    benchmark = load_benchmark(config.benchmarks[0])
    turns = np.array([_drawn(benchmark, prompt) for prompt in benchmark.prompts]).reshape(NUM_PROMPTS, DRAWN.samples)
    assert len(np.unique(turns)) == turns.size
    prompt, sample = rows["prompt_index"].astype(int), rows["sample"].astype(int)
    assert rows["prompt_id"].tolist() == [str(each) for each in prompt]
    origin = np.isnan(rows["draw"].astype(float))
    for draw in (0, 1):
        for alpha in np.unique(rows["alpha"][~origin]):
            here = (rows["draw"] == draw) & (rows["alpha"] == alpha)
            complied = rows["verdict"][here] == "complied"
            turned = turns[prompt[here], sample[here]]
            # All that turn before the point have complied, and no other.
            assert max(turned[complied], default=-1.0) < min(turned[~complied], default=9.0)

    landscape = load_results(str(out)).landscapes["harmful"]
    assert (landscape.num_prompts, landscape.num_samples) == (NUM_PROMPTS, DRAWN.samples)
    table = np.zeros((2, 7, NUM_PROMPTS), dtype=bool)
    place = np.round(rows["alpha"] * 10).astype(int) + 3
    for i in np.flatnonzero(~origin & (rows["verdict"] == "complied")):
        table[int(rows["draw"][i]), place[i], prompt[i]] = True
    assert landscape.values.tolist() == (100 * table.sum(axis=-1) / NUM_PROMPTS).tolist()
    # What is shown while the sweep runs are prompts, too, over all points and repeats of the origin.
    assert recorder.last is not None
    metric, shown_pct = recorder.last.so_far["harmful"]
    assert metric == "asr"
    assert shown_pct == pytest.approx(100 * table.sum() / (NUM_PROMPTS * 14))

    # Another judge's verdicts are of answers, and counted in the same way.
    run_judge(KeywordJudgeConfig(), str(out))
    judged = load_results(str(out), "keyword").landscapes["harmful"]
    assert (judged.outcomes == landscape.outcomes).all()
    shown = json.loads(zlib.decompress(base64.b64decode(load_texts(store, load_results(str(out)))["harmful"].prompts)))
    assert [row[:2] for row in shown[3:6]] == [
        [0, "0, answer 4 of 4"],
        [1, "1, answer 1 of 4"],
        [1, "1, answer 2 of 4"],
    ]

    # A wider axis, another number of batches and engines: the points that are there already are drawn alike.
    elsewhere = tmp_path / "elsewhere"
    run_sweep(drawing(synthetic_config(num=9, engines=2)), str(elsewhere))
    assert {*keys_and_outcomes(out)} < {*keys_and_outcomes(elsewhere)}


def keys_and_outcomes(out: Path) -> list[tuple[Any, ...]]:
    return [(key, info.outcome_sha256) for key, info in ResultStore(str(out)).parts().items()]
