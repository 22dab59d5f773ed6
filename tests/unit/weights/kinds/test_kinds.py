"""Each kind of direction against its formula in float64 NumPy, and what all kinds have in common."""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from landscape_ray.errors import CheckpointError
from landscape_ray.plan import CheckpointDelta, ComputedVector, Perturbation, TaskVector
from landscape_ray.weights import BaseWeights, Perturber, direction_norms, kinds, vector_tensors
from landscape_ray.weights.kinds import ComputedTensors, computed

CPU = torch.device("cpu")
Array = npt.NDArray[np.float64]
SHAPES = {"embed.weight": (23, 8), "layers.0.up.weight": (16, 8), "layers.0.up.bias": (16,), "norm.weight": (8,)}
PLUS, MINUS = (CheckpointDelta(fingerprint=name, location=name, revision=None) for name in ("plus", "minus"))


def weights(seed: int, dtype: torch.dtype = torch.float32) -> BaseWeights:
    generator = torch.Generator().manual_seed(seed)
    return BaseWeights(
        tensors={name: torch.randn(shape, generator=generator).to(dtype) for name, shape in SHAPES.items()}
    )


BASE = weights(0)
ENDPOINTS = {PLUS: weights(1), MINUS: weights(2)}


def oracle(vector: ComputedVector, name: str, base: BaseWeights = BASE) -> Array:
    """What a vector is on a tensor, by the formulas of docs/directions.md."""
    w0, plus, minus = (each.tensor(name).double().numpy() for each in (base, ENDPOINTS[PLUS], ENDPOINTS[MINUS]))
    match vector:
        case TaskVector():
            raw: Array = plus - minus
        case _:
            raise NotImplementedError
    return scaled(raw, w0, vector.normalization)


def scaled(raw: Array, w0: Array, normalization: str) -> Array:
    if normalization == "none":
        return raw
    rows = len(raw) if normalization == "filter" and raw.ndim > 1 else 1
    norms = [np.linalg.norm(each.reshape(rows, -1), axis=1, keepdims=True) for each in (w0, raw)]
    return np.asarray((raw.reshape(rows, -1) * norms[0] / norms[1]).reshape(raw.shape))


KINDS: dict[str, ComputedVector] = {"task_vector": TaskVector(plus=PLUS, minus=MINUS)}


def with_changes(vector: ComputedVector, **changes: Any) -> ComputedVector:
    return replace(vector, **changes)


@pytest.mark.parametrize("normalization", ["none", "layer", "filter"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_direction_is_its_formula_in_float64(kind: str, normalization: str) -> None:
    vector = with_changes(KINDS[kind], normalization=normalization, excluded=("norm",))
    moved = 0
    for name in BASE.names:
        found = computed(vector, name, BASE.tensor(name), ENDPOINTS)
        if found is None:
            assert name == "norm.weight" or not oracle(vector, name).any()
            continue
        assert (found.dtype, found.shape) == (torch.float32, SHAPES[name])
        np.testing.assert_allclose(found.numpy(), oracle(vector, name), rtol=1e-5, atol=1e-6)
        moved += 1
    assert moved >= 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_point_is_the_weights_plus_the_coefficient_times_the_direction(kind: str) -> None:
    vector = KINDS[kind]
    perturber = Perturber(BASE, dtype=torch.float32, device=CPU, endpoints=ENDPOINTS)
    first = dict(perturber.tensors(Perturbation.of([(vector, 0.3)])))
    for name, tensor in first.items():
        expected = BASE.tensor(name).double().numpy() + 0.3 * oracle(vector, name)
        np.testing.assert_allclose(tensor.numpy(), expected, rtol=1e-5, atol=2e-6)
    again = dict(perturber.tensors(Perturbation.of([(vector, 0.3)])))
    assert all(torch.equal(first[name], again[name]) for name in first)  # nothing kept was written to


@pytest.mark.parametrize("kind", KINDS)
def test_beside_the_weights_lies_the_same_direction(kind: str) -> None:
    vector, kept = KINDS[kind], ComputedTensors(ENDPOINTS)
    found = dict(vector_tensors(vector, BASE, kept, device=CPU))
    assert tuple(found) == BASE.names
    for name, tensor in found.items():
        expected = computed(vector, name, BASE.tensor(name), ENDPOINTS)
        assert torch.equal(tensor, torch.zeros(SHAPES[name]) if expected is None else expected)
        tensor.fill_(7.0)  # theirs
    again = dict(vector_tensors(vector, BASE, kept, device=CPU))
    assert not any((tensor == 7.0).all() for tensor in again.values())


@pytest.mark.parametrize("kind", KINDS)
def test_the_norm_is_that_over_all_tensors(kind: str) -> None:
    (norm,) = direction_norms([KINDS[kind]], BASE, ENDPOINTS)
    squares = sum(float(np.square(oracle(KINDS[kind], name)).sum()) for name in BASE.names)
    assert norm == pytest.approx(squares**0.5, rel=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_each_tensor_is_computed_once(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def counted(vector: ComputedVector, name: str, *rest: Any) -> torch.Tensor | None:
        asked.append(name)
        return computed(vector, name, *rest)

    monkeypatch.setattr(kinds, "computed", counted)
    perturber = Perturber(BASE, dtype=torch.float32, device=CPU, endpoints=ENDPOINTS)
    for coefficient in (0.1, -0.2, 1.0):
        list(perturber.tensors(Perturbation.of([(KINDS[kind], coefficient)])))
    assert asked == list(BASE.names)


def test_patterns_that_match_nothing_and_checkpoints_not_opened_are_refused() -> None:
    vector = with_changes(KINDS["task_vector"], included=("attention",))
    perturber = Perturber(BASE, dtype=torch.float32, device=CPU, endpoints=ENDPOINTS)
    with pytest.raises(CheckpointError, match="'attention', which matches none of the checkpoint's 4 tensors"):
        perturber.point(Perturbation.of([(vector, 1.0)]))
    with pytest.raises(CheckpointError, match="'attention', which matches none"):
        direction_norms([vector], BASE, ENDPOINTS)
    with pytest.raises(ValueError, match=r"The checkpoint minus .* was not opened"):
        computed(KINDS["task_vector"], "embed.weight", BASE.tensor("embed.weight"), {PLUS: ENDPOINTS[PLUS]})
