"""Proves points of vLLM engines whose loaders are broken on purpose, in a process of its own; see `test_proof.py`.

Engines that come and go leave vLLM without what others in the process need. Answers of the models that are named go, as
JSON, to the file that is given.
"""

import gc
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import pytest
import torch
import vllm
from transformers import AutoConfig
from vllm.model_executor.models import registry

from landscape_ray.config import RunConfig
from landscape_ray.engine import EngineSpec
from landscape_ray.engine.factory import create_engine
from landscape_ray.engine.proof import proving
from landscape_ray.engine.proof.proven import Combination, Proof, require_way
from landscape_ray.engine.proof.small_twin import write_small_twin
from landscape_ray.engine.protocol import IN_LINES, IN_PLACE, RELOADING
from landscape_ray.engine.vllm import worker as vllm_worker
from landscape_ray.engine.vllm.direct_writes import DirectWrites
from landscape_ray.engine.vllm.line_engine import VllmLineEngine
from landscape_ray.errors import PlacementError
from landscape_ray.planning import ORIGIN
from landscape_ray.weights import WeightsDigest

ONEDNN = vllm._custom_ops._supports_onednn
DType: TypeAlias = Literal["float32", "bfloat16"]
Tensors: TypeAlias = Iterator[tuple[str, torch.Tensor]]


def spec_of(folder: Path, dtype: DType) -> EngineSpec:
    return EngineSpec(engine="vllm", model=str(folder), revision=None, dtype=dtype, run=RunConfig())


def write_config(folder: Path, model_type: str, architecture: str, **settings: Any) -> Path:
    AutoConfig.for_model(model_type, architectures=[architecture], **settings).save_pretrained(folder)
    return folder


def hand_over(worker: Any, patch: pytest.MonkeyPatch, change: Callable[[str, torch.Tensor], torch.Tensor]) -> None:
    """Change tensors on their way into vLLM's loader, behind digests and counts."""
    load = worker._load

    def changed(tensors: Callable[[WeightsDigest], Tensors], trace: Any = None) -> Any:
        return load(lambda digest: ((name, change(name, tensor)) for name, tensor in tensors(digest)), trace)

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


def a_square_matrix_transposed(worker: Any, patch: pytest.MonkeyPatch) -> None:
    square = "model.layers.1.self_attn.o_proj.weight"
    assert worker._perturbation_base.tensor(square).shape == (256, 256)
    hand_over(worker, patch, lambda name, tensor: tensor.T.contiguous() if name == square else tensor)


def a_norm_that_stays_where_it_was_moved_to(worker: Any, patch: pytest.MonkeyPatch) -> None:
    base, seen = worker._perturbation_base, dict[str, torch.Tensor]()

    def moved_once(name: str, tensor: torch.Tensor) -> torch.Tensor:
        if name == "model.layers.1.input_layernorm.weight":
            at_origin = torch.equal(base.tensor(name).to(tensor.dtype), tensor)
            return seen.get(name, tensor) if at_origin else seen.setdefault(name, tensor.clone())
        return tensor

    hand_over(worker, patch, moved_once)


def a_tied_head_left_packed(worker: Any, patch: pytest.MonkeyPatch) -> None:
    head, load = worker.model_runner.get_model().lm_head, worker._load
    packed = head.cpu_linear

    def load_all_but_head(tensors: Callable[[WeightsDigest], Tensors], trace: Any = None) -> Any:
        digest = load(tensors, trace)
        head.cpu_linear = packed
        return digest

    patch.setattr(worker, "_load", load_all_but_head)


def a_rotary_cache_that_reloading_stretches(worker: Any, patch: pytest.MonkeyPatch) -> Callable[[], object]:
    reload_weights = worker.reload_weights
    cache = worker.model_runner.get_model().model.layers[0].self_attn.rotary_emb.cos_sin_cache
    whole = cache.clone()

    def reload_and_stretch(**settings: Any) -> None:
        reload_weights(**settings)
        cache.copy_(whole * 1.01)

    patch.setattr(worker, "reload_weights", reload_and_stretch)
    return lambda: cache.copy_(whole)


def an_expert_stack_transposed(worker: Any, patch: pytest.MonkeyPatch) -> None:
    stack = "model.layers.1.mlp.experts.down_proj"
    num_experts, *square = worker._perturbation_base.tensor(stack).shape
    assert num_experts > 1
    assert square[0] == square[1]
    hand_over(worker, patch, lambda name, tensor: tensor.transpose(1, 2).contiguous() if name == stack else tensor)


def experts_that_are_not_packed_anew(_: Any, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(vllm_worker, "_unset_expert_kernels", lambda _: None)


def layers_that_the_loader_writes_into_nothing(worker: Any, patch: pytest.MonkeyPatch) -> None:
    experts_that_are_not_packed_anew(worker, patch)  # or a layer that nothing came for has no kernel, and says so
    patch.setattr(DirectWrites, "prepare", lambda _: None)
    patch.setattr(DirectWrites, "settle", lambda *_: False)


def change_after_placing(
    worker: Any, patch: pytest.MonkeyPatch, names: tuple[str, ...], change: Callable[[torch.Tensor, torch.Tensor], Any]
) -> None:
    """Change live parameters after they were written in place, behind digests; each with its value at the origin."""
    live, place = dict(worker.model_runner.get_model().named_parameters()), worker.place_perturbation
    assert live.keys() >= set(names), sorted(live)
    at_origin = {name: live[name].clone() for name in names}

    def place_and_change(perturbation: Any) -> Any:
        found = place(perturbation)
        for name in names:
            change(live[name].data, at_origin[name])
        return found

    patch.setattr(worker, "place_perturbation", place_and_change)


def a_stale_region(worker: Any, patch: pytest.MonkeyPatch) -> None:
    change_after_placing(worker, patch, ("model.layers.1.self_attn.o_proj.weight",), torch.Tensor.copy_)


def regions_of_a_layer_skipped(worker: Any, patch: pytest.MonkeyPatch) -> None:
    names = [name for name, _ in worker.model_runner.get_model().named_parameters() if ".layers.0." in name]
    assert len(names) > 4
    change_after_placing(worker, patch, tuple(names), torch.Tensor.copy_)


def a_square_region_transposed(worker: Any, patch: pytest.MonkeyPatch) -> None:
    def transpose(live: torch.Tensor, _: torch.Tensor) -> None:
        assert live.shape == (256, 256)
        live.copy_(live.T.clone())

    change_after_placing(worker, patch, ("model.layers.1.self_attn.o_proj.weight",), transpose)


def a_head_that_is_no_longer_tied(worker: Any, patch: pytest.MonkeyPatch) -> Callable[[], object]:
    head = worker.model_runner.get_model().lm_head
    tied, packed = head.weight, getattr(head, "cpu_linear", None)
    assert tied is worker.model_runner.get_model().model.embed_tokens.weight
    head.weight = torch.nn.Parameter(tied.clone(), requires_grad=False)
    patch.setattr(vllm_worker, "_repack_heads", lambda _: None)

    def tie_again() -> None:
        head.weight, head.cpu_linear = tied, packed

    return tie_again


def a_direction_without_a_tensor(worker: Any, patch: pytest.MonkeyPatch) -> None:
    lost = "model.layers.1.self_attn.o_proj.weight"
    in_directions(worker, patch, lambda name, tensor: torch.zeros_like(tensor) if name == lost else tensor)


def a_direction_without_a_layer(worker: Any, patch: pytest.MonkeyPatch) -> None:
    in_directions(worker, patch, lambda name, tensor: torch.zeros_like(tensor) if ".layers.0." in name else tensor)


def a_square_matrix_of_directions_transposed(worker: Any, patch: pytest.MonkeyPatch) -> None:
    square = "model.layers.1.self_attn.o_proj.weight"
    in_directions(worker, patch, lambda name, tensor: tensor.T.contiguous() if name == square else tensor)


def in_directions(worker: Any, patch: pytest.MonkeyPatch, change: Callable[[str, torch.Tensor], torch.Tensor]) -> None:
    """Change tensors of directions on their way beside the weights; these come as they are."""
    place = worker.place_direction

    def place_changed(k: int, vector: Any) -> Any:
        with pytest.MonkeyPatch.context() as meanwhile:
            hand_over(worker, meanwhile, change)
            return place(k, vector)

    patch.setattr(worker, "place_direction", place_changed)


def coefficients_of_directions_exchanged(worker: Any, patch: pytest.MonkeyPatch) -> None:
    stand_at = worker.stand_at
    patch.setattr(worker, "stand_at", lambda coefficients_KP: stand_at(coefficients_KP[::-1]))


def points_of_a_batch_exchanged(worker: Any, patch: pytest.MonkeyPatch) -> None:
    stand_at = worker.stand_at
    patch.setattr(worker, "stand_at", lambda coefficients_KP: stand_at([row[::-1] for row in coefficients_KP]))


Fault: TypeAlias = Callable[[Any, pytest.MonkeyPatch], Callable[[], object] | None]
RELOADED: tuple[Fault, ...] = (
    a_stale_tensor,
    a_layer_skipped,
    a_square_matrix_transposed,
    a_norm_that_stays_where_it_was_moved_to,
    a_tied_head_left_packed,
    a_rotary_cache_that_reloading_stretches,
)
ON_LINES: tuple[Fault, ...] = (
    a_direction_without_a_tensor,
    a_direction_without_a_layer,
    a_square_matrix_of_directions_transposed,
    coefficients_of_directions_exchanged,
    points_of_a_batch_exchanged,
)
WRITTEN: tuple[Fault, ...] = (
    a_stale_region,
    regions_of_a_layer_skipped,
    a_square_region_transposed,
    a_head_that_is_no_longer_tied,
)
MIXTURE: tuple[Fault, ...] = (
    an_expert_stack_transposed,
    experts_that_are_not_packed_anew,
    layers_that_the_loader_writes_into_nothing,
)
DENSE = {RELOADING: RELOADED, IN_LINES: ON_LINES, IN_PLACE: WRITTEN}
"""Faults of each way; last the one that needs weights as they are on a GPU."""
MODELS: dict[str, tuple[DType, dict[str, tuple[Fault, ...]]]] = {
    "mixture": ("float32", {RELOADING: MIXTURE}),
    "dense": ("float32", DENSE),
    "dense, 16 bits": ("bfloat16", DENSE),
}


def plain(found: list[proving.Comparison]) -> list[dict[str, Any]]:
    return [{**asdict(each), "holds": each.holds} for each in found]


def in_one_way(engine: Any, spec: EngineSpec, points: Any, expected: Any) -> list[proving.Comparison]:
    """Compare as the proof does, in the way that the engine is in."""
    said = proving._on_lines if spec.batching == "line" else proving._one_by_one
    return [proving._comparison(spec, engine.facts.way, *of, expected) for of in said(engine, points)]


def begin_anew(engine: Any) -> None:
    """Place the origin; what is beside the weights is put there again when it is needed."""
    engine.place(ORIGIN)
    if isinstance(engine, VllmLineEngine):
        engine._directions = [None] * len(engine._directions)


def digest_of(engine: Any, point: Any) -> str:
    begin_anew(engine)
    (digest,) = engine.place_points([point]) if isinstance(engine, VllmLineEngine) else [engine.place(point)]
    return str(digest)


def broken(
    spec: EngineSpec, combination: Combination, way: str, faults: tuple[Fault, ...], *, points: Any, expected: Any
) -> dict[str, Any]:
    """Compare one engine with fresh loads, first as it is and then with each fault."""
    if way == IN_PLACE:
        vllm._custom_ops._supports_onednn = False  # it packs weights; on a GPU they are as they were
    spec = replace(spec, batching="line" if way == IN_LINES else "point")
    engine: Any = create_engine(proving._to_place(spec, Path(spec.model), points))
    if way == RELOADING:
        engine.stay_with_reloading()
    assert engine.facts.way == way
    worker = engine._llm.llm_engine.model_executor.driver_worker.worker
    digest = digest_of(engine, points["a direction"])
    in_order = in_one_way(engine, spec, points, expected)
    answers: dict[str, Any] = {"in order": plain(in_order), "digests stay": []}
    for fault in faults:
        begin_anew(engine)
        with pytest.MonkeyPatch.context() as patch:
            restore = fault(worker, patch)
            found = in_one_way(engine, spec, points, expected)
            answers["digests stay"].append(digest_of(engine, points["a direction"]) == digest)
        if restore:
            restore()
        answers[fault.__name__] = plain(found)
    engine.close()
    of_last = Proof(combination=combination, on="small twin", comparisons=tuple(found), seconds=0.0)
    with pytest.raises(PlacementError) as refused:
        require_way(of_last, way)
    return answers | {"error of the last": str(refused.value)}


def proven(model: Path, twin: Path, dtype: DType, ways: dict[str, tuple[Fault, ...]]) -> dict[str, Any]:
    """Break each way of placing points of a model's small twin."""
    combination = Combination.of(spec_of(model, dtype))  # before an engine runs
    write_small_twin(model, twin)
    spec = spec_of(twin, dtype)
    gc.freeze()  # engines collect garbage, and what was imported is none
    points, expected = proving._expected(spec, twin, twin.parent)
    found = {
        way: broken(spec, combination, way, faults, points=points, expected=expected) for way, faults in ways.items()
    }
    return {"means": [each.means for each in expected.values()], **found}


def main() -> None:
    # The twins' classes need not be looked at in a process of their own, which imports vLLM once more.
    registry._run_in_subprocess = lambda inspect: inspect()
    answers = {}
    for name in sys.argv[2:]:
        dtype, ways = MODELS[name]
        with tempfile.TemporaryDirectory() as scratch:
            model, twin = Path(scratch) / "model", Path(scratch) / "twin"
            if name == "mixture":
                write_config(model, "gpt_oss", "GptOssForCausalLM")
            else:
                write_config(model, "llama", "LlamaForCausalLM", tie_word_embeddings=True)
            answers[name] = proven(model, twin, dtype, ways)
        vllm._custom_ops._supports_onednn = ONEDNN
    Path(sys.argv[1]).write_text(json.dumps(answers), encoding="utf-8")


if __name__ == "__main__":
    main()
