"""One engine in one process somewhere in the cluster: visits points, judges, and publishes what it finds."""

import logging
import math
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar

import ray

from landscape_ray.analysis import tally
from landscape_ray.engine import Engine, EngineSpec, LineEngine
from landscape_ray.engine.factory import create_engine, create_point_on_line, import_engine
from landscape_ray.engine.synthetic import strike
from landscape_ray.evaluation import (
    WHOLE_ANSWERS,
    Benchmark,
    Completion,
    LogLikelihood,
    PointRecord,
    Row,
    Verdict,
    VisitFacts,
    compared,
    is_broken,
    judge_of,
    score,
)
from landscape_ray.planning import LineTask, PointTask, Task
from landscape_ray.store import BenchmarkIdentity, ResultStore, part_key
from landscape_ray.sweep.batches import generate, log_likelihoods, log_likelihoods_points
from landscape_ray.sweep.cluster.resources import hide_gpus, lease_cores
from landscape_ray.sweep.first_tokens import OriginTokens
from landscape_ray.sweep.on_node import with_files_here
from landscape_ray.sweep.reports import EngineReady, Trouble, VisitReport

__all__ = ["EngineActor"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answers:
    """What an engine gave at a point, not yet judged."""

    completions: Mapping[str, tuple[Completion, ...]]
    """One per prompt, by benchmark."""
    likelihoods: Mapping[str, tuple[LogLikelihood | None, ...]]
    """One per text, by benchmark."""
    divergences: Mapping[str, tuple[float | None, ...]]
    """Of first tokens from the origin, one per prompt, by benchmark."""
    weights_digest: str
    """Digest of the placed weights."""
    started_at: str
    """Start of the visit, ISO 8601, UTC."""
    place_s: float
    """Seconds until the weights were in place."""
    generate_s: float
    """Seconds from there to the last answer."""
    spent_s: Mapping[str, float]
    """Both together by phase."""


class EngineActor:
    """Holds one engine, which does one thing at a time, in the order asked.

    What it gave at one point is judged and published while it is at the next one.
    """

    CONCURRENCY_GROUPS: ClassVar[Mapping[str, int]] = {"visits": 2}
    """How many calls of a kind are under way at once: one visit may have the engine, and one be published."""

    STAGES: ClassVar[Mapping[str, str]] = {
        "fetch": "fetching the model",
        "load": "importing the engine",
        "prove": "proving that weights are placed rightly",
        "start": "building the engine",
    }
    """Methods to call for a start, in this order, and what to say meanwhile. The last one gives `EngineReady`."""

    def __init__(self, **sweep: Any) -> None:
        """Only remember what to do: the stages do it, so that what goes wrong there can be told in full.

        Args:
            **sweep: What `take_on` takes.
        """
        # One thread for all that the engine does: its libraries keep what they set up by thread.
        self._on_engine = ThreadPoolExecutor(max_workers=1, thread_name_prefix="engine")
        self._publishing = threading.Lock()
        self._proven = ""
        self.take_on(**sweep)

    def take_on(
        self,
        *,
        spec: EngineSpec,
        on_gpu: bool,
        out: str,
        sweep_id: str,
        fingerprint: str,
        environment: Mapping[str, str],
    ) -> None:
        """Remember the sweep to work for.

        Args:
            spec: The engine.
            on_gpu: Whether the engine computes on a GPU.
            out: Where results go.
            sweep_id: Id of the sweep.
            fingerprint: Content of the base checkpoint.
            environment: Variables to set before anything reads them.
        """
        os.environ.update(environment)
        if not on_gpu:
            hide_gpus()
        self._spec = spec
        self._on_gpu = on_gpu
        self._out = out
        self._sweep_id = sweep_id
        self._fingerprint = fingerprint
        self._stages_s: dict[str, float] = {}
        self._benchmarks = {benchmark.name: benchmark for benchmark in spec.benchmarks}
        self._origin_tokens = OriginTokens()
        self._identities = {benchmark.name: BenchmarkIdentity.of(benchmark) for benchmark in spec.benchmarks}

    def fetch(self) -> Trouble | None:
        """Check that results can be written from here, and have the checkpoints and the judges on this node."""
        return self._stage("fetch", self._fetch)

    def load(self) -> Trouble | None:
        """Import what the engine needs, on cores of its own."""
        return self._stage("load", self._load)

    def prove(self) -> Trouble | None:
        """Have a placed point proven to compute what its weights compute, unless another process is at it."""
        return self._stage("prove", self._prove)

    def start(self) -> EngineReady | Trouble:
        """Build the engine."""
        if trouble := self._stage("start", self._start):
            return trouble
        return self._ready({**self._stages_s, **self._engine.facts.start_s})

    def _ready(self, stages_s: Mapping[str, float]) -> EngineReady:
        return EngineReady(
            node=ray.get_runtime_context().get_node_id(),
            facts=self._engine.facts,
            start_s=sum(self._stages_s.values()),
            proven=self._proven,
            stages_s=stages_s,
        )

    def _stage(self, name: str, carry_out: Callable[[], None]) -> Trouble | None:
        began = time.perf_counter()
        try:
            self._on_engine.submit(carry_out).result()
        except Exception as error:  # whatever it is, the driver must hear of it
            logger.exception("The engine did not start")
            return Trouble.of_start(error)
        self._stages_s[name] = time.perf_counter() - began
        return None

    def _fetch(self) -> None:
        self._store = ResultStore(self._out)
        self._store.probe()
        self._judges = {b.name: judge_of(b) for b in self._spec.benchmarks if b.is_generated}
        self._spec = with_files_here(self._spec, out=self._out, fingerprint=self._fingerprint)

    def _load(self) -> None:
        if not self._on_gpu:
            lease_cores(self._spec.run.cpus_per_engine)
        import_engine(self._spec)

    def _prove(self) -> None:
        if self._spec.engine == "synthetic":
            return
        from landscape_ray.engine.proof.proven import Combination, prove  # noqa: PLC0415  (torch, which is imported by now)

        self._combination = Combination.of(self._spec)
        self._proof = prove(self._spec, self._combination)

    def _start(self) -> None:
        if self._spec.batching == "line":
            point_on_line = create_point_on_line(self._spec)
            self._engine: Engine = point_on_line
            self._line: LineEngine = point_on_line.line
        else:
            self._engine = create_engine(self._spec)
        if self._spec.engine != "synthetic":
            from landscape_ray.engine.proof.proven import awaited_proof, require_way  # noqa: PLC0415

            proof = self._proof or awaited_proof(self._combination)
            self._proven = require_way(proof, self._engine.facts.way)

    @ray.method(concurrency_group="visits")  # type: ignore[untyped-decorator]
    def visit(self, task: Task, attempt: int, num_batches: int) -> tuple[VisitReport, ...] | Trouble:
        """Go to a point, or several at once, generate, judge, and publish one part per point and benchmark.

        Args:
            task: Points and their missing benchmarks.
            attempt: 1 for a first attempt.
            num_batches: Into how many batches to split the prompts.

        Returns:
            A report for each point. Times of the engine are shared out evenly.
        """
        try:
            answers = self._on_engine.submit(self._ask, task, attempt, num_batches).result()
            with self._publishing:
                return tuple(self._publish(each, attempt, of) for each, of in zip(task.tasks, answers, strict=True))
        except Exception as error:  # whatever it is, the driver must hear of it
            logger.exception("Attempt %d at %s failed", attempt, task.label)
            return Trouble.of(error)

    def _ask(self, task: Task, attempt: int, num_batches: int) -> tuple[_Answers, ...]:
        """Place weights and let the engine answer; the one part of a visit that needs it."""
        stopwatch = self._engine.stopwatch
        started_at, began = datetime.now(UTC), stopwatch.clock()
        stopwatch.take()  # what a visit before has left that failed
        if self._spec.engine == "synthetic":
            for each in task.tasks:
                strike(self._spec.run.synthetic, each.point, attempt)
        benchmarks = [self._benchmarks[name] for name in task.benchmarks]
        generated, scored = [b for b in benchmarks if b.is_generated], [b for b in benchmarks if b.is_scored]
        compared_ones = [b for b in benchmarks if b.is_compared]
        self._origin_tokens.ask(self._engine, compared_ones, num_batches)
        if isinstance(task, LineTask):
            digests = self._line.place_points([each.point.perturbation for each in task.tasks])
            placed = stopwatch.clock()
            # Before anything else is asked, as at the origin: what lies in caches changes last bits.
            divergences = self._origin_tokens.divergences_points(self._line, compared_ones, len(task.tasks))
            completions = self._line.generate_points(generated)
            likelihoods = log_likelihoods_points(self._line, scored)
        else:
            digests = [self._engine.place(task.point.perturbation)]
            placed = stopwatch.clock()
            divergences = [self._origin_tokens.divergences(self._engine, compared_ones, task.point, num_batches)]
            completions = [generate(self._engine, generated, num_batches)]
            likelihoods = [log_likelihoods(self._engine, scored, num_batches)]
        asked = stopwatch.clock()
        spent_s = stopwatch.take()
        spent_s["other"] = asked - began - sum(spent_s.values())
        num_points = len(task.tasks)
        return tuple(
            _Answers(
                completions={b.name: answers for b, answers in zip(generated, texts, strict=True)},
                likelihoods={b.name: of for b, of in zip(scored, found, strict=True)},
                divergences={b.name: of for b, of in zip(compared_ones, moved, strict=True)},
                weights_digest=digest,
                started_at=started_at.isoformat(timespec="milliseconds"),
                place_s=(placed - began) / num_points,
                generate_s=(asked - placed) / num_points,
                spent_s={phase: seconds / num_points for phase, seconds in spent_s.items()},
            )
            for digest, texts, found, moved in zip(digests, completions, likelihoods, divergences, strict=True)
        )

    def _publish(self, task: PointTask, attempt: int, answers: _Answers) -> VisitReport:
        """Judge answers, and publish one part per benchmark."""
        clock, engine = self._engine.stopwatch.clock, self._engine.facts
        began = clock()
        rows = {
            **{name: self._judged(self._benchmarks[name], given) for name, given in answers.completions.items()},
            **{name: score(self._benchmarks[name], found) for name, found in answers.likelihoods.items()},
            **{name: compared(found) for name, found in answers.divergences.items()},
        }
        judged = clock()
        facts = VisitFacts(
            engine=engine.engine,
            torch_version=engine.torch_version,
            device=engine.device,
            node=socket.gethostname(),
            weights_digest=answers.weights_digest,
            attempt=attempt,
            started_at=answers.started_at,
            place_s=answers.place_s,
            generate_s=answers.generate_s,
            judge_s=judged - began,
        )
        for name in task.benchmarks:
            self._publish_part(task, self._benchmarks[name], rows[name], facts)
        publish_s = clock() - judged
        return VisitReport(
            label=task.point.label,
            verdicts={
                name: tally([row.verdict for row in of], self._benchmarks[name].samples, self._benchmarks[name].metric)
                for name, of in rows.items()
            },
            log_likelihoods={
                name: _sums(rows[name]) for name in answers.likelihoods if self._benchmarks[name].metric == "perplexity"
            },
            divergences={name: _known(found) for name, found in answers.divergences.items()},
            num_tokens=sum(len(row.completion.token_ids) for of in rows.values() for row in of),
            place_s=facts.place_s,
            generate_s=facts.generate_s,
            judge_s=facts.judge_s,
            publish_s=publish_s,
            spent_s={**answers.spent_s, "judge": facts.judge_s, "write": publish_s},
        )

    def _judged(self, benchmark: Benchmark, completions: tuple[Completion, ...]) -> tuple[Row, ...]:
        verdicts = self._judges[benchmark.name].verdicts(completions)
        return tuple(
            Row(
                completion=completion,
                verdict=Verdict.UNFINISHED if completion.is_unfinished else verdict,
                broken=is_broken(completion.text)
                if completion.finish_reason in WHOLE_ANSWERS and not completion.is_unfinished
                else None,
            )
            for completion, verdict in zip(completions, verdicts, strict=True)
        )

    def _publish_part(self, task: PointTask, benchmark: Benchmark, rows: tuple[Row, ...], facts: VisitFacts) -> None:
        identity = self._identities[benchmark.name]
        record = PointRecord(
            point=task.point,
            benchmark=benchmark.name,
            prompts=benchmark.prompts,
            rows=rows,
            judge=identity.judge,
            facts=facts,
        )
        key = part_key(
            fingerprint=self._fingerprint,
            engine=self._spec.engine,
            dtype=self._spec.dtype,
            batching=self._spec.batching,
            point=task.point,
            benchmark=identity,
            judge=identity.judge,
        )
        self._store.publish(record, key=key, sweep_id=self._sweep_id)


def _sums(rows: tuple[Row, ...]) -> tuple[float, int]:
    """Return the sum of log-likelihoods, and the number of tokens they are of."""
    scored = [(row.log_likelihood, len(row.completion.token_ids)) for row in rows if row.log_likelihood is not None]
    return math.fsum(total for total, _ in scored), sum(num_tokens for _, num_tokens in scored)


def _known(found: Sequence[float | None]) -> tuple[float, int]:
    """Return the sum of what is known, and of how many prompts it is."""
    known = [value for value in found if value is not None and math.isfinite(value)]
    return math.fsum(known), len(known)
