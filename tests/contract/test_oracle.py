"""vLLM against transformers under the same weights: token for token, or what we measure is not the model."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
import torch
from safetensors.torch import load_file

from landscape_ray.engine import Engine
from landscape_ray.evaluation import Benchmark
from landscape_ray.planning import ORIGIN, Perturbation, RandomVector, direction_seed

MakeEngine: TypeAlias = Callable[[str, Path], Engine]
MakeBenchmark: TypeAlias = Callable[..., Benchmark]

VECTOR = RandomVector(seed=direction_seed(0, 0, 0), normalization="layer", excluded=("norm",))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tied", "untied"])
def test_greedy_tokens_are_equal(
    kind: str, make_engine: MakeEngine, make_benchmark: MakeBenchmark, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(f"{kind}_checkpoint")
    assert ("lm_head.weight" in load_file(folder / "model.safetensors")) == (kind == "untied")
    vllm, oracle = make_engine("vllm", folder), make_engine("transformers", folder)
    benchmark = make_benchmark()
    outputs = []
    for alpha in (0.0, 0.1, 0.3, 0.0):
        point = Perturbation.of([(VECTOR, alpha)])
        assert vllm.place(point) == oracle.place(point)
        (got,), (expected,) = vllm.generate([benchmark]), oracle.generate([benchmark])
        assert [completion.token_ids for completion in got] == [completion.token_ids for completion in expected]
        assert got == expected
        outputs.append(got)
    assert outputs[0] == outputs[3]
    # The points are far enough apart to tell weights that did not move.
    assert all(a != b for a, b in zip(outputs[0], outputs[2], strict=True))


@pytest.mark.slow
def test_no_cached_prefix_of_another_point_is_used(
    make_engine: MakeEngine, make_benchmark: MakeBenchmark, tied_checkpoint: Path
) -> None:
    vllm, oracle = make_engine("vllm", tied_checkpoint), make_engine("transformers", tied_checkpoint)
    # A shared prefix of several blocks of the prefix cache, which no update of weights empties.
    benchmark = make_benchmark(system_prompt="safety" * 50)
    for alpha in (0.0, 0.2, 0.0):
        point = Perturbation.of([(VECTOR, alpha)])
        vllm.place(point)
        oracle.place(point)
        assert vllm.generate([benchmark]) == oracle.generate([benchmark])


def test_a_hundred_points_then_the_origin_leave_the_live_weights_bit_equal(
    make_engine: MakeEngine, tied_checkpoint: Path
) -> None:
    oracle = make_engine("transformers", tied_checkpoint)
    for i in range(100):
        vector = RandomVector(seed=i % 7, normalization="layer", excluded=("norm",))
        oracle.place(Perturbation.of([(vector, (-1) ** i * (i + 1) / 50)]))
    oracle.place(ORIGIN)
    live = oracle._parameters  # type: ignore[attr-defined]
    for name, tensor in load_file(tied_checkpoint / "model.safetensors").items():
        assert torch.equal(live[name], tensor)
