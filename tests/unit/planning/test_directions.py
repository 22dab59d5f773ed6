"""A list of directions: which vector each draw is, and how far coordinate 1 lies."""

import json
from dataclasses import replace
from typing import Any

import pytest

from landscape_ray.config import SweepConfig
from landscape_ray.errors import CheckpointError, ConfigError
from landscape_ray.planning import (
    CheckpointDelta,
    Complement,
    Geometry,
    LowRank,
    Pruning,
    QuantizationError,
    RandomVector,
    SingularPart,
    SweepPlan,
    TaskVector,
    direction_seed,
)

RANDOM = {"kind": "random", "draws": 2, "seed": 5}
TASK = {"kind": "task_vector", "minus": {"id": "a"}, "plus": {"id": "b"}, "excluded": ["norm"]}
AXIS = {"start": -1, "stop": 1, "num": 3}


def sweep(*directions: dict[str, Any]) -> SweepConfig:
    return SweepConfig.model_validate(
        {
            "model": {"id": "m"},
            "landscape": {"axes": [AXIS]},
            "directions": directions,
            "benchmarks": [{"name": "b", "prompts": {"source": "demo"}}],
        }
    )


def delta(name: str) -> CheckpointDelta:
    return CheckpointDelta(fingerprint=f"assumed:{name}", location="any", revision=None)


def geometry(config: SweepConfig, *norms: float, far: float = 1.0) -> Geometry:
    """Differences all of one norm, at right angles."""
    assumed = Geometry.assumed(config)
    products = tuple(
        tuple(far**2 * float(i == j) for j in range(len(config.checkpoints))) for i in range(len(config.checkpoints))
    )
    return replace(assumed, direction_norms=norms, inner_products=products)


def test_draws_run_on_through_the_list() -> None:
    config = sweep(RANDOM, TASK, {**RANDOM, "name": "more", "draws": 1, "included": ["mlp"]})
    plan = SweepPlan.from_config(config, geometry(config, 10.0, 4.0, 10.0))
    assert plan.draws == 4
    assert [each.label for each in plan.directions] == ["random", "random", "b minus a", "more"]
    assert [each.kind for each in plan.directions] == ["random", "random", "task_vector", "random"]
    seeds = [direction_seed(5, draw, 0) for draw in (0, 1, 0)]  # an entry's draws are those of a sweep of its own
    assert [each.seed for each in plan.directions] == [seeds[0], seeds[1], None, seeds[2]]
    along = {point.draw: point for point in plan.points if point.coordinates == (1.0,)}
    for draw, direction in enumerate(plan.directions):
        assert along[draw].perturbation.terms == ((direction.vector, 1.0),)
    assert plan.directions[2].vector == TaskVector(minus=delta("0"), plus=delta("1"), excluded=("norm",))
    assert plan.deltas == (delta("0"), delta("1"))


def test_random_draws_of_a_list_are_those_of_a_mapping() -> None:
    config = sweep(TASK, RANDOM)
    listed = SweepPlan.from_config(config, geometry(config, 4.0, 10.0))
    alone = SweepPlan.from_config(config.model_copy(update={"directions": config.kinds[1]}))
    ends = [
        [point.perturbation for point in plan.points if point.draw == draw]
        for plan, draw in ((listed, 1), (listed, 2), (alone, 0), (alone, 1))
    ]
    assert ends[:2] == ends[2:]
    assert all(isinstance(vector, RandomVector) for vector, _ in ends[0][0].terms)


def test_each_kind_is_its_vector() -> None:
    to, seeds = {"to": {"id": "t"}}, [direction_seed(7, draw, 0) for draw in (0, 1)]
    config = sweep(
        {"kind": "low_rank", "rank": 8, "draws": 2, "seed": 7},
        {"kind": "complement", "draws": 2, "seed": 7, "normalization": "filter", **to},
        {"kind": "svd", "rank": 4, "part": "rest", "included": ["mlp"], **to},
        {"kind": "quantization_error", "format": "nf4", "by": "group"},
        {"kind": "quantization_error", "format": "fp8"},
        {"kind": "pruning", "share": 0.25},
    )
    plan = SweepPlan.from_config(config, geometry(config, *[1.0] * 6))
    norms = ("norm",)
    assert [each.vector for each in plan.directions] == [
        *(LowRank(seed=seed, rank=8, normalization="layer", excluded=norms) for seed in seeds),
        *(Complement(seed=seed, to=delta("0"), normalization="filter", excluded=norms) for seed in seeds),
        SingularPart(to=delta("1"), rank=4, part="rest", included=("mlp",)),
        QuantizationError(format="nf4", by="group", group_size=64),
        QuantizationError(format="fp8", by="channel", group_size=None),
        Pruning(share=0.25),
    ]
    identities = [json.dumps([type(each.vector).__name__, each.vector.identity]) for each in plan.directions]
    assert len(set(identities)) == 8
    assert json.loads(identities[4])[1]["to"] == {"fingerprint": "assumed:1"}


def test_every_kind_can_be_given_one_displacement() -> None:
    far = {"displacement": {"id": "c"}}
    config = sweep({**RANDOM, **far}, {**TASK, "displacement": 3.0}, {**TASK, "name": "as it is"})
    plan = SweepPlan.from_config(config, geometry(config, 10.0, 4.0, 4.0, far=2.0))
    assert [each.scale for each in plan.directions] == [0.2, 0.2, 0.75, 1.0]
    assert [each.displacement for each in plan.directions] == [2.0, 2.0, 3.0, 4.0]
    (end,) = (point for point in plan.points if point.draw == 2 and point.coordinates == (-1.0,))
    assert end.perturbation.terms == ((plan.directions[2].vector, -0.75),)


def test_a_direction_that_is_zero_is_refused() -> None:
    config = sweep(RANDOM, TASK)
    with pytest.raises(CheckpointError, match="'b minus a' is zero on every tensor of the model 'm'"):
        SweepPlan.from_config(config, geometry(config, 10.0, 0.0))
    config = sweep({**RANDOM, "displacement": {"id": "c"}})
    with pytest.raises(CheckpointError, match="'c', which gives the direction 'random' its displacement, has the same"):
        SweepPlan.from_config(config, geometry(config, 10.0, far=0.0))


def test_the_same_direction_twice_is_refused() -> None:
    config = sweep(RANDOM, {**RANDOM, "draws": 1, "name": "again"})
    with pytest.raises(ConfigError, match="The directions random, again are the same"):
        SweepPlan.from_config(config, geometry(config, 10.0, 10.0))
    other = sweep(RANDOM, {**RANDOM, "draws": 1, "name": "again", "displacement": 5})
    assert SweepPlan.from_config(other, geometry(other, 10.0, 10.0)).draws == 3
