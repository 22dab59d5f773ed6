"""A judge's pass over stored generations: find out which have no verdict of it yet, and have them judged.

The tasks are those of a sweep, a point and the benchmarks missing there, so the same scheduler, fleet and driver carry
it out: lost workers, retries, deadlines, SIGTERM and resuming mean what they mean for a sweep.
"""

import logging
import os
import socket
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import ClassVar

import ray

from landscape_ray.config import RunConfig
from landscape_ray.engine import EngineFacts
from landscape_ray.engine.judges.factory import ResolvedJudge, create_judge, resolve_judge
from landscape_ray.errors import ConfigError, PartError
from landscape_ray.evaluation import WHOLE_ANSWERS, Verdict
from landscape_ray.evaluation.judge_config import EndpointJudgeConfig, JudgeConfig, ModelJudgeConfig, question_of
from landscape_ray.evaluation.judging import Exchange, ExchangeJudge, Judgment
from landscape_ray.plan import PointTask, SweepPlan
from landscape_ray.store import (
    JUDGED_METRICS,
    JudgeIdentity,
    Manifest,
    ReceivedAnswer,
    ResultStore,
    VerdictRecord,
    VerdictStore,
    keys_by_label,
    planned_keys,
    verdict_key,
)
from landscape_ray.sweep.actor import EngineReady, Trouble, VisitReport
from landscape_ray.sweep.cluster.resources import Allotment, allot, connection, hide_gpus, lease_cores
from landscape_ray.sweep.driver import Run, policy_of, stop_requests
from landscape_ray.sweep.fetching import fetched
from landscape_ray.sweep.fleet import Fleet
from landscape_ray.sweep.judging.part_answers import PartAnswers
from landscape_ray.sweep.preparation import SweepOutcome
from landscape_ray.sweep.watching.progress import Progress, SilentProgress, Tally

__all__ = ["JudgingOutcome", "run_judge"]

logger = logging.getLogger(__name__)

ASKED_ABOUT = ("prompt", "completion", "finish_reason", "verdict")
"""How a generation ends that there is something to judge of."""
UNASKED = Judgment(verdict=Verdict.UNSCORED, answer=None)
UNFINISHED = Judgment(verdict=Verdict.UNFINISHED, answer=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgingOutcome:
    """How far a judge is when its pass ends. Counts are of points, repeats of the origin included."""

    judge: str
    """Name and version of the judge."""
    benchmarks: tuple[str, ...]
    """The benchmarks that it judges, by their metric."""
    points: SweepOutcome
    """Points measured with any of them; done are those with all their verdicts, and failed those given up this time."""
    num_unmeasured: int
    """Points of the sweep at which some of these benchmarks are not measured yet, and were not given up; 0 for adaptive
    sweeps, which choose their points as they go."""

    @property
    def exit_code(self) -> int:
        """0 done, 3 incomplete but resumable, 4 finished with failed points."""
        return 3 if self.num_unmeasured and not self.points.exit_code else self.points.exit_code


def run_judge(config: JudgeConfig, out: str, *, progress: Progress | None = None) -> JudgingOutcome:
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
    work = _Pass.open(config, out)
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
                    fleet=Fleet(
                        JudgeActor,
                        allotment=allotment,
                        room=room,
                        judge=work.judge,
                        out=out,
                        sweep_id=work.manifest.sweep_id,
                        keys=work.keys,
                        secrets=_secrets(config),
                    ),
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pass:
    """A judge that has been found in order, and what there is for it."""

    judge: ResolvedJudge
    manifest: Manifest
    plan: SweepPlan
    results: ResultStore
    verdicts: VerdictStore
    keys: Mapping[str, Mapping[str, str]]
    """Key of the part of each benchmark it judges (by name) at each point (by label)."""

    @classmethod
    def open(cls, config: JudgeConfig, out: str) -> "_Pass":
        """Find the results and pin the judge.

        Raises:
            UserError: There is no sweep, no benchmark for this judge, or no such judge.
        """
        results = ResultStore(out)
        manifest = results.require_manifest()
        sweep = manifest.request()
        plan = SweepPlan.from_config(sweep, manifest.geometry)
        metrics = JUDGED_METRICS[question_of(config)]
        planned = {
            name: keys
            for name, keys in planned_keys(manifest, sweep, plan).items()
            if manifest.benchmarks[name].metric in metrics
        }
        cut = [each.name for each in sweep.benchmarks if each.name in planned and each.decoding.early_verdict]
        if cut:
            msg = (
                f"{' and '.join(cut)} of {results.location} cannot be judged again: answers end at their first refusal "
                "keyword. Measure with decoding.early_verdict false, into another folder, to have whole answers."
            )
            if len(cut) == len(planned):
                raise ConfigError(msg)
            logger.warning("%s The others are judged.", msg)
            planned = {name: keys for name, keys in planned.items() if name not in cut}
        if not planned:
            found = ", ".join(f"{name} ({benchmark.metric})" for name, benchmark in manifest.benchmarks.items())
            msg = (
                f"The judge {config.name!r} judges {question_of(config)}, which benchmarks with the metric "
                f"{' or '.join(sorted(metrics))} are about; this sweep has: {found}."
            )
            raise ConfigError(msg)
        return cls(
            judge=fetched(resolve_judge, config),
            manifest=manifest,
            plan=plan,
            results=results,
            verdicts=VerdictStore(out, config.name),
            keys=keys_by_label(plan, planned),
        )

    def claim(self) -> None:
        """Make the folder of verdicts that of this judge.

        Raises:
            OutputError: It holds verdicts of another one.
        """
        model = self.judge.model
        self.verdicts.claim(
            JudgeIdentity(
                name=self.judge.config.name,
                version=self.judge.version,
                question=question_of(self.judge.config),
                config=self.judge.config.model_dump(mode="json", exclude={"run"}),
                model_fingerprint=model.fingerprint if model else None,
                created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            )
        )

    def survey(self, given_up: set[str] | frozenset[str] = frozenset()) -> tuple[JudgingOutcome, list[PointTask]]:
        """Look into the store once: how far is the judge, and what is to be judged, in the order of the plan?"""
        measured, judged = self.results.parts().keys(), self.verdicts.parts().keys()
        settled = measured | self.results.failures().keys()
        is_adaptive = self.manifest.request().adaptive is not None
        tasks, num_measured, num_unmeasured = [], 0, 0
        for point in self.plan.points:
            keys = self.keys[point.label]
            there = [name for name in keys if keys[name] in measured]
            num_measured += bool(there)
            # An adaptive sweep leaves out points on purpose; `status` says how far it is.
            num_unmeasured += not is_adaptive and not settled.issuperset(keys.values())
            missing = tuple(name for name in there if verdict_key(keys[name], self.judge.version) not in judged)
            if missing:
                tasks.append(PointTask(point=point, benchmarks=missing))
        num_failed = sum(task.point.label in given_up for task in tasks)
        points = SweepOutcome(num_points=num_measured, num_done=num_measured - len(tasks), num_failed=num_failed)
        outcome = JudgingOutcome(
            judge=self.judge.version,
            benchmarks=tuple(next(iter(self.keys.values()))),
            points=points,
            num_unmeasured=num_unmeasured,
        )
        return outcome, tasks

    def verdict_keys(self, tasks: list[PointTask]) -> set[str]:
        """Return the keys of the parts of verdicts that tasks are about."""
        return {
            verdict_key(self.keys[task.point.label][benchmark], self.judge.version)
            for task in tasks
            for benchmark in task.benchmarks
        }


class JudgeActor:
    """Holds one judge. Does one thing at a time, in the order asked; its methods are those of `EngineActor`."""

    STAGES: ClassVar[Mapping[str, str]] = {"start": "starting the judge"}
    CONCURRENCY_GROUPS: ClassVar[Mapping[str, int]] = {}

    def __init__(
        self,
        *,
        judge: ResolvedJudge,
        out: str,
        sweep_id: str,
        keys: Mapping[str, Mapping[str, str]],
        secrets: Mapping[str, str],
        on_gpu: bool,
        environment: Mapping[str, str],
    ) -> None:
        """Only remember what to do: `start` does it, so that what goes wrong there can be told in full.

        Args:
            judge: The judge.
            out: Where results are, and verdicts go.
            sweep_id: Id of the sweep.
            keys: Key of the part of each benchmark (by name) at each point (by label).
            secrets: Variables that the judge needs; kept in this process only.
            on_gpu: Whether the judge computes on a GPU.
            environment: Variables to set before anything reads them.
        """
        os.environ.update(environment)
        os.environ.update(secrets)
        if not on_gpu:
            hide_gpus()
        self._resolved = judge
        self._out = out
        self._sweep_id = sweep_id
        self._keys = keys
        self._on_gpu = on_gpu

    def start(self) -> EngineReady | Trouble:
        """Check that verdicts can be written from here, then build the judge."""
        began = time.perf_counter()
        config = self._resolved.config
        try:
            self._results = ResultStore(self._out)
            self._verdicts = VerdictStore(self._out, config.name)
            self._verdicts.files.probe()
            if isinstance(config, ModelJudgeConfig) and not self._on_gpu:
                lease_cores(config.run.cpus_per_engine)
            self._judge: ExchangeJudge = create_judge(self._resolved)
        except Exception as error:  # whatever it is, the driver must hear of it
            logger.exception("The judge did not start")
            return Trouble.of_start(error)
        return EngineReady(
            node=ray.get_runtime_context().get_node_id(),
            facts=EngineFacts(engine=self._judge.judged_with, torch_version="", device=""),
            start_s=time.perf_counter() - began,
        )

    def visit(self, task: PointTask, attempt: int, num_batches: int) -> tuple[VisitReport, ...] | Trouble:
        """Judge what was generated at a point, and publish one part of verdicts per benchmark.

        Args:
            task: The point and its benchmarks without verdicts.
            attempt: 1 for a first attempt.
            num_batches: Into how many batches to split each benchmark.
        """
        try:
            return (self._visit(task, attempt, num_batches),)
        except Exception as error:  # whatever it is, the driver must hear of it
            logger.exception("Attempt %d at judging %s failed", attempt, task.point.label)
            return Trouble.of(error)

    def _visit(self, task: PointTask, attempt: int, num_batches: int) -> VisitReport:
        verdicts: dict[str, Counter[Verdict]] = {}
        judge_s = publish_s = 0.0
        for benchmark in task.benchmarks:
            part_key = self._keys[task.point.label][benchmark]
            started_at, began = datetime.now(UTC), time.perf_counter()
            rows = self._results.columns([part_key], ["prompt_id", *ASKED_ABOUT])
            if not len(rows["prompt"]):
                msg = f"The part of {benchmark} at {task.point.label} is no longer there, or does not prove itself."
                raise PartError(msg)
            exchanges = [
                Exchange(prompt=prompt, completion=completion)
                for prompt, completion in zip(rows["prompt"].tolist(), rows["completion"].tolist(), strict=True)
            ]
            answers = PartAnswers(self._verdicts.received, verdict_key(part_key, self._resolved.version), exchanges)
            # Where nothing was generated, nobody is asked.
            unfinished = [verdict == Verdict.UNFINISHED for verdict in rows["verdict"].tolist()]
            asked = [
                row
                for row, reason in enumerate(rows["finish_reason"].tolist())
                if reason in WHOLE_ANSWERS and not unfinished[row]
            ]
            self._ask(answers, asked, num_batches)
            judged = time.perf_counter()
            unasked = [
                ReceivedAnswer(judgment=UNFINISHED if is_unfinished else UNASKED, judged_with=self._judge.judged_with)
                for is_unfinished in unfinished
            ]
            record = VerdictRecord(
                part_key=part_key,
                label=task.point.label,
                benchmark=benchmark,
                prompt_ids=tuple(map(str, rows["prompt_id"])),
                answers=tuple(answers.by_row.get(row, unasked[row]) for row in range(len(exchanges))),
                node=socket.gethostname(),
                attempt=attempt,
                started_at=started_at.isoformat(timespec="milliseconds"),
                judge_s=judged - began,
            )
            self._verdicts.publish(record, version=self._resolved.version, sweep_id=self._sweep_id)
            answers.discard()
            verdicts[benchmark] = Counter(answer.judgment.verdict for answer in record.answers)
            judge_s += judged - began
            publish_s += time.perf_counter() - judged
        return VisitReport(
            label=task.point.label,
            verdicts=verdicts,
            num_tokens=0,
            place_s=0.0,
            generate_s=0.0,
            judge_s=judge_s,
            publish_s=publish_s,
        )

    def _ask(self, answers: PartAnswers, rows: list[int], num_batches: int) -> None:
        """Have the rows judged that are not yet, in so many batches.

        Raises:
            ConfigError: The judge takes none of them.
        """
        rest = [row for row in rows if row not in answers.by_row]
        size = max(1, -(-len(rest) // num_batches))
        for first in range(0, len(rest), size):
            answers.ask(self._judge, rest[first : first + size])
        refusals = [answers.by_row[row].judgment.refusal for row in rows]
        if refusals and all(refusals):
            config = self._resolved.config
            msg = (
                f"The judge {config.name!r} refuses every question about a part, the first with: {refusals[0]}. Check "
                "its configuration."
            )
            raise ConfigError(msg)


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
