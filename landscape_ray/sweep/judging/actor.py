"""One judge in one process somewhere in the cluster: asks it about stored generations, and publishes its verdicts."""

import logging
import os
import socket
import time
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import ClassVar

import ray

from landscape_ray.analysis import tally
from landscape_ray.engine import EngineFacts
from landscape_ray.engine.judges.factory import ResolvedJudge, create_judge
from landscape_ray.errors import ConfigError, PartError
from landscape_ray.evaluation import WHOLE_ANSWERS, Verdict
from landscape_ray.evaluation.judge_config import ModelJudgeConfig
from landscape_ray.evaluation.judging import Exchange, ExchangeJudge, Judgment
from landscape_ray.planning import PointTask
from landscape_ray.store import ReceivedAnswer, ResultStore, VerdictRecord, VerdictStore, verdict_key
from landscape_ray.sweep.cluster.resources import hide_gpus, lease_cores
from landscape_ray.sweep.judging.part_answers import PartAnswers
from landscape_ray.sweep.reports import EngineReady, Trouble, VisitReport

__all__ = ["JudgeActor"]

logger = logging.getLogger(__name__)

ASKED_ABOUT = ("prompt", "completion", "prefill", "finish_reason", "verdict")
"""How a generation ends that there is something to judge of."""
UNASKED = Judgment(verdict=Verdict.UNSCORED, answer=None)
UNFINISHED = Judgment(verdict=Verdict.UNFINISHED, answer=None)


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
        metrics: Mapping[str, str],
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
            metrics: What each benchmark counts.
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
        self._metrics = metrics
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
            rows = self._results.columns([part_key], ["prompt_index", "prompt_id", *ASKED_ABOUT])
            if not len(rows["prompt"]):
                msg = f"The part of {benchmark} at {task.point.label} is no longer there, or does not prove itself."
                raise PartError(msg)
            exchanges = [
                Exchange(prompt=prompt, completion=completion, prefill=prefill or "")
                for prompt, completion, prefill in zip(
                    *(rows[name].tolist() for name in ("prompt", "completion", "prefill")), strict=True
                )
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
                prompt_indices=tuple(rows["prompt_index"].tolist()),
                prompt_ids=tuple(map(str, rows["prompt_id"])),
                answers=tuple(answers.by_row.get(row, unasked[row]) for row in range(len(exchanges))),
                node=socket.gethostname(),
                attempt=attempt,
                started_at=started_at.isoformat(timespec="milliseconds"),
                judge_s=judged - began,
            )
            self._verdicts.publish(record, version=self._resolved.version, sweep_id=self._sweep_id)
            answers.discard()
            num_samples = max(Counter(record.prompt_indices).values())
            given = [answer.judgment.verdict for answer in record.answers]
            verdicts[benchmark] = tally(given, num_samples, self._metrics[benchmark])
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
