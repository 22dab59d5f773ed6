"""The notebooks of docs/ run from beginning to end, and what they show is what is in the folders that they made."""

import base64
import re
import shutil
from pathlib import Path
from typing import Any

import nbformat
import pytest
import ray
from nbclient import NotebookClient

from landscape_ray.report.agreement import compare_judges
from landscape_ray.report.comparison import compare_results
from landscape_ray.report.results import load_results
from landscape_ray.report.scores import score

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]


def executed(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, list[Any]]:
    """Run a notebook in a copy of its surroundings; return the folder of its results, and what its cells put out."""
    shutil.copytree(ROOT / "jobs" / "configs", tmp_path / "jobs" / "configs")
    folder = tmp_path / "docs" / "notebooks"
    folder.mkdir(parents=True)
    monkeypatch.setenv("RAY_ADDRESS", ray.get_runtime_context().gcs_address)
    notebook = read(ROOT / "docs" / "notebooks" / f"{name}.ipynb")
    NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(folder)}}).execute()
    return folder / "results", [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]


def said(outputs: list[Any]) -> str:
    """All the text that a notebook shows."""
    flat = [output for cell in outputs for output in cell]
    return "\n".join(each.get("text") or each.get("data", {}).get("text/plain", "") for each in flat)


def figures(outputs: list[Any]) -> list[bytes]:
    """The drawings that it shows."""
    shown = [output.get("data", {}).get("text/html", "") for cell in outputs for output in cell]
    return [base64.b64decode(found) for page in shown for found in re.findall(r"svg\+xml;base64,([\w+/=]+)", page)]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_outputs_and_linked(path: Path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    assert [cell for cell in notebook.cells if cell.get("outputs") or cell.get("execution_count")] == []
    assert f"](notebooks/{path.name})" in (ROOT / "docs" / "api.md").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_the_first_basin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results, outputs = executed("first-basin", tmp_path, monkeypatch)
    found = load_results(str(results / "first-basin"))
    values = found.landscapes["harmful"].values
    assert values[:, 3].max() < 10, "the model refuses at the origin"
    assert values.max() > 80, "and gives way"
    assert f"VISAGE {score(found)['harmful'].visage.value:.1f} (" in said(outputs)  # type: ignore[union-attr]
    assert "num_done=14, num_failed=0" in said(outputs)
    assert [b"<svg" in figure for figure in figures(outputs)] == [True]


@pytest.mark.long
@pytest.mark.usefixtures("local_ray")
def test_what_a_finetune_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results, outputs = executed("compare-a-finetune", tmp_path, monkeypatch)
    before, after = (load_results(str(results / name)) for name in ("demo", "demo-finetuned"))
    margin = compare_results(before, after).benchmarks["harmful"]["mean_margin"]
    assert margin.before is not None
    assert margin.after is not None
    assert margin.after < margin.before, "the finetuned model has lost alignment"
    assert f"mean margin {margin.before:.1f} -> {margin.after:.1f}" in said(outputs)
    assert outputs[-1][-1]["data"]["text/plain"] == "False"
    assert len(figures(outputs)) == 2


@pytest.mark.long
@pytest.mark.usefixtures("local_ray")
def test_a_judge_and_prompts_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results, outputs = executed("own-judge-and-benchmark", tmp_path, monkeypatch)
    keyword, mine = (load_results(str(results / "mine"), judge).landscapes["mine"] for judge in (None, "mine"))
    assert keyword.num_prompts == 8
    assert (mine.values <= keyword.values).all(), "an answer that helps holds no phrase of refusal"
    assert mine.values[0, 3] > 0, "the finetuned model helps"
    ends = [0, -1]
    assert mine.values[0, ends].max() < keyword.values[0, ends].min(), "gibberish is success to one of them only"
    raw = compare_judges(str(results / "mine"), ("keyword", "mine"))["mine"].agreements[0, 1].raw
    assert f"agreement {100 * raw.num / raw.total:.1f} %" in said(outputs)
