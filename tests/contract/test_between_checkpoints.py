"""The ends of an interpolation are the checkpoints themselves: token for token, in the engine that serves the model."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from landscape_ray.config import BenchmarkConfig, CheckpointConfig, ModelConfig, RunConfig
from landscape_ray.engine import Engine, EngineSpec
from landscape_ray.engine.checkpoints.resolution import resolve, resolve_delta
from landscape_ray.engine.factory import create_engine
from landscape_ray.errors import CheckpointError
from landscape_ray.evaluation import Benchmark, load_benchmark
from landscape_ray.planning import ORIGIN, CheckpointDelta, Perturbation, TaskVector

MakeSibling = Callable[..., Path]
MakeBenchmark = Callable[..., Benchmark]
RUN = RunConfig(kv_cache_gib=0.0625, max_num_seqs=16)


def engine_of(engine: Any, model: str, deltas: Sequence[CheckpointDelta] = (), dtype: Any = "float32") -> Engine:
    found = resolve(ModelConfig(id=model))
    return create_engine(
        EngineSpec(engine=engine, model=found.location, revision=None, dtype=dtype, run=RUN, deltas=tuple(deltas))
    )


def delta_to(folder: Path | str) -> CheckpointDelta:
    return resolve_delta(CheckpointConfig(id=str(folder)))


def at(*terms: tuple[CheckpointDelta, float]) -> Perturbation:
    return Perturbation.of(terms)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", ["tied", "untied"])
def test_each_end_is_the_checkpoint_itself(
    kind: str, dtype: str, request: pytest.FixtureRequest, make_sibling: MakeSibling, make_benchmark: MakeBenchmark
) -> None:
    model, benchmark = request.getfixturevalue(f"{kind}_checkpoint"), make_benchmark()
    folders = make_sibling(model, seed=1), make_sibling(model, seed=2, dtype="bfloat16")
    first, second = map(delta_to, folders)
    engine = engine_of("transformers", str(model), [first, second], dtype)
    outputs = []
    for folder, point in [
        (folders[0], at((first, 1.0))),
        (model, at((first, 0.0), (second, 0.0))),
        (folders[1], at((first, 0.0), (second, 1.0))),
    ]:
        own = engine_of("transformers", str(folder), dtype=dtype)
        assert engine.place(point) == own.place(ORIGIN)
        outputs.append(engine.generate([benchmark]))
        assert outputs[-1] == own.generate([benchmark])
    engine.place(at((first, 0.5)))
    outputs.append(engine.generate([benchmark]))
    assert all(a != b for i, a in enumerate(outputs) for b in outputs[:i])


def test_an_adapter_and_its_merged_checkpoint_are_one_landscape(
    untied_checkpoint: Path, make_adapter: Callable[..., tuple[Path, Path]], make_benchmark: MakeBenchmark
) -> None:
    adapter, merged = map(delta_to, make_adapter(untied_checkpoint))
    assert adapter != merged
    engine, benchmark = engine_of("transformers", str(untied_checkpoint), [adapter, merged]), make_benchmark()
    outputs = []
    for t in (0.0, -0.5, 0.4, 1.0, 1.5):
        found = [(engine.place(at((delta, t))), engine.generate([benchmark])) for delta in (adapter, merged)]
        assert found[0] == found[1]
        outputs.append(found[0])
    assert all(a != b for i, a in enumerate(outputs) for b in outputs[:i])
    own = engine_of("transformers", merged.location)
    assert (own.place(ORIGIN), own.generate([benchmark])) == outputs[3]


def test_a_task_vector_from_the_model_leads_to_the_other_checkpoint(
    untied_checkpoint: Path, make_sibling: MakeSibling
) -> None:
    base, other = map(delta_to, (untied_checkpoint, make_sibling(untied_checkpoint, seed=1)))
    engine = engine_of("transformers", str(untied_checkpoint), [base, other])
    vector = TaskVector(minus=base, plus=other)
    digests = [engine.place(Perturbation.of([(vector, t)])) for t in (-1.0, 0.0, 0.5)]
    assert digests == [engine.place(at((other, t))) for t in (-1.0, 0.0, 0.5)]  # half of the way both start at the base
    assert len(set(digests)) == 3
    # Only patterns keep tensors where they are.
    none = TaskVector(minus=base, plus=other, included=("model",), excluded=("weight",))
    with pytest.raises(CheckpointError, match="leave none of the checkpoint's"):
        engine.place(Perturbation.of([(none, 1.0)]))


@pytest.fixture(scope="module")
def demo_benchmark() -> Benchmark:
    config = BenchmarkConfig.model_validate({"name": "harmful", "prompts": {"source": "demo"}, "limit": 16})
    return replace(load_benchmark(config), max_new_tokens=24)


@pytest.mark.slow
def test_vllm_reaches_the_embedded_models_token_for_token(demo_benchmark: Benchmark) -> None:
    delta = delta_to("demo:finetuned")
    vllm = engine_of("vllm", "demo:aligned", [delta])
    try:
        outputs = []
        for model, t in [("demo:finetuned", 1.0), ("demo:aligned", 0.0)]:
            own = engine_of("transformers", model)
            assert vllm.place(at((delta, t))) == own.place(ORIGIN)
            outputs.append(vllm.generate([demo_benchmark]))
            assert outputs[-1] == own.generate([demo_benchmark])
        assert outputs[0] != outputs[1]
    finally:
        vllm.close()
