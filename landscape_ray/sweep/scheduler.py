"""Which engine visits which point, and what happens when something dies: a pure state machine.

Events go in, instructions come out. No Ray, no clock, no files: the driver translates between this and Ray, and a
seeded simulator drives it through thousands of bad days in `tests/property/test_scheduler_simulation.py`.

Words used here: a *task* is a point with its missing benchmarks; a *visit* is one go at a task on one engine; a *slot*
is a place for an engine, refilled when its engine is lost.

What it promises, whatever order events come in:
- every task ends exactly once, as done or as given up after `max_attempts` failures charged to it;
- a visit to several points that fails is repeated in halves, until single points are charged for what goes wrong;
- the loss of an engine is charged to its visit, or to none if the node was taken away; of two visits under way nobody
  knows which one it was, so it is charged to none, and each has an engine to itself from then on;
- no task is assigned to an engine that is not up, that is on a draining node, or that already has that task;
- what cannot get better is not tried again: an engine that cannot be built as asked ends the sweep, as does one that
  fails to start as an earlier one did, as long as none has ever come up;
- as long as none has ever come up, failed starts are repeated one at a time, after ever longer pauses;
- what passes by itself, or lies with the store, is charged to no point: the engine pauses, and its slot pays;
- it always ends: each failure uses up a budget, and when no engine can be had any more it says so;
- it does not end while more tasks are to come, but asks for them when those it has have ended, and keeps its engines.
"""

import math
import re
import statistics
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias, assert_never

from landscape_ray.errors import (
    DefectError,
    GenerationError,
    OutputError,
    PlacementError,
    TransientError,
    UserError,
)
from landscape_ray.plan import LineTask, PointTask, Task, in_lines

__all__ = [
    "Assign",
    "ClusterGrown",
    "EngineCreated",
    "EngineLost",
    "EngineStartFailed",
    "EngineStarted",
    "Event",
    "Finished",
    "GiveUp",
    "Instruction",
    "NodeDraining",
    "Policy",
    "Scheduler",
    "StartEngine",
    "StopEngine",
    "StopRequested",
    "TasksAdded",
    "TasksWanted",
    "Tick",
    "VisitDone",
    "VisitFailed",
]

# The first retry of an engine comes after a second, later ones after twice the time before, at most a minute.
BACKOFF_S, BACKOFF_MAX_S = 1.0, 60.0
# What another start cannot change: the request, the program, or whether the engine takes the weights.
LASTING = (UserError, DefectError, PlacementError)
# What no point is to blame for: services that do not answer for a while, and the place of the results.
NO_POINTS_FAULT = (TransientError, OutputError)
# A visit this many times slower than the median is repeated by an engine that has nothing else to do.
STRAGGLER_FACTOR = 3.0
# Durations of this many recent visits give the median.
RECENT_VISITS = 101


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Budgets of a sweep."""

    num_engines: int
    """Engines to run at the same time, at least 1."""
    max_attempts: int
    """Failed attempts after which a task is given up, at least 1."""
    max_engine_restarts: int
    """Restarts of a slot's engine in a row, without a visit done in between, after which the slot stays empty."""
    visit_timeout_s: float
    """Seconds after which a visit counts as hung and its engine is replaced."""
    repeat_stragglers: bool = True
    """Whether idle engines repeat visits that take far longer than usual. Not where each visit is paid for."""
    points_per_visit: int = 1
    """Most points of a visit, for engines that can have several in one batch."""
    min_engines: int = 1
    """Engines that stay up though nothing waits for them: for stragglers, and in place of what may yet be lost."""


# ---- events ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """Time has passed."""

    now_s: float
    """Seconds since the scheduler was made; never decreases."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineCreated:
    """An engine has a node, and its start begins; until then it waited for room."""

    engine: int
    """Which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStarted:
    """An engine is ready for visits."""

    engine: int
    """Which."""
    node: str
    """The node it runs on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStartFailed:
    """An engine could not be built."""

    engine: int
    """Which."""
    error: Exception
    """Why. `UserError`, `DefectError` and `PlacementError` last; `TransientError` passes; of others nobody knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLost:
    """The process of an engine is gone, with all that it was doing."""

    engine: int
    """Which."""
    error: Exception
    """What is known of the cause."""
    preempted: bool
    """True if its node was taken away: nobody's fault, and charged to nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitDone:
    """The results of a visit are stored."""

    visit: int
    """Which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitFailed:
    """A visit ended without a result, and its engine said so."""

    visit: int
    """Which."""
    error: Exception
    """Why."""
    out_of_memory: bool = False
    """True if memory ran out: the next attempt generates in smaller batches."""
    engine_usable: bool = True
    """False if the state of the engine is unknown: it is replaced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeDraining:
    """A node will go away soon; nothing new may start there."""

    node: str
    """Which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterGrown:
    """There is room for so many engines. Less room than before is no event: engines then wait for nodes to return."""

    num_engines: int
    """Engines at the same time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TasksAdded:
    """There are further tasks, or the answer to `TasksWanted` that there are none."""

    tasks: tuple[PointTask, ...]
    """Which; none of them was a task before."""
    more_to_come: bool
    """Whether still more may follow: engines with nothing to do are then kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRequested:
    """Finish what is running, start nothing new."""


Event: TypeAlias = (
    Tick
    | EngineCreated
    | EngineStarted
    | EngineStartFailed
    | EngineLost
    | VisitDone
    | VisitFailed
    | NodeDraining
    | ClusterGrown
    | TasksAdded
    | StopRequested
)

# ---- instructions ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class StartEngine:
    """Start an engine."""

    engine: int
    """Its number, never used before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StopEngine:
    """End an engine at once; what it is doing is of no interest any more."""

    engine: int
    """Which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assign:
    """Send a task to an engine, behind what was sent to it before."""

    engine: int
    """Which."""
    visit: int
    """Number of this visit, never used before."""
    task: Task
    """Where to go and what to measure."""
    attempt: int
    """1 plus the failures charged to the task so far."""
    num_batches: int
    """Into how many batches to split the prompts: 1, and twice as many after each shortage of memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveUp:
    """Record that a task has failed for good."""

    task: PointTask
    """Which."""
    attempts: int
    """Failures charged to it."""
    error: Exception
    """The last of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TasksWanted:
    """Every task so far has ended, and more were to come: answer with `TasksAdded`, now or later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """Nothing more will happen. Always the last instruction, and given once."""

    error: Exception | None
    """Why tasks are left over; None if none are, or if a stop was requested."""


Instruction: TypeAlias = StartEngine | StopEngine | Assign | GiveUp | TasksWanted | Finished

# ---- state -----------------------------------------------------------------------------------------------------


@dataclass(slots=True, eq=False)
class _Task:
    task: Task
    failures: int = 0
    error: Exception | None = None
    """The last failure."""
    num_batches: int = 1
    visits: set[int] = field(default_factory=set)
    """On an engine, running or queued there; two while a straggler is repeated. Empty while the task waits."""
    alone: bool = False
    """An engine was lost with this and another visit under way. It shares none any more, so that the cause shows."""
    settled: bool = False
    """Done, given up or halved."""
    halves: "list[_Task]" = field(default_factory=list)
    """What it was halved into."""


@dataclass(slots=True, eq=False)
class _Budget:
    setbacks: float = 0
    """Failures in a row; infinite: not tried again."""
    not_before_s: float = 0.0
    """No further try before this time."""

    def charge(self, now_s: float, amount: float = 1) -> None:
        """Count a failure, and pause: the more in a row, the longer."""
        self.not_before_s = now_s + min(BACKOFF_S * 2 ** min(self.setbacks, 10), BACKOFF_MAX_S)
        self.setbacks += amount


@dataclass(slots=True, eq=False)
class _Slot(_Budget):
    """Counts starts, lost engines, and visits that failed through no point's fault, since the last visit done."""

    engine: int | None = None
    """Its engine, starting or up."""


@dataclass(slots=True, eq=False)
class _Engine:
    slot: _Slot
    num_failed_before: int
    """How many starts had failed when this one began, before any engine came up."""
    has_room: bool = False
    """Its start has begun; until then it waits for a node."""
    node: str | None = None
    """None while starting."""
    draining: bool = False
    """Its node will go away: it finishes what it has and gets nothing new."""
    saw_origin: bool = False
    visits: deque[int] = field(default_factory=deque)
    """In the order sent. The engine works on the first one, or on the second one while the first is published."""
    busy_since_s: float = 0.0
    """When the first visit became the first."""


class Scheduler:
    """The state of one run over the tasks of a sweep.

    Call `start` once, then `handle` for each event, and carry out the instructions in order. Events about engines and
    visits that have been written off are welcome: a late result counts, the rest is ignored.
    """

    def __init__(self, tasks: Iterable[PointTask], policy: Policy, *, more_to_come: bool = False) -> None:
        self._policy = policy
        self._num_engines = policy.num_engines
        self._open = 0
        self._waiting_origin: deque[_Task] = deque()
        self._waiting: deque[_Task] = deque()
        self._slots: list[_Slot] = []
        self._engines: dict[int, _Engine] = {}
        self._visits: dict[int, tuple[int, _Task]] = {}
        self._draining_nodes: set[str] = set()
        self._next_engine = 0
        self._next_visit = 0
        self._now_s = 0.0
        self._recent_s: deque[float] = deque(maxlen=RECENT_VISITS)
        self._any_up = False
        self._first_start = _Budget()
        """Of all slots together, until an engine has come up for the first time."""
        self._failed_starts: list[str] = []
        """What went wrong in each failed start until then."""
        self._any_done = False
        self._stopping = False
        self._finished = False
        self._more_to_come = more_to_come
        self._asked_for_more = False
        self._last_setback: Exception | None = None
        self._out: list[Instruction] = []
        self._add(tasks)

    @property
    def num_starting(self) -> int:
        """Engines that are starting."""
        return sum(engine.node is None for engine in self._engines.values())

    @property
    def num_up(self) -> int:
        """Engines that are up."""
        return len(self._engines) - self.num_starting

    def start(self) -> list[Instruction]:
        """Return the first instructions."""
        return self._advance()

    def handle(self, event: Event) -> list[Instruction]:  # noqa: C901, PLR0912  (one case per event)
        """Take in one event and return what follows from it."""
        if self._finished:
            return []
        match event:
            case Tick():
                self._now_s = max(event.now_s, self._now_s)
                self._replace_hung_engines()
            case EngineCreated():
                if engine := self._engines.get(event.engine):
                    engine.has_room = True
            case EngineStarted():
                self._engine_started(event)
            case EngineStartFailed():
                self._lose(event.engine, event.error, preempted=False)
                self._end_if_hopeless(event.error, LASTING)
            case EngineLost():
                self._lose(event.engine, event.error, preempted=event.preempted, suspects=self._visits_of(event.engine))
            case VisitDone():
                self._visit_done(event.visit)
            case VisitFailed():
                self._visit_failed(event)
            case NodeDraining():
                self._draining_nodes.add(event.node)
                for up in self._engines.values():
                    self._drain(up)
            case ClusterGrown():
                self._num_engines = max(event.num_engines, self._num_engines)
                self._add_slots()
            case TasksAdded():
                self._more_to_come, self._asked_for_more = event.more_to_come, False
                self._add(event.tasks)
            case StopRequested():
                self._stopping = True
            case _:
                assert_never(event)
        return self._advance()

    # -- what events change

    def _engine_started(self, event: EngineStarted) -> None:
        engine = self._engines.get(event.engine)
        if engine and engine.node is None:
            engine.node = event.node
            self._any_up = True
            self._drain(engine)

    def _drain(self, engine: _Engine) -> None:
        """Free the slot of an engine whose node will go away, so that another engine starts elsewhere in time."""
        if engine.node in self._draining_nodes and not engine.draining:
            engine.draining = True
            engine.slot.engine = None

    def _visit_done(self, visit: int) -> None:
        number, task = self._visits.pop(visit, (None, None))
        if number is None or task is None:
            return
        self._any_done = True
        engine = self._engines.get(number)
        if engine:
            self._recent_s.append(self._now_s - engine.busy_since_s)
            engine.slot.setbacks = 0
            self._leave(engine, visit)
        self._complete(task)
        task.visits.discard(visit)

    def _visit_failed(self, event: VisitFailed) -> None:
        number, task = self._visits.pop(event.visit, (None, None))
        engine = None if number is None else self._engines.get(number)
        if number is None or task is None or engine is None:
            return
        self._leave(engine, event.visit)
        if event.out_of_memory:
            task.num_batches *= 2
        is_points_fault = not isinstance(event.error, NO_POINTS_FAULT)
        if is_points_fault:
            self._charge(task, event.visit, event.error)
        else:
            self._release(task, event.visit)
        slot = engine.slot
        if not event.engine_usable or (not is_points_fault and slot.setbacks >= self._policy.max_engine_restarts):
            self._out.append(StopEngine(engine=number))
            self._lose(number, event.error, preempted=False)
        elif not is_points_fault and slot.engine == number:
            self._last_setback = event.error
            slot.charge(self._now_s)
        self._end_if_hopeless(event.error, UserError)

    def _replace_hung_engines(self) -> None:
        for number, engine in list(self._engines.items()):
            if engine.visits and self._now_s - engine.busy_since_s > self._policy.visit_timeout_s:
                error = GenerationError(
                    f"A visit did not end within {self._policy.visit_timeout_s:g} s and its engine was ended. If a "
                    f"visit may take that long, raise run.visit_timeout_s."
                )
                self._out.append(StopEngine(engine=number))
                self._lose(number, error, preempted=False, suspects=(engine.visits[0],))

    def _visits_of(self, number: int) -> tuple[int, ...]:
        engine = self._engines.get(number)
        return tuple(engine.visits) if engine else ()

    def _lose(self, number: int, error: Exception, *, preempted: bool, suspects: tuple[int, ...] = ()) -> None:
        """Give up an engine; of the suspects among its visits, one is to blame unless its node was taken away."""
        engine = self._engines.pop(number, None)
        if engine is None:
            return
        slot = engine.slot
        preempted = preempted or engine.draining
        if slot.engine == number:
            slot.engine = None
            if not preempted:
                self._last_setback = error
                slot.charge(self._now_s, math.inf if isinstance(error, LASTING) else 1)
                if not self._any_up:
                    self._first_start_failed(engine, error)
        suspects = () if preempted else suspects
        for visit in engine.visits:
            _, task = self._visits[visit]
            if (visit,) == suspects:
                self._charge(task, visit, error)
            else:
                task.alone |= visit in suspects
                self._release(task, visit)

    def _first_start_failed(self, failed: _Engine, error: Exception) -> None:
        """Count a failed start before any engine has come up; starts that were under way together count as one.

        What fails in the same way twice, one start having begun after the other one had failed, is given up, unless it
        is known to pass. Engines that wait for room are taken back: each would be a retry without a pause.
        """
        what = _comparable(error)
        is_known = what in self._failed_starts[: failed.num_failed_before]
        is_another_go = failed.num_failed_before == len(self._failed_starts)
        self._first_start.charge(self._now_s, 1 if is_another_go else 0)
        self._failed_starts.append(what)
        if is_known and not isinstance(error, TransientError):
            self._finish(error)
            return
        for number, engine in list(self._engines.items()):
            if not engine.has_room:
                self._take_back(number, engine)

    def _end_if_hopeless(self, error: Exception, lasting: type[Exception] | tuple[type[Exception], ...]) -> None:
        """End the sweep for what would go wrong again, unless a visit has shown that it can be carried out."""
        if isinstance(error, lasting) and not self._any_done:
            self._finish(error)

    # -- tasks

    def _add(self, tasks: Iterable[PointTask]) -> None:
        tasks = tuple(tasks)
        # Smaller visits where the points would not last for all engines.
        most = min(self._policy.points_per_visit, -(-len(tasks) // self._num_engines))
        self._enqueue(_Task(task) for task in in_lines(tasks, max(most, 1)))

    def _enqueue(self, tasks: Iterable[_Task]) -> None:
        for task in tasks:
            self._open += 1
            self._queue_of(task).append(task)
        self._add_slots()

    def _add_slots(self) -> None:
        """Make room for as many engines as there may be, and as there are tasks."""
        self._slots += [_Slot() for _ in range(min(self._num_engines, self._open) - len(self._slots))]

    def _leave(self, engine: _Engine, visit: int) -> None:
        engine.visits.remove(visit)
        engine.busy_since_s = self._now_s

    def _charge(self, task: _Task, visit: int, error: Exception) -> None:
        """Count a failure against a task."""
        task.failures += 1
        task.error = error
        self._release(task, visit)

    def _release(self, task: _Task, visit: int) -> None:
        """Take a visit from its task; if no other engine is at it, let it wait again, or give it up."""
        task.visits.discard(visit)
        if task.visits or task.settled:
            return
        if task.error and isinstance(task.task, LineTask):
            self._settle(task)
            task.halves = [_Task(half) for half in task.task.halves()]
            self._enqueue(task.halves)
        elif task.error and task.failures >= self._policy.max_attempts and isinstance(task.task, PointTask):
            self._out.append(GiveUp(task=task.task, attempts=task.failures, error=task.error))
            self._settle(task)
        else:
            # Behind all others: if the point is to blame, the rest of the sweep is done before it does more harm.
            self._queue_of(task).append(task)

    def _complete(self, task: _Task) -> None:
        """Count a task as done, and what it was halved into."""
        for half in task.halves:
            self._complete(half)
        if not task.settled:
            if not task.visits:  # it waits again: an engine that was written off has done it after all
                self._queue_of(task).remove(task)
            self._settle(task)

    def _settle(self, task: _Task) -> None:
        task.settled = True
        self._open -= 1

    def _queue_of(self, task: _Task) -> deque[_Task]:
        return self._waiting_origin if _is_origin(task) else self._waiting

    # -- what follows

    def _advance(self) -> list[Instruction]:
        if not self._finished:
            if self._open == 0 and self._more_to_come and not self._stopping:
                if not self._asked_for_more:
                    self._asked_for_more = True
                    self._out.append(TasksWanted())
            elif self._open == 0:
                self._finish(None)
            elif self._stopping:
                if not any(engine.visits for engine in self._engines.values()):
                    self._finish(None)
            else:
                self._assign_waiting()
                self._start_engines()
                self._repeat_stragglers()
                self._stop_idle_engines()
                if not self._engines and not self._may_start_again():
                    self._finish(self._last_setback)
        out, self._out = self._out, []
        return out

    def _num_waiting(self) -> int:
        return len(self._waiting) + len(self._waiting_origin)

    def _ready(self) -> Iterator[tuple[int, _Engine]]:
        """Engines that may be given work; one whose last visit failed through no point's fault pauses."""
        return (
            (number, engine)
            for number, engine in self._engines.items()
            if engine.node is not None and not engine.draining and engine.slot.not_before_s <= self._now_s
        )

    def _assign_waiting(self) -> None:
        """Give each engine a visit, and while work is plenty a second one, so that it never waits for the driver."""
        for depth in (1, 2):
            for number, engine in self._ready():
                if not self._num_waiting() or len(engine.visits) >= depth:
                    continue
                task = self._next_for(engine)
                plenty = self._num_waiting() > len(self._engines)
                if depth == 1 or (plenty and not task.alone and not self._is_alone(engine)):
                    self._queue_of(task).remove(task)
                    self._assign(number, engine, task)

    def _is_alone(self, engine: _Engine) -> bool:
        return any(self._visits[visit][1].alone for visit in engine.visits)

    def _next_for(self, engine: _Engine) -> _Task:
        """Return the waiting task to send: the origin first, but its repeats from different engines where possible."""
        if self._waiting_origin and self._waiting and engine.saw_origin:
            another = any(not other.saw_origin and not other.draining for other in self._engines.values())
            if another:
                return self._waiting[0]
        return (self._waiting_origin or self._waiting)[0]

    def _assign(self, number: int, engine: _Engine, task: _Task) -> None:
        visit = self._next_visit
        self._next_visit += 1
        self._visits[visit] = (number, task)
        task.visits.add(visit)
        if not engine.visits:
            engine.busy_since_s = self._now_s
        engine.visits.append(visit)
        engine.saw_origin |= _is_origin(task)
        attempt = task.failures + 1
        self._out.append(
            Assign(engine=number, visit=visit, task=task.task, attempt=attempt, num_batches=task.num_batches)
        )

    def _start_engines(self) -> None:
        """Start engines in free slots while more tasks wait than engines are starting."""
        num_starting, most = self.num_starting, self._num_waiting()
        if self._failed_starts and not self._any_up:
            most = min(most, 1) if self._may_try(self._first_start) else 0
        for slot in self._slots:
            if num_starting < most and slot.engine is None and self._may_try(slot):
                slot.engine = self._next_engine
                self._next_engine += 1
                num_starting += 1
                self._engines[slot.engine] = _Engine(slot, len(self._failed_starts))
                self._out.append(StartEngine(engine=slot.engine))

    def _may_start_again(self) -> bool:
        is_open = self._any_up or self._has_tries_left(self._first_start)
        return is_open and any(map(self._has_tries_left, self._slots))

    def _has_tries_left(self, budget: _Budget) -> bool:
        return budget.setbacks <= self._policy.max_engine_restarts

    def _may_try(self, budget: _Budget) -> bool:
        return self._has_tries_left(budget) and budget.not_before_s <= self._now_s

    def _repeat_stragglers(self) -> None:
        """Let idle engines repeat what has been taking far longer than usual; the first result counts."""
        idle = [(number, engine) for number, engine in self._ready() if not engine.visits]
        if not idle or not self._recent_s or not self._policy.repeat_stragglers:
            return
        limit_s = STRAGGLER_FACTOR * statistics.median(self._recent_s)
        late = [
            (engine.busy_since_s, visit, self._visits[visit][1])
            for engine in self._engines.values()
            if self._now_s - engine.busy_since_s > limit_s
            for visit in engine.visits
        ]
        repeatable = (task for _, _, task in sorted(late, key=lambda item: item[:2]) if self._may_repeat(task))
        for (number, engine), task in zip(idle, repeatable, strict=False):
            self._assign(number, engine, task)

    def _may_repeat(self, task: _Task) -> bool:
        return len(task.visits) == 1 and not task.settled and task.failures < self._policy.max_attempts

    def _stop_idle_engines(self) -> None:
        """End engines that have nothing to do, so that their nodes can go; the least number stays, all for more."""
        num_spare = max(1, self._policy.min_engines - sum(bool(engine.visits) for engine in self._engines.values()))
        for number, engine in list(self._engines.items()):
            if engine.visits:
                continue
            if not engine.draining:
                if self._num_waiting() or self._more_to_come:
                    continue
                if engine.node is not None and num_spare:
                    num_spare -= 1
                    continue
            self._take_back(number, engine)

    def _take_back(self, number: int, engine: _Engine) -> None:
        """End an engine that has nothing to do, charged to nobody."""
        del self._engines[number]
        if engine.slot.engine == number:
            engine.slot.engine = None
        self._out.append(StopEngine(engine=number))

    def _finish(self, error: Exception | None) -> None:
        if not self._finished:
            self._finished = True
            self._out.extend(StopEngine(engine=number) for number in self._engines)
            self._engines.clear()
            self._out.append(Finished(error=error))


def _is_origin(task: _Task) -> bool:
    return task.task.tasks[0].point.draw is None


def _comparable(error: Exception) -> str:
    """Return what an error says without the numbers in it: processes, addresses and free memory differ every time."""
    return re.sub(r"\b(0x)?[0-9a-f]*\d[0-9a-f]*\b", "#", f"{type(error).__name__}: {error}", flags=re.IGNORECASE)
