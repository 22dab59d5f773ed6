"""Planning, scoring and reporting work on a laptop: nothing heavy is imported before it is needed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENGINES = {"torch", "vllm", "transformers", "safetensors"}


def loaded_after(code: str, *, cwd: Path = ROOT) -> set[str]:
    """Return the top-level modules that a fresh interpreter has loaded after running some code."""
    names = "json.dumps(sorted({name.partition('.')[0] for name in sys.modules}))"
    script = f"{code}\nimport json, sys\nprint()\nprint({names})"
    result = subprocess.run(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=cwd
    )
    return set(json.loads(result.stdout.splitlines()[-1]))


def test_the_package_itself_is_light() -> None:
    heavy = ENGINES | {"numpy", "pydantic", "pyarrow", "ray", "matplotlib", "huggingface_hub", "typer"}
    assert loaded_after("import landscape_ray") & heavy == set()


def test_planning_and_loading_prompts_need_no_numpy() -> None:
    code = "import landscape_ray.planning, landscape_ray.evaluation, landscape_ray.config"
    heavy = ENGINES | {"numpy", "pyarrow", "ray", "matplotlib", "huggingface_hub"}
    assert loaded_after(code) & heavy == set()


@pytest.mark.slow
@pytest.mark.parametrize("module", ["analysis", "store", "report", "engine", "cli"])
def test_no_layer_of_the_driver_loads_an_engine(module: str) -> None:
    assert loaded_after(f"import landscape_ray.{module}") & (ENGINES | {"ray"}) == set()


@pytest.mark.slow
def test_the_process_of_an_engine_begins_with_what_it_needs() -> None:
    code = "import sys, landscape_ray.sweep.actor; assert not {'scipy.stats', 'scipy.special'} & set(sys.modules)"
    assert loaded_after(code) & (ENGINES | {"rich", "grpc", "matplotlib"}) == set()
