"""Configurations, and the runs that they ask for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import yaml

from landscape_ray.config import SweepConfig
from landscape_ray.config import load_config as read_config

if TYPE_CHECKING:
    from landscape_ray.sweep import Progress, SweepOutcome, SweepStatus

    Listener: TypeAlias = Callable[[SweepStatus], object] | Progress

__all__ = ["load_config", "run"]


def load_config(path: str | Path, **changes: Any) -> SweepConfig:
    """Read a configuration, with changes to single keys.

    Args:
        path: A YAML file.
        changes: Values by key; a key of a section has two underscores: `run__engines=2`, `benchmarks__0__limit=8`.

    Raises:
        ConfigError: The file cannot be read, or describes no valid sweep.
    """
    return read_config(path, [f"{name.replace('__', '.')}={_as_yaml(value)}" for name, value in changes.items()])


def run(
    config: SweepConfig,
    out: str | Path,
    *,
    progress: Listener | None = None,
    retry_failed: bool = False,
    shard: str | None = None,
) -> SweepOutcome:
    """Measure what is missing of a sweep, on the Ray cluster that RAY_ADDRESS names or else on this machine.

    Called again after an interruption, it goes on. Whether all was measured, the outcome says: `num_missing`,
    `num_failed`.

    Args:
        config: The sweep.
        out: Folder or URL of the results.
        progress: Called with the state of the sweep at least every second, and at its end; or a display, as
            `progress_for` makes one.
        retry_failed: Try points again that were given up in earlier runs.
        shard: `i/n`: measure the i-th of n shares of the points, beside other drivers, and what is left of theirs.

    Raises:
        UserError: The sweep cannot be carried out as configured.
        LandscapeError: No engine could be kept running, or another run is at it.
    """
    from landscape_ray.store import Shard  # noqa: PLC0415
    from landscape_ray.sweep import measure_shard, prepare, run_sweep  # noqa: PLC0415

    listener = _Listener(progress) if callable(progress) else progress
    if shard is not None:
        share = Shard.parse(shard)
        return measure_shard(prepare(config, str(out)), shard=share, progress=listener, retry_failed=retry_failed)
    return run_sweep(config, str(out), progress=listener, retry_failed=retry_failed)


class _Listener:
    """Progress that is told to a function."""

    def __init__(self, tell: Callable[[SweepStatus], object]) -> None:
        self._tell = tell

    def update(self, status: SweepStatus) -> None:
        self._tell(status)

    def close(self, status: SweepStatus) -> None:
        self._tell(status)


def _as_yaml(value: Any) -> str:
    """Return a value as YAML that is read back as the same; JSON is not enough, as YAML takes 1e-05 for a text."""
    return yaml.safe_dump(value, default_flow_style=True)
