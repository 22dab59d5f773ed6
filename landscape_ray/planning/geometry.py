"""How checkpoints lie to each other in weight space, and what a landscape through them is made of.

`D_k` is the difference of checkpoint k from the model at the origin; the checkpoints are numbered as in
`SweepConfig.checkpoints`: first the endpoints of axes, last the marked ones.
"""

import math
from dataclasses import dataclass
from typing import TypeAlias

from landscape_ray.config import CheckpointConfig, DirectionsConfig, PlaneLandscape, SweepConfig
from landscape_ray.errors import CheckpointError
from landscape_ray.planning.perturbation import CheckpointDelta, RandomVector, VectorSpec, direction_seed

__all__ = [
    "NO_GEOMETRY",
    "Combination",
    "Geometry",
    "Mark",
    "axis_directions",
    "checkpoint_marks",
    "needs_geometry",
    "random_axes",
    "random_vector",
    "rounded",
]

Combination: TypeAlias = tuple[tuple[VectorSpec, float], ...]
"""A direction as a sum of factors times vectors."""

# Factors decide the keys of results, and the last bits of an inner product depend on the order of its sum.
DIGITS = 12
# Below this sine of the angle between them, two differences span no plane.
MIN_SINE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """What must be measured of weights before a landscape can be planned; stored with the results."""

    deltas: tuple[CheckpointDelta, ...]
    """The checkpoints of the configuration, pinned, in the order of `SweepConfig.checkpoints`."""
    inner_products: tuple[tuple[float, ...], ...]
    """Inner product of `D_i` and `D_j` over all weights, [K][K] for K checkpoints."""
    random_norm: float | None
    """Frobenius norm of a random direction at coordinate 1 before rescaling; None where nothing is rescaled."""
    direction_norms: tuple[float, ...] = ()
    """The same of each entry of a list of directions, or of each group of an anatomy."""
    weights_norm: float | None = None
    """Frobenius norm of the model's weights, all of them; None unless there are entries or groups."""
    computed: tuple[str, ...] = ()
    """SHA-256 of the stored tensors of each direction that an engine computed, in the order of the list."""

    @classmethod
    def assumed(cls, config: SweepConfig) -> "Geometry":
        """Return a stand-in for a geometry not measured yet: good for counting points, for nothing else."""
        num = len(config.checkpoints)
        return cls(
            deltas=tuple(
                CheckpointDelta(fingerprint=f"assumed:{i}", location=checkpoint.id, revision=checkpoint.revision)
                for i, checkpoint in enumerate(config.checkpoints)
            ),
            inner_products=tuple(tuple(float(i == j) for j in range(num)) for i in range(num)),
            random_norm=1.0,
            direction_norms=(1.0,) * len(config.entries),
            weights_norm=1.0,
            computed=tuple(f"{i:064x}" for i in range(len(config.computed_directions))),
        )

    def norm(self, k: int) -> float:
        """Return the Frobenius norm of `D_k`."""
        return math.sqrt(self.inner_products[k][k])

    def cosine(self, j: int, k: int) -> float:
        """Return the cosine of the angle between `D_j` and `D_k`, which are not zero."""
        return self.inner_products[j][k] / (self.norm(j) * self.norm(k))

    def projection(self, k: int, num_axes: int) -> tuple[tuple[float, ...], float]:
        """Project checkpoint k on the span of the first `num_axes` differences (0, 1 or 2), by least squares.

        Returns:
            The factors x of the nearest point `sum of x_i D_i`, and what the projection leaves over: the norm of
            `D_k` minus that point as a share of the norm of `D_k`, 0 to 1. Its resolution is about 1e-8.
        """
        gram, product = self.inner_products, self.inner_products[k][:num_axes]
        if not gram[k][k]:
            return (0.0,) * num_axes, 0.0
        factors: tuple[float, ...]
        if num_axes == 2:
            determinant = gram[0][0] * gram[1][1] - gram[0][1] ** 2
            factors = (
                (product[0] * gram[1][1] - product[1] * gram[0][1]) / determinant,
                (product[1] * gram[0][0] - product[0] * gram[0][1]) / determinant,
            )
        else:
            factors = tuple(b / gram[0][0] for b in product)
        explained = sum(x * b for x, b in zip(factors, product, strict=True)) / gram[k][k]
        return factors, math.sqrt(max(0.0, 1.0 - explained))


NO_GEOMETRY = Geometry(deltas=(), inner_products=(), random_norm=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A checkpoint's place on a landscape."""

    label: str
    """What to call it."""
    coordinates: tuple[float, ...]
    """Coordinate on each axis of its projection; 0 on a random axis."""
    residual: float
    """Distance from that place, as a share of its distance from the origin: 0 on the line or plane, 1 across it."""


def needs_geometry(config: SweepConfig) -> bool:
    """Tell whether weights must be measured before the sweep can be planned."""
    directions = config.directions
    is_rescaled = isinstance(directions, DirectionsConfig) and directions.displacement is not None
    return bool(config.checkpoints or config.kinds) or is_rescaled


def random_axes(config: SweepConfig) -> tuple[int, ...]:
    """Return the numbers of the axes along random directions."""
    return tuple(range(len(config.endpoints), len(config.landscape.axes)))


def axis_directions(config: SweepConfig, geometry: Geometry, draw: int) -> tuple[Combination, ...]:
    """Return what a coordinate multiplies, for each axis in one draw; `directions` is no list.

    Source: Peng et al. 2024, Eq. 1, 3 and 4.

    Differs from reference: Gram-Schmidt is in the paper, but its code never calls it. The second direction is not
    normalized, so that a step along either axis is one towards a checkpoint.

    Raises:
        CheckpointError: A checkpoint equals the model, or the three of a plane lie on a line.
    """
    directions: list[Combination] = []
    for k, endpoint in enumerate(config.endpoints):
        _check_apart(config, geometry, k, endpoint)
        slope = _slope(config, geometry) if k else 0.0
        directions.append(((geometry.deltas[k], 1.0), *(((geometry.deltas[0], -slope),) if slope else ())))
    drawn = config.random_directions
    if drawn is not None:
        scale = _scale(config, geometry, drawn.displacement)
        directions += [((random_vector(drawn, draw, axis), scale),) for axis in random_axes(config)]
    return tuple(directions)


def random_vector(directions: DirectionsConfig, draw: int, axis: int = 0) -> RandomVector:
    """Return the random vector of one draw along one axis."""
    return RandomVector(
        seed=direction_seed(directions.seed, draw, axis),
        normalization=directions.normalization,
        excluded=directions.excluded,
        included=directions.included,
    )


def checkpoint_marks(config: SweepConfig, geometry: Geometry) -> tuple[Mark, ...]:
    """Return where the endpoints and the marked checkpoints lie on the landscape."""
    if not config.endpoints:
        return ()
    num_axes, num_checkpoints = len(config.endpoints), len(config.checkpoints)
    shown = [*range(num_axes), *range(num_checkpoints - len(config.marked), num_checkpoints)]
    slope = _slope(config, geometry)
    marks = []
    for k in shown:
        factors, residual = geometry.projection(k, num_axes)
        if k < num_axes:
            factors, residual = tuple(float(i == k) for i in range(num_axes)), 0.0
        # x D_0 + y D_1 = (x + slope y) D_0 + y (D_1 - slope D_0)
        coordinates = (factors[0] + slope * sum(factors[1:]), *factors[1:], *(0.0 for _ in random_axes(config)))
        marks.append(Mark(label=config.checkpoints[k].label, coordinates=coordinates, residual=residual))
    return tuple(marks)


def _slope(config: SweepConfig, geometry: Geometry) -> float:
    """Return how much of the first direction Gram-Schmidt takes out of the second."""
    if isinstance(config.landscape, PlaneLandscape) and config.landscape.gram_schmidt:
        return rounded(geometry.inner_products[0][1] / geometry.inner_products[0][0])
    return 0.0


def _scale(config: SweepConfig, geometry: Geometry, displacement: float | CheckpointConfig | None) -> float:
    """Return the factor that gives random directions the displacement asked for."""
    if displacement is None:
        return 1.0
    if not geometry.random_norm:
        msg = f"The norm of random directions is {geometry.random_norm}; they cannot be given a displacement."
        raise ValueError(msg)
    if isinstance(displacement, CheckpointConfig):
        k = len(config.endpoints)
        _check_apart(config, geometry, k, displacement)
        displacement = geometry.norm(k)
    return rounded(displacement / geometry.random_norm)


def _check_apart(config: SweepConfig, geometry: Geometry, k: int, checkpoint: CheckpointConfig) -> None:
    if not geometry.norm(k):
        msg = (
            f"The checkpoint {checkpoint.id!r} has the same weights as the model {config.model.id!r}, so there is no "
            "direction from one to the other. Give another checkpoint."
        )
        raise CheckpointError(msg)
    if isinstance(config.landscape, PlaneLandscape) and k == 1 and 1 - geometry.cosine(0, 1) ** 2 < MIN_SINE**2:
        first, second = config.landscape.through
        msg = (
            f"The checkpoints {first.id!r} and {second.id!r} lie on one line with the model {config.model.id!r} "
            f"(cosine {geometry.cosine(0, 1):.9f}), so there is no plane through them. Give another checkpoint, or a "
            "landscape of kind interpolation with one of them marked."
        )
        raise CheckpointError(msg)


def rounded(factor: float) -> float:
    """Return a factor with the digits that enter the keys of results."""
    return float(f"{factor:.{DIGITS}g}")
