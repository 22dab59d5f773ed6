"""Points of an anatomy, from the configuration to the live weights of both engines, against float64 NumPy.

A group is at `W + coordinate * d`, where d is a random direction on its tensors alone, as long as `displacement` says;
every other tensor keeps its bits.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import load_file, save_file

from landscape_ray.config import RunConfig, SweepConfig
from landscape_ray.engine import EngineSpec
from landscape_ray.engine.checkpoints.geometry import measure_geometry
from landscape_ray.engine.checkpoints.resolution import resolve
from landscape_ray.engine.checkpoints.tensor_listing import decided_by_names, list_tensors
from landscape_ray.engine.factory import create_engine
from landscape_ray.planning import PlannedPoint, SweepPlan, direction_seed
from landscape_ray.weights import standard_normals, tensor_key

Tensors: TypeAlias = Mapping[str, npt.NDArray[np.float64]]

DISPLACEMENT = 5.0
# What belongs to each group, by a rule of its own.
GROUPS: dict[str, dict[str, Callable[[str], bool]]] = {
    "layer": {
        "embedding": lambda name: "embed_tokens" in name,
        "layer 0": lambda name: "layers.0." in name,
        "layer 1": lambda name: "layers.1." in name,
        "head": lambda name: "lm_head" in name,
    },
    "module": {
        "k": lambda name: "k_proj" in name,
        "up": lambda name: "up_proj" in name,
        "down": lambda name: "down_proj" in name,
    },
    "layer-and-module": {
        "layer 1 v": lambda name: "layers.1." in name and "v_proj" in name,
        "layer 0 gate": lambda name: "layers.0." in name and "gate_proj" in name,
    },
}


def anatomy_of(folder: Path, by: str) -> SweepConfig:
    config = SweepConfig.model_validate(
        {
            "model": {"id": str(folder)},
            "dtype": "float32",
            "landscape": {"kind": "anatomy", "by": by},
            "directions": {"draws": 2, "displacement": DISPLACEMENT, "seed": 3},
            "benchmarks": [{"name": "b", "prompts": {"source": "demo"}}],
        }
    )
    model = resolve(config.model)
    return decided_by_names(config, model, list_tensors(model))


def points_of(folder: Path, by: str) -> dict[str, PlannedPoint]:
    """The point at coordinate 0.75 of the second draw of each group."""
    config = anatomy_of(folder, by)
    plan = SweepPlan.from_config(config, measure_geometry(config, resolve(config.model), ()))
    draws = {label: its[1] for label, its in plan.draws_by_label.items()}
    found = {(point.draw, point.coordinates): point for point in plan.points}
    return {label: found[draw, (0.75,)] for label, draw in draws.items()}


def expected(folder: Path, is_moved: Callable[[str], bool]) -> Tensors:
    base = {name: tensor.double().numpy() for name, tensor in load_file(folder / "model.safetensors").items()}
    steps = {}
    for name, weights in base.items():
        if is_moved(name) and "norm" not in name:
            key = tensor_key(direction_seed(3, 1, 0), name)
            normals = standard_normals(key, 0, weights.size, device=torch.device("cpu")).double().numpy()
            steps[name] = (normals / np.linalg.norm(normals) * np.linalg.norm(weights)).reshape(weights.shape)
    length = np.sqrt(sum(float((step**2).sum()) for step in steps.values()))
    return {
        name: base[name] + 0.75 * DISPLACEMENT / length * steps[name] if name in steps else base[name] for name in base
    }


def check(live: Tensors, folder: Path, is_moved: Callable[[str], bool]) -> None:
    base, wanted = load_file(folder / "model.safetensors"), expected(folder, is_moved)
    squares, num_moved = 0.0, 0
    for name, tensor in base.items():
        before = tensor.double().numpy()
        if np.array_equal(wanted[name], before):
            assert np.array_equal(live[name], before), name
        else:
            np.testing.assert_allclose(live[name], wanted[name], rtol=2e-6, atol=2e-6, err_msg=name)
            squares += float(((live[name] - before) ** 2).sum())
            num_moved += 1
    assert num_moved
    assert np.sqrt(squares) == pytest.approx(0.75 * DISPLACEMENT, rel=1e-5)


def of_transformers(engine: Any) -> Tensors:
    return {name: tensor.double().numpy() for name, tensor in engine._parameters.items()}


def of_vllm(engine: Any, base: Mapping[str, torch.Tensor]) -> Tensors:
    """The live tensors under their checkpoint names: vLLM keeps q, k and v as one, and gate and up."""
    worker = engine._llm.llm_engine.model_executor.driver_worker.worker
    state = worker.model_runner.get_model().state_dict()
    live = {}
    for name, tensor in state.items():
        fused = {"qkv_proj": ("q_proj", "k_proj", "v_proj"), "gate_up_proj": ("gate_proj", "up_proj")}
        kind = next((kind for kind in fused if kind in name), None)
        parts = [name.replace(kind, part) for part in fused[kind]] if kind else [name]
        if not base.keys() >= set(parts):
            continue  # a buffer
        sizes = [len(base[part]) for part in parts]
        for part, rows in zip(parts, torch.split(tensor[: sum(sizes)], sizes), strict=True):
            live[part] = rows.double().numpy()
    return live


@pytest.mark.parametrize(("by", "group"), [(by, group) for by, groups in GROUPS.items() for group in groups])
def test_transformers_moves_the_group_and_nothing_else(
    by: str, group: str, untied_checkpoint: Path, oracle: Any
) -> None:
    oracle.place(points_of(untied_checkpoint, by)[group].perturbation)
    check(of_transformers(oracle), untied_checkpoint, GROUPS[by][group])


@pytest.mark.slow
@pytest.mark.parametrize(("by", "group"), [(by, group) for by, groups in GROUPS.items() for group in groups])
def test_vllm_moves_the_group_and_nothing_else(
    by: str, group: str, untied_checkpoint: Path, oracle: Any, vllm: Any
) -> None:
    point = points_of(untied_checkpoint, by)[group].perturbation
    assert vllm.place(point) == oracle.place(point)
    check(of_vllm(vllm, load_file(untied_checkpoint / "model.safetensors")), untied_checkpoint, GROUPS[by][group])


def test_all_groups_of_an_anatomy_are_at_another_place(untied_checkpoint: Path, oracle: Any) -> None:
    digests = {oracle.place(point.perturbation) for point in points_of(untied_checkpoint, "layer-and-module").values()}
    assert len(digests) == 1 + 2 * 7 + 1


def test_a_head_that_is_the_embedding_has_no_group_of_its_own(tied_checkpoint: Path, tmp_path: Path) -> None:
    assert list(points_of(tied_checkpoint, "layer")) == ["embedding", "layer 0", "layer 1"]
    # Nor where the file holds it a second time.
    shutil.copytree(tied_checkpoint, tmp_path / "twice")
    tensors = load_file(tied_checkpoint / "model.safetensors")
    head = {"lm_head.weight": tensors["model.embed_tokens.weight"].clone()}
    save_file({**tensors, **head}, tmp_path / "twice" / "model.safetensors", metadata={"format": "pt"})
    assert list(points_of(tmp_path / "twice", "layer")) == ["embedding", "layer 0", "layer 1"]


def spec_of(engine: Any, folder: Path) -> EngineSpec:
    run = RunConfig(kv_cache_gib=0.0625, max_num_seqs=16)
    return EngineSpec(engine=engine, model=str(folder), revision=None, dtype="float32", run=run)


@pytest.fixture(scope="module")
def oracle(untied_checkpoint: Path) -> Any:
    return create_engine(spec_of("transformers", untied_checkpoint))


@pytest.fixture(scope="module")
def vllm(untied_checkpoint: Path) -> Iterator[Any]:
    """An engine that computes with its parameters as they are, as on a GPU: CPUs pack them where they can."""
    import vllm._custom_ops  # noqa: PLC0415

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vllm._custom_ops, "_supports_onednn", False)
        engine = create_engine(spec_of("vllm", untied_checkpoint))
        yield engine
        engine.close()
