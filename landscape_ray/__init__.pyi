# What type checkers read in place of __init__.py, which loads these names when they are first used.
from landscape_ray.library import compare, load_config, open_results, plan, run
from landscape_ray.weights import direction

__all__ = ["__version__", "compare", "direction", "load_config", "open_results", "plan", "run"]

__version__: str
