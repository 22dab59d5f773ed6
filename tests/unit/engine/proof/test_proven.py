"""Proofs of the transformers engine, which is up in no time: what is proven, refused, remembered, and waited for."""

import fcntl
import json
import multiprocessing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig

from landscape_ray.config import RunConfig
from landscape_ray.engine import EngineSpec
from landscape_ray.engine.hf.engine import TransformersEngine
from landscape_ray.engine.proof import proven
from landscape_ray.engine.proof.proven import Combination, Proof, awaited_proof, prove, require_way
from landscape_ray.errors import CheckpointError, GenerationError, PlacementError
from landscape_ray.planning import Perturbation

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VLLM_CACHE_ROOT", str(tmp_path / "cache"))
    return tmp_path / "cache" / "landscape_ray" / "proofs"


@pytest.fixture
def spec(tmp_path: Path) -> EngineSpec:
    config = AutoConfig.for_model("qwen3", architectures=["Qwen3ForCausalLM"], tie_word_embeddings=True)
    config.save_pretrained(tmp_path / "model")
    model = str(tmp_path / "model")
    return EngineSpec(engine="transformers", model=model, revision=None, dtype="float32", run=RunConfig())


def proof_of(spec: EngineSpec) -> Proof:
    found = prove(spec, Combination.of(spec))
    assert found is not None
    return found


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("batching", ["point", "line"])
def test_what_is_in_order_is_proven_in_a_line(spec: EngineSpec, dtype: Any, batching: Any) -> None:
    found = proof_of(replace(spec, dtype=dtype, batching=batching))
    (way,) = found.ways
    assert way == ("in lines" if batching == "line" else "in place")
    sentence = require_way(found, way)
    assert sentence.startswith("placing proven for Qwen3ForCausalLM, transformers ")
    assert sentence.endswith(f", {dtype}, {way}, on a small twin")
    assert max(each.difference for each in found.comparisons) < (1e-4 if dtype == "float32" else 0.05)


def test_a_tensor_that_stays_is_refused_with_a_way_out(spec: EngineSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    place = TransformersEngine.place

    def place_but_one(engine: TransformersEngine, perturbation: Perturbation) -> str:
        stale = engine._parameters["model.layers.1.self_attn.q_norm.weight"]
        before = stale.detach().clone()
        digest = place(engine, perturbation)
        with torch.no_grad():
            stale.copy_(before)
        return digest

    monkeypatch.setattr(TransformersEngine, "place", place_but_one)
    found = proof_of(spec)
    assert [each.holds for each in found.comparisons] == [True, False, False, False, True]
    with pytest.raises(PlacementError) as refused:
        require_way(found, "in place")
    message = str(refused.value)
    assert message.startswith("Points cannot be measured with transformers ")
    assert "Qwen3ForCausalLM computes something else at a direction, two directions and a checkpoint than" in message
    assert "Try another version of the engine; `landscape-ray verify` proves it anew" in message
    # What is remembered is refused again.
    monkeypatch.setattr(TransformersEngine, "place", place)
    assert proof_of(spec) == found
    with pytest.raises(PlacementError, match="was not placed reloading, but in place"):
        require_way(found, "reloading")


def test_a_proof_is_made_once_and_anew_when_anything_that_decides_it_changes(
    spec: EngineSpec, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[EngineSpec] = []

    def compare(spec: EngineSpec, _: Path) -> list[Any]:  # in place of engines, which other tests start
        made.append(spec)
        return []

    monkeypatch.setattr(proven, "compare_with_fresh_loads", compare)
    first = proof_of(spec)
    assert proof_of(spec) == first
    assert len(made) == 1
    assert not first.holds("in place")  # nothing was compared
    (remembered,) = cache.glob("*.json")
    remembered.write_text("{}")
    assert replace(proof_of(spec), seconds=first.seconds) == first  # made again
    assert len(made) == 2
    others: list[EngineSpec] = [
        replace(spec, dtype="bfloat16"),
        replace(spec, batching="line"),
        *(
            replace(spec, run=RunConfig(**setting))
            for setting in ({"tensor_parallel": 2}, {"base_location": "host"}, {"enforce_eager": True})
        ),
    ]
    keys = {Combination.of(each).key for each in (spec, *others)}
    assert len(keys) == 1 + len(others)
    monkeypatch.setenv("VLLM_ATTENTION_BACKEND", "OTHER")
    keys.add(Combination.of(spec).key)
    monkeypatch.setattr(proven, "_code", lambda: "other code")
    keys.add(Combination.of(spec).key)
    file = Path(spec.model, "config.json")
    file.write_text(json.dumps(json.loads(file.read_text()) | {"rms_norm_eps": 0.1}))
    keys.add(Combination.of(spec).key)
    assert len(keys) == 4 + len(others)
    # What changes nothing: where the model lies, what is logged, how many engines there are.
    monkeypatch.setenv("VLLM_LOGGING_LEVEL", "DEBUG")
    moved = Path(spec.model).rename(Path(spec.model).with_name("moved"))
    assert Combination.of(replace(spec, model=str(moved), run=RunConfig(engines=7))).key in keys


def hold(file: Path, held: Any, release: Any) -> None:
    with file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        held.set()
        release.wait()


@pytest.mark.slow
def test_one_process_makes_a_proof_and_the_others_wait(spec: EngineSpec, cache: Path) -> None:
    combination, context = Combination.of(spec), multiprocessing.get_context("spawn")
    cache.mkdir(parents=True)
    held, release = context.Event(), context.Event()
    process = context.Process(target=hold, args=(cache / f"{combination.key}.lock", held, release))
    process.start()
    try:
        assert held.wait(60)
        assert prove(spec, combination) is None
    finally:
        release.set()
        process.join()
    with pytest.raises(GenerationError, match="Qwen3ForCausalLM are placed rightly, and has not come to an end"):
        awaited_proof(combination)
    made = proof_of(spec)
    assert awaited_proof(combination) == made


def test_what_goes_wrong_on_the_way_is_told_as_such(spec: EngineSpec) -> None:
    file = Path(spec.model, "config.json")
    file.write_text(json.dumps(json.loads(file.read_text()) | {"architectures": ["NewForCausalLM"]}))
    with pytest.raises(
        CheckpointError, match=r"While proving on a small twin of NewForCausalLM .* has not, so no small"
    ):
        proof_of(spec)
