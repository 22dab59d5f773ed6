"""Measure how robust the safety of a language model is in weight space: safety landscapes and VISAGE on Ray."""

import importlib
from typing import Any

__all__ = ["compare", "direction", "load_config", "open_results", "plan", "run"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used, so that the import of the package loads nothing."""
    if name not in __all__:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    room = "landscape_ray.weights" if name == "direction" else "landscape_ray.library"
    return getattr(importlib.import_module(room), name)
