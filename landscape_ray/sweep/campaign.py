"""Several sweeps by one driver: all are prepared first, then each is measured as `run_sweep` would.

A sweep that goes wrong does not stop the others. One Ray serves all of them, and consecutive sweeps of one model hand
their engines on, see `sweep.cluster.kept`.
"""

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from landscape_ray.config import CampaignSweep
from landscape_ray.engine.preflight import check_ahead
from landscape_ray.errors import LandscapeError
from landscape_ray.evaluation import load_benchmark
from landscape_ray.store import ResultStore, Shard
from landscape_ray.sweep.cluster.resources import connection
from landscape_ray.sweep.driver import measure_missing
from landscape_ray.sweep.fetching import fetched
from landscape_ray.sweep.folder import remember_request
from landscape_ray.sweep.outcome import SweepOutcome, survey
from landscape_ray.sweep.preparation import PreparedSweep, prepare
from landscape_ray.sweep.shards import measure_shard
from landscape_ray.sweep.stopping import stop_requests
from landscape_ray.sweep.watching.progress import Progress

__all__ = ["EndedSweep", "PreparedCampaignSweep", "prepare_campaign", "run_campaign", "worst"]

KEEP_S = 300.0
"""How long engines wait for the next sweep of their model: reports are drawn meanwhile."""
PART_S = 0.1
"""How long they do where the next sweep is of another model. More than 0, so that idle engines are taken or ended."""
BY_SEVERITY = (0, 4, 3, 1, 2)
"""Exit codes from good to bad: done, points given up, incomplete, failed, cannot be carried out as asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedCampaignSweep:
    """A sweep of a campaign that has been found in order."""

    sweep: CampaignSweep
    """What is asked."""
    out: str
    """Folder or URL of its results."""
    prepared: PreparedSweep | None
    """All that is known of it; None where an engine must compute directions first, which waits for its turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedSweep:
    """How a sweep of a campaign ended."""

    sweep: CampaignSweep
    """What was asked."""
    out: str
    """Folder or URL of its results."""
    outcome: SweepOutcome | None
    """What the store holds; None if it failed, or its turn never came."""
    error: LandscapeError | None
    """Why it failed; None if it did not."""
    measured: bool
    """Whether anything was missing of it, and measured."""

    @property
    def exit_code(self) -> int:
        """What `landscape-ray run` of it alone would exit with."""
        if self.error is not None:
            return self.error.exit_code
        return 3 if self.outcome is None else self.outcome.exit_code


def worst(exit_codes: Iterable[int]) -> int:
    """Return the exit code that asks most of people, see `BY_SEVERITY`."""
    return max(exit_codes, key=BY_SEVERITY.index)


def prepare_campaign(sweeps: Sequence[CampaignSweep], folder: str) -> list[PreparedCampaignSweep]:
    """Prepare all sweeps, so that what is wrong with the last is known before the first begins.

    Args:
        sweeps: The sweeps, those of one model beside each other.
        folder: Folder or URL of the campaign, in which each has its own.

    Raises:
        LandscapeError: As `prepare` does; the message begins with the name of the sweep.
    """
    return [_prepared(sweep, f"{folder.rstrip('/')}/{sweep.name}") for sweep in _handing_engines_on(sweeps)]


def run_campaign(
    sweeps: Sequence[PreparedCampaignSweep],
    progress_of: Callable[[int, CampaignSweep], Progress],
    *,
    retry_failed: bool = False,
    shard: Shard | None = None,
) -> Iterator[EndedSweep]:
    """Measure what is missing of each sweep in turn; yield each as it ends.

    SIGTERM and SIGINT end the campaign after the visits under way: later sweeps are yielded as they stand.

    Args:
        sweeps: What `prepare_campaign` returned.
        progress_of: Called when a sweep begins, with its number from 1; returns what listens to it.
        retry_failed: Try points again that were given up in earlier runs.
        shard: The share of this driver in each sweep, see `measure_shard`.

    Raises:
        ResourceError: There is no Ray cluster, and none can be started.
    """
    with (
        connection() if _any_missing(sweeps, retry_failed=retry_failed) else contextlib.nullcontext(),
        stop_requests() as stop,
    ):
        for number, each in enumerate(sweeps, start=1):
            yield _ended(each, partial(progress_of, number, each.sweep), stop, retry_failed=retry_failed, shard=shard)


def _ended(
    each: PreparedCampaignSweep,
    progress: Callable[[], Progress],
    stop: threading.Event,
    *,
    retry_failed: bool,
    shard: Shard | None,
) -> EndedSweep:
    outcome, error, measured = None, None, False
    try:
        sweep = each.prepared
        if sweep is None and not stop.is_set():
            sweep = prepare(each.sweep.config, each.out)
        if sweep is not None:
            outcome, tasks = survey(sweep, retry_failed=retry_failed)
            if measured := bool(tasks) and not stop.is_set():
                measure = measure_missing if shard is None else partial(measure_shard, shard=shard)
                outcome = measure(sweep, progress=progress(), retry_failed=retry_failed, stop=stop)
            elif not tasks:
                remember_request(sweep)
    except LandscapeError as failure:
        error = failure
    return EndedSweep(sweep=each.sweep, out=each.out, outcome=outcome, error=error, measured=measured)


def _any_missing(sweeps: Iterable[PreparedCampaignSweep], *, retry_failed: bool) -> bool:
    return any(each.prepared is None or survey(each.prepared, retry_failed=retry_failed)[1] for each in sweeps)


def _prepared(sweep: CampaignSweep, out: str) -> PreparedCampaignSweep:
    """Prepare a sweep, or check it as `plan` does if preparing would start the engine that computes its directions."""
    config = sweep.config
    try:
        manifest = ResultStore(out).read_manifest()
        known = manifest.geometry.computed if manifest and manifest.geometry else ()
        if len(known) < len(config.computed_directions):
            check_ahead(config, [fetched(load_benchmark, benchmark) for benchmark in config.benchmarks])
            return PreparedCampaignSweep(sweep=sweep, out=out, prepared=None)
        return PreparedCampaignSweep(sweep=sweep, out=out, prepared=prepare(config, out))
    except LandscapeError as error:
        msg = f"{sweep.name}: {error} Nothing was started."
        raise type(error)(msg) from error


def _handing_engines_on(sweeps: Sequence[CampaignSweep]) -> Iterator[CampaignSweep]:
    """Yield the sweeps, with engines that wait for the next one of their model, and make room for those of another."""
    models = [sweep.config.model for sweep in sweeps]
    if len(set(models)) == len(models):
        yield from sweeps
        return
    for sweep, after in zip(sweeps, [*models[1:], None], strict=True):
        config = sweep.config
        keep_s = config.run.keep_engines_s or (KEEP_S if config.model == after else PART_S)
        run = config.run.model_copy(update={"keep_engines_s": keep_s})
        yield replace(sweep, config=config.model_copy(update={"run": run}))
