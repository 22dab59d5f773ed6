"""Families of models: what is placed computes what the same weights loaded afresh compute.

`benchmarks/model_families.py` measures that, in processes of its own: vLLM changes classes of transformers.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
RECORDED: dict[str, Any] = json.loads((ROOT / "docs" / "models.json").read_text())["families"]


def measured(results: Path) -> dict[str, Any]:
    script = ROOT / "benchmarks" / "model_families.py"
    path = os.pathsep.join([str(ROOT), str(script.parent), os.environ.get("PYTHONPATH", "")])
    subprocess.run(  # noqa: S603  (our own interpreter and script)
        [sys.executable, str(script), "--results", str(results)],
        check=True,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
    )
    families: dict[str, Any] = json.loads(results.read_text())["families"]
    return families


def states(family: dict[str, Any]) -> dict[str, str]:
    ways = family["vllm"] | {"oracle": family["transformers"]}
    return {way: found["state"] for way, found in ways.items()}


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(3 * 3600)
def test_all_families_are_as_recorded(tmp_path: Path) -> None:
    found = measured(tmp_path / "models.json")
    for name, family in RECORDED.items():
        recorded = {way: state for way, state in states(family).items() if state != "not measured"}
        assert {way: states(found[name])[way] for way in recorded} == recorded, name
        if family["agreement"] is not None:
            assert found[name]["agreement"]["state"] == family["agreement"]["state"], name
