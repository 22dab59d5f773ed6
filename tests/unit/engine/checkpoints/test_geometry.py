"""The measured geometry of real checkpoints, and what a plan makes of it, against NumPy in float64."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.numpy import load_file, save_file

from landscape_ray.config import ModelConfig, SweepConfig
from landscape_ray.engine.checkpoints.geometry import measure_geometry, resolve_checkpoints
from landscape_ray.engine.checkpoints.resolution import resolve
from landscape_ray.errors import CheckpointError
from landscape_ray.planning import SweepPlan
from landscape_ray.weights import BaseWeights, Perturber, open_endpoint

MakeSibling = Callable[..., Path]
Flat = npt.NDArray[np.float64]


def config_of(model: Path, landscape: dict[str, Any], **directions: Any) -> SweepConfig:
    return SweepConfig.model_validate(
        {
            "model": {"id": str(model)},
            "engine": "transformers",
            "dtype": "float32",
            "landscape": landscape,
            "directions": directions,
            "benchmarks": [{"name": "b", "prompts": {"source": "demo"}}],
        }
    )


def plan_of(config: SweepConfig) -> SweepPlan:
    model = resolve(config.model)
    return SweepPlan.from_config(config, measure_geometry(config, model, resolve_checkpoints(config)))


def flat(tensors: dict[str, Any]) -> Flat:
    return np.concatenate([np.asarray(tensors[name], dtype=np.float64).ravel() for name in sorted(tensors)])


def step(config: SweepConfig, plan: SweepPlan, coordinates: tuple[float, ...]) -> dict[str, Flat]:
    """How far each tensor lies from the model at a point of the plan."""
    base = BaseWeights.load(Path(config.model.id), device=torch.device("cpu"), location="device", tied_head=False)
    endpoints = {delta: open_endpoint(Path(delta.location), base) for delta in plan.deltas}
    perturber = Perturber(base, dtype=torch.float32, device=torch.device("cpu"), endpoints=endpoints)
    point = next(p for p in plan.points if p.coordinates == coordinates)
    return {
        name: tensor.double().numpy() - base.tensor(name).double().numpy()
        for name, tensor in perturber.tensors(point.perturbation)
    }


def difference(folder: Path, model: Path) -> Flat:
    return flat(load_file(folder / "model.safetensors")) - flat(load_file(model / "model.safetensors"))


AXES = [{"start": 0, "stop": 1, "num": 2}] * 2


def test_gram_schmidt_leaves_no_cosine(untied_checkpoint: Path, make_sibling: MakeSibling) -> None:
    first = make_sibling(untied_checkpoint, seed=1, share=0.3)
    second = make_sibling(first, seed=2, share=0.1)  # further on in nearly the same direction
    d1, d2 = difference(first, untied_checkpoint), difference(second, untied_checkpoint)
    assert d1 @ d2 / np.linalg.norm(d1) / np.linalg.norm(d2) > 0.9
    landscape = {"kind": "plane", "through": [{"id": str(first)}, {"id": str(second)}], "axes": AXES}
    config = config_of(untied_checkpoint, landscape)
    plan = plan_of(config)
    axis1, axis2 = flat(step(config, plan, (1.0, 0.0))), flat(step(config, plan, (0.0, 1.0)))
    np.testing.assert_allclose(axis1, d1, rtol=0, atol=1e-7)
    assert abs(axis1 @ axis2) / np.linalg.norm(axis1) / np.linalg.norm(axis2) < 1e-6
    # What is left is the second difference without its part along the first.
    np.testing.assert_allclose(axis2, d2 - (d1 @ d2) / (d1 @ d1) * d1, rtol=0, atol=1e-5)
    assert plan.marks[1].coordinates == pytest.approx((float((d1 @ d2) / (d1 @ d1)), 1.0), rel=1e-11)


def test_inner_products_and_norms_are_numpys(untied_checkpoint: Path, make_sibling: MakeSibling) -> None:
    siblings = [make_sibling(untied_checkpoint, seed=seed, share=0.1 * seed) for seed in (1, 2, 3)]
    marked = [{"id": str(folder)} for folder in siblings]
    config = config_of(untied_checkpoint, {"kind": "interpolation", "to": marked[0], "marked": marked[1:]})
    geometry = measure_geometry(config, resolve(config.model), resolve_checkpoints(config))
    differences = np.stack([difference(folder, untied_checkpoint) for folder in siblings])
    np.testing.assert_allclose(geometry.inner_products, differences @ differences.T, rtol=1e-12, atol=1e-9)
    assert geometry.norm(1) == pytest.approx(np.linalg.norm(differences[1]), rel=1e-12)
    assert geometry.random_norm is None


def test_a_planted_trajectory_is_found_in_weights(
    untied_checkpoint: Path, make_sibling: MakeSibling, tmp_path: Path
) -> None:
    first, second = (make_sibling(untied_checkpoint, seed=seed) for seed in (1, 2))
    base, one, other, third = (
        load_file(folder / "model.safetensors")
        for folder in (untied_checkpoint, first, second, make_sibling(untied_checkpoint, seed=3))
    )
    slope = (difference(first, untied_checkpoint) @ difference(second, untied_checkpoint)) / np.sum(
        difference(first, untied_checkpoint) ** 2
    )
    planted = [(0.2, 0.0, 0.0), (0.7, 0.4, 0.0), (0.7, 0.4, 0.5)]
    folders = []
    for i, (x, y, off) in enumerate(planted):
        folder = tmp_path / f"epoch-{i}"
        folder.mkdir()
        (folder / "config.json").write_text((untied_checkpoint / "config.json").read_text())
        weights = {n: w + x * (one[n] - w) + y * (other[n] - w) + off * (third[n] - w) for n, w in base.items()}
        save_file({n: w.astype(np.float32) for n, w in weights.items()}, folder / "model.safetensors")
        folders.append(folder)
    landscape = {
        "kind": "plane",
        "through": [{"id": str(first)}, {"id": str(second)}],
        "marked": [{"id": str(folder)} for folder in folders],
        "axes": AXES,
    }
    marks = plan_of(config_of(untied_checkpoint, landscape)).marks[2:]
    for mark, (x, y, _) in zip(marks[:2], planted, strict=False):
        assert mark.coordinates == pytest.approx((x + slope * y, y), abs=1e-6)
        assert mark.residual < 1e-6
    # Off the plane: least squares by NumPy instead of normal equations.
    d1, d2, dm = (difference(folder, untied_checkpoint) for folder in (first, second, folders[2]))
    solution = np.linalg.lstsq(np.stack([d1, d2 - slope * d1], axis=1), dm, rcond=None)
    assert marks[2].coordinates == pytest.approx(tuple(solution[0]), abs=1e-9)
    residual = float(np.sqrt(solution[1][0] / (dm @ dm)))
    assert residual > 0.3
    assert marks[2].residual == pytest.approx(residual, rel=1e-9)


@pytest.mark.parametrize("normalization", ["layer", "filter", "none"])
@pytest.mark.parametrize("limits", [{}, {"included": [r"layers\.1\..*mlp"], "excluded": ["down_proj"]}])
def test_random_directions_get_the_displacement_asked_for(
    normalization: str, limits: dict[str, Any], untied_checkpoint: Path
) -> None:
    axes = [{"start": -0.5, "stop": 1, "num": 4}]
    config = config_of(
        untied_checkpoint, {"axes": axes}, normalization=normalization, displacement=2.5, draws=2, **limits
    )
    plan = plan_of(config)
    for coordinate in (1.0, -0.5):
        moved = step(config, plan, (coordinate,))
        # A draw of standard normals has the root of their number as its norm only nearly.
        num = sum(tensor.size for tensor in moved.values() if tensor.any())
        tolerance = 4 / np.sqrt(2 * num) if normalization == "none" else 1e-6
        assert np.linalg.norm(flat(moved)) == pytest.approx(abs(coordinate) * 2.5, rel=tolerance)
    changed = {name for name, tensor in moved.items() if tensor.any()}
    if limits:
        assert changed == {f"model.layers.1.mlp.{part}_proj.weight" for part in ("gate", "up")}
    else:
        assert changed == {name for name in moved if "norm" not in name}


def test_random_directions_get_the_norm_of_a_difference(untied_checkpoint: Path, make_sibling: MakeSibling) -> None:
    sibling = make_sibling(untied_checkpoint, seed=1)
    landscape = {"kind": "interpolation-random", "to": {"id": str(sibling)}, "axes": AXES}
    config = config_of(untied_checkpoint, landscape, displacement={"id": str(sibling)}, draws=1)
    plan = plan_of(config)
    towards, random = flat(step(config, plan, (1.0, 0.0))), flat(step(config, plan, (0.0, 1.0)))
    norm = np.linalg.norm(difference(sibling, untied_checkpoint))
    assert np.linalg.norm(towards) == pytest.approx(norm, rel=1e-6)
    assert np.linalg.norm(random) == pytest.approx(norm, rel=1e-6)
    both = flat(step(config, plan, (1.0, 1.0)))
    np.testing.assert_allclose(both, towards + random, rtol=0, atol=1e-6)


def test_a_tied_head_counts_once(tied_checkpoint: Path, make_sibling: MakeSibling, tmp_path: Path) -> None:
    sibling = make_sibling(tied_checkpoint, seed=1)
    landscape = {"kind": "interpolation", "to": {"id": str(sibling)}}
    config = config_of(tied_checkpoint, landscape)
    expected = measure_geometry(config, resolve(config.model), resolve_checkpoints(config)).inner_products

    redundant = tmp_path / "redundant"
    redundant.mkdir()
    (redundant / "config.json").write_text((tied_checkpoint / "config.json").read_text())
    weights = load_file(tied_checkpoint / "model.safetensors")
    save_file(weights | {"lm_head.weight": weights["model.embed_tokens.weight"]}, redundant / "model.safetensors")
    config = config_of(redundant, landscape)
    assert measure_geometry(config, resolve(config.model), resolve_checkpoints(config)).inner_products == expected
    assert expected[0][0] == pytest.approx(np.sum(difference(sibling, tied_checkpoint) ** 2), rel=1e-12)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"rms_norm_eps": 1e-5}, "rms_norm_eps 1e-05 instead of 1e-06"),
        ({"hidden_act": "gelu"}, "hidden_act 'gelu' instead of 'silu'"),
        ({"num_attention_heads": 2}, "num_attention_heads 2 instead of 4"),
    ],
)
def test_a_checkpoint_that_computes_something_else_is_refused(
    change: dict[str, Any], named: str, untied_checkpoint: Path, make_sibling: MakeSibling
) -> None:
    other = make_sibling(untied_checkpoint, seed=1)
    settings = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(settings | change))
    with pytest.raises(CheckpointError, match="computes something else than the model") as caught:
        plan_of(config_of(untied_checkpoint, {"kind": "interpolation", "to": {"id": str(other)}}))
    assert named in str(caught.value)


def test_settings_that_only_one_states_or_that_do_not_compute_are_no_difference(
    untied_checkpoint: Path, make_sibling: MakeSibling
) -> None:
    other = make_sibling(untied_checkpoint, seed=1)
    settings = json.loads((other / "config.json").read_text())
    del settings["hidden_act"]
    settings |= {"use_cache": False, "sliding_window": 64, "torch_dtype": "float16", "_name_or_path": "elsewhere"}
    (other / "config.json").write_text(json.dumps(settings))
    assert plan_of(config_of(untied_checkpoint, {"kind": "interpolation", "to": {"id": str(other)}})).deltas


def test_an_adapter_is_found_and_is_no_model(tmp_path: Path, untied_checkpoint: Path) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    save_file({"x": np.zeros(3)}, adapter / "adapter_model.safetensors")
    config = config_of(untied_checkpoint, {"kind": "interpolation", "to": {"id": str(adapter)}})
    (found,) = resolve_checkpoints(config)
    assert (found.location, found.revision) == (str(adapter), None)
    save_file({"x": np.ones(3)}, adapter / "adapter_model.safetensors")
    assert resolve_checkpoints(config) != (found,)
    with pytest.raises(CheckpointError, match="is an adapter, which cannot be the model at the origin"):
        resolve(ModelConfig(id=str(adapter)))
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    with pytest.raises(CheckpointError, match=r"has no \*\.safetensors file \(there is adapter_model\.bin\)"):
        resolve_checkpoints(config)
