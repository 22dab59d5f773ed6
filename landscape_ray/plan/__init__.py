"""Which points are visited, with which coefficients on which vectors. Pure: no clock, no files, no environment."""

from landscape_ray.plan.grid import Axis, Grid, GridPoint
from landscape_ray.plan.perturbation import (
    ORIGIN,
    Normalization,
    Perturbation,
    RandomVector,
    VectorSpec,
    direction_seed,
)
from landscape_ray.plan.sweep_plan import PlannedPoint, PointTask, SweepPlan

__all__ = [
    "ORIGIN",
    "Axis",
    "Grid",
    "GridPoint",
    "Normalization",
    "Perturbation",
    "PlannedPoint",
    "PointTask",
    "RandomVector",
    "SweepPlan",
    "VectorSpec",
    "direction_seed",
]
