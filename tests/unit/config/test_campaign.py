"""Campaigns: one sweep for each file or model, each with a folder of its own that keeps its name."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from landscape_ray.config import SweepConfig, is_campaign, load_campaign, load_config
from landscape_ray.errors import ConfigError

REST: dict[str, Any] = {"benchmarks": [{"name": "mine", "prompts": {"source": "file", "path": "p.csv"}}]}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(name: str, **content: Any) -> Path:
    path = Path(name)
    path.write_text(yaml.safe_dump(REST | content))
    return path


def test_each_model_of_a_list_is_the_sweep_that_a_file_of_its_own_would_be(folder: Path) -> None:  # noqa: ARG001
    path = write(
        "many.yaml",
        directions={"draws": 2},
        models=["a/x", {"model.id": "b/y", "model.revision": "v1", "dtype": "float16", "benchmarks.0.limit": 5}],
    )
    assert is_campaign([path])
    first, second = load_campaign([path], ["directions.seed=3"])
    assert (first.name, second.name) == ("a--x", "b--y-v1")
    alone = write("alone.yaml", model={"id": "a/x"}, directions={"draws": 2, "seed": 3})
    assert first.config == load_config(alone)
    assert first.config.sweep_id == load_config(alone).sweep_id
    config = second.config
    assert (config.model.id, config.model.revision, config.dtype, config.benchmarks[0].limit, config.num_draws) == (
        *("b/y", "v1", "float16", 5),
        2,
    )


def test_one_plain_file_is_no_campaign_and_several_are(folder: Path) -> None:  # noqa: ARG001
    one, two = write("one.yaml", model={"id": "a/x"}), write("two.yaml", model={"id": "c/z"})
    assert not is_campaign([one])
    assert is_campaign([one, two])
    assert [(each.name, each.config) for each in load_campaign([one, two])] == [
        ("a--x", load_config(one)),
        ("c--z", load_config(two)),
    ]


def test_sweeps_of_one_model_stand_together_and_folders_keep_their_names(folder: Path) -> None:
    (folder / "tuned").mkdir()
    one = write("one.yaml", models=["a/x", "./tuned"])
    two = write("two.yaml", models=["A/x", "a/x", "b/y"], directions={"seed": 1})
    assert [each.name for each in load_campaign([one])] == ["a--x", "tuned"]
    # A file system may not tell A--x from a--x.
    assert [each.name for each in load_campaign([one, write("big.yaml", models=["A/x"])])][-1] == "A--x-big"
    with pytest.raises(ConfigError, match=r"two\.yaml, models\.1 is one more sweep of the model 'a/x'"):
        load_campaign([one, two])
    three = write("three.yaml", models=["b/y", "a/x"], directions={"seed": 1})
    both = load_campaign([one, three])
    assert [each.name for each in both] == ["a--x", "a--x-three", "tuned", "b--y"]
    assert [each.config.model.id for each in both] == ["a/x", "a/x", "./tuned", "b/y"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"models": []}, r"bad\.yaml: `models` is \[\]\. Give a list"),
        ({"models": "a/x"}, r"`models` is 'a/x'\."),
        ({"models": ["a/x"], "model": {"id": "a/x"}}, r"`models` has `model` as well\."),
        ({"models": ["a/x", 7]}, r"bad\.yaml, models\.1 is 7\. Give a model id, or changes"),
        ({"models": ["a/x", {"model.id": "b/y", "dtyp": "float16"}]}, r"bad\.yaml, models\.1 does not .*'dtyp'"),
        ({"models": ["a/x", {"model.id": "b/y", "benchmarks.4.limit": 1}]}, r"models\.1: benchmarks is a list of 1"),
        ({"models": ["a/x", "b/y", "a/x"]}, r"bad\.yaml, models\.2 asks for the sweep of 'a/x' a second time"),
        (
            {"models": ["a/x", *({"model.id": "a/x", "dtype": each} for each in ("float16", "float32"))]},
            r"bad\.yaml, models\.2 is one more sweep of the model 'a/x'",
        ),
    ],
)
def test_what_cannot_be_a_campaign_is_told_with_its_place(folder: Path, content: dict[str, Any], said: str) -> None:  # noqa: ARG001
    path = write("bad.yaml", **content)
    with pytest.raises(ConfigError, match=f"(?s){said}"):
        load_campaign([path])


def test_other_commands_say_who_takes_a_list_of_models(folder: Path) -> None:  # noqa: ARG001
    with pytest.raises(ConfigError, match=r"many\.yaml lists `models`.* only `landscape-ray run` and `plan` take"):
        load_config(write("many.yaml", models=["a/x"]))


def test_ids_of_sweeps_know_nothing_of_campaigns() -> None:
    assert "models" not in SweepConfig.model_fields
