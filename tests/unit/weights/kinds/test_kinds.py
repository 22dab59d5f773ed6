"""Each kind of direction against its formula in float64 NumPy, and what all kinds have in common."""

from dataclasses import replace
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import pytest
import torch

from landscape_ray.errors import CheckpointError
from landscape_ray.planning import (
    CheckpointDelta,
    Complement,
    ComputedVector,
    LowRank,
    Perturbation,
    Pruning,
    QuantizationError,
    SingularPart,
    TaskVector,
)
from landscape_ray.weights import (
    BaseWeights,
    Perturber,
    direction_norms,
    kinds,
    standard_normals,
    tensor_key,
    vector_tensors,
)
from landscape_ray.weights.kinds import ComputedTensors, computed
from landscape_ray.weights.kinds.quantization_error import NF4

Format = Literal["int8", "int4", "nf4", "fp8"]
By = Literal["tensor", "channel", "group"]
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
        case LowRank(seed=seed, rank=rank):
            raw = low_rank_by_sums(seed, name, rank, w0)
        case Complement(seed=seed):
            drawn, along = normals(seed, name, w0.shape), plus - w0
            raw = drawn - np.vdot(drawn, along) / np.vdot(along, along) * along
        case SingularPart(rank=rank, part=part):
            raw = singular_part(plus - w0, rank, part)
        case QuantizationError():
            raw = quantized_by_search(vector, w0) - w0 if w0.ndim > 1 else np.zeros_like(w0)
        case Pruning(share=share):
            raw = pruned_by_sorting(share, w0) - w0 if w0.ndim > 1 else np.zeros_like(w0)
        case _:
            raise NotImplementedError
    return scaled(raw, w0, vector.normalization)


def normals(seed: int, key: str, shape: tuple[int, ...]) -> Array:
    drawn = standard_normals(tensor_key(seed, key), 0, int(np.prod(shape)), device=CPU)
    return drawn.double().numpy().reshape(shape)


def low_rank_by_sums(seed: int, name: str, rank: int, w0: Array) -> Array:
    if w0.ndim < 2:
        return np.zeros_like(w0)
    left, right = normals(seed, f"{name}/left", (len(w0), rank)), normals(seed, f"{name}/right", (rank, w0.shape[1]))
    left, right = np.rint(left * 4096) / 4096, np.rint(right * 4096) / 4096
    return np.asarray(sum(np.outer(left[:, k], right[k]) for k in range(rank)) / np.sqrt(rank))


def singular_part(difference: Array, rank: int, part: str) -> Array:
    """By the eigenvectors of D'D, which are the right singular vectors."""
    if difference.ndim < 2:
        return difference if part == "top" else np.zeros_like(difference)
    _, vectors = np.linalg.eigh(difference.T @ difference)  # in ascending order
    projector = vectors[:, -rank:] @ vectors[:, -rank:].T
    return np.asarray(difference @ (projector if part == "top" else np.eye(len(projector)) - projector))


def levels_of(number_format: str) -> Array:
    """All numbers of a format, in ascending order."""
    if number_format == "fp8":  # sign, 4 bits of exponent with bias 7, 3 bits of mantissa; the last one is no number
        positive = [m / 8 * 2.0**-6 for m in range(8)]
        positive += [(1 + m / 8) * 2.0 ** (e - 7) for e in range(1, 16) for m in range(8) if (e, m) != (15, 7)]
        return np.array(sorted({*positive, *(-x for x in positive)}), dtype=np.float64)
    if number_format == "nf4":
        return np.array(NF4)
    largest = {"int8": 127, "int4": 7}[number_format]
    return np.arange(-largest, largest + 1, dtype=np.float64)


def quantized_by_search(vector: QuantizationError, w0: Array) -> Array:
    levels = levels_of(vector.format)
    rows = w0.reshape({"tensor": 1, "channel": len(w0)}.get(vector.by, -1), vector.group_size or -1)
    if vector.by == "tensor":
        rows = w0.reshape(1, -1)
    scale = np.abs(rows).max(axis=1, keepdims=True) / levels[-1]
    nearest = np.abs((rows / scale)[..., None] - levels).argmin(axis=-1)
    return np.asarray((levels[nearest] * scale).reshape(w0.shape).astype(np.float32), dtype=np.float64)


def pruned_by_sorting(share: float, w0: Array) -> Array:
    flat = w0.flatten()
    flat[np.argsort(np.abs(flat), kind="stable")[: round(share * 1000) * flat.size // 1000]] = 0
    return flat.reshape(w0.shape)


def scaled(raw: Array, w0: Array, normalization: str) -> Array:
    if normalization == "none":
        return raw
    rows = len(raw) if normalization == "filter" and raw.ndim > 1 else 1
    norms = [np.linalg.norm(each.reshape(rows, -1), axis=1, keepdims=True) for each in (w0, raw)]
    return np.asarray((raw.reshape(rows, -1) * norms[0] / np.where(norms[1], norms[1], 1)).reshape(raw.shape))


KINDS: dict[str, ComputedVector] = {
    "task_vector": TaskVector(plus=PLUS, minus=MINUS),
    "low_rank": LowRank(seed=3, rank=2),
    "complement": Complement(seed=3, to=PLUS),
    "svd top": SingularPart(to=PLUS, rank=3, part="top"),
    "svd rest": SingularPart(to=PLUS, rank=3, part="rest"),
    **{
        f"{number_format} by {by}": QuantizationError(
            format=number_format, by=by, group_size=4 if by == "group" else None
        )
        for number_format in get_args(Format)
        for by in get_args(By)
    },
    "pruning": Pruning(share=0.3),
}


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
