"""How a sweep is doing, and who shows it: a line now and then, or a live table, see `live_progress`."""

import math
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TextIO

from landscape_ray.config import Metric
from landscape_ray.evaluation import Verdict
from landscape_ray.sweep.events import Event, Requested, StopRequested
from landscape_ray.sweep.outcome import SweepOutcome
from landscape_ray.sweep.reports import EngineReady, VisitReport

__all__ = ["LineProgress", "Progress", "SilentProgress", "SweepStatus", "Tally", "facts_of", "progress_for"]

LINE_EVERY_S = 30.0
MAX_EXPONENT = 700.0
"""Larger ones have no exponential in a float."""
COUNTED: Mapping[Metric, tuple[Verdict, ...]] = {
    "asr": (Verdict.COMPLIED, Verdict.BROKEN),
    "over_refusal": (Verdict.REFUSED,),
    "accuracy": (Verdict.CORRECT,),
    "task_accuracy": (Verdict.CORRECT,),
}
SHOWN_AS: Mapping[Metric, str] = {
    "asr": "ASR",
    "over_refusal": "over-refusal",
    "accuracy": "accuracy",
    "task_accuracy": "task accuracy",
    "perplexity": "perplexity",
    "first_token_kl": "KL",
}
UNITS: Mapping[Metric, str] = {"perplexity": "{:.2f}", "first_token_kl": "{:.3f} nats"}
"""How values are written that are no percentages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepStatus:
    """How a sweep is doing at one moment."""

    num_points: int
    """Points of the whole sweep, repeats of the origin included."""
    num_done: int
    """Points done, those of earlier runs included."""
    num_done_now: int
    """Points done in this run."""
    num_failed: int
    """Points given up, those of earlier runs included."""
    starting: Mapping[str, int]
    """Engines that are starting, by what they are doing or waiting for."""
    num_up: int
    """Engines that are up."""
    start_s: float
    """Seconds from the start of the run until its first engine was up, or until now."""
    work_s: float
    """Seconds since then, without pauses."""
    num_tokens: int
    """Tokens generated in this run."""
    so_far: Mapping[str, tuple[Metric, float]]
    """Per benchmark of which anything is known in this run, its metric and its value in the metric's unit."""
    stopping: bool
    """Whether only visits already running are waited for."""
    spent_s: Mapping[str, float] = field(default_factory=dict)
    """Seconds of engines in the visits of this run, by phase, see `profile.PHASES`."""
    engine_s: float = 0.0
    """Seconds for which engines were up in this run, all of them together."""
    paused: str = ""
    """Who had the run paused, and why; empty if it goes on."""

    @property
    def num_starting(self) -> int:
        """Engines that are starting, or waiting for a node."""
        return sum(self.starting.values())

    @property
    def points_per_s(self) -> float:
        """Points done per second of work; 0 before any."""
        return self.num_done_now / self.work_s if self.work_s > 0 else 0.0

    @property
    def remaining_s(self) -> float | None:
        """Seconds left at that rate; None before any point is done."""
        left = self.num_points - self.num_done - self.num_failed
        return left / self.points_per_s if self.points_per_s else None


class Tally:
    """Counts what the reports of a run say."""

    def __init__(
        self, before: SweepOutcome, metrics: Mapping[str, Metric], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin to count.

        Args:
            before: How far the sweep was.
            metrics: What is measured, by benchmark.
            clock: Seconds, of which only differences count.
        """
        self._metrics = metrics
        self.num_failed = before.num_failed
        self.stopping = False
        self._paused, self._paused_s = "", 0.0
        self._before = before
        self._clock = clock
        self._began_s = clock()
        self._first_up_s: float | None = None
        self._done: set[str] = set()
        self._num_tokens = 0
        self._spent_s: Counter[str] = Counter()
        self._engine_s = 0.0
        self._up_since_s: tuple[int, float] = (0, 0.0)
        self._verdicts: defaultdict[str, Counter[Verdict]] = defaultdict(Counter)
        self._divergences: defaultdict[str, list[tuple[float, int]]] = defaultdict(list)
        self._log_likelihoods: defaultdict[str, list[tuple[float, int]]] = defaultdict(list)

    def now_s(self) -> float:
        """Return the seconds since the run began."""
        return self._clock() - self._began_s

    def heed(self, event: Event) -> None:
        """Take note of what the run is asked."""
        match event:
            case StopRequested():
                self.stopping = True
            case Requested(action="pause" | "resume" as action):
                self._paused = f"by {event.by}: {event.why}" if action == "pause" else ""

    def count(self, report: EngineReady | VisitReport | None) -> None:
        """Take in what an engine reported."""
        if isinstance(report, EngineReady) and self._first_up_s is None:
            self._first_up_s = self.now_s()
        if isinstance(report, VisitReport):
            self._spent_s.update(report.spent_s)
        # A straggler may be reported twice; the first report counts.
        if isinstance(report, VisitReport) and report.label not in self._done:
            self._done.add(report.label)
            self._num_tokens += report.num_tokens
            for benchmark, verdicts in report.verdicts.items():
                self._verdicts[benchmark].update(verdicts)
            for benchmark, sums in report.log_likelihoods.items():
                self._log_likelihoods[benchmark].append(sums)
            for benchmark, sums in report.divergences.items():
                self._divergences[benchmark].append(sums)

    def status(self, *, starting: Mapping[str, int], num_up: int) -> SweepStatus:
        """Return how the sweep is doing now."""
        now_s = self.now_s()
        num_up_before, since_s = self._up_since_s
        self._engine_s += num_up_before * (now_s - since_s)
        self._up_since_s = num_up, now_s
        if self._paused and self._first_up_s is not None:
            self._paused_s += now_s - since_s
        start_s = now_s if self._first_up_s is None else self._first_up_s
        return SweepStatus(
            num_points=self._before.num_points,
            num_done=self._before.num_done + len(self._done),
            num_done_now=len(self._done),
            num_failed=self.num_failed,
            starting=starting,
            num_up=num_up,
            start_s=start_s,
            work_s=now_s - start_s - self._paused_s,
            num_tokens=self._num_tokens,
            so_far={
                name: (metric, value)
                for name, metric in self._metrics.items()
                if (value := self._value(name, metric)) is not None
            },
            stopping=self.stopping,
            spent_s=dict(self._spent_s),
            engine_s=self._engine_s,
            paused=self._paused,
        )

    def _value(self, benchmark: str, metric: Metric) -> float | None:
        """Return the metric over everything that this run has measured; None if that is nothing."""
        if metric == "perplexity":
            totals, nums_tokens = zip(*self._log_likelihoods[benchmark] or [(0.0, 0)], strict=True)
            mean = math.fsum(totals) / sum(nums_tokens) if sum(nums_tokens) else None
            return None if mean is None else math.exp(-mean) if mean > -MAX_EXPONENT else math.inf
        if metric == "first_token_kl":
            total, num = map(math.fsum, zip(*self._divergences[benchmark] or [(0.0, 0)], strict=True))
            return total / num if num else None
        verdicts = self._verdicts[benchmark]
        num_scored = verdicts.total() - verdicts[Verdict.UNSCORED] - verdicts[Verdict.UNFINISHED]
        return 100 * sum(verdicts[verdict] for verdict in COUNTED[metric]) / num_scored if num_scored else None


class Progress(Protocol):
    """Listens to a sweep."""

    def update(self, status: SweepStatus) -> None:
        """Take note of the status; called often, at least every second."""
        ...

    def close(self, status: SweepStatus) -> None:
        """Take note of the last status; called once, however the sweep ends."""
        ...


class SilentProgress:
    """Shows nothing."""

    def update(self, status: SweepStatus) -> None:
        """Ignore it."""

    def close(self, status: SweepStatus) -> None:
        """Ignore it."""


class LineProgress:
    """Writes one line now and then: for job logs and pipes, where moving bars are noise."""

    def __init__(
        self, stream: TextIO, clock: Callable[[], float] = time.monotonic, *, heading: tuple[str, str] | None = None
    ) -> None:
        self._heading = heading
        self._stream = stream
        self._clock = clock
        self._next_s = clock()
        self._phase: tuple[str, int] | None = None

    def update(self, status: SweepStatus) -> None:
        """Write a line if it is time for one, or if the start has come to another phase."""
        phase = None if status.num_done_now else (_stages(status), status.num_up)
        if self._clock() >= self._next_s or phase not in {None, self._phase}:
            self._next_s = self._clock() + LINE_EVERY_S
            self._write(status)
        self._phase = phase

    def close(self, status: SweepStatus) -> None:
        """Write the last line."""
        self._write(status)

    def _write(self, status: SweepStatus) -> None:
        facts = facts_of(status, self._heading)
        print("; ".join(f"{name}: {value}" for name, value in facts), file=self._stream, flush=True)


def progress_for(stream: TextIO = sys.stderr, *, heading: tuple[str, str] | None = None) -> Progress:
    """Return the progress display that suits a stream.

    Args:
        stream: Where to.
        heading: A name and a value to show first, such as which sweep of several this is.
    """
    if not stream.isatty():
        return LineProgress(stream, heading=heading)
    from landscape_ray.sweep.watching.live_progress import LiveProgress  # noqa: PLC0415  (rich: not for every engine)

    return LiveProgress(stream, heading=heading)


def facts_of(status: SweepStatus, heading: tuple[str, str] | None) -> list[tuple[str, str]]:
    """Return what there is to say, as names and values."""
    unsettled = status.num_points > status.num_done + status.num_failed
    failed = f", {status.num_failed} failed" if status.num_failed else ""
    facts = [heading] if heading else []
    facts.append(("points", f"{status.num_done}/{status.num_points}{failed}"))
    starting = f", {status.num_starting} starting ({_stages(status)})" if status.num_starting else ""
    if unsettled:
        facts.append(("engines", f"{status.num_up} up{starting}"))
    if status.num_up or status.num_done_now:
        facts.append(("first engine up after", _duration(status.start_s)))
    if status.num_up and not status.num_done_now:
        facts.append(("first visits", "under way"))
    for benchmark, (metric, value) in status.so_far.items():
        shown = UNITS.get(metric, "{:.1f} %").format(value)
        facts.append((f"{SHOWN_AS[metric]} so far, {benchmark}", shown))
    if status.num_done_now:
        facts.append(("visits", f"{60 * status.points_per_s:.1f} a minute"))
        facts.append(("tokens", f"{status.num_tokens / status.work_s:,.0f} a second"))
    if status.stopping:
        facts.append(("stopping", "waiting for running visits; again Ctrl-C to leave at once"))
    elif status.paused:
        facts.append(("paused", f"{status.paused}; `landscape-ray ctl OUT resume --why ...` goes on"))
    elif unsettled and status.remaining_s is not None:
        facts.append(("time left", _duration(status.remaining_s)))
    return facts


def _stages(status: SweepStatus) -> str:
    """Return what the engines that are starting are doing."""
    return ", ".join(f"{num} {stage}" for stage, num in status.starting.items())


def _duration(seconds: float) -> str:
    """Return a duration as people say it, in its two largest units."""
    minutes, s = divmod(round(seconds), 60)
    hours, m = divmod(minutes, 60)
    days, h = divmod(hours, 24)
    if days:
        return f"{days} d {h} h"
    if hours:
        return f"{h} h {m} min"
    return f"{m} min {s} s" if m else f"{s} s"
