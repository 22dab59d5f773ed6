"""Coordinate 1 is the quantised, or the pruned, model to the bit; and what kinds cannot be made of is refused."""

import math
from typing import Literal, get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

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
)
from landscape_ray.weights import BaseWeights, Perturber, standard_normals, tensor_key
from landscape_ray.weights.kinds import ComputedTensors, computed
from landscape_ray.weights.kinds.quantization_error import quantized

CPU = torch.device("cpu")
Format = Literal["int8", "int4", "nf4", "fp8"]
LOW_RANK = LowRank(seed=0, rank=2)
TO = CheckpointDelta(fingerprint="to", location="elsewhere", revision=None)


def at_1(vector: ComputedVector, weights: torch.Tensor) -> torch.Tensor:
    base = BaseWeights(tensors={"w": weights})
    ((_, placed),) = Perturber(base, dtype=weights.dtype, device=CPU).tensors(Perturbation.of([(vector, 1.0)]))
    return placed


def bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.contiguous().view(torch.uint8)


@pytest.mark.slow
@pytest.mark.parametrize("number_format", get_args(Format))
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@settings(max_examples=60, deadline=None)
@given(
    values=arrays.arrays(np.float32, (3, 8), elements=st.floats(-60000, 60000, width=32)), exponent=st.integers(-8, 0)
)
def test_coordinate_1_is_the_quantised_model_to_the_bit(
    number_format: Format,
    dtype: torch.dtype,
    values: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]",
    exponent: int,
) -> None:
    weights = (torch.from_numpy(values) * 10.0**exponent).to(dtype)
    vector = QuantizationError(format=number_format, by="channel", group_size=None)
    expected = quantized(vector, "w", weights)
    if torch.equal(expected, weights):
        return  # a direction of zeros
    assert torch.equal(bits(at_1(vector, weights)), bits(expected))


def test_all_weights_that_round_to_integers_are_multiples_of_their_scale() -> None:
    weights = torch.randn(64, 128, generator=torch.Generator().manual_seed(0))
    for number_format, largest in (("int8", 127), ("int4", 7)):
        vector = QuantizationError(format=number_format, by="channel", group_size=None)  # type: ignore[arg-type]
        scale = weights.double().abs().amax(dim=1, keepdim=True) / largest
        steps = at_1(vector, weights).double() / scale
        assert float((steps - steps.round()).abs().max()) < 1e-6 * largest
        assert set(steps.round().flatten().tolist()) == set(range(-largest, largest + 1))


@pytest.mark.parametrize(("share", "num"), [(0.29, 29), (0.5, 50), (0.999, 99)])
def test_coordinate_1_is_the_pruned_model_to_the_bit(share: float, num: int) -> None:
    # Many of equal magnitude, as there are in types of 16 bits.
    weights = torch.randint(1, 5, (10, 10), generator=torch.Generator().manual_seed(1)).to(torch.bfloat16)
    weights[::2] *= -1
    placed = at_1(Pruning(share=share), weights)
    gone = placed == 0
    assert int(gone.sum()) == num
    assert torch.equal(bits(placed[~gone]), bits(weights[~gone]))
    assert torch.equal(bits(placed[gone]), torch.zeros(2 * num, dtype=torch.uint8))
    largest_gone, least_left = weights[gone].abs().max(), weights[~gone].abs().min()
    assert largest_gone <= least_left
    level = (weights.abs() == largest_gone).flatten()
    of_level = gone.flatten()[level]
    assert torch.equal(of_level, of_level.sort(descending=True, stable=True).values)  # the first ones of a level


def test_what_the_checkpoints_type_holds_exactly_is_kept_in_it() -> None:
    weights = torch.randn(20, 30, generator=torch.Generator().manual_seed(1)).to(torch.bfloat16)
    kept = ComputedTensors({})
    int8 = QuantizationError(format="int8", by="channel", group_size=None)
    for vector, dtype in ((Pruning(share=0.5), torch.bfloat16), (int8, torch.bfloat16), (LOW_RANK, torch.float32)):
        found, expected = kept.tensor(vector, "w", weights), computed(vector, "w", weights, {})
        assert found is not None
        assert expected is not None
        assert found.dtype == dtype
        assert torch.equal(found.float(), expected)


def test_vectors_stay_where_models_are_quantised_or_pruned() -> None:
    for vector in (Pruning(share=0.5), QuantizationError(format="int4", by="tensor", group_size=None)):
        assert computed(vector, "bias", torch.randn(32), {}) is None


def test_a_matrix_of_low_rank_has_that_rank_and_elements_of_variance_1() -> None:
    found = computed(LowRank(seed=5, rank=4), "w", torch.zeros(200, 300), {})
    assert found is not None
    values = torch.linalg.svdvals(found.double())
    assert int((values > 1e-4 * values[0]).sum()) == 4
    assert math.isclose(float(found.std()), 1.0, rel_tol=0.1)
    other = computed(LowRank(seed=6, rank=4), "w", torch.zeros(200, 300), {})
    assert other is not None
    assert abs(float(torch.corrcoef(torch.stack([found.flatten(), other.flatten()]))[0, 1])) < 0.05


def test_a_complement_is_orthogonal_and_random_where_there_is_no_difference() -> None:
    generator = torch.Generator().manual_seed(0)
    base = {name: torch.randn(30, 40, generator=generator) for name in ("moved", "same")}
    to = BaseWeights(tensors={"moved": base["moved"] + 0.1 * torch.randn(30, 40), "same": base["same"]})
    vector = Complement(seed=9, to=TO, normalization="layer")
    for name, weights in base.items():
        found = computed(vector, name, weights, {TO: to})
        assert found is not None
        assert math.isclose(float(found.norm()), float(weights.norm()), rel_tol=1e-5)
        along = to.tensor(name) - weights
        assert abs(float((found.double() * along.double()).sum())) < 1e-5 * float(found.norm() * along.norm() + 1e-30)
    plain = standard_normals(tensor_key(9, "same"), 0, 1200, device=CPU).view(30, 40)
    assert found is not None
    assert torch.allclose(found, plain * (base["same"].norm() / plain.norm()), rtol=1e-5)


def test_top_and_rest_of_a_difference_make_the_whole() -> None:
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(12, 20, generator=generator)
    to = BaseWeights(tensors={"w": torch.randn(12, 20, generator=generator)})
    top, rest = (computed(SingularPart(to=TO, rank=3, part=part), "w", weights, {TO: to}) for part in ("top", "rest"))
    assert top is not None
    assert rest is not None
    assert torch.allclose(top + rest, to.tensor("w") - weights, atol=1e-6)
    values = [torch.linalg.svdvals(each.double()) for each in (top, rest)]
    assert [int((each > 1e-5).sum()) for each in values] == [3, 9]
    assert values[0][2] > values[1][0]


@pytest.mark.parametrize(
    ("vector", "message"),
    [
        (LowRank(seed=0, rank=9), r"rank 9 was asked for, and the tensor w has 8 rows and 12 columns, so no more than"),
        (SingularPart(to=TO, rank=3, part="rest"), r"The 3 largest .* has 2 on the tensor w \(8, 12\). Lower rank, or"),
        (QuantizationError(format="nf4", by="group", group_size=5), r"Groups of 5 .* \(8, 12\) has 12 columns, which"),
    ],
)
def test_what_a_tensor_is_too_small_for_is_refused_by_name(vector: ComputedVector, message: str) -> None:
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(8, 12, generator=generator)
    low = torch.randn(8, 2, generator=generator) @ torch.randn(2, 12, generator=generator)
    with pytest.raises(CheckpointError, match=message):
        computed(vector, "w", weights, {TO: BaseWeights(tensors={"w": weights + low})})
