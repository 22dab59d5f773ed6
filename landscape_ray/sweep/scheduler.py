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
- in a pause nothing is started or assigned; engines that are one too many finish what they have;
- it does not end while more tasks are to come, but asks for them when those it has have ended, and keeps its engines.
"""

import statistics
from collections import deque
from collections.abc import Iterable, Iterator
from typing import assert_never

from landscape_ray.errors import GenerationError, OutputError, TransientError, UserError
from landscape_ray.planning import PointTask
from landscape_ray.sweep.events import (
    Assign,
    ClusterGrown,
    EngineCreated,
    EngineLost,
    EngineStarted,
    EngineStartFailed,
    Event,
    Finished,
    Instruction,
    NodeDraining,
    Policy,
    Requested,
    StartEngine,
    StopEngine,
    StopRequested,
    TasksAdded,
    TasksWanted,
    Tick,
    VisitDone,
    VisitFailed,
)
from landscape_ray.sweep.starts import LASTING, Engine, Starts
from landscape_ray.sweep.task_queue import OpenTask, TaskQueue

__all__ = ["Scheduler"]

# What no point is to blame for: services that do not answer for a while, and the place of the results.
NO_POINTS_FAULT = (TransientError, OutputError)
# A visit this many times slower than the median is repeated by an engine that has nothing else to do.
STRAGGLER_FACTOR = 3.0
# Durations of this many recent visits give the median.
RECENT_VISITS = 101


class Scheduler:
    """The state of one run over the tasks of a sweep.

    Call `start` once, then `handle` for each event, and carry out the instructions in order. Events about engines and
    visits that have been written off are welcome: a late result counts, the rest is ignored.
    """

    def __init__(self, tasks: Iterable[PointTask], policy: Policy, *, more_to_come: bool = False) -> None:
        self._policy = policy
        self._num_engines = policy.num_engines
        self._may_grow = True
        self._queue = TaskQueue(policy)
        self._starts = Starts(policy.max_engine_restarts)
        self._engines: dict[int, Engine] = {}
        self._visits: dict[int, tuple[int, OpenTask]] = {}
        self._draining_nodes: set[str] = set()
        self._next_engine = 0
        self._next_visit = 0
        self._now_s = 0.0
        self._recent_s: deque[float] = deque(maxlen=RECENT_VISITS)
        self._any_done = False
        self._paused = self._stopping = False
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
                self._num_engines = max(event.num_engines if self._may_grow else 0, self._num_engines)
                self._add_slots()
            case Requested(action="set", num_engines=int(num_engines)):
                self._num_engines, self._may_grow = num_engines, False
                self._starts.shrink(num_engines, self._engines.values())
                self._add_slots()
            case TasksAdded():
                self._more_to_come, self._asked_for_more = event.more_to_come, False
                self._add(event.tasks)
            case StopRequested():
                self._stopping = True
            case Requested():  # to stop, too: nothing new from now on
                self._paused = event.action != "resume"
            case _:
                assert_never(event)
        return self._advance()

    # -- what events change

    def _engine_started(self, event: EngineStarted) -> None:
        engine = self._engines.get(event.engine)
        if engine and engine.node is None:
            engine.node = event.node
            self._starts.any_up = True
            self._drain(engine)

    def _drain(self, engine: Engine) -> None:
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
        self._queue.complete(task)
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
        self._release(task, event.visit, event.error if is_points_fault else None)
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
                slot.charge_loss(error, self._now_s)
                if not self._starts.any_up:
                    self._first_start_failed(engine, error)
        suspects = () if preempted else suspects
        for visit in engine.visits:
            _, task = self._visits[visit]
            is_to_blame = (visit,) == suspects
            task.alone |= visit in suspects and not is_to_blame
            self._release(task, visit, error if is_to_blame else None)

    def _first_start_failed(self, failed: Engine, error: Exception) -> None:
        """Try again, unless there is no use in it.

        Engines that wait for room are taken back: each would be a retry without a pause.
        """
        before = failed.num_failed_before
        if self._starts.first_failed(error, num_failed_before=before, now_s=self._now_s):
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
        self._queue.add(tasks, self._num_engines)
        self._add_slots()

    def _add_slots(self) -> None:
        """Make room for as many engines as there may be, and as there are tasks."""
        self._starts.make_room(min(self._num_engines, self._queue.num_open))

    def _leave(self, engine: Engine, visit: int) -> None:
        engine.visits.remove(visit)
        engine.busy_since_s = self._now_s

    def _release(self, task: OpenTask, visit: int, charged: Exception | None) -> None:
        self._out += self._queue.release(task, visit, charged)
        self._add_slots()

    # -- what follows

    def _advance(self) -> list[Instruction]:
        if not self._finished:
            if self._queue.num_open == 0 and self._more_to_come and not self._stopping:
                if not self._asked_for_more:
                    self._asked_for_more = True
                    self._out.append(TasksWanted())
            elif self._queue.num_open == 0:
                self._finish(None)
            elif self._stopping:
                if not any(engine.visits for engine in self._engines.values()):
                    self._finish(None)
            else:
                if not self._paused:
                    self._assign_waiting()
                    self._start_engines()
                    self._repeat_stragglers()
                self._stop_idle_engines()
                if not self._engines and not self._starts.may_start_again():
                    self._finish(self._last_setback)
        out, self._out = self._out, []
        return out

    def _ready(self) -> Iterator[tuple[int, Engine]]:
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
                if not self._queue or len(engine.visits) >= depth:
                    continue
                task = self._next_for(engine)
                plenty = len(self._queue) > len(self._engines)
                if depth == 1 or (plenty and not task.alone and not self._is_alone(engine)):
                    self._queue.remove(task)
                    self._assign(number, engine, task)

    def _is_alone(self, engine: Engine) -> bool:
        return any(self._visits[visit][1].alone for visit in engine.visits)

    def _next_for(self, engine: Engine) -> OpenTask:
        """Return the waiting task to send; repeats of the origin are for different engines where possible."""
        others = (other for other in self._engines.values() if not other.saw_origin and not other.draining)
        return self._queue.first(but_the_origin=engine.saw_origin and any(others))

    def _assign(self, number: int, engine: Engine, task: OpenTask) -> None:
        visit = self._next_visit
        self._next_visit += 1
        self._visits[visit] = (number, task)
        task.visits.add(visit)
        if not engine.visits:
            engine.busy_since_s = self._now_s
        engine.visits.append(visit)
        engine.saw_origin |= task.is_origin
        attempt = task.failures + 1
        self._out.append(
            Assign(engine=number, visit=visit, task=task.task, attempt=attempt, num_batches=task.num_batches)
        )

    def _start_engines(self) -> None:
        """Start engines in free slots while more tasks wait than engines are starting."""
        num_more = self._starts.most_starting(len(self._queue), self._now_s) - self.num_starting
        for slot in self._starts.free_slots(self._now_s)[: max(num_more, 0)]:
            slot.engine = self._next_engine
            self._next_engine += 1
            self._engines[slot.engine] = Engine(slot, self._starts.num_failed)
            self._out.append(StartEngine(engine=slot.engine))

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
        repeatable = (task for _, _, task in sorted(late, key=lambda item: item[:2]) if self._queue.may_repeat(task))
        for (number, engine), task in zip(idle, repeatable, strict=False):
            self._assign(number, engine, task)

    def _stop_idle_engines(self) -> None:
        """End engines that have nothing to do, so that their nodes can go; the least number stays, all for more."""
        num_spare = max(1, self._policy.min_engines - sum(bool(engine.visits) for engine in self._engines.values()))
        for number, engine in list(self._engines.items()):
            if engine.visits:
                continue
            if not engine.draining:
                if self._queue or self._more_to_come:
                    continue
                if engine.node is not None and num_spare:
                    num_spare -= 1
                    continue
            self._take_back(number, engine)

    def _take_back(self, number: int, engine: Engine) -> None:
        """End an engine that has nothing to do, charged to nobody."""
        del self._engines[number]
        if engine.slot.engine == number:
            engine.slot.engine = None
        self._out.append(StopEngine(engine=number))

    def _finish(self, error: Exception | None) -> None:
        if not self._finished:
            self._finished = True
            self._engines.clear()
            self._out.append(Finished(error=error))
