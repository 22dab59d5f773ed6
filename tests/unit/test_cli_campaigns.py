"""`plan` of several sweeps, and what `run` refuses of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

CLI = Callable[[str], Any]


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A campaign of two models on the synthetic engine, one of them with a draw less."""
    (tmp_path / "prompts.csv").write_text("prompt\n" + "".join(f"prompt {i}\n" for i in range(10)))
    path = tmp_path / "models.yaml"
    content = {
        "models": ["here/one", {"model.id": "there/two", "directions.draws": 1}],
        "engine": "synthetic",
        "landscape": {"axes": [{"num": 3}]},
        "directions": {"draws": 2},
        "benchmarks": [{"name": "mine", "prompts": {"source": "file", "path": str(tmp_path / "prompts.csv")}}],
    }
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.mark.usefixtures("models")
def test_plan_tells_folders_and_adds_up(cli: CLI) -> None:
    # Two visits of the origin, and two points a draw.
    shown = cli("plan models.yaml")
    assert shown.code == 0
    assert "folder       OUT/here--one\n" in shown.out
    assert shown.out.endswith("campaign  2 sweeps, 10 visits\n")
    (document,) = cli("plan models.yaml --json").lines
    assert [(each["name"], each["num_visits"]) for each in document["sweeps"]] == [("here--one", 6), ("there--two", 4)]
    assert (document["num_visits"], document["seconds"]) == (10, None)
    (document,) = cli("plan models.yaml --json --set directions.draws=3").lines
    assert document["num_visits"] == 16


@pytest.mark.usefixtures("models")
def test_commands_for_one_sweep_refuse_a_list_of_models(cli: CLI) -> None:
    for line in ("config show models.yaml", "submit models.yaml --out /shared"):
        shown = cli(line)
        assert (shown.code, shown.out) == (2, "")
        assert shown.err.startswith("Error: models.yaml lists `models`, so it is a campaign")


@pytest.mark.usefixtures("models")
def test_run_prepares_all_before_anything_begins(cli: CLI, tmp_path: Path) -> None:
    text = (tmp_path / "models.yaml").read_text()
    (tmp_path / "bad.yaml").write_text(text.replace("prompts.csv", "none.csv").replace("here/one", "here/three"))
    shown = cli("run models.yaml bad.yaml --out all --json")
    assert shown.code == 2
    (end,) = shown.lines
    assert end["error"].startswith("there--two-bad: Benchmark 'mine': cannot read the prompt file")
    assert not (tmp_path / "all").exists()
