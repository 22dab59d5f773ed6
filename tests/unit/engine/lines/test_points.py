"""Points along directions that lie beside the weights: which, with which coefficients, and what tells them apart."""

import itertools

from landscape_ray.engine.lines.points import coefficients_of, directions_of, point_digest
from landscape_ray.planning import ORIGIN, CheckpointDelta, Perturbation, RandomVector, VectorSpec

A, B = (RandomVector(seed=seed, normalization="layer", excluded=()) for seed in (2, 1))
C = CheckpointDelta(fingerprint="f", location="here", revision=None)
TERMS: list[list[tuple[VectorSpec, float]]] = [[(A, 0.5)], [(B, -1.0), (C, 2.0)], [], [(A, 0.25), (B, 3.0)]]
POINTS = [Perturbation.of(terms) for terms in TERMS]


def test_the_order_of_directions_does_not_depend_on_the_points() -> None:
    orders = {tuple(directions_of(points)) for points in itertools.permutations(POINTS)}
    assert len(orders) == 1
    assert set(orders.pop()) == {A, B, C}
    assert directions_of([ORIGIN]) == []
    elsewhere = CheckpointDelta(fingerprint="f", location="there", revision="main")
    assert directions_of([Perturbation.of([(elsewhere, 1.0), (A, 1.0), (B, 1.0)])]) == directions_of(POINTS)


def test_each_direction_has_the_coefficients_of_all_points_along_it() -> None:
    assert coefficients_of(POINTS, [B, None, A]) == [[0.0, -1.0, 0.0, 3.0], [0.0] * 4, [0.5, 0.0, 0.0, 0.25]]


def test_digests_tell_weights_directions_and_coefficients_apart() -> None:
    known: dict[VectorSpec, str] = {A: "a", B: "b", C: "c"}
    digests = [point_digest("w", known, point) for point in POINTS]
    digests += [point_digest("w", known | {A: "other"}, POINTS[0]), point_digest("v", known, POINTS[0])]
    digests += [point_digest("w", known, Perturbation.of([(A, 0.5000000000000001)]))]
    assert digests[2] == "w"
    assert len(set(digests)) == len(digests)
    # Coefficients belong to directions, wherever these stand in the sum.
    swapped = Perturbation.of([(C, 2.0), (B, -1.0)])
    assert point_digest("w", known, swapped) == digests[1]
