"""Families of models: what is placed computes what the same weights loaded afresh compute.

`benchmarks/model_families.py` measures that, in processes of its own: vLLM changes classes of transformers.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
RECORDED: dict[str, Any] = json.loads((ROOT / "docs" / "models.json").read_text())["families"]


def measured(results: Path, names: Sequence[str]) -> dict[str, Any]:
    script = ROOT / "benchmarks" / "model_families.py"
    path = os.pathsep.join([str(ROOT), str(script.parent), os.environ.get("PYTHONPATH", "")])
    subprocess.run(  # noqa: S603  (our own interpreter and script)
        [sys.executable, str(script), "--results", str(results), "--only", *names],
        check=True,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
    )
    families: dict[str, Any] = json.loads(results.read_text())["families"]
    return families


def states(family: dict[str, Any]) -> dict[str, str]:
    ways = family["vllm"] | {"oracle": family["transformers"]}
    return {way: found["state"] for way, found in ways.items()}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_language_model_within_a_wrapper_is_right(tmp_path: Path) -> None:
    # Its head is tied, too. Experts are proven in `test_proof.py`.
    found = measured(tmp_path / "models.json", ["Gemma 3"])["Gemma 3"]
    assert set(states(found).values()) == {"right"}, found
    assert found["agreement"]["state"] == "right", found


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(3 * 3600)
def test_all_families_are_as_recorded(tmp_path: Path) -> None:
    found = measured(tmp_path / "models.json", list(RECORDED))
    for name, family in RECORDED.items():
        recorded = {way: state for way, state in states(family).items() if state != "not measured"}
        assert {way: states(found[name])[way] for way in recorded} == recorded, name
