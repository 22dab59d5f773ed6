"""What a run writes into the results folder of a sweep beside its parts: what was asked, proven and given up."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from landscape_ray.errors import OutputError
from landscape_ray.planning import Geometry, PointTask
from landscape_ray.store import PointFailure, check_same_sweep
from landscape_ray.sweep.preparation import PreparedSweep

__all__ = ["begin", "check_folder", "give_up", "remember_proven", "remember_request"]


def check_folder(sweep: PreparedSweep) -> None:
    """Make sure that what the output holds by now belongs to this sweep.

    Raises:
        OutputError: It does not; the message names the fields that differ.
    """
    manifest = sweep.store.read_manifest()
    if manifest is not None:
        check_same_sweep(manifest, sweep.config, sweep.manifest.fingerprint, sweep.spec.benchmarks, sweep.deltas)
        _check_same_directions(sweep, manifest.geometry)


def _check_same_directions(sweep: PreparedSweep, earlier: Geometry | None) -> None:
    """Refuse to go on where another run has computed the directions of this sweep in the meantime, and otherwise."""
    theirs = earlier.computed if earlier else ()
    ours = sweep.manifest.geometry.computed if sweep.manifest.geometry else ()
    if any(one != other for one, other in zip(theirs, ours, strict=False)):
        msg = (
            f"Another run into {sweep.store.location} has computed the directions of this sweep at the same time, and "
            "its own differ in their last bits. Run the same command again: it takes those that are there."
        )
        raise OutputError(msg)


def begin(sweep: PreparedSweep, hardware: Mapping[str, Any]) -> None:
    """Store what the results are about, and what hardware they are measured on."""
    sweep.store.write_manifest(replace(sweep.manifest, hardware=dict(hardware)))


def remember_request(sweep: PreparedSweep) -> None:
    """Store what was asked for where nothing had to be measured for it: fewer draws, all points, marks."""
    asked, manifest = sweep.manifest, sweep.store.read_manifest()
    if manifest is not None and (manifest.sweep_id, manifest.geometry) != (asked.sweep_id, asked.geometry):
        sweep.store.write_manifest(
            replace(manifest, sweep_id=asked.sweep_id, config=asked.config, geometry=asked.geometry)
        )


def remember_proven(sweep: PreparedSweep, sentence: str) -> None:
    """Store what has been proven of an engine that came up, if it is new."""
    manifest = sweep.store.read_manifest()
    if manifest is not None and sentence and sentence not in manifest.proven:
        sweep.store.write_manifest(replace(manifest, proven=(sentence,)))


def give_up(sweep: PreparedSweep, task: PointTask, *, error: Exception, attempts: int) -> None:
    """Record that a task has failed for good."""
    for benchmark in task.benchmarks:
        failure = PointFailure(
            key=sweep.keys[task.point.label][benchmark],
            label=task.point.label,
            benchmark=benchmark,
            error=str(error),
            attempts=attempts,
            at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        sweep.store.publish_failure(failure)
