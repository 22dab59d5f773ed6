"""Several drivers for one sweep, each with a shard of its points, an own lease and an own cluster; nothing is merged.

A driver that is through with its shard looks after the others: those whose driver has died or ended early, and those
that never had one. Parts are keyed and created once, so leases only save work.
"""

import logging
import threading
import time

from landscape_ray.errors import ConfigError, LeaseError, number_of
from landscape_ray.store import Shard
from landscape_ray.sweep.driver import measure_missing
from landscape_ray.sweep.outcome import SweepOutcome, survey
from landscape_ray.sweep.preparation import PreparedSweep
from landscape_ray.sweep.stopping import stop_requests
from landscape_ray.sweep.watching.progress import Progress

__all__ = ["measure_shard"]

logger = logging.getLogger(__name__)

GRACE_S = 300.0
"""Drivers that are not at work are waited for until so long after the start of this one."""
LOOK_EVERY_S = 5.0


def measure_shard(
    sweep: PreparedSweep,
    *,
    shard: Shard,
    progress: Progress | None = None,
    retry_failed: bool = False,
    stop: threading.Event | None = None,
) -> SweepOutcome:
    """Measure what is missing of a shard, and then of those that nobody is at.

    Args:
        sweep: The whole sweep.
        shard: The share of this driver.
        progress: Listens to how each goes.
        retry_failed: Try points again that were given up in earlier runs.
        stop: Set when the run is to end; None: by SIGTERM and SIGINT.

    Returns:
        How far the whole sweep is.

    Raises:
        ConfigError: Its points depend on each other's results.
        LeaseError: Another driver is at this shard, or at the whole sweep, or at shards of another number.
        LandscapeError: As for `run_sweep`.
    """
    if sweep.config.adaptive or sweep.config.certify:
        what = "adaptive" if sweep.config.adaptive else "certify (--until-certified)"
        msg = (
            f"With {what} the results of all points decide which ones are measured next, so one driver must see to all "
            f"of them. Leave out --shard {shard}, or {what}."
        )
        raise ConfigError(msg)
    at_start, until_s = sweep.store.drivers(), time.monotonic() + GRACE_S
    visited: set[str] = set()
    left: set[Shard] = set()
    with stop_requests(stop) as stopping:
        while True:
            _, tasks = survey(sweep, retry_failed=retry_failed)
            labels = {task.point.label for task in tasks} - visited
            turns = (each for each in shard.and_others() if each not in left and any(map(each.owns, labels)))
            turn = next(turns, None)
            if turn is None or stopping.is_set():
                return survey(sweep)[0]
            has_come = turn == shard or sweep.store.drivers().get(turn.name) != at_start.get(turn.name)
            if not has_come and time.monotonic() < until_s:
                stopping.wait(LOOK_EVERY_S)
                continue
            mine = set(filter(turn.owns, labels))
            visited |= mine
            if turn != shard:
                logger.warning("Looking after shard %s: %s missing.", turn, number_of(len(mine), "point"))
            try:
                measure_missing(sweep, progress=progress, retry_failed=retry_failed, stop=stopping, shard=turn)
            except LeaseError as error:
                if turn == shard:
                    raise
                left.add(turn)
                logger.warning("What is missing of shard %s is left to its driver. %s", turn, error)
