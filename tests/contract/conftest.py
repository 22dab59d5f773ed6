"""Engines that the contract suite shares."""

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save

from landscape_ray.config import RunConfig, SyntheticFaults
from landscape_ray.engine import Engine, EngineSpec
from landscape_ray.engine.factory import create_engine
from landscape_ray.planning import (
    CheckpointDelta,
    Complement,
    ComputedVector,
    Gradient,
    LowRank,
    Pruning,
    QuantizationError,
    RefusalAblation,
    SingularPart,
    StoredTensors,
    TaskVector,
)

KINDS = (
    *("low_rank", "complement", "task_vector", "svd", "quantization_error", "pruning"),
    *("refusal_ablation", "gradient"),
)


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
def store_tensors(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], tuple[StoredTensors, StoredTensors]]:
    """Store what engines compute for a Llama: a unit direction for what writes to its stream, and a gradient."""

    def stored(tensors: dict[str, torch.Tensor]) -> StoredTensors:
        content = save(tensors)
        digest = hashlib.sha256(content).hexdigest()
        folder = tmp_path_factory.mktemp("directions")
        (folder / "tensors.safetensors").write_bytes(content)
        return replace(StoredTensors.of(digest), location=str(folder))

    def make(of: Path) -> tuple[StoredTensors, StoredTensors]:
        weights, generator = load_file(of / "model.safetensors"), torch.Generator().manual_seed(6)
        shapes = {"embed_tokens": (1, -1), "o_proj": (-1, 1), "down_proj": (-1, 1)}
        r = torch.nn.functional.normalize(torch.randn(64, generator=generator), dim=0)
        along = {name: r.view(shape).clone() for name in weights for part, shape in shapes.items() if part in name}
        return stored(along), stored({name: torch.randn(w.shape, generator=generator) for name, w in weights.items()})

    return make


@pytest.fixture(scope="session")
def computed_vectors() -> Callable[..., dict[str, ComputedVector]]:
    """Make a vector of each kind out of two checkpoints and of stored tensors."""

    def make(
        first: CheckpointDelta, second: CheckpointDelta, along: StoredTensors, of: StoredTensors
    ) -> dict[str, ComputedVector]:
        return {
            "low_rank": LowRank(seed=3, rank=2, normalization="layer", excluded=("norm",)),
            "complement": Complement(seed=4, to=first, normalization="filter", excluded=("norm",)),
            "task_vector": TaskVector(minus=first, plus=second),
            "svd": SingularPart(to=first, rank=4, part="rest", normalization="layer"),
            "quantization_error": QuantizationError(format="int4", by="group", group_size=8),
            "pruning": Pruning(share=0.4, included=("proj",)),
            "refusal_ablation": RefusalAblation(along=along),
            "gradient": Gradient(of=of, normalization="layer", excluded=("norm",)),
        }

    return make
