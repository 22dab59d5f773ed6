"""The proof that placed points are what fresh loads of their weights are, and loaders that are broken on purpose."""

import gc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import pytest
import torch
from transformers import AutoConfig

from landscape_ray.config import RunConfig
from landscape_ray.engine import EngineSpec, proof
from landscape_ray.engine.factory import create_engine
from landscape_ray.engine.proven import Combination, prove, require_way
from landscape_ray.engine.small_twin import write_small_twin
from landscape_ray.errors import PlacementError
from landscape_ray.plan import Perturbation

pytestmark = pytest.mark.slow

Tensors: TypeAlias = Iterator[tuple[str, torch.Tensor]]
Fault: TypeAlias = Callable[[Any, pytest.MonkeyPatch], None]


def spec_of(folder: Path, **settings: Any) -> EngineSpec:
    return replace(
        EngineSpec(engine="vllm", model=str(folder), revision=None, dtype="float32", run=RunConfig()), **settings
    )


def write_config(folder: Path, model_type: str, architecture: str, **settings: Any) -> Path:
    AutoConfig.for_model(model_type, architectures=[architecture], **settings).save_pretrained(folder)
    return folder


def hand_over(worker: Any, patch: pytest.MonkeyPatch, change: Callable[[str, torch.Tensor], torch.Tensor]) -> None:
    """Change tensors on their way into vLLM's loader, behind digests and counts."""
    load = worker._load

    def changed(tensors: Tensors, trace: Any = None) -> None:
        load(((name, change(name, tensor)) for name, tensor in tensors), trace)

    patch.setattr(worker, "_load", changed)


def a_stale_tensor(worker: Any, patch: pytest.MonkeyPatch) -> None:
    base = worker._perturbation_base
    stale = "model.layers.1.self_attn.o_proj.weight"
    hand_over(worker, patch, lambda name, tensor: base.tensor(name).to(tensor.dtype) if name == stale else tensor)


def a_layer_skipped(worker: Any, patch: pytest.MonkeyPatch) -> None:
    base = worker._perturbation_base
    hand_over(
        worker, patch, lambda name, tensor: base.tensor(name).to(tensor.dtype) if ".layers.0." in name else tensor
    )


def an_expert_stack_transposed(worker: Any, patch: pytest.MonkeyPatch) -> None:
    def transposed(name: str, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.T.reshape(tensor.shape) if name.endswith(".w2.weight") else tensor

    hand_over(worker, patch, transposed)


def a_norm_that_stays_where_it_was_moved_to(worker: Any, patch: pytest.MonkeyPatch) -> None:
    base, seen = worker._perturbation_base, dict[str, torch.Tensor]()

    def moved_once(name: str, tensor: torch.Tensor) -> torch.Tensor:
        if name == "model.layers.1.input_layernorm.weight":
            at_origin = torch.equal(base.tensor(name).to(tensor.dtype), tensor)
            return seen.get(name, tensor) if at_origin else seen.setdefault(name, tensor.clone())
        return tensor

    hand_over(worker, patch, moved_once)


def a_tied_head_left_packed(worker: Any, patch: pytest.MonkeyPatch) -> None:
    assert list(worker._perturbation_tied) == ["lm_head.weight"]
    patch.setattr(worker, "_perturbation_tied", {})


def a_rotary_cache_that_reloading_stretches(worker: Any, patch: pytest.MonkeyPatch) -> None:
    reload_weights = worker.reload_weights
    cache = worker.model_runner.get_model().model.layers[0].self_attn.rotary_emb.cos_sin_cache
    whole = cache.clone()

    def reload_and_stretch(**settings: Any) -> None:
        reload_weights(**settings)
        cache.copy_(whole * 1.01)

    patch.setattr(worker, "reload_weights", reload_and_stretch)


MIXTURE: tuple[Fault, ...] = (
    a_stale_tensor,
    a_layer_skipped,
    an_expert_stack_transposed,
    a_norm_that_stays_where_it_was_moved_to,
    a_rotary_cache_that_reloading_stretches,
)
# Whether a fault shows at points that are moved to, and at the origin when the engine has come back.
SHOWS: dict[Fault, tuple[bool, bool]] = {
    a_stale_tensor: (True, False),
    a_layer_skipped: (True, False),
    an_expert_stack_transposed: (True, True),
    a_norm_that_stays_where_it_was_moved_to: (False, True),
    a_tied_head_left_packed: (True, False),
    a_rotary_cache_that_reloading_stretches: (True, True),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """An engine to break, and what it should say."""

    engine: Any
    spec: EngineSpec
    points: dict[str, Perturbation]
    expected: Any

    @property
    def worker(self) -> Any:
        return self.engine._llm.llm_engine.model_executor.driver_worker.worker

    @property
    def rotary_cache(self) -> torch.Tensor:
        cache: torch.Tensor = self.worker.model_runner.get_model().model.layers[0].self_attn.rotary_emb.cos_sin_cache
        return cache

    def compare(self) -> list[proof.Comparison]:
        return proof._compared(self.engine, self.spec, self.points, self.expected)


def make_ready(scratch: Path, model_type: str, architecture: str, **settings: Any) -> Ready:
    model, twin = write_config(scratch / "model", model_type, architecture, **settings), scratch / "twin"
    write_small_twin(model, twin)
    spec = spec_of(twin)
    gc.freeze()  # engines collect garbage, of which what was imported is none
    points, expected = proof._expected(spec, twin, scratch)
    return Ready(engine=create_engine(proof._to_place(spec, twin, points)), spec=spec, points=points, expected=expected)


@pytest.fixture(scope="module")
def mixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ready]:
    ready = make_ready(tmp_path_factory.mktemp("mixture"), "mixtral", "MixtralForCausalLM")
    yield ready
    ready.engine.close()


@pytest.fixture(scope="module")
def tied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ready]:
    ready = make_ready(tmp_path_factory.mktemp("tied"), "llama", "LlamaForCausalLM", tie_word_embeddings=True)
    yield ready
    ready.engine.close()


def check_seen(fault: Fault, ready: Ready, patch: pytest.MonkeyPatch) -> None:
    whole, digest = ready.rotary_cache.clone(), ready.engine.place(ready.points["a direction"])
    fault(ready.worker, patch)
    found = {each.point: each for each in ready.compare()}  # the last time at each
    # What was handed over is as ever: digests and counts do not see it.
    assert ready.engine.place(ready.points["a direction"]) == digest
    patch.undo()
    ready.rotary_cache.copy_(whole)
    at_points, at_origin = SHOWS[fault]
    for name, each in found.items():
        shows = at_points if ready.points[name].terms else at_origin
        assert each.holds is not shows, (name, each)
        if shows:  # in 16 bits, too
            assert each.difference > proof.NATS["bfloat16"], (name, each)


def test_an_engine_in_order_is_what_fresh_loads_are_to_the_bit(mixture: Ready) -> None:
    found = mixture.compare()
    assert [each.point for each in found] == [*mixture.points, "a direction", "origin"]
    assert {each.difference for each in found} == {0.0}
    assert all(each.holds for each in found)
    # What they are differs, or nothing was compared.
    assert len({each.means for each in mixture.expected.values()}) == len(mixture.points) == 3


@pytest.mark.parametrize("fault", MIXTURE, ids=lambda fault: fault.__name__)
def test_each_fault_of_a_loader_is_seen(fault: Fault, mixture: Ready, monkeypatch: pytest.MonkeyPatch) -> None:
    check_seen(fault, mixture, monkeypatch)


def test_a_tied_head_that_is_left_packed_is_seen(tied: Ready, monkeypatch: pytest.MonkeyPatch) -> None:
    assert all(each.holds for each in tied.compare())
    check_seen(a_tied_head_left_packed, tied, monkeypatch)


def test_gpt_oss_is_refused_because_reloading_leaves_its_experts_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_CACHE_ROOT", str(tmp_path / "cache"))
    spec = spec_of(write_config(tmp_path / "model", "gpt_oss", "GptOssForCausalLM"))
    found = prove(spec, Combination.of(spec))
    assert found is not None
    assert not found.holds("reloading")
    assert [each.point for each in found.comparisons if each.holds] == ["origin", "origin"]
    with pytest.raises(PlacementError, match=r"reloading, GptOssForCausalLM computes something else at a direction"):
        require_way(found, "reloading")


@pytest.mark.long
@pytest.mark.parametrize("batching", ["point", "line"])
def test_weights_written_in_place_and_beside_are_proven(
    batching: Literal["point", "line"], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import vllm._custom_ops  # noqa: PLC0415

    # So that parameters are what is computed with, as on a GPU.
    monkeypatch.setattr(vllm._custom_ops, "_supports_onednn", False)
    write_small_twin(write_config(tmp_path / "model", "qwen3", "Qwen3ForCausalLM"), tmp_path / "twin")
    found = proof.compare_with_fresh_loads(spec_of(tmp_path / "twin", batching=batching), tmp_path / "twin")
    assert all(each.holds for each in found)
    assert {each.way for each in found} == ({"in lines"} if batching == "line" else {"in place", "reloading"})
