"""A judge's pass over stored generations."""

from landscape_ray.sweep.judging.driver import run_judge
from landscape_ray.sweep.judging.preparation import JudgingOutcome

__all__ = ["JudgingOutcome", "run_judge"]
