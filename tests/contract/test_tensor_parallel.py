"""Two workers that share a model place the same weights as one that has it alone, and as transformers; and so write."""

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from landscape_ray.config import CheckpointConfig, RunConfig
from landscape_ray.engine import Engine, EngineSpec
from landscape_ray.engine.checkpoint import resolve_delta
from landscape_ray.engine.factory import create_engine
from landscape_ray.evaluation import Benchmark
from landscape_ray.plan import ORIGIN, Perturbation, RandomVector

MakeEngine: TypeAlias = Callable[[str, Path], Engine]

LAYER = RandomVector(seed=1, normalization="layer", excluded=("norm",))
FILTER = RandomVector(seed=2, normalization="filter", excluded=(), included=("proj", "norm"))
NUM_RANDOM = 3


@pytest.mark.slow
def test_two_workers_place_and_say_what_one_does(
    tied_checkpoint: Path,
    tmp_path: Path,
    make_sibling: Callable[..., Path],
    make_engine: MakeEngine,
    make_benchmark: Callable[..., Benchmark],
) -> None:
    delta, benchmark = resolve_delta(CheckpointConfig(id=str(make_sibling(tied_checkpoint, seed=1)))), make_benchmark()
    points = [
        *(Perturbation.of([(LAYER, 0.1)]), ORIGIN, Perturbation.of([(LAYER, -0.05), (FILTER, 0.2)])),
        *(Perturbation.of([(delta, t), (LAYER, 0.1)]) for t in (0.25, 0.75)),
    ]
    job = {"folder": tied_checkpoint, "deltas": (delta,), "points": points, "benchmark": benchmark}
    done = subprocess.run(  # noqa: S603  (our own interpreter and script)
        [sys.executable, str(Path(__file__).with_name("two_workers.py")), str(tmp_path / "answers")],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        input=pickle.dumps(job),
        capture_output=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr.decode()
    answers: Any = pickle.loads((tmp_path / "answers").read_bytes())  # noqa: S301  (of the script)

    run = RunConfig(kv_cache_gib=0.0625, max_num_seqs=16)
    spec = EngineSpec(
        engine="transformers", model=str(tied_checkpoint), revision=None, dtype="float32", run=run, deltas=(delta,)
    )
    oracle, alone = create_engine(spec), make_engine("vllm", tied_checkpoint)
    expected = [(oracle.place(point), oracle.generate([benchmark])) for point in points]
    assert len({digest for digest, _ in expected}) == len(points)
    assert [(alone.place(point), alone.generate([benchmark])) for point in points[:NUM_RANDOM]] == expected[:NUM_RANDOM]
    assert answers["plain"] == expected
    assert answers["as reloaded"] == [[True, True]] * len(points)
    assert answers["reloaded"] == answers["packed"] == [digest for digest, _ in expected]
    # Said once, by the engine whose weights are packed.
    assert done.stderr.count(b"not all can be written in place") == 1
