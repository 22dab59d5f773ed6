"""Workers that hold slices of a model place a point as one, without vLLM: each writes into memory of its own."""

import itertools
import logging
from collections.abc import Callable
from math import nan
from typing import Any

import pytest
import torch

from landscape_ray.engine.vllm.placing import Layout, Placing
from landscape_ray.errors import PlacementError
from landscape_ray.planning import ORIGIN, CheckpointDelta, Perturbation, RandomVector
from landscape_ray.weights import (
    BaseWeights,
    FusedPass,
    Perturber,
    Region,
    WeightsDigest,
    kernel_for,
    with_base,
)

CPU = torch.device("cpu")
HIDDEN, VOCABULARY, HEAD_ROWS = 24, 37, 6
SHAPES = {
    "embed": (VOCABULARY, HIDDEN),
    "norm": (HIDDEN,),
    "q": (4 * HEAD_ROWS, HIDDEN),
    "k": (2 * HEAD_ROWS, HIDDEN),
    "o": (HIDDEN, 4 * HEAD_ROWS),
    "o.bias": (HIDDEN,),
}
DELTA = CheckpointDelta(fingerprint="0", location="sibling", revision=None)
LAYER = RandomVector(seed=1, normalization="layer", excluded=("norm",))
FILTER = RandomVector(seed=2, normalization="filter", excluded=())
POINTS = {
    "origin": ORIGIN,
    "one direction": Perturbation.of([(LAYER, 0.3)]),
    "two directions": Perturbation.of([(LAYER, 0.3), (FILTER, -0.7)]),
    "between checkpoints": Perturbation.of([(DELTA, 0.25), (LAYER, 0.3)]),
    "closer to the other": Perturbation.of([(DELTA, 0.75), (FILTER, 0.3)]),
    "the other": Perturbation.of([(DELTA, 1.0)]),
}


def weights(seed: int) -> BaseWeights:
    generator = torch.Generator().manual_seed(seed)
    return BaseWeights(tensors={name: torch.randn(shape, generator=generator) for name, shape in SHAPES.items()})


def slices(rank: int, num_ranks: int) -> dict[str, tuple[int, int, int, int]]:
    """First row, first column, rows and columns of what a rank holds of each tensor, as in vLLM's parallel layers."""
    per_rank = -(-VOCABULARY // num_ranks)  # the last rank holds padding, too
    num_kv_ranks = min(num_ranks, 2)  # with more ranks than heads, several hold the same
    heads = 2 * HEAD_ROWS // num_kv_ranks
    columns = 4 * HEAD_ROWS // num_ranks
    return {
        "embed": (rank * per_rank, 0, min(per_rank, VOCABULARY - rank * per_rank), HIDDEN),
        "norm": (0, 0, 1, HIDDEN),
        "q": (rank * columns, 0, columns, HIDDEN),
        "k": (rank * num_kv_ranks // num_ranks * heads, 0, heads, HIDDEN),
        "o": (0, rank * columns, HIDDEN, columns),
        "o.bias": (0, 0, 1, HIDDEN),
    }


class Worker:
    """One worker, with the methods of `PerturbationWorker` that placing calls."""

    def __init__(self, rank: int, num_ranks: int, dtype: torch.dtype) -> None:
        base = weights(0)
        kernel = kernel_for(base, dtype=dtype, device=CPU)
        assert kernel is not None
        self.perturber = Perturber(base, dtype=dtype, device=CPU, endpoints={DELTA: weights(1)})
        self.fused_pass = FusedPass(self.perturber, kernel)
        self.regions = {
            name: [Region(name=name, row=row, column=column, target=torch.zeros(rows, columns + 1, dtype=dtype)[:, 1:])]
            for name, (row, column, rows, columns) in slices(rank, num_ranks).items()
        }
        self.problems: list[str] = []
        self.differences: list[str] = []
        self.is_reloading = False

    def observe_layout(self) -> Layout:
        return Layout(
            shapes={name: torch.Size(shape) for name, shape in SHAPES.items()},
            dtype=self.perturber.dtype,
            rectangles=tuple(region.rectangle for parts in self.regions.values() for region in parts),
            problems=tuple(self.problems),
        )

    def prove_layout(self) -> list[str]:
        self.regions = with_base(self.regions, self.perturber.base, location="device", device=CPU)
        return self.differences

    def stay_with_reloading(self) -> None:
        self.is_reloading = True

    def place_perturbation(self, perturbation: Perturbation) -> list[int] | str:
        if self.is_reloading:
            return digest_at(perturbation, self.perturber)
        return list(self.fused_pass.write(perturbation, self.regions).values())


def workers(num: int, dtype: torch.dtype = torch.float32) -> list[Worker]:
    return [Worker(rank, num, dtype) for rank in range(num)]


def calling(workers: list[Worker]) -> Callable[..., list[Any]]:
    return lambda method, args=(): [getattr(worker, method)(*args) for worker in workers]


def digest_at(point: Perturbation, perturber: Perturber) -> str:
    digest = WeightsDigest()
    for name, tensor in perturber.tensors(point):
        digest.update(name, tensor)
    return digest.hexdigest()


@pytest.mark.parametrize(("num", "dtype"), [*itertools.product((1, 2, 4), (torch.float32, torch.bfloat16))])
def test_slices_hold_the_point_and_the_digest_is_that_of_the_whole(num: int, dtype: torch.dtype) -> None:
    ranks = workers(num, dtype)
    placing = Placing(calling(ranks))
    assert not any(rank.is_reloading for rank in ranks)
    for point in POINTS.values():
        assert placing.place(point) == digest_at(point, ranks[0].perturber)
        expected = dict(ranks[0].perturber.tensors(point))
        for region in (region for rank in ranks for parts in rank.regions.values() for region in parts):
            part, whole = region.rectangle, expected[region.name].reshape(-1, expected[region.name].shape[-1])
            rows, columns = slice(part.row, part.row + part.rows), slice(part.column, part.column + part.columns)
            assert torch.equal(region.target, whole[rows, columns])


def test_of_the_base_no_more_is_read_than_the_parts_that_workers_keep() -> None:
    ranks = workers(2)
    placing = Placing(calling(ranks))
    expected = {name: placing.place(point) for name, point in POINTS.items()}
    assert len(set(expected.values())) == len(POINTS)
    for rank in ranks:
        rank.perturber.base = BaseWeights(tensors={name: torch.full(shape, nan) for name, shape in SHAPES.items()})
    for name in ("origin", "one direction", "two directions", "between checkpoints", "the other"):
        assert placing.place(POINTS[name]) == expected[name]


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda rank: rank.problems.append("q is packed"), "q is packed"),
        (lambda rank: rank.differences.append("layer.0: scale differs"), "layer.0: scale differs"),
        (lambda rank: rank.regions.pop("q"), "q is not copied as it is, or not once"),
        (lambda rank: rank.regions.pop("embed"), "embed is not copied as it is, or not once"),
        (
            lambda rank: rank.regions["o"].append(Region(name="o", row=0, column=0, target=torch.zeros(HIDDEN, 2))),
            "o is not copied as it is, or not once",
        ),
    ],
)
def test_what_one_worker_cannot_write_in_place_all_reload(
    spoil: Callable[[Worker], object], problem: str, caplog: pytest.LogCaptureFixture
) -> None:
    ranks = workers(2)
    spoil(ranks[1])
    with caplog.at_level(logging.INFO, logger="landscape_ray"):
        placing = Placing(calling(ranks))
    assert [record.message for record in caplog.records] == [
        f"Weights go through vLLM's reloading, because not all can be written in place: {problem}."
    ]
    assert all(rank.is_reloading for rank in ranks)
    assert placing.place(POINTS["one direction"]) == digest_at(POINTS["one direction"], ranks[0].perturber)


def test_many_problems_are_named_once_and_in_part(caplog: pytest.LogCaptureFixture) -> None:
    ranks = workers(2)
    for rank in ranks:
        rank.problems = [f"{name} is packed" for name in "abcd"]
    with caplog.at_level(logging.INFO, logger="landscape_ray"):
        Placing(calling(ranks))
    (record,) = caplog.records
    assert record.message.endswith(": a is packed; b is packed; c is packed; ....")


@pytest.mark.parametrize("in_place", [True, False])
def test_workers_that_place_different_weights_are_noticed(in_place: bool) -> None:  # noqa: FBT001
    ranks = workers(2)
    if not in_place:
        ranks[0].problems = ["q is packed"]
    placing = Placing(calling(ranks))
    (region,) = ranks[1].regions["norm"]
    moved = ranks[1].perturber.base.tensor("norm") if region.base is None else region.base[0]
    moved[3] += 1
    with pytest.raises(PlacementError, match="different weights: " + ("they differ in Rec" if in_place else "digests")):
        placing.place(ORIGIN)
