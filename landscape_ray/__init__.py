"""Measure how robust the safety of a language model is in weight space: safety landscapes and VISAGE on Ray."""

import importlib
from typing import Any

__all__ = [
    "compare",
    "compare_judges",
    "direction",
    "export",
    "load_config",
    "load_judge",
    "load_status",
    "open_results",
    "plan",
    "run",
    "run_judge",
    "sweeps_table",
    "verify",
    "write_report",
]

__version__ = "0.1.0"


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used, so that the import of the package loads nothing."""
    if name not in __all__:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(importlib.import_module("landscape_ray.library"), name)
