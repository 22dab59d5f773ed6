"""A pass of a judge: the judge, what it can be asked about, and what has no verdict of it yet."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from landscape_ray.engine.judges.factory import ResolvedJudge, resolve_judge
from landscape_ray.errors import ConfigError
from landscape_ray.evaluation.judge_config import JudgeConfig, question_of
from landscape_ray.planning import PointTask, SweepPlan
from landscape_ray.store import (
    JUDGED_METRICS,
    JudgeIdentity,
    Manifest,
    ResultStore,
    VerdictStore,
    keys_by_label,
    planned_sweep,
    verdict_key,
)
from landscape_ray.sweep.fetching import fetched
from landscape_ray.sweep.outcome import SweepOutcome

__all__ = ["JudgingOutcome", "PreparedPass"]

logger = logging.getLogger(__name__)


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
    """Points of the sweep at which some of these benchmarks are not measured yet, and were not given up; 0 for
    sweeps that choose their points as they go."""

    @property
    def exit_code(self) -> int:
        """0 done, 3 incomplete but resumable, 4 finished with failed points."""
        return 3 if self.num_unmeasured and not self.points.exit_code else self.points.exit_code


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedPass:
    """A judge that has been found in order, and what there is for it."""

    judge: ResolvedJudge
    manifest: Manifest
    plan: SweepPlan
    results: ResultStore
    verdicts: VerdictStore
    keys: Mapping[str, Mapping[str, str]]
    """Key of the part of each benchmark it judges (by name) at each point (by label)."""

    @classmethod
    def open(cls, config: JudgeConfig, out: str) -> "PreparedPass":
        """Find the results and pin the judge.

        Raises:
            UserError: There is no sweep, no benchmark for this judge, or no such judge.
        """
        results = ResultStore(out)
        manifest = results.require_manifest()
        sweep, plan, keys_of = planned_sweep(manifest)
        metrics = JUDGED_METRICS[question_of(config)]
        planned = {name: keys for name, keys in keys_of.items() if manifest.benchmarks[name].metric in metrics}
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
        asked = self.manifest.request()
        leaves_out = asked.adaptive is not None or asked.certify is not None
        tasks, num_measured, num_unmeasured = [], 0, 0
        for point in self.plan.points:
            keys = self.keys[point.label]
            there = [name for name in keys if keys[name] in measured]
            num_measured += bool(there)
            # Such a sweep leaves out points on purpose; `status` says how far it is.
            num_unmeasured += not leaves_out and not settled.issuperset(keys.values())
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
