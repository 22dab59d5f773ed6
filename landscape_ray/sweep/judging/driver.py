"""A judge's pass over stored generations: find out which have no verdict of it yet, and have them judged.

The tasks are those of a sweep, a point and the benchmarks missing there, so the same scheduler, fleet and driver carry
it out: lost workers, retries, deadlines, SIGTERM and resuming mean what they mean for a sweep.
"""

import logging
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from landscape_ray.config import RunConfig
from landscape_ray.evaluation.judge_config import EndpointJudgeConfig, JudgeConfig, ModelJudgeConfig
from landscape_ray.planning import PointTask
from landscape_ray.store import absolute
from landscape_ray.sweep.cluster.resources import Allotment, allot, connection
from landscape_ray.sweep.driver import Run, policy_of
from landscape_ray.sweep.fleet import Fleet
from landscape_ray.sweep.judging.actor import JudgeActor
from landscape_ray.sweep.judging.preparation import JudgingOutcome, PreparedPass
from landscape_ray.sweep.stopping import stop_requests
from landscape_ray.sweep.watching.progress import Progress, SilentProgress, Tally

__all__ = ["run_judge"]

logger = logging.getLogger(__name__)


def run_judge(config: JudgeConfig, out: str | Path, *, progress: Progress | None = None) -> JudgingOutcome:
    """Judge what has no verdict of a judge yet, on the Ray cluster of the environment or on this machine.

    SIGTERM and SIGINT end the pass after the parts under way; the same call again goes on from there, with the answers
    that were received. Parts that were given up are tried again by every call.

    Args:
        config: The judge.
        out: Folder or URL of the results.
        progress: Listens to how it goes.

    Raises:
        UserError: The judge cannot be had as configured, or there is nothing for it.
        LeaseError: Another pass of the same judge is under way.
        LandscapeError: No judge could be kept running.
    """
    out = str(out)
    work = PreparedPass.open(config, out)
    outcome, tasks = work.survey()
    if not tasks:
        return outcome
    with work.verdicts.files.lease() as lease:
        work.claim()
        outcome, tasks = work.survey()  # whoever held the lease before may have judged since
        work.verdicts.received.tidy(work.verdict_keys(tasks))
        error = None
        given_up: set[str] = set()

        def give_up(task: PointTask, *, error: Exception, attempts: int) -> None:
            logger.warning("Judging %s was given up after %d attempts: %s", task.point.label, attempts, error)
            given_up.add(task.point.label)

        if tasks:
            with connection(), stop_requests() as stop:
                room = partial(_room, config)
                allotment = room()
                run = Run(
                    tasks,
                    fleet=_fleet(work, config, out, allotment, room),
                    policy=replace(policy_of(config.run, allotment), repeat_stragglers=False),
                    store=work.verdicts.files,
                    # Beside the metrics of a sweep that is still running, not in their place.
                    sweep_id=f"{work.manifest.sweep_id}/judged/{config.name}",
                    give_up=give_up,
                    lease=lease,
                    tally=Tally(
                        outcome.points, {each.name: each.metric for each in work.manifest.request().benchmarks}
                    ),
                    progress=progress or SilentProgress(),
                )
                error = run.until_finished(stop)
            outcome, _ = work.survey(given_up)
    if error is not None and outcome.points.num_missing:
        raise error
    return outcome


def _fleet(
    work: PreparedPass, config: JudgeConfig, out: str, allotment: Allotment, room: Callable[[], Allotment]
) -> Fleet:
    return Fleet(
        JudgeActor,
        allotment=allotment,
        room=room,
        judge=work.judge,
        out=absolute(out),
        sweep_id=work.manifest.sweep_id,
        keys=work.keys,
        metrics={name: benchmark.metric for name, benchmark in work.manifest.benchmarks.items()},
        secrets=_secrets(config),
    )


def _room(config: JudgeConfig) -> Allotment:
    """Return what the workers of a judge get; only a judge model computes anything."""
    if isinstance(config, ModelJudgeConfig):
        return allot("vllm", config.run)
    run: RunConfig = config.run.model_copy(update={"accelerator": "cpu"})
    return allot("synthetic", run)


def _secrets(config: JudgeConfig) -> dict[str, str]:
    """Return the variable that holds a judge's key; handed to its workers alone."""
    if isinstance(config, EndpointJudgeConfig) and config.api_key_variable is not None:
        return {config.api_key_variable: os.environ[config.api_key_variable]}
    return {}
