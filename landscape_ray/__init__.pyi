# What type checkers read in place of __init__.py, which loads these names when they are first used.
from landscape_ray.library import (
    compare,
    compare_judges,
    direction,
    export,
    load_config,
    load_judge,
    load_status,
    open_results,
    plan,
    run,
    run_judge,
    sweeps_table,
    verify,
    write_report,
)

__all__ = [
    "__version__",
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

__version__: str
