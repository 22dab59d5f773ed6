"""Weights written straight into a live vLLM model, against vLLM's own reloading: the same state, the same text."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import torch

from landscape_ray.config import CheckpointConfig, RunConfig
from landscape_ray.engine import Engine, EngineSpec
from landscape_ray.engine.checkpoints.resolution import resolve_delta
from landscape_ray.engine.factory import create_engine
from landscape_ray.engine.vllm.layout import LoadingTrace
from landscape_ray.engine.vllm.placing import Placing
from landscape_ray.evaluation import Benchmark
from landscape_ray.planning import ORIGIN, CheckpointDelta, ComputedVector, Perturbation, RandomVector
from landscape_ray.weights import Perturber, open_endpoint

MakeEngine: TypeAlias = Callable[[str, Path], Engine]
MakeBenchmark: TypeAlias = Callable[..., Benchmark]

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
LAYER = RandomVector(seed=1, normalization="layer", excluded=("norm",))
FILTER = RandomVector(seed=2, normalization="filter", excluded=(), included=("proj", "norm"))
POINTS = (Perturbation.of([(LAYER, 0.1)]), ORIGIN, Perturbation.of([(LAYER, -0.05), (FILTER, 0.2)]))


@pytest.fixture(scope="module", params=["tied", "untied"])
def folder(request: pytest.FixtureRequest) -> Path:
    checkpoint: Path = request.getfixturevalue(f"{request.param}_checkpoint")
    return checkpoint


@pytest.fixture(scope="module")
def deltas(
    folder: Path, make_sibling: Callable[..., Path], store_tensors: Callable[..., tuple[CheckpointDelta, ...]]
) -> tuple[CheckpointDelta, ...]:
    siblings = (resolve_delta(CheckpointConfig(id=str(make_sibling(folder, seed=seed)))) for seed in (1, 2))
    return (*siblings, *store_tensors(folder))


def spec_of(engine: Any, folder: Path, deltas: tuple[CheckpointDelta, ...]) -> EngineSpec:
    run = RunConfig(kv_cache_gib=0.0625, max_num_seqs=16)
    return EngineSpec(engine=engine, model=str(folder), revision=None, dtype="float32", run=run, deltas=deltas)


@pytest.fixture(scope="module")
def engine_of() -> Iterator[Callable[..., Any]]:
    """Make an engine the first time, to be kept."""
    engines: dict[Path, Any] = {}

    def make(folder: Path, deltas: tuple[CheckpointDelta, ...]) -> Any:
        if folder not in engines:
            engines[folder] = create_engine(spec_of("vllm", folder, deltas))
        return engines[folder]

    yield make
    for engine in engines.values():
        engine.close()


@pytest.fixture
def engine(
    engine_of: Callable[..., Any],
    folder: Path,
    deltas: tuple[CheckpointDelta, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> Any:
    """An engine that computes with its parameters as they are, as on a GPU: CPUs pack them where they can."""
    import vllm._custom_ops  # noqa: PLC0415

    # As long as it is used: reloading looks again.
    monkeypatch.setattr(vllm._custom_ops, "_supports_onednn", False)
    return engine_of(folder, deltas)


def worker_of(engine: Any) -> Any:
    return engine._llm.llm_engine.model_executor.driver_worker.worker


def state_of(worker: Any) -> dict[str, torch.Tensor]:
    """Every parameter and buffer of the live model."""
    return {name: tensor.clone() for name, tensor in worker.model_runner.get_model().state_dict().items()}


def test_live_weights_are_those_that_reloading_leaves(engine: Any) -> None:
    worker = worker_of(engine)
    assert worker._regions is not None
    for point in POINTS:
        addresses = [parameter.data_ptr() for parameter in worker.model_runner.get_model().parameters()]
        digest = engine.place(point)
        placed = state_of(worker)
        assert [parameter.data_ptr() for parameter in worker.model_runner.get_model().parameters()] == addresses
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(worker, "_fused_pass", None)
            engine.place(ORIGIN if point.terms else POINTS[0])
            assert engine.place(point) == digest
        reloaded = state_of(worker)
        assert placed.keys() == reloaded.keys()
        for name, tensor in reloaded.items():
            assert torch.equal(placed[name], tensor), name


def test_text_is_that_of_transformers(
    engine: Any, folder: Path, make_engine: MakeEngine, make_benchmark: MakeBenchmark
) -> None:
    oracle, benchmark = make_engine("transformers", folder), make_benchmark()
    texts = []
    for point in POINTS:
        assert engine.place(point) == oracle.place(point)
        texts.append(engine.generate([benchmark]))
        assert texts[-1] == oracle.generate([benchmark])
    assert texts[0] != texts[1] != texts[2]


@pytest.fixture(scope="module")
def oracle(folder: Path, deltas: tuple[CheckpointDelta, ...]) -> Any:
    return create_engine(spec_of("transformers", folder, deltas))


def test_each_kind_of_direction_is_written_in_place_with_the_bits_of_transformers(  # noqa: PLR0917  (by name)
    kind: str,
    engine: Any,
    oracle: Any,
    deltas: tuple[CheckpointDelta, ...],
    computed_vectors: Callable[..., dict[str, ComputedVector]],
    make_benchmark: MakeBenchmark,
) -> None:
    vector, benchmark = computed_vectors(*deltas)[kind], make_benchmark()
    assert worker_of(engine)._regions is not None
    digests = set()
    for point in (Perturbation.of([(vector, 1.0)]), Perturbation.of([(LAYER, 0.05), (vector, -0.3)])):
        digest = engine.place(point)
        assert digest == oracle.place(point)
        assert engine.generate([benchmark]) == oracle.generate([benchmark])
        with pytest.MonkeyPatch.context() as patch:  # nor does it matter which way they are placed
            patch.setattr(worker_of(engine), "_fused_pass", None)
            assert engine.place(point) == digest
        digests.add(digest)
    assert len(digests) == 2
    # What the oracle holds is the point of the tests in tests/unit/weights/kinds, by its definition.
    base, live = oracle._base, oracle._parameters
    sources = {delta: open_endpoint(Path(delta.location), base) for delta in deltas}
    for name, tensor in Perturber(base, dtype=torch.float32, device=CPU, endpoints=sources).tensors(point):
        assert torch.equal(live[name], tensor), name


def test_packed_weights_go_through_reloading_with_the_same_digests(make_engine: MakeEngine, folder: Path) -> None:
    engine: Any = make_engine("vllm", folder)
    oracle = make_engine("transformers", folder)
    worker = worker_of(engine)
    assert any(parameter.numel() == 0 for parameter in worker.model_runner.get_model().parameters())
    assert worker._fused_pass is not None
    assert worker._regions is None
    for point in POINTS:
        assert engine.place(point) == oracle.place(point)


@pytest.mark.parametrize("fault", ["two parts exchanged", "a part left out", "weights kept twice"])
def test_a_layout_that_does_not_prove_itself_is_not_written_to(
    fault: str, engine: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from landscape_ray.engine.vllm import worker as vllm_worker  # noqa: PLC0415  (needs vLLM)

    worker = worker_of(engine)
    model = worker.model_runner.get_model()
    gate, up = (f"model.layers.1.mlp.{name}_proj.weight" for name in ("gate", "up"))

    class FaultyTrace(LoadingTrace):  # type: ignore[no-untyped-call]
        def regions(self, model: torch.nn.Module) -> Any:
            regions: Any = super().regions(model)
            if fault == "two parts exchanged":
                targets = regions[gate][0].target, regions[up][0].target
                for name, target in zip((up, gate), targets, strict=True):
                    regions[name] = [type(regions[name][0])(name=name, row=0, column=0, target=target)]
            elif fault == "a part left out":
                del regions[gate]
            return regions

    reload_weights = worker.reload_weights

    def reload_and_derive(**settings: Any) -> None:
        reload_weights(**settings)
        model.derived = model.get_submodule("model.norm").weight.detach() * 2

    monkeypatch.setattr(worker, "_regions", worker._regions)  # to be put back
    monkeypatch.setattr(vllm_worker, "LoadingTrace", FaultyTrace)
    if fault == "weights kept twice":
        monkeypatch.setattr(model, "derived", None, raising=False)
        monkeypatch.setattr(worker, "reload_weights", reload_and_derive)
    with caplog.at_level(logging.INFO, logger="landscape_ray"):
        Placing(engine._llm.collective_rpc)
    assert worker._regions is None
    (message,) = [record.message for record in caplog.records]
    problem = {
        "two parts exchanged": "model.layers.1.mlp.gate_up_proj: _parameters.weight differs",
        "a part left out": f"{gate} is not copied as it is, or not once",
        "weights kept twice": "model: derived.itself differs",
    }
    assert message == (
        f"Weights go through vLLM's reloading, because not all can be written in place: {problem[fault]}."
    )
