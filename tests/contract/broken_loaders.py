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
from landscape_ray.engine import EngineSpec, proof, vllm_worker
from landscape_ray.engine.factory import create_engine
from landscape_ray.engine.proven import Combination, prove, require_way
from landscape_ray.engine.small_twin import write_small_twin
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

    def load_all_but_head(tensors: Tensors, trace: Any = None) -> None:
        load(tensors, trace)
        head.cpu_linear = packed

    patch.setattr(worker, "_load", load_all_but_head)


def a_rotary_cache_that_reloading_stretches(worker: Any, patch: pytest.MonkeyPatch) -> None:
    reload_weights = worker.reload_weights
    cache = worker.model_runner.get_model().model.layers[0].self_attn.rotary_emb.cos_sin_cache
    whole = cache.clone()

    def reload_and_stretch(**settings: Any) -> None:
        reload_weights(**settings)
        cache.copy_(whole * 1.01)

    patch.setattr(worker, "reload_weights", reload_and_stretch)


FAULTS = (
    a_stale_tensor,
    a_layer_skipped,
    a_square_matrix_transposed,
    a_norm_that_stays_where_it_was_moved_to,
    a_tied_head_left_packed,
    a_rotary_cache_that_reloading_stretches,
)


def plain(found: list[proof.Comparison]) -> list[dict[str, Any]]:
    return [{**asdict(each), "holds": each.holds} for each in found]


def proven(folder: Path) -> dict[str, Any]:
    """Prove a mixture of experts, all the way to the error if there is one."""
    spec = spec_of(write_config(folder, "gpt_oss", "GptOssForCausalLM"))
    found = prove(spec, Combination.of(spec))
    assert found is not None
    try:
        require_way(found, "reloading")
    except PlacementError as error:
        return {"comparisons": plain(list(found.comparisons)), "error": str(error)}
    return {"comparisons": plain(list(found.comparisons)), "error": None}


def left_to_vllm(folder: Path, *parts: str) -> dict[str, Any]:
    """Prove it without what is done for experts: what their loader writes itself, and what is packed once only."""
    with pytest.MonkeyPatch.context() as patch:
        if "writes" in parts:
            patch.setattr(vllm_worker.DirectWrites, "settle", lambda *_: False)
        if "packing" in parts:
            patch.setattr(vllm_worker, "_unset_expert_kernels", lambda _: None)
        return proven(folder)


def broken(scratch: Path) -> dict[str, Any]:
    """Compare one engine with fresh loads, first as it is and then with each fault."""
    twin = scratch / "twin"
    write_small_twin(write_config(scratch / "model", "llama", "LlamaForCausalLM", tie_word_embeddings=True), twin)
    spec = spec_of(twin)
    gc.freeze()  # engines collect garbage, and what was imported is none
    points, expected = proof._expected(spec, twin, scratch)
    engine: Any = create_engine(proof._to_place(spec, twin, points))
    worker = engine._llm.llm_engine.model_executor.driver_worker.worker
    cache = worker.model_runner.get_model().model.layers[0].self_attn.rotary_emb.cos_sin_cache
    whole, digest = cache.clone(), engine.place(points["a direction"])
    answers: dict[str, Any] = {
        "means": [each.means for each in expected.values()],
        "in order": plain(proof._compared(engine, spec, points, expected)),
        "digests stay": [],
    }
    for fault in FAULTS:
        engine.place(ORIGIN)
        with pytest.MonkeyPatch.context() as patch:
            fault(worker, patch)
            answers[fault.__name__] = plain(proof._compared(engine, spec, points, expected))
            answers["digests stay"].append(engine.place(points["a direction"]) == digest)
        cache.copy_(whole)
    return answers


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        answers = {
            "gpt_oss": proven(Path(scratch) / "gpt_oss"),
            "without writes": left_to_vllm(Path(scratch) / "gpt_oss", "writes"),
            "without packing": left_to_vllm(Path(scratch) / "gpt_oss", "packing"),
            **broken(Path(scratch)),
        }
    Path(sys.argv[1]).write_text(json.dumps(answers), encoding="utf-8")


if __name__ == "__main__":
    main()
