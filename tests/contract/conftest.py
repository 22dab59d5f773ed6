"""Engines that the contract suite shares."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from landscape_ray.config import RunConfig, SyntheticFaults
from landscape_ray.engine import Engine, EngineSpec
from landscape_ray.engine.factory import create_engine
from landscape_ray.plan import (
    CheckpointDelta,
    Complement,
    ComputedVector,
    LowRank,
    Pruning,
    QuantizationError,
    SingularPart,
    TaskVector,
)

KINDS = ("low_rank", "complement", "task_vector", "svd", "quantization_error", "pruning")


def make_spec(engine: Any, folder: Path) -> EngineSpec:
    return EngineSpec(
        engine=engine,
        model=str(folder),
        revision=None,
        dtype="float32",
        run=RunConfig(kv_cache_gib=0.0625, max_num_seqs=16, synthetic=SyntheticFaults()),
    )


@pytest.fixture(scope="module", autouse=True)
def _environment() -> Iterator[None]:
    """Take back what vLLM sets for processes to come: Ray would hand it to the engines of later tests."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="module")
def make_engine() -> Iterator[Any]:
    """Build an engine once per module and checkpoint; vLLM takes long to start.

    Not once per session: closing any vLLM engine takes away the process's groups of workers, those of all others, too.
    """
    engines: dict[tuple[str, Path], Engine] = {}

    def make(engine: str, folder: Path) -> Engine:
        if (engine, folder) not in engines:
            engines[engine, folder] = create_engine(make_spec(engine, folder))
        return engines[engine, folder]

    yield make
    for engine in engines.values():
        engine.close()


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Give each kind of direction whose tensors are computed."""
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def computed_vectors() -> Callable[[CheckpointDelta, CheckpointDelta], dict[str, ComputedVector]]:
    """Make a vector of each kind out of two checkpoints."""

    def make(first: CheckpointDelta, second: CheckpointDelta) -> dict[str, ComputedVector]:
        return {
            "low_rank": LowRank(seed=3, rank=2, normalization="layer", excluded=("norm",)),
            "complement": Complement(seed=4, to=first, normalization="filter", excluded=("norm",)),
            "task_vector": TaskVector(minus=first, plus=second),
            "svd": SingularPart(to=first, rank=4, part="rest", normalization="layer"),
            "quantization_error": QuantizationError(format="int4", by="group", group_size=8),
            "pruning": Pruning(share=0.4, included=("proj",)),
        }

    return make
