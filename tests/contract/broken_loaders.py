"""Proves points of vLLM engines whose loaders are broken on purpose, in a process of its own; see `test_proof.py`.

Engines that come and go leave vLLM without what others in the process need. Answers go, as JSON, to the file that is
given.
"""

import gc
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import torch
from transformers import AutoConfig

from landscape_ray.config import RunConfig
from landscape_ray.engine import EngineSpec
from landscape_ray.engine.factory import create_engine
from landscape_ray.engine.proof import proving
from landscape_ray.engine.proof.proven import Combination, Proof, require_way
from landscape_ray.engine.proof.small_twin import write_small_twin
from landscape_ray.engine.vllm import worker as vllm_worker
from landscape_ray.engine.vllm.direct_writes import DirectWrites
from landscape_ray.errors import PlacementError
from landscape_ray.plan import ORIGIN

Tensors: TypeAlias = Iterator[tuple[str, torch.Tensor]]


def spec_of(folder: Path) -> EngineSpec:
    return EngineSpec(engine="vllm", model=str(folder), revision=None, dtype="float32", run=RunConfig())


def write_config(folder: Path, model_type: str, architecture: str, **settings: Any) -> Path:
    AutoConfig.for_model(model_type, architectures=[architecture], **settings).save_pretrained(folder)
    return folder


def hand_over(worker: Any, patch: pytest.MonkeyPatch, change: Callable[[str, torch.Tensor], torch.Tensor]) -> None:
    """Change tensors on their way into vLLM's loader, behind digests and counts."""
    load = worker._load

    def changed(tensors: Callable[[], Tensors], trace: Any = None) -> None:
        load(lambda: ((name, change(name, tensor)) for name, tensor in tensors()), trace)

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

    def load_all_but_head(tensors: Callable[[], Tensors], trace: Any = None) -> None:
        load(tensors, trace)
        head.cpu_linear = packed

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


Fault: TypeAlias = Callable[[Any, pytest.MonkeyPatch], Callable[[], object] | None]
DENSE: tuple[Fault, ...] = (
    a_stale_tensor,
    a_layer_skipped,
    a_square_matrix_transposed,
    a_norm_that_stays_where_it_was_moved_to,
    a_tied_head_left_packed,
    a_rotary_cache_that_reloading_stretches,
)
MIXTURE: tuple[Fault, ...] = (
    an_expert_stack_transposed,
    experts_that_are_not_packed_anew,
    layers_that_the_loader_writes_into_nothing,
)


def plain(found: list[proving.Comparison]) -> list[dict[str, Any]]:
    return [{**asdict(each), "holds": each.holds} for each in found]


def broken(model: Path, twin: Path, faults: tuple[Fault, ...]) -> dict[str, Any]:
    """Compare one engine with fresh loads, first as it is and then with each fault."""
    combination = Combination.of(spec_of(model))  # before an engine runs
    write_small_twin(model, twin)
    spec = spec_of(twin)
    gc.freeze()  # engines collect garbage, and what was imported is none
    points, expected = proving._expected(spec, twin, twin.parent)
    engine: Any = create_engine(proving._to_place(spec, twin, points))
    worker = engine._llm.llm_engine.model_executor.driver_worker.worker
    digest = engine.place(points["a direction"])
    answers: dict[str, Any] = {
        "means": [each.means for each in expected.values()],
        "in order": plain(proving._compared(engine, spec, points, expected)),
        "digests stay": [],
    }
    for fault in faults:
        engine.place(ORIGIN)
        with pytest.MonkeyPatch.context() as patch:
            restore = fault(worker, patch)
            found = proving._compared(engine, spec, points, expected)
            answers[fault.__name__] = plain(found)
            answers["digests stay"].append(engine.place(points["a direction"]) == digest)
        if restore:
            restore()
    engine.close()
    of_last = Proof(combination=combination, on="small twin", comparisons=tuple(found), seconds=0.0)
    with pytest.raises(PlacementError) as refused:
        require_way(of_last, "reloading")
    return answers | {"error of the last": str(refused.value)}


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        llama, gpt_oss = (Path(scratch) / name for name in ("llama", "gpt_oss"))
        write_config(llama / "model", "llama", "LlamaForCausalLM", tie_word_embeddings=True)
        write_config(gpt_oss / "model", "gpt_oss", "GptOssForCausalLM")
        answers = {
            "mixture": broken(gpt_oss / "model", gpt_oss / "twin", MIXTURE),
            "dense": broken(llama / "model", llama / "twin", DENSE),
        }
    Path(sys.argv[1]).write_text(json.dumps(answers), encoding="utf-8")


if __name__ == "__main__":
    main()
