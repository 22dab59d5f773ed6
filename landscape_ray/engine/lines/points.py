"""Points of engines that hold directions beside the weights, so that several can be in one batch."""

import hashlib
import json
from collections.abc import Mapping, Sequence

from landscape_ray.planning import ORIGIN, Perturbation, VectorSpec

__all__ = ["coefficients_of", "directions_of", "point_digest"]


def directions_of(perturbations: Sequence[Perturbation]) -> list[VectorSpec]:
    """Return the vectors that points lie along, in an order that does not depend on which points there are.

    Sums are taken in this order, so that a point is the same to the last bit whatever it shares a batch with.
    """
    vectors = {vector for perturbation in perturbations for vector, _ in perturbation.terms}
    return sorted(vectors, key=lambda vector: json.dumps(vector.identity, sort_keys=True))


def coefficients_of(
    perturbations: Sequence[Perturbation], directions: Sequence[VectorSpec | None]
) -> list[list[float]]:
    """Return for each direction the coefficient of each point along it; 0 along none."""
    coefficients = [dict(perturbation.terms) for perturbation in perturbations]
    return [[own.get(vector, 0.0) if vector else 0.0 for own in coefficients] for vector in directions]


def point_digest(origin: str, directions: Mapping[VectorSpec, str], perturbation: Perturbation) -> str:
    """Return a digest that is the same where base weights, directions and coefficients are.

    Args:
        origin: Digest of the placed base weights, which is the answer at the origin.
        directions: Digests of the directions' tensors.
        perturbation: The point.
    """
    if perturbation == ORIGIN:
        return origin
    terms = sorted((directions[vector], coefficient.hex()) for vector, coefficient in perturbation.terms)
    return hashlib.blake2b(repr([origin, terms]).encode(), digest_size=8).hexdigest()
