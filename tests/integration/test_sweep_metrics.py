"""Every metric in one visit, through a whole sweep of the synthetic engine, checked row for row against its formula."""

import csv
import json
import math
from collections import Counter
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from landscape_ray.config import SweepConfig
from landscape_ray.planning import RandomVector, SweepPlan
from landscape_ray.store import ResultStore
from landscape_ray.sweep import SweepStatus, run_sweep

pytestmark = pytest.mark.usefixtures("local_ray")

CONFIG = SweepConfig.model_validate(
    {
        "model": {"id": "no-such-model"},
        "engine": "synthetic",
        "landscape": {"axes": [{"start": -0.8, "stop": 0.8, "num": 5}], "origin_repeats": 1},
        "directions": {"draws": 1},
        "benchmarks": [
            {
                "name": "harmful",
                "prompts": {"source": "demo"},
                "system_prompts": {"default": None, "safety": "shipped:safety"},
                "limit": 4,
            },
            {
                "name": "choices",
                "metric": "accuracy",
                "prompts": {"source": "demo", "name": "choices"},
                "multiple_choice": {"answers": "texts"},
            },
            {
                "name": "answers",
                "metric": "perplexity",
                "prompts": {"source": "demo", "name": "answers"},
                "context": "{request} ",
            },
            {
                "name": "moved",
                "metric": "first_token_kl",
                "prompts": {"source": "demo", "name": "harmless"},
                "limit": 3,
            },
            {
                "name": "harmless",
                "metric": "over_refusal",
                "prompts": {"source": "demo", "name": "harmless"},
                "limit": 4,
            },
        ],
        "run": {"engines": 1},
    }
)
DEMO = Path(str(resources.files("landscape_ray") / "demo"))


class LastStatus:
    last: SweepStatus | None = None

    def update(self, status: SweepStatus) -> None:
        self.last = status

    def close(self, status: SweepStatus) -> None:
        self.last = status


@pytest.fixture(scope="module")
def uniform() -> Callable[[str], float]:
    from hashlib import blake2b  # noqa: PLC0415

    return lambda text: int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little") / 2**64


def log_likelihood(text: str, context: str, distance: float, uniform: Callable[[str], float]) -> float:
    """The formula of the synthetic engine, written down a second time here."""
    beyond = max(0.0, distance - (0.5 + uniform(f"threshold/{context}{text}")))
    return -len(text.split()) * (1 + beyond)


def divergence(distance: float, threshold: float) -> float:
    """Of two coins with the log-odds of the first token, written down a second time here; exactly 0 at the origin."""
    p, q = (1 / (1 + math.exp(threshold - there)) for there in (0.0, distance))
    return p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q)) if distance else 0.0


def expected(distance: float, uniform: Callable[[str], float]) -> dict[str, list[dict[str, Any]]]:
    refused = ["refused" if distance < 0.5 + uniform(f"threshold/{i}") else "complied" for i in range(4)]
    generated = [
        {
            "verdict": verdict,
            "num_tokens": 8,
            "finish_reason": "stop",
            "judge": "keyword/1",
            "broken": False,
            "log_likelihood": None,
            "choice": None,
        }
        for verdict in refused
    ]
    scored = {"finish_reason": "scored", "judge": "likelihood/1", "broken": None}
    choices = []
    for line in (DEMO / "choices.jsonl").read_text().splitlines():
        row = json.loads(line)
        texts = [f" {choice}" for choice in row["choices"]]
        scores = [log_likelihood(text, row["question"], distance, uniform) for text in texts]
        choice = scores.index(max(scores))
        choices.append(
            scored
            | {
                "verdict": "correct" if choice == row["answer"] else "incorrect",
                "choice": choice,
                "log_likelihood": scores[row["answer"]],
                "num_tokens": len(texts[row["answer"]].split()),
                "completion": texts[choice],
                "prompt": row["question"],
            }
        )
    with (DEMO / "answers.csv").open(newline="") as file:
        answers = [
            scored
            | {
                "verdict": "unscored",
                "choice": None,
                "log_likelihood": log_likelihood(row["answer"], f"{row['request']} ", distance, uniform),
                "num_tokens": len(row["answer"].split()),
                "completion": "",
                "prompt": row["answer"],
            }
            for row in csv.DictReader(file)
        ]
    moved = [
        {
            "verdict": "unscored",
            "num_tokens": 0,
            "finish_reason": "scored",
            "judge": "first_token_kl/1",
            "broken": None,
            "kl": pytest.approx(divergence(distance, 0.5 + uniform(f"threshold/{i}")), abs=1e-7),
        }
        for i in range(3)
    ]
    return {
        "moved": moved,
        "harmful-default": generated,
        "harmful-safety": generated,
        "choices": choices,
        "answers": answers,
        "harmless": generated,
    }


def test_all_metrics_of_a_point_are_the_closed_form(tmp_path: Path, uniform: Callable[[str], float]) -> None:
    out, recorder = tmp_path / "out", LastStatus()
    outcome = run_sweep(CONFIG, str(out), progress=recorder)
    plan = SweepPlan.from_config(CONFIG)
    assert (outcome.num_points, outcome.num_done) == (5, 5) == (len(plan.points), 5)

    store = ResultStore(str(out))
    parts = store.parts()
    assert Counter(info.benchmark for info in parts.values()) == dict.fromkeys(
        ("harmful-default", "harmful-safety", "choices", "answers", "harmless", "moved"), 5
    )
    seen: Counter[str] = Counter()
    totals: list[float] = []
    divergences: list[float] = []
    num_tokens = 0
    for point in plan.points:
        seeds = [(vector.seed, c) for vector, c in point.perturbation.terms if isinstance(vector, RandomVector)]
        steps = [c / (0.2 + 0.2 * uniform(f"wall/{seed}")) for seed, c in seeds]
        wanted = expected(math.hypot(*steps), uniform)
        digests = set()
        for key, info in parts.items():
            if info.label != point.label:
                continue
            columns = store.columns([key])
            rows = wanted[info.benchmark]
            assert len(columns["verdict"]) == len(rows) == info.num_rows
            for number, row in enumerate(rows):
                for name, value in row.items():
                    found = columns[name][number]
                    assert (found is None or math.isnan(found)) if value is None else found == value, (name, number)
            digests |= set(columns["weights_digest"]) | {columns["started_at"][0]}
            seen.update(columns["verdict"])
            if info.benchmark == "answers":
                totals += list(columns["log_likelihood"])
                num_tokens += int(columns["num_tokens"].sum())
            if info.benchmark == "moved":
                divergences += list(columns["kl"])
        assert len(digests) == 2  # one placement and one visit served them all
    assert {"refused", "complied", "correct", "incorrect", "unscored"} == set(seen)

    assert recorder.last is not None
    so_far = recorder.last.so_far
    assert so_far["choices"] == ("accuracy", 100 * seen["correct"] / (seen["correct"] + seen["incorrect"]))
    assert so_far["answers"][1] == pytest.approx(math.exp(-math.fsum(totals) / num_tokens))
    assert so_far["moved"][1] == pytest.approx(math.fsum(divergences) / len(divergences))
    assert so_far["harmless"][1] == pytest.approx(100 - so_far["harmful-default"][1])
    assert recorder.last.num_tokens > num_tokens
