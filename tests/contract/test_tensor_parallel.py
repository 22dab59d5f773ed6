"""Two workers that share a model place and write what transformers does, as one worker does in `test_placement.py`."""

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from landscape_ray.config import CheckpointConfig, RunConfig
from landscape_ray.engine import EngineSpec
from landscape_ray.engine.checkpoints.resolution import resolve_delta
from landscape_ray.engine.factory import create_engine
from landscape_ray.evaluation import Benchmark
from landscape_ray.planning import ORIGIN, CheckpointDelta, ComputedVector, Perturbation, RandomVector

LAYER = RandomVector(seed=1, normalization="layer", excluded=("norm",))
FILTER = RandomVector(seed=2, normalization="filter", excluded=(), included=("proj", "norm"))


@pytest.mark.slow
def test_two_workers_place_and_write_what_one_does(  # noqa: PLR0917  (by name)
    tied_checkpoint: Path,
    tmp_path: Path,
    make_sibling: Callable[..., Path],
    make_benchmark: Callable[..., Benchmark],
    store_tensors: Callable[..., tuple[CheckpointDelta, ...]],
    computed_vectors: Callable[..., dict[str, ComputedVector]],
) -> None:
    siblings = (make_sibling(tied_checkpoint, seed=seed) for seed in (1, 2))
    delta, other = (resolve_delta(CheckpointConfig(id=str(folder))) for folder in siblings)
    stored, benchmark = store_tensors(tied_checkpoint), make_benchmark()
    points = [
        *(Perturbation.of([(LAYER, 0.1)]), ORIGIN, Perturbation.of([(LAYER, -0.05), (FILTER, 0.2)])),
        *(Perturbation.of([(delta, t), (LAYER, 0.1)]) for t in (0.25, 0.75)),
        *(Perturbation.of([(vector, 0.4)]) for vector in computed_vectors(delta, other, *stored).values()),
    ]
    run = RunConfig(kv_cache_gib=0.0625, max_num_seqs=16, tensor_parallel=2)
    deltas = (delta, other, *stored)
    spec = EngineSpec(engine="vllm", model=str(tied_checkpoint), revision=None, dtype="float32", run=run, deltas=deltas)
    job = {"spec": spec, "points": points, "line": points[:3], "benchmark": benchmark}
    done = subprocess.run(  # noqa: S603  (our own interpreter and script)
        [sys.executable, str(Path(__file__).with_name("two_workers.py")), str(tmp_path / "answers")],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        input=pickle.dumps(job),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    answers: Any = pickle.loads((tmp_path / "answers").read_bytes())  # noqa: S301  (of the script)

    oracle: Any = create_engine(replace(spec, engine="transformers"))
    expected = [(oracle.place(point), oracle.generate([benchmark])) for point in points]
    assert len({digest for digest, _ in expected}) == len(points)
    assert answers["plain"] == expected
    assert answers["as reloaded"] == [[True, True]] * len(points)
    assert answers["reloaded"] == answers["packed"] == [digest for digest, _ in expected]
    assert answers["line"][1] == [completions for _, completions in expected[:3]]
    assert answers["line"][0] == oracle.place_points(points[:3])
    # Said once, by the engine whose weights are packed.
    assert done.stderr.count(b"not all can be written in place") == 1
