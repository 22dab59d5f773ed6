"""From a configuration to finished results: find out what is missing, and have it measured.

Everything that can be known to be wrong is reported before any engine starts; when nothing is missing, Ray is not even
started.
"""

import contextlib
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Protocol, assert_never

from landscape_ray.config import RunConfig, SweepConfig
from landscape_ray.planning import PointTask
from landscape_ray.store import RENEW_EVERY_S, Lease, ResultStore, Shard
from landscape_ray.sweep.actor import EngineActor
from landscape_ray.sweep.cluster.kept import KeptEngineActor, KeptEngines, engine_key
from landscape_ray.sweep.cluster.resources import Allotment, allot, connection, forwarded_environment, hardware
from landscape_ray.sweep.events import (
    Assign,
    Event,
    Finished,
    GiveUp,
    Instruction,
    Policy,
    StartEngine,
    StopEngine,
    StopRequested,
    TasksAdded,
    TasksWanted,
    Tick,
)
from landscape_ray.sweep.fleet import Answers, Fleet
from landscape_ray.sweep.folder import begin, check_folder, give_up, remember_proven, remember_request
from landscape_ray.sweep.outcome import SweepOutcome, survey
from landscape_ray.sweep.preparation import PreparedSweep, prepare
from landscape_ray.sweep.reports import EngineReady
from landscape_ray.sweep.requests import Requests
from landscape_ray.sweep.rounds import Rounds
from landscape_ray.sweep.scheduler import Scheduler
from landscape_ray.sweep.stopping import stop_requests
from landscape_ray.sweep.watching.journal import Journal
from landscape_ray.sweep.watching.metrics import Metrics
from landscape_ray.sweep.watching.progress import Progress, SilentProgress, SweepStatus, Tally

__all__ = ["Run", "measure_missing", "policy_of", "run_sweep"]

TICK_S = 0.5
NOTICES_EVERY_S = 5.0
# Running visits get this long after a request to stop: less than clusters give before they kill.
STOP_GRACE_S = 20.0


def run_sweep(
    config: SweepConfig, out: str, *, progress: Progress | None = None, retry_failed: bool = False
) -> SweepOutcome:
    """Measure what is missing of a sweep, on the Ray cluster of the environment or on this machine.

    SIGTERM and SIGINT end the run after the visits under way; the same call again goes on from there. While it runs it
    heeds what is asked through its folder, see `store.requests`.

    Args:
        config: The sweep.
        out: Folder or URL of the results; may hold results of this sweep already.
        progress: Listens to how it goes.
        retry_failed: Try points again that were given up in earlier runs.

    Raises:
        UserError: The sweep cannot be carried out as configured.
        LeaseError: Another run is measuring this sweep, or has taken it over.
        LandscapeError: No engine could be kept running.
    """
    return measure_missing(prepare(config, out), progress=progress, retry_failed=retry_failed)


def measure_missing(
    sweep: PreparedSweep,
    *,
    progress: Progress | None = None,
    retry_failed: bool = False,
    stop: threading.Event | None = None,
    shard: Shard | None = None,
) -> SweepOutcome:
    """Measure what is missing of a sweep that is prepared, see `run_sweep`.

    Args:
        sweep: The sweep.
        progress: Listens to how it goes.
        retry_failed: Try points again that were given up in earlier runs.
        stop: Set when the run is to end after the visits under way; None: by SIGTERM and SIGINT.
        shard: Measure only its points, see `sweep.shards`.
    """
    outcome, tasks = survey(sweep, retry_failed=retry_failed, shard=shard)
    if not tasks:
        remember_request(sweep)
        return outcome
    with sweep.store.lease(shard) as lease:
        check_folder(sweep)  # whoever held the lease before may have written since
        outcome, tasks = survey(sweep, retry_failed=retry_failed, shard=shard)
        in_rounds = outcome.num_unchosen and shard is None
        error = None
        if tasks:
            error = _measure(
                sweep,
                tasks,
                rounds=Rounds(sweep, tasks, retry_failed=retry_failed) if in_rounds else None,
                lease=lease,
                tally=Tally(
                    _seen_by(shard, outcome, tasks),
                    {benchmark.name: benchmark.metric for benchmark in sweep.spec.benchmarks},
                ),
                progress=progress or SilentProgress(),
                stop=stop,
            )
            outcome, _ = survey(sweep)
    if error is not None and outcome.num_missing:
        raise error
    return outcome


def _seen_by(shard: Shard | None, outcome: SweepOutcome, tasks: list[PointTask]) -> SweepOutcome:
    """Return how far the points are whose visits a driver sees: of a shard, those that are missing."""
    return outcome if shard is None else SweepOutcome(num_points=len(tasks), num_done=0, num_failed=0)


def _measure(
    sweep: PreparedSweep,
    tasks: list[PointTask],
    *,
    rounds: Rounds | None,
    lease: Lease,
    tally: Tally,
    progress: Progress,
    stop: threading.Event | None,
) -> Exception | None:
    """Have tasks visited; return why some are left over, or None if none are or a stop was requested."""
    config = sweep.config
    with connection(must_outlive=config.run.keep_engines_s > 0), stop_requests(stop) as stopping:
        allotment = allot(config.engine, config.run)
        begin(sweep, hardware(allotment))
        check_folder(sweep)  # the driver of another shard may have begun it at the same time
        fleet = Fleet(
            KeptEngineActor if config.run.keep_engines_s else EngineActor,
            allotment=allotment,
            room=partial(allot, config.engine, config.run),
            kept=_kept(sweep, allotment),
            spec=sweep.spec,
            out=sweep.out,
            sweep_id=config.sweep_id,
            fingerprint=sweep.manifest.fingerprint,
        )
        run = Run(
            tasks,
            fleet=fleet,
            policy=replace(
                policy_of(config.run, allotment),
                points_per_visit=config.run.points_per_visit if config.batching == "line" else 1,
            ),
            store=sweep.store,
            sweep_id=config.sweep_id,
            give_up=partial(give_up, sweep),
            lease=lease,
            tally=tally,
            progress=progress,
            next_round=rounds.next_round if rounds else None,
            remember_proven=partial(remember_proven, sweep),
        )
        return run.until_finished(stopping)


def _kept(sweep: PreparedSweep, allotment: Allotment) -> KeptEngines | None:
    """Return the way to engines of earlier sweeps and to later sweeps, if engines are to be kept."""
    if not sweep.config.run.keep_engines_s:
        return None
    key = engine_key(
        sweep.spec,
        allotment,
        forwarded_environment(os.environ),
        fingerprint=sweep.manifest.fingerprint,
        versions=sweep.manifest.versions,
    )
    return KeptEngines(key, model=sweep.config.model.id, keep_s=sweep.config.run.keep_engines_s)


class GiveUpTask(Protocol):
    """Records that a task has failed for good."""

    def __call__(self, task: PointTask, *, error: Exception, attempts: int) -> None:
        """Record it."""
        ...


def policy_of(run: RunConfig, allotment: Allotment) -> Policy:
    """Return the budgets of a run."""
    return Policy(
        num_engines=allotment.num_engines,
        min_engines=run.min_engines,
        max_attempts=run.max_attempts,
        max_engine_restarts=run.max_engine_restarts,
        visit_timeout_s=run.visit_timeout_s,
    )


class Run:
    """One run over missing points: takes events from the fleet to the scheduler, and instructions back."""

    def __init__(
        self,
        tasks: list[PointTask],
        *,
        fleet: Fleet,
        policy: Policy,
        store: ResultStore,
        sweep_id: str,
        give_up: GiveUpTask,
        lease: Lease,
        tally: Tally,
        progress: Progress,
        next_round: Callable[[], TasksAdded] | None = None,
        remember_proven: Callable[[str], None] | None = None,
    ) -> None:
        self._lease = lease
        self._requests = Requests(store.requests, lease.epoch, lease.name)
        self._fleet = fleet
        self._scheduler = Scheduler(tasks, policy, more_to_come=next_round is not None)
        self._next_round = next_round or _no_more
        self._give_up = give_up
        self._remember_proven = remember_proven
        self._journal = Journal(store, sweep_id=sweep_id, num_to_visit=len(tasks))
        self._metrics = Metrics(sweep_id)
        self._listeners: tuple[Progress, ...] = (progress, self._metrics, self._journal)
        self._tally = tally
        self._finished: Finished | None = None
        self._leave_at_s = float("inf")

    def until_finished(self, stop: threading.Event) -> Exception | None:
        """Run; return why points are left over, or None if none are or a stop was requested."""
        try:
            self._carry_out(self._scheduler.start())
            next_notices_s, next_renewal_s = 0.0, RENEW_EVERY_S
            while not self._finished and (now_s := self._tally.now_s()) < self._leave_at_s:
                self._feed(Tick(now_s=now_s))
                if stop.is_set() and not self._tally.stopping:
                    self._feed(StopRequested())
                if now_s >= next_renewal_s:
                    next_renewal_s = now_s + RENEW_EVERY_S
                    with contextlib.suppress(OSError):  # a store that is away for a while ends no sweep
                        self._lease.renew()
                if now_s >= next_notices_s:
                    next_notices_s = now_s + NOTICES_EVERY_S
                    for notice in chain(self._fleet.notices(), self._requests.events()):
                        self._feed(notice)
                for event, answers in self._fleet.events(TICK_S):
                    self._take(answers)
                    self._feed(event)
                status = self._status()
                for listener in self._listeners:
                    listener.update(status)
            return self._finished.error if self._finished else None
        finally:
            self._fleet.close(all_done=self._finished is not None and self._finished.error is None)
            status = self._status()
            for listener in self._listeners:
                listener.close(status)

    def _take(self, answers: Answers) -> None:
        for answer in answers:
            self._tally.count(answer)
            self._metrics.count(answer)
            self._journal.note(answer)
            if isinstance(answer, EngineReady) and self._remember_proven:
                self._remember_proven(answer.proven)

    def _status(self) -> SweepStatus:
        return self._tally.status(starting=self._fleet.starting(), num_up=self._scheduler.num_up)

    def _feed(self, event: Event) -> None:
        self._journal.note(event)
        self._tally.heed(event)
        if isinstance(event, StopRequested):
            self._leave_at_s = min(self._leave_at_s, self._tally.now_s() + STOP_GRACE_S)
        self._carry_out(self._scheduler.handle(event))

    def _carry_out(self, instructions: list[Instruction]) -> None:
        for instruction in instructions:
            self._journal.note(instruction)
            match instruction:
                case StartEngine():
                    self._fleet.start(instruction)
                case StopEngine():
                    self._fleet.stop(instruction)
                case Assign():
                    self._fleet.assign(instruction)
                case GiveUp():
                    self._tally.num_failed += 1
                    self._give_up(instruction.task, error=instruction.error, attempts=instruction.attempts)
                case TasksWanted():
                    self._feed(self._next_round())
                case Finished():
                    self._finished = instruction
                case _:
                    assert_never(instruction)


def _no_more() -> TasksAdded:
    return TasksAdded(tasks=(), more_to_come=False)
