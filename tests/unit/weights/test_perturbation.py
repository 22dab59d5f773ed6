"""The perturbation against float64 NumPy, and its laws."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from landscape_ray.config import Normalization
from landscape_ray.errors import CheckpointError
from landscape_ray.planning import ORIGIN, Perturbation, RandomVector
from landscape_ray.weights import BaseWeights, Perturber, direction, perturbation, standard_normals, tensor_key

CPU = torch.device("cpu")
NAMES = ("model.embed_tokens.weight", "model.layers.0.mlp.up_proj.weight", "model.layers.0.mlp.up_proj.bias")


def make_base(dtype: torch.dtype = torch.float32) -> BaseWeights:
    generator = torch.Generator().manual_seed(0)
    shapes = {NAMES[0]: (23, 8), NAMES[1]: (16, 8), NAMES[2]: (16,), "model.norm.weight": (8,)}
    return BaseWeights(
        tensors={name: torch.randn(shape, generator=generator).to(dtype) for name, shape in shapes.items()}
    )


def make_vector(
    seed: int = 1, normalization: Normalization = "layer", excluded: tuple[str, ...] = ("norm",)
) -> RandomVector:
    return RandomVector(seed=seed, normalization=normalization, excluded=excluded)


def place(point: Perturbation, base: BaseWeights, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    return dict(Perturber(base, dtype=dtype, device=CPU).tensors(point))


def numpy_direction(
    name: str, base: torch.Tensor, vector: RandomVector
) -> "np.ndarray[tuple[int, ...], np.dtype[np.float64]]":
    """The vector by the paper's formulas, in float64."""
    z = (
        standard_normals(tensor_key(vector.seed, name), 0, base.numel(), device=CPU)
        .double()
        .numpy()
        .reshape(base.shape)
    )
    weights = base.double().numpy()
    if vector.normalization == "layer":
        return np.asarray(z / np.linalg.norm(z) * np.linalg.norm(weights))
    if vector.normalization == "filter" and weights.ndim > 1:
        rows = (-1,) + (1,) * (weights.ndim - 1)
        norms = [np.linalg.norm(m.reshape(len(m), -1), axis=1).reshape(rows) for m in (weights, z)]
        return np.asarray(z * norms[0] / norms[1])
    if vector.normalization == "filter":
        return np.asarray(z / np.linalg.norm(z) * np.linalg.norm(weights))
    return z


@pytest.mark.parametrize("normalization", ["layer", "filter", "none"])
@pytest.mark.parametrize("block", [1 << 20, 24])
def test_a_point_equals_the_formula_in_float64(
    normalization: Normalization, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(perturbation, "BLOCK_CPU", block)  # 24 elements: blocks of three rows that do not divide 23
    base = make_base()
    vectors = make_vector(1, normalization), make_vector(2, normalization)
    placed = place(Perturbation.of(zip(vectors, (0.3, -0.05), strict=True)), base)
    assert tuple(placed) == base.names
    for name in NAMES:
        w0 = base.tensor(name)
        expected = w0.double().numpy() + sum(
            c * numpy_direction(name, w0, v) for v, c in zip(vectors, (0.3, -0.05), strict=True)
        )
        np.testing.assert_allclose(placed[name].numpy(), expected, rtol=3e-6, atol=3e-6)
        assert not torch.equal(placed[name], w0)


@pytest.mark.parametrize("normalization", ["layer", "filter", "none"])
def test_public_direction_is_what_a_coefficient_multiplies(normalization: Normalization) -> None:
    base, vector = make_base(), make_vector(5, normalization)
    for name in NAMES:
        d = direction(vector, name, base.tensor(name))
        np.testing.assert_allclose(d.numpy(), numpy_direction(name, base.tensor(name), vector), rtol=2e-6, atol=1e-6)
        moved = place(Perturbation.of([(vector, 0.25)]), base)[name] - base.tensor(name)
        np.testing.assert_allclose(moved.numpy(), 0.25 * d.numpy(), rtol=1e-5, atol=1e-6)


def test_layer_normalization_gives_each_tensor_the_norm_of_its_weights() -> None:
    base, vector = make_base(), make_vector()
    for name in NAMES:
        assert float(direction(vector, name, base.tensor(name)).norm()) == pytest.approx(
            float(base.tensor(name).norm()), rel=1e-6
        )


def test_filter_normalization_gives_each_row_the_norm_of_its_weights() -> None:
    base, vector = make_base(), make_vector(normalization="filter")
    weights = base.tensor(NAMES[1])
    torch.testing.assert_close(direction(vector, NAMES[1], weights).norm(dim=1), weights.norm(dim=1), rtol=1e-6, atol=0)


def test_a_tensor_of_zeros_stays_zero_under_normalization() -> None:
    zeros = torch.zeros(4, 4)
    assert torch.equal(direction(make_vector(), "a.bias", zeros), zeros)
    assert torch.equal(direction(make_vector(normalization="filter"), "a.bias", zeros), zeros)


def test_excluded_tensors_stay_and_their_direction_is_zero() -> None:
    base = make_base()
    placed = place(Perturbation.of([(make_vector(excluded=("norm", r"\.bias$")), 0.4)]), base)
    changed = [name for name in base.names if not torch.equal(placed[name], base.tensor(name))]
    assert changed == [NAMES[0], NAMES[1]]
    assert not direction(make_vector(), "model.norm.weight", base.tensor("model.norm.weight")).any()


def test_a_pattern_that_matches_nothing_is_refused_by_name() -> None:
    with pytest.raises(CheckpointError, match=r"'layernorm', which matches none of the checkpoint's 4 tensors"):
        place(Perturbation.of([(make_vector(excluded=("layernorm",)), 0.4)]), make_base())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_sum_is_cast_once(dtype: torch.dtype) -> None:
    base = make_base(torch.bfloat16)
    vectors = make_vector(1), make_vector(2)
    point = Perturbation.of([(vectors[0], 0.1), (vectors[1], 0.2)])
    in_float32 = place(point, base)
    assert all(torch.equal(t, in_float32[name].to(dtype)) for name, t in place(point, base, dtype).items())


@pytest.mark.slow
def test_a_thousand_points_leave_the_base_and_the_origin_bit_equal() -> None:
    base = make_base()
    pristine = {name: tensor.clone() for name, tensor in base.tensors.items()}
    perturber = Perturber(base, dtype=torch.float32, device=CPU)
    rng = np.random.default_rng(0)
    for _ in range(1000):
        point = Perturbation.of([(make_vector(int(rng.integers(50))), float(rng.normal()))])
        for _, tensor in perturber.tensors(point):
            tensor.add_(1.0)  # whoever takes a tensor may write to it
    placed = dict(perturber.tensors(ORIGIN))
    assert all(torch.equal(placed[name], pristine[name]) for name in base.names)
    assert all(torch.equal(base.tensor(name), pristine[name]) for name in base.names)


@settings(max_examples=25)
@given(a=st.floats(-1, 1), b=st.floats(-1, 1), seed=st.integers(0, 3))
def test_points_do_not_depend_on_what_was_visited_before(a: float, b: float, seed: int) -> None:
    base = make_base()
    perturber = Perturber(base, dtype=torch.float32, device=CPU)
    there = Perturbation.of([(make_vector(seed), a)])
    list(perturber.tensors(Perturbation.of([(make_vector(seed + 1), b), (make_vector(seed), b)])))
    assert all(torch.equal(t, place(there, base)[name]) for name, t in perturber.tensors(there))


def test_base_reads_shards_in_layer_order_without_buffers(tmp_path: Path) -> None:
    from safetensors.torch import save_file  # noqa: PLC0415

    shards = {
        "model-1.safetensors": {"model.layers.10.w": torch.ones(2), "model.layers.2.w": torch.ones(2)},
        "model-2.safetensors": {
            "lm_head.weight": torch.ones(2),
            "model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(2),
            "transformer.h.0.attn.bias": torch.ones(2, dtype=torch.uint8),
        },
    }
    weight_map = {name: file for file, tensors in shards.items() for name in tensors}
    for file, tensors in shards.items():
        save_file(tensors, tmp_path / file)
    (tmp_path / "model.safetensors.index.json").write_text(f'{{"weight_map": {weight_map}}}'.replace("'", '"'))
    base = BaseWeights.load(tmp_path, device=CPU, location="device", tied_head=False)
    assert base.names == ("lm_head.weight", "model.layers.2.w", "model.layers.10.w")
    assert sum(tensor.numel() for tensor in base.tensors.values()) == 6
    tied = BaseWeights.load(tmp_path, device=CPU, location="host", tied_head=True)
    assert tied.names == ("model.layers.2.w", "model.layers.10.w")
    (tmp_path / "model-2.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"lacks model-2\.safetensors"):
        BaseWeights.load(tmp_path, device=CPU, location="device", tied_head=False)


def test_a_folder_without_safetensors_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").touch()
    with pytest.raises(CheckpointError, match="Only safetensors are read"):
        BaseWeights.load(tmp_path, device=CPU, location="device", tied_head=False)
