"""`import landscape_ray as lr`: sweeps and their results in a program or notebook.

What is heavy is loaded by the function that needs it: Ray by `run`, matplotlib by figures, torch by `direction`.
"""

from landscape_ray.library.measuring import load_config, run
from landscape_ray.library.planned import PlannedSweep, plan
from landscape_ray.library.results import MeasuredLandscape, ShownFigure, SweepResults, compare, open_results

__all__ = [
    "MeasuredLandscape",
    "PlannedSweep",
    "ShownFigure",
    "SweepResults",
    "compare",
    "load_config",
    "open_results",
    "plan",
    "run",
]
