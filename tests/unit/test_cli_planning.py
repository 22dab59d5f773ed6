"""`plan --target-interval`, and what the commands say of adaptive sweeps."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import yaml

from landscape_ray.config import load_config
from landscape_ray.planning import PlannedPoint
from landscape_ray.sweep import PreparedSweep, prepare, survey

CLI = Callable[[str], Any]
Measure: TypeAlias = Callable[..., None]


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """A sweep of 9 x 9 points, one draw, 40 prompts of which 24 are used."""
    (tmp_path / "prompts.csv").write_text("prompt\n" + "".join(f"prompt {i}\n" for i in range(40)))
    path = tmp_path / "small.yaml"
    config: dict[str, Any] = {
        "model": {"id": "somewhere"},
        "engine": "synthetic",
        "landscape": {"axes": [{"num": 9}, {"num": 9}]},
        "directions": {"draws": 2},
        "benchmarks": [
            {"name": "mine", "prompts": {"source": "file", "path": str(tmp_path / "prompts.csv")}, "limit": 24}
        ],
    }
    path.write_text(yaml.safe_dump(config))
    return path


def num_complied(point: PlannedPoint) -> int:
    """A cone: of 24 prompts comply 8 for each step of 0.125 from the origin, a draw further out than the other."""
    distance = max(map(abs, point.coordinates)) / 0.125
    return min(24, round(8 * distance / (2 if point.draw else 1)))


@pytest.fixture
def measure(publish_point: Callable[[PreparedSweep, PlannedPoint, int], None]) -> Measure:
    """Publish what actors would, so many rounds of an adaptive sweep."""

    def publish(path: Path, *, rounds: int) -> None:
        sweep = prepare(load_config(path, ["adaptive={}"]), str(path.parent / "out"))
        sweep.store.write_manifest(sweep.manifest)
        for _ in range(rounds):
            for task in survey(sweep)[1]:
                publish_point(sweep, task.point, num_complied(task.point))

    return publish


def test_plan_says_what_a_wanted_interval_takes(cli: CLI, sweep: Path) -> None:
    shown = cli(f"plan {sweep} --target-interval 9 --json")
    assert shown.code == 0
    precision = json.loads(shown.out)["precision"]["mine"]
    assert precision["num_prompts"] == 24
    assert precision["max_prompts"] == 40
    assert precision["source"].startswith("assumed")
    assert [option["num_prompts"] for option in precision["options"]][-1] == 40
    for option in precision["options"]:
        assert option["half_width"] <= 9
        assert option["num_visits"] == 2 + 80 * option["num_draws"]
    assert sum(option["cheapest"] for option in precision["options"]) == 1

    text = cli(f"plan {sweep} --target-interval 9").out
    assert re.search(
        r"^interval +mine: wanted VISAGE \+-9 \(half the width of the 95 % interval\)$", text, re.MULTILINE
    )
    assert re.search(r"^as planned +24 prompts and 2 draws: \+-\d+\.\d\d$", text, re.MULTILINE)
    assert re.search(r"^prompts +alone cannot do it: ", text, re.MULTILINE)
    assert re.search(r"^enough +40 prompts and \d+ draws: \+-\d\.\d\d, [\d,]+ visits of 1 batches", text, re.MULTILINE)
    assert text.count("<- cheapest") == 1


def test_a_target_out_of_reach_says_so(cli: CLI, sweep: Path) -> None:
    text = cli(f"plan {sweep} --target-interval 1").out
    # 40 prompts: 3.9^2 / 2 * 80 / 40 = 15.2 from prompts whatever the draws; its root is 3.9, times t of 39: 7.9.
    assert re.search(r"^enough +no number of draws: with 40 prompts it stays above \+-7\.9$", text, re.MULTILINE)


def test_from_needs_a_target_and_a_benchmark_of_that_name(cli: CLI, sweep: Path, measure: Measure) -> None:
    assert cli(f"plan {sweep} --from out").code == 2
    measure(sweep, rounds=4)
    other = cli(f"plan {sweep} --target-interval 5 --from out --set benchmarks.0.name=other")
    assert other.code == 2
    assert "no interval of VISAGE for benchmark 'other'" in other.err
    # All prompts go together here, so the interval is over draws alone.
    shown = cli(f"plan {sweep} --target-interval 5 --from out --json")
    assert shown.code == 0
    assert json.loads(shown.out)["precision"]["mine"]["source"] == "measured on 24 prompts and 2 draws"


def test_plan_counts_the_visits_of_an_adaptive_sweep(cli: CLI, sweep: Path) -> None:
    assert json.loads(cli(f"plan {sweep} --json").out)["num_visits"] == 2 + 2 * 80
    assert (
        json.loads(cli(f"plan {sweep} --adaptive --json").out)["num_visits"] == 2 + 2 * 36
    )  # 37 of 81, and the origin
    assert "37 of 81 grid points per draw" in cli(f"plan {sweep} --adaptive").out


@pytest.mark.slow
def test_status_and_score_of_an_unfinished_adaptive_sweep(cli: CLI, sweep: Path, measure: Measure) -> None:
    measure(sweep, rounds=1)
    status = cli("status out")
    assert status.code == 3
    assert "measures a part of 162 grid points" in status.out
    refused = cli("score out")
    assert refused.code == 3
    assert "adaptive sweep of benchmark 'mine' is not finished" in refused.err
    partly = cli("score out --allow-missing")
    assert partly.code == 0
    assert "adaptive" not in partly.out
    assert "are missing" in partly.out


@pytest.mark.slow
def test_score_of_an_adaptive_sweep_is_labelled(cli: CLI, sweep: Path, measure: Measure) -> None:
    measure(sweep, rounds=4)
    assert cli("status out").code == 0
    shown = cli("score out").out
    assert "adaptive estimates of what the full grid would score" in shown
    assert re.search(r"a standard error of \d+\.\d\d for the points left out", shown)
    assert "88 were left out" in shown
    assert "missing" not in shown
    document = json.loads(cli("score out --json").out)["benchmarks"]["mine"]
    assert document["adaptive"] is True
    assert (document["visage"]["num_points_measured"], document["visage"]["num_points"]) == (74, 162)
    assert document["basin"] is None
    assert cli("score out --definition reference").code == 2


def test_adaptive_sweeps_are_not_compared(cli: CLI, sweep: Path, measure: Measure) -> None:
    measure(sweep, rounds=4)
    refused = cli("compare out out")
    assert refused.code == 2
    assert "adaptive" in refused.err


@pytest.fixture
def along_kinds(sweep: Path) -> Path:
    """The sweep on one axis along four kinds of directions: 2, 3, 1 and 1 draws of 8 points beside the origin."""
    config = yaml.safe_load(sweep.read_text())
    config["landscape"]["axes"] = [{"num": 9}]
    config["directions"] = [
        {"kind": "random", "draws": 2},
        {"kind": "low_rank", "rank": 2, "draws": 3},
        {"kind": "pruning", "share": 0.5, "normalization": "none"},
        {"kind": "svd", "rank": 2, "to": {"id": "demo:finetuned"}, "included": ["proj"]},
    ]
    sweep.write_text(yaml.safe_dump(config))
    return sweep


def test_a_target_of_several_kinds_of_directions_is_of_the_random_ones(cli: CLI, along_kinds: Path) -> None:
    precision = json.loads(cli(f"plan {along_kinds} --target-interval 9 --json").out)["precision"]["mine"]
    assert precision["num_draws"] == 2
    assert precision["options"]
    for option in precision["options"]:
        assert option["half_width"] <= 9
        assert option["num_visits"] == 2 + 8 * (option["num_draws"] + 5)  # five directions of other kinds stay
    alone = [*("plan", str(along_kinds)), "--target-interval 9", "--set directions='[{kind: pruning, share: 0.5}]'"]
    refused = cli(" ".join(alone))
    assert refused.code == 2
    assert "random directions, one of them at least in a list of kinds" in refused.err


def test_plan_says_what_kinds_of_directions_cost(cli: CLI, along_kinds: Path) -> None:
    assert json.loads(cli(f"plan {along_kinds} --json").out)["kinds"] == []  # the synthetic engine has no weights
    as_is = f"plan {along_kinds} --set engine=transformers --set model.id=demo:aligned"
    low_rank, pruning, svd = json.loads(cli(f"{as_is} --json").out)["kinds"]
    # Bytes a weight: three draws in float32; what 16 bits hold exactly; one in float32.
    assert (low_rank["host_gb"], pruning["host_gb"], svd["host_gb"]) == (12, 2, 4)
    assert svd["core_seconds"] > 20 * pruning["core_seconds"] > 20 * low_rank["core_seconds"]
    text = cli(as_is).out
    line = r"^computing +random of rank 2: 10 s of a core a draw, 12 GB of host memory in each worker$"
    assert re.search(line, text, re.MULTILINE)
    assert "cores compute as the sweep begins, and again in each engine" in text
    assert "matrices 4,096 square" in text
    normalized = f"{as_is} --set directions='[{{kind: pruning, share: 0.5, normalization: layer}}]' --json"
    assert json.loads(cli(normalized).out)["kinds"][0]["host_gb"] == 4  # scaled, 16 bits hold it no more


def test_plan_gives_no_seconds_for_what_an_engine_computes(cli: CLI) -> None:
    recipe = Path(__file__).parents[2] / "jobs" / "configs" / "directions" / "gradient.demo.yaml"
    (cost,) = json.loads(cli(f"plan {recipe} --json").out)["kinds"]
    assert (cost["core_seconds"], cost["host_gb"]) == (None, 4)
    assert "once, by an engine, 4 GB of host memory" in cli(f"plan {recipe}").out
