"""What `directions.excluded` is by default depends on the names of the model's norms, and on nothing else."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from transformers import GPT2Config

from landscape_ray.config import DirectionsConfig, SweepConfig, load_config
from landscape_ray.engine.preflight import as_run
from landscape_ray.errors import OutputError
from landscape_ray.sweep import prepare

LN = r"(^|\.)ln(_[a-z0-9]+)?\."


def sweep_of(folder: Path, **directions: Any) -> SweepConfig:
    return SweepConfig.model_validate(
        {
            "model": {"id": str(folder)},
            "directions": directions,
            "landscape": {"axes": [{"num": 3}]},
            "benchmarks": [{"name": "demo", "prompts": {"source": "demo"}, "limit": 1}],
        }
    )


def excluded_of(config: SweepConfig) -> tuple[str, ...]:
    assert isinstance(config.directions, DirectionsConfig)
    return config.directions.excluded


@pytest.fixture(scope="module")
def gpt2(make_random_model: Callable[[Any], Path]) -> Path:
    sizes = {"vocab_size": 93, "n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": 448}
    return make_random_model(GPT2Config(**sizes, bos_token_id=0, eos_token_id=1))


def test_keys_of_a_model_whose_norms_are_called_norm_are_as_if_it_were_written(
    untied_checkpoint: Path, tmp_path: Path
) -> None:
    default = prepare(sweep_of(untied_checkpoint), str(tmp_path / "a"))
    written = prepare(sweep_of(untied_checkpoint, excluded=["norm"]), str(tmp_path / "b"))
    assert default.keys == written.keys
    assert default.config.sweep_id == written.config.sweep_id == sweep_of(untied_checkpoint).sweep_id
    assert default.manifest.left_out == {}


def test_norms_of_other_names_are_excluded_and_said_in_the_manifest(gpt2: Path, tmp_path: Path) -> None:
    default = prepare(sweep_of(gpt2), str(tmp_path))
    assert excluded_of(default.config) == (LN,)
    assert default.manifest.config["directions"]["excluded"] == [LN]  # type: ignore[index,call-overload]
    default.store.write_manifest(default.manifest)
    again = prepare(sweep_of(gpt2), str(tmp_path))  # the same request goes on
    assert again.keys == default.keys
    assert prepare(sweep_of(gpt2, excluded=[LN]), str(tmp_path)).keys == default.keys
    with pytest.raises(OutputError, match=r"directions\.excluded"):
        prepare(sweep_of(gpt2, excluded=["ln_1"]), str(tmp_path))


def test_planning_tells_the_id_that_a_run_remembers(cli: Callable[[str], Any], gpt2: Path, tmp_path: Path) -> None:
    for patterns in ({}, {"excluded": ["ln_1"]}):
        file = tmp_path / "sweep.yaml"
        file.write_text(yaml.safe_dump(sweep_of(gpt2, **patterns).as_written()))
        (planned,) = cli(f"plan {file} --json").lines
        remembered = prepare(load_config(file), str(tmp_path / "out")).config
        assert planned["sweep_id"] == remembered.sweep_id
    assert as_run(sweep_of(gpt2)).sweep_id != sweep_of(gpt2).sweep_id
    elsewhere = sweep_of(tmp_path / "nowhere")
    assert as_run(elsewhere) == elsewhere


def test_each_entry_of_a_list_is_by_its_own_default(gpt2: Path) -> None:
    task = {"kind": "task_vector", "minus": {"id": str(gpt2)}, "plus": {"id": str(gpt2)}, "name": "task"}
    entries = [{"kind": "random"}, {"kind": "random", "name": "all", "excluded": []}, task]
    plain = sweep_of(gpt2)
    config = as_run(SweepConfig.model_validate(plain.model_dump(mode="json") | {"directions": entries}))
    assert [entry.excluded for entry in config.kinds] == [(LN,), (), ()]


def test_what_is_written_is_not_touched(gpt2: Path, tmp_path: Path) -> None:
    for patterns in (["ln_1"], []):
        config = prepare(sweep_of(gpt2, excluded=patterns), str(tmp_path)).config
        assert excluded_of(config) == tuple(patterns)


def test_a_configuration_that_is_handed_on_stays_open(gpt2: Path, tmp_path: Path) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(yaml.safe_dump(sweep_of(gpt2).as_written()))
    handed_on = load_config(file, ["directions.draws=2"])
    assert excluded_of(prepare(handed_on, str(tmp_path / "out")).config) == (LN,)
    file.write_text(yaml.safe_dump(sweep_of(gpt2, excluded=["wte"]).as_written()))
    assert excluded_of(load_config(file)) == ("wte",)
