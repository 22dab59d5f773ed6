"""The command `verify`, on the engine that is up in no time."""

import json
from pathlib import Path

import pytest
import torch

from landscape_ray.cli import main
from landscape_ray.engine.hf.engine import TransformersEngine

DEMO = "jobs/configs/demo.yaml"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_CACHE_ROOT", str(tmp_path / "cache"))


def exit_code(*arguments: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(["verify", DEMO, "--set", "engine=transformers", *arguments])
    return int(left.value.code or 0)


def test_a_table_says_what_was_compared(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code() == 0
    first, columns, *rows, proven, took = capsys.readouterr().out.splitlines()
    assert first.startswith("LlamaForCausalLM, transformers ")
    assert first.endswith(", float32, batching point")
    assert columns.split() == ["way", "point", "difference", "allowed", "answers", "verdict"]
    points = ["origin", "a direction", "two directions and a checkpoint", "a direction", "origin"]
    assert [row.split("  ")[1].strip() for row in rows] == points
    assert all(row.endswith("holds") for row in rows)
    assert "placing proven for LlamaForCausalLM" in proven
    assert took.startswith("took")


@pytest.mark.slow
def test_the_model_itself_is_proven_and_a_stale_norm_of_it_seen(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert exit_code("--full", "--json", "--set", "dtype=bfloat16") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["on"], found["ways"]) == ("model", {"in place": True})
    place = TransformersEngine.place

    def place_but_one(engine: TransformersEngine, perturbation: object) -> str:
        stale = engine._parameters["model.layers.7.post_attention_layernorm.weight"]
        before = stale.detach().clone()
        digest = place(engine, perturbation)  # type: ignore[arg-type]
        with torch.no_grad():
            stale.copy_(before)
        return digest

    monkeypatch.setattr(TransformersEngine, "place", place_but_one)
    assert exit_code("--full", "--json") == 1
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert found["ways"] == {"in place": False}
    assert [each["holds"] for each in found["comparisons"]] == [True, False, False, False, True]
    assert "computes something else at a direction, two directions and a checkpoint" in captured.err


def test_there_is_nothing_to_verify_without_weights(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("--set", "engine=synthetic") == 2
    assert "has no weights, so there is nothing to verify" in capsys.readouterr().err
