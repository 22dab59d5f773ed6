"""Weights written straight into a live vLLM model, against vLLM's own reloading: the same state, the same text."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import torch

from landscape_ray.config import RunConfig
from landscape_ray.engine import Engine, EngineSpec
from landscape_ray.engine.factory import create_engine
from landscape_ray.engine.vllm.layout import LoadingTrace
from landscape_ray.engine.vllm.placing import Placing
from landscape_ray.evaluation import Benchmark
from landscape_ray.plan import ORIGIN, Perturbation, RandomVector

MakeEngine: TypeAlias = Callable[[str, Path], Engine]
MakeBenchmark: TypeAlias = Callable[..., Benchmark]

pytestmark = pytest.mark.slow

LAYER = RandomVector(seed=1, normalization="layer", excluded=("norm",))
FILTER = RandomVector(seed=2, normalization="filter", excluded=(), included=("proj", "norm"))
POINTS = (Perturbation.of([(LAYER, 0.1)]), ORIGIN, Perturbation.of([(LAYER, -0.05), (FILTER, 0.2)]))


@pytest.fixture(scope="module", params=["tied", "untied"])
def folder(request: pytest.FixtureRequest) -> Path:
    checkpoint: Path = request.getfixturevalue(f"{request.param}_checkpoint")
    return checkpoint


@pytest.fixture(scope="module")
def engine_of() -> Iterator[Callable[[Path], Any]]:
    """Make an engine the first time, to be kept."""
    engines: dict[Path, Any] = {}

    def make(folder: Path) -> Any:
        if folder not in engines:
            run = RunConfig(kv_cache_gib=0.0625, max_num_seqs=16)
            spec = EngineSpec(engine="vllm", model=str(folder), revision=None, dtype="float32", run=run)
            engines[folder] = create_engine(spec)
        return engines[folder]

    yield make
    for engine in engines.values():
        engine.close()


@pytest.fixture
def engine(engine_of: Callable[[Path], Any], folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An engine that computes with its parameters as they are, as on a GPU: CPUs pack them where they can."""
    import vllm._custom_ops  # noqa: PLC0415

    # As long as it is used: reloading looks again.
    monkeypatch.setattr(vllm._custom_ops, "_supports_onednn", False)
    return engine_of(folder)


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
