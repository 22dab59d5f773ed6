"""Sweeps whose visits are of several points: the same rows as one by one, whatever goes wrong."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from landscape_ray.config import SweepConfig
from landscape_ray.store import ResultStore
from landscape_ray.sweep import run_sweep

pytestmark = pytest.mark.usefixtures("local_ray")

Rows = dict[tuple[Any, ...], str]


def in_lines(config: SweepConfig, **run: Any) -> SweepConfig:
    return config.model_copy(update={"batching": "line", "run": config.run.model_copy(update=run)})


def columns_of(out: Path) -> dict[str, Any]:
    store = ResultStore(str(out))
    return store.columns(list(store.parts()))


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["vllm", pytest.param("transformers", marks=pytest.mark.long)])
def test_rows_of_the_embedded_model_are_those_of_single_visits(
    engine: str, tmp_path: Path, measured: Callable[[Path], list[tuple[str, ...]]]
) -> None:
    config = SweepConfig.model_validate(
        {
            "model": {"id": "demo:aligned"},
            "engine": "transformers",
            "dtype": "float32",
            "landscape": {"axes": [{"start": -0.5, "stop": 0.5, "num": 5}], "origin_repeats": 1},
            "directions": {"draws": 2},
            "benchmarks": [
                {"name": "harmful", "prompts": {"source": "demo"}, "limit": 4, "decoding": {"max_new_tokens": 24}},
                {
                    "name": "choices",
                    "metric": "accuracy",
                    "prompts": {"source": "demo", "name": "choices"},
                    "limit": 4,
                },
            ],
            "run": {"engines": 1},
        }
    )
    assert run_sweep(config, str(tmp_path / "points")).exit_code == 0
    lines, out = in_lines(config, max_num_seqs=40).model_copy(update={"engine": engine}), tmp_path / "lines"
    assert run_sweep(lines, str(out)).exit_code == 0
    found, expected = ([row[:-1] for row in measured(folder)] for folder in (out, tmp_path / "points"))
    assert found == expected  # but for the digest of weights that a line does not place
    columns = columns_of(out)
    verdicts = Counter(columns["verdict"])
    assert min(verdicts["refused"], verdicts["complied"]) > 0  # on both sides of the wall
    # Four points of a draw were one visit, and share out its time.
    shares = Counter(zip(map(str, columns["draw"]), columns["generate_s"], strict=True))
    assert sorted(shares.values()) == [8, 32, 32]


def test_points_that_fail_are_found_in_their_lines(
    tmp_path: Path,
    synthetic_config: Callable[..., SweepConfig],
    expected_rows: Callable[[SweepConfig], Rows],
    stored_rows: Callable[[Path], Rows],
) -> None:
    config = in_lines(
        synthetic_config(num=9, max_attempts=2, faults={"poison_coordinates": [[0.2]], "poison_prompts": []}),
        points_per_visit=8,
    )
    outcome = run_sweep(config, str(tmp_path))
    assert (outcome.num_failed, outcome.num_missing) == (2, 0)
    expected = {place: verdict for place, verdict in expected_rows(config).items() if place[2] != (0.2,)}
    assert stored_rows(tmp_path) == expected
    # A run that is started again tries them alone, and finds the rest done.
    again = run_sweep(config.model_copy(update={"run": synthetic_config(num=9).run}), str(tmp_path), retry_failed=True)
    assert again.exit_code == 0
    assert stored_rows(tmp_path) == expected_rows(config)


def test_a_poison_prompt_is_marked_at_every_point_of_a_line(
    tmp_path: Path, synthetic_config: Callable[..., SweepConfig], expected_rows: Callable[[SweepConfig], Rows]
) -> None:
    config = in_lines(synthetic_config(num=3, faults={"poison_prompts": ["3"]}))
    assert run_sweep(config, str(tmp_path)).exit_code == 0
    columns = columns_of(tmp_path)
    assert {str(i) for i in columns["prompt_id"][columns["finish_reason"] == "failed"]} == {"3"}
    assert Counter(columns["finish_reason"])["failed"] == len(expected_rows(config)) // 12


def test_rows_of_lines_and_of_points_do_not_mix(tmp_path: Path, synthetic_config: Callable[..., SweepConfig]) -> None:
    config = synthetic_config(num=3)
    keys: set[str] = set()
    for each in (config, in_lines(config)):
        out = tmp_path / each.batching
        assert run_sweep(each, str(out)).exit_code == 0
        keys |= ResultStore(str(out)).parts().keys()
    assert len(keys) == 2 * (2 + 2 * 2)
    assert config.sweep_id != in_lines(config).sweep_id
    assert "batching" not in config.science()
