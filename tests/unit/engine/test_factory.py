"""Engines are imported on demand, and a missing package is the user's error."""

import os
import sys
from typing import Literal

import pytest

from landscape_ray.config import RunConfig
from landscape_ray.engine import EngineSpec
from landscape_ray.engine.factory import create_engine
from landscape_ray.errors import ResourceError

ROOMS = {"vllm": "vllm", "transformers": "hf"}


@pytest.mark.parametrize("engine", ["vllm", "transformers"])
def test_a_missing_package_says_what_to_install(
    engine: Literal["vllm", "transformers"], monkeypatch: pytest.MonkeyPatch
) -> None:
    # None in sys.modules makes the import fail as it does where the package is not installed.
    for name in [name for name in sys.modules if name.startswith(f"landscape_ray.engine.{ROOMS[engine]}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "landscape_ray.engine.tokens.encoding", raising=False)
    monkeypatch.setitem(sys.modules, "transformers", None)
    spec = EngineSpec(engine=engine, model=".", revision=None, dtype="float32", run=RunConfig())
    with pytest.raises(ResourceError, match=rf"The {engine} engine cannot be imported here.*landscape-ray\[gpu\]"):
        create_engine(spec)


@pytest.mark.slow
def test_a_cpu_has_no_batch_invariant_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    platforms = pytest.importorskip("vllm.platforms")
    monkeypatch.setattr(platforms.current_platform, "is_cpu", lambda: True)
    spec = EngineSpec(engine="vllm", model=".", revision=None, dtype="float32", run=RunConfig(strict=True))
    with pytest.raises(ResourceError, match=r"run\.strict asks for kernels .*, which vLLM has for GPUs only\."):
        create_engine(spec)
    assert "VLLM_BATCH_INVARIANT" not in os.environ
