"""Directions and places of checkpoints, from inner products worked out by hand."""

import math
from typing import Any

import pytest

from landscape_ray.config import SweepConfig
from landscape_ray.errors import CheckpointError
from landscape_ray.planning import CheckpointDelta, Geometry, Mark, RandomVector, SweepPlan, direction_seed

Vector = tuple[float, ...]


def config_of(landscape: dict[str, Any], **directions: Any) -> SweepConfig:
    return SweepConfig.model_validate(
        {
            "model": {"id": "m"},
            "landscape": landscape,
            "directions": directions,
            "benchmarks": [{"name": "b", "prompts": {"source": "demo"}}],
        }
    )


def geometry_of(config: SweepConfig, *differences: Vector, random_norm: float | None = None) -> Geometry:
    """The geometry of checkpoints whose differences from the model are given as vectors."""
    deltas = (
        CheckpointDelta(fingerprint=f"content of {c.id}", location=c.id, revision=None) for c in config.checkpoints
    )
    products = (tuple(math.fsum(x * y for x, y in zip(a, b, strict=True)) for b in differences) for a in differences)
    return Geometry(deltas=tuple(deltas), inner_products=tuple(products), random_norm=random_norm)


AXIS = {"start": -0.5, "stop": 1.5, "num": 5}
LINE: dict[str, Any] = {"kind": "interpolation", "to": {"id": "a"}, "axes": [AXIS]}
PLANE: dict[str, Any] = {"kind": "plane", "through": [{"id": "a"}, {"id": "b"}], "axes": [AXIS, AXIS]}


def place(plan: SweepPlan, coordinates: Vector, *differences: Vector) -> Vector:
    """Where a point lies relative to the model, in the space of the differences."""
    (point,) = (p for p in plan.points if p.coordinates == coordinates)
    vectors = dict(zip((f"content of {name}" for name in "ab"), differences, strict=False))
    terms = [(c, vectors[v.fingerprint]) for v, c in point.perturbation.terms if isinstance(v, CheckpointDelta)]
    return tuple(math.fsum(c * vector[i] for c, vector in terms) for i in range(len(differences[0])))


def test_a_line_leads_to_the_checkpoint_at_exactly_1() -> None:
    config = config_of(LINE, draws=7)
    plan = SweepPlan.from_config(config, geometry_of(config, (3.0, 4.0)))
    assert plan.draws == 1  # nothing is drawn
    assert [point.label for point in plan.points] == [
        "origin-r0",
        "origin-r1",
        "d0_a-0.5",
        "d0_a+0.5",
        "d0_a+1.0",
        "d0_a+1.5",
    ]
    (delta,) = plan.deltas
    assert [point.perturbation.terms for point in plan.points[2:]] == [((delta, t),) for t in (-0.5, 0.5, 1.0, 1.5)]
    assert delta.fingerprint == "content of a"


def test_a_plane_as_the_reference_has_oblique_axes() -> None:
    first, second = (2.0, 0.0, 0.0), (1.0, 3.0, 0.0)
    config = config_of({**PLANE, "gram_schmidt": False})
    plan = SweepPlan.from_config(config, geometry_of(config, first, second))
    assert place(plan, (1.0, 0.0), first, second) == first
    assert place(plan, (0.0, 1.0), first, second) == second
    assert place(plan, (0.5, -0.5), first, second) == (0.5, -1.5, 0.0)
    assert plan.marks == (
        Mark(label="a", coordinates=(1.0, 0.0), residual=0.0),
        Mark(label="b", coordinates=(0.0, 1.0), residual=0.0),
    )


def test_gram_schmidt_makes_the_second_axis_orthogonal() -> None:
    first, second = (2.0, 0.0, 0.0), (1.0, 3.0, 0.0)
    config = config_of(PLANE)
    plan = SweepPlan.from_config(config, geometry_of(config, first, second))
    assert place(plan, (1.0, 0.0), first, second) == first
    assert place(plan, (0.0, 1.0), first, second) == (0.0, 3.0, 0.0)
    assert place(plan, (1.0, 1.0), first, second) == (2.0, 3.0, 0.0)
    # p = <d1, d2> / <d1, d1> = 1/2: the grid has it, and there the point is the second checkpoint alone.
    (there,) = (point for point in plan.points if point.coordinates == (0.5, 1.0))
    assert there.perturbation.terms == ((plan.deltas[1], 1.0),)
    assert plan.marks[1] == Mark(label="b", coordinates=(0.5, 1.0), residual=0.0)


@pytest.mark.parametrize("gram_schmidt", [True, False])
def test_a_planted_trajectory_is_found(gram_schmidt: bool) -> None:  # noqa: FBT001  (pytest passes it by name)
    first, second = (2.0, 0.0, 0.5, 0.0), (1.0, 3.0, 0.0, 0.0)
    slope = 2.0 / 4.25 if gram_schmidt else 0.0
    planted = [(0.25, 0.0), (0.6, 0.3), (-0.2, 1.4)]
    off = [0.0, 0.7, 2.0]  # along the last axis, which is across the plane
    inside = [
        tuple(alpha * x + beta * (y - slope * x) for x, y in zip(first, second, strict=True)) for alpha, beta in planted
    ]
    marked = [(*place[:3], distance) for place, distance in zip(inside, off, strict=True)]
    names = [{"id": f"run/checkpoint-{i}", "name": f"e{i}"} for i in range(3)]
    config = config_of({**PLANE, "gram_schmidt": gram_schmidt, "marked": names})
    marks = SweepPlan.from_config(config, geometry_of(config, first, second, *marked)).marks[2:]
    assert [mark.label for mark in marks] == ["e0", "e1", "e2"]
    for mark, coordinates, vector, distance in zip(marks, planted, marked, off, strict=True):
        assert mark.coordinates == pytest.approx(coordinates, abs=1e-12)
        assert mark.residual == pytest.approx(distance / math.hypot(*vector), abs=1e-7)


def test_a_trajectory_is_projected_on_a_line() -> None:
    config = config_of({**LINE, "marked": [{"id": "half"}, {"id": "across"}, {"id": "same"}]})
    geometry = geometry_of(config, (3.0, 4.0), (1.5, 2.0), (-4.0, 3.0), (0.0, 0.0))
    assert SweepPlan.from_config(config, geometry).marks == (
        Mark(label="a", coordinates=(1.0,), residual=0.0),
        Mark(label="half", coordinates=(0.5,), residual=0.0),
        Mark(label="across", coordinates=(0.0,), residual=1.0),
        Mark(label="same", coordinates=(0.0,), residual=0.0),
    )


def test_interpolation_beside_a_random_direction() -> None:
    landscape = {"kind": "interpolation-random", "to": {"id": "a"}, "axes": [AXIS, {"num": 3}], "marked": [{"id": "c"}]}
    config = config_of(landscape, draws=2, seed=4, displacement={"id": "d"})
    # The random direction has the norm 10 by itself, and is to have that of d, which is 5.
    geometry = geometry_of(config, (2.0, 0.0), (3.0, 4.0), (1.0, 1.0), random_norm=10.0)
    plan = SweepPlan.from_config(config, geometry)
    assert plan.draws == 2
    assert len(plan.points) == 2 + 2 * (5 * 3 - 1)
    assert [delta.location for delta in plan.deltas] == ["a"]
    (point,) = (p for p in plan.points if p.draw == 1 and p.coordinates == (1.5, -0.5))
    vector = RandomVector(seed=direction_seed(4, 1, 1), normalization="layer", excluded=("norm",))
    assert point.perturbation.terms == ((plan.deltas[0], 1.5), (vector, -0.25))
    mark = plan.marks[1]
    assert (mark.label, mark.coordinates) == ("c", (0.5, 0.0))
    assert mark.residual == pytest.approx(math.sqrt(0.5))


def test_a_random_landscape_is_rescaled_to_a_number() -> None:
    config = config_of({"axes": [{"num": 3}, {"num": 3}]}, draws=1, displacement=3.0, included=["mlp"])
    plan = SweepPlan.from_config(config, geometry_of(config, random_norm=12.0))
    (point,) = (p for p in plan.points if p.coordinates == (0.5, -0.5))
    assert [c for _, c in point.perturbation.terms] == [0.125, -0.125]
    assert all(isinstance(v, RandomVector) and v.included == ("mlp",) for v, _ in point.perturbation.terms)
    assert (plan.marks, plan.deltas) == ((), ())


def test_the_last_bits_of_a_measurement_do_not_move_points() -> None:
    config = config_of({**PLANE, "marked": []})
    geometry = geometry_of(config, (2.0, 0.3, 0.1), (1.0, 3.0, 0.7))
    (a, b), (_, d) = geometry.inner_products
    moved = Geometry(deltas=geometry.deltas, inner_products=((a, b * (1 + 3e-16)), (b, d)), random_norm=None)
    assert moved.inner_products != geometry.inner_products
    assert SweepPlan.from_config(config, moved).points == SweepPlan.from_config(config, geometry).points


def test_checkpoints_that_span_nothing_are_refused() -> None:
    with pytest.raises(CheckpointError, match="'a' has the same weights as the model 'm'"):
        SweepPlan.from_config(config_of(LINE), geometry_of(config_of(LINE), (0.0, 0.0)))
    with pytest.raises(CheckpointError, match=r"'a' and 'b' lie on one line with the model 'm' \(cosine -1\.0"):
        SweepPlan.from_config(config_of(PLANE), geometry_of(config_of(PLANE), (1.0, 2.0), (-2.0, -4.0)))
    config = config_of({}, displacement={"id": "d"})
    with pytest.raises(CheckpointError, match="'d' has the same weights"):
        SweepPlan.from_config(config, geometry_of(config, (0.0,), random_norm=1.0))


@pytest.mark.parametrize(
    ("landscape", "directions"),
    [(LINE, {}), (PLANE, {}), ({}, {"displacement": 2.0}), ({}, {"displacement": {"id": "d"}})],
)
def test_a_plan_without_the_geometry_it_needs_is_refused(landscape: Any, directions: Any) -> None:
    config = config_of(landscape, **directions)
    with pytest.raises(ValueError, match="can only be planned with the geometry"):
        SweepPlan.from_config(config)
    assumed = SweepPlan.from_config(config, Geometry.assumed(config))
    assert len(assumed.points) > 1


def test_a_random_landscape_needs_no_geometry_and_ignores_one() -> None:
    config = config_of({"axes": [{"num": 3}]})
    assert SweepPlan.from_config(config) == SweepPlan.from_config(config, Geometry.assumed(config_of(PLANE)))


def test_a_difference_is_its_content_wherever_it_lies() -> None:
    here, there = (CheckpointDelta(fingerprint="x", location=place, revision=None) for place in ("here", "there"))
    assert here == there
    assert len({here, there}) == 1
    assert here != CheckpointDelta(fingerprint="y", location="here", revision=None)
