"""The scheduler under a seeded simulator of bad clusters: what `landscape_ray.sweep.scheduler` promises, it keeps.

A simulated cluster starts engines late or never, kills them idle or at work, fails, hangs and slows visits down,
publishes the results of one visit while the engine is at the next one, takes nodes away with or without a notice, and
delivers its reports late, twice and out of order. Starts fail for reasons that last, that pass, or that nobody knows;
services that visits need go away and come back. People pause the sweep, resume it, resize it and stop it. One seed is
one schedule; a failing seed replays exactly.
"""

import heapq
import itertools
import random
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

import pytest

from landscape_ray.errors import CheckpointError, DefectError, GenerationError, PlacementError, TransientError
from landscape_ray.planning import ORIGIN, PlannedPoint, PointTask, Task
from landscape_ray.sweep.events import (
    Assign,
    ClusterGrown,
    EngineCreated,
    EngineLost,
    EngineStarted,
    EngineStartFailed,
    Event,
    Finished,
    GiveUp,
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
from landscape_ray.sweep.scheduler import Scheduler
from landscape_ray.sweep.starts import BACKOFF_S, Starts

LONG = (pytest.mark.long, pytest.mark.timeout(1800))
FAILURE = GenerationError("a visit failed")
LOSS = GenerationError("an engine died")
OUTAGE = TransientError("a service does not answer")
CAUSES = [GenerationError(f"it failed because of {cause}") for cause in "abcdefgh"]
LASTING = (CheckpointError("no safetensors"), DefectError("AttributeError"), PlacementError("not taken"))
LASTING_CLASSES = tuple(map(type, LASTING))


def point_task(number: int, *, origin: bool) -> PointTask:
    point = PlannedPoint(
        draw=None if origin else 0,
        repeat=number if origin else 0,
        coordinates=(0.0 if origin else float(number + 1),),
        perturbation=ORIGIN,
    )
    return PointTask(point=point, benchmarks=("harmful",))


ORIGIN_TASKS = [point_task(i, origin=True) for i in range(3)]
OTHER_TASKS = [point_task(i, origin=False) for i in range(20)]
LATER_TASKS = [
    [point_task(i, origin=False) for i in range(20, 32)],
    [point_task(i, origin=False) for i in range(32, 35)],
]


@dataclass(slots=True)
class Weather:
    """How bad the cluster is; rates are per visit or per start."""

    fail: float = 0.0
    out_of_memory: float = 0.0
    broken: float = 0.0
    death: float = 0.0
    preemption: float = 0.0
    hang: float = 0.0
    slow: float = 0.0
    publish_s: float = 0.0
    start_failure: float = 0.0
    start_loss: float = 0.0
    start_outage: float = 0.0
    """Starts that fail for what passes."""
    num_causes: int = 1
    """Of how many causes failed starts are."""
    lasting: float = 0.0
    """Starts that fail for what lasts."""
    outage: float = 0.0
    """Visits that fail for what passes."""
    drain: float = 0.0
    idle_death: float = 0.0
    report_delay_s: float = 0.0
    report_twice: float = 0.0
    stop_at_s: float | None = None

    @classmethod
    def draw(cls, rng: random.Random) -> "Weather":
        def rate(most: float) -> float:
            return rng.choice((0.0, 0.0, rng.uniform(0, most)))

        return cls(
            fail=rate(0.5),
            out_of_memory=rate(0.3),
            broken=rate(0.3),
            death=rate(0.4),
            preemption=rate(0.3),
            hang=rate(0.3),
            slow=rate(0.3),
            publish_s=rng.choice((0.0, 2.0, 10.0)),
            start_failure=rate(0.5),
            start_loss=rate(0.3),
            start_outage=rate(0.6),
            num_causes=rng.choice((1, len(CAUSES))),
            lasting=rng.choice((0.0, 0.0, 0.0, 0.02)),
            outage=rate(0.3),
            drain=rate(0.3),
            idle_death=rate(0.2),
            report_delay_s=rng.choice((0.0, 0.5, 20.0)),
            report_twice=rate(0.3),
            stop_at_s=rng.choice((None, None, None, rng.uniform(0, 100))),
        )


@dataclass(slots=True)
class SimulatedEngine:
    node: str
    has_room: bool = False
    started: bool = False
    alive: bool = True
    loss_told: bool = False
    queue: deque[Assign] = field(default_factory=deque)
    num_begun: int = 0
    """How many of the queue the engine has begun; those before the last of them are being published."""
    busy: bool = False
    """Whether it is at the last of those, which else is being published, too."""


class Cluster:
    """One run of a scheduler on a simulated cluster; every promise is checked at every step."""

    points_per_visit = 1

    def __init__(self, seed: int, make: type[Scheduler] = Scheduler) -> None:
        self.rng = rng = random.Random(seed)  # noqa: S311  (a schedule, not a secret)
        self.weather = Weather.draw(rng)
        self.tasks = ORIGIN_TASKS[: rng.randint(0, 3)] + OTHER_TASKS[: rng.randint(0, rng.choice((4, 20)))]
        self.rounds = deque(LATER_TASKS[: rng.choice((0, 0, 1, 2))])
        self.wanted = False
        self.policy = Policy(
            num_engines=rng.randint(1, 5),
            max_attempts=rng.randint(1, 3),
            max_engine_restarts=rng.randint(0, 4),
            visit_timeout_s=60.0,
            min_engines=rng.randint(1, 3),
            points_per_visit=self.points_per_visit,
        )
        every_task = [*self.tasks, *itertools.chain(*self.rounds)]
        self.poison = {task for task in every_task if rng.random() < rng.choice((0.0, 0.2))}
        self.deadly = {task for task in self.poison if rng.random() < 0.3}
        # Only so many nodes are ever taken away: a cluster that takes each away at once can finish nothing.
        self.preemptions_left = 6
        self.num_engines = self.most_engines = self.policy.num_engines
        self.scheduler = make(self.tasks, self.policy, more_to_come=bool(self.rounds))

        self.now = self.ticked = 0.0
        self.agenda: list[tuple[float, int, Callable[[], None]]] = []
        self.order = itertools.count()
        self.engines: dict[int, SimulatedEngine] = {}
        self.visits: dict[int, Assign] = {}
        self.stopped: set[int] = set()
        self.told_draining: set[str] = set()
        self.taken_away: set[int] = set()
        self.stop_told = False
        self.published: Counter[PointTask] = Counter()
        self.acknowledged: set[PointTask] = set()
        self.given_up: dict[PointTask, GiveUp] = {}
        self.mishaps: Counter[PointTask] = Counter()
        self.failed_starts: list[tuple[float, Exception]] = []
        """When each was told, by the scheduler's clock, and why it failed."""
        self.any_up = self.any_done = False
        self.num_outages = 0
        self.finished: Finished | None = None
        self.ended_early = False
        """Engines were ended that were still there at the end."""

    # -- the simulation

    def run(self) -> "Cluster":
        if self.weather.stop_at_s is not None:
            self.at(self.weather.stop_at_s, self.stop)
        if self.chance(0.3):
            self.at(self.rng.uniform(0, 50), self.grow)
        self.carry_out(self.scheduler.start())
        self.at(1.0, self.tick)
        for _ in range(20_000):
            if self.finished is not None:
                break
            self.now, _, act = heapq.heappop(self.agenda)
            act()
        self.check_end()
        return self

    def at(self, after_s: float, act: Callable[[], None]) -> None:
        heapq.heappush(self.agenda, (self.now + after_s, next(self.order), act))

    def chance(self, rate: float) -> bool:
        return rate > 0 and self.rng.random() < rate

    def tick(self) -> None:
        self.ticked = self.now
        self.tell(Tick(now_s=self.now))
        self.at(self.rng.choice((0.5, 1.0, 5.0)), self.tick)

    def grow(self) -> None:
        self.num_engines += self.rng.randint(-1, 3)
        self.most_engines = max(self.most_engines, self.num_engines)
        self.tell(ClusterGrown(num_engines=self.num_engines))

    def add_tasks(self) -> None:
        """Answer a request for more tasks; the last answer may be that there are none after all."""
        self.wanted = False
        added = self.rounds.popleft()
        if not self.rounds and self.chance(0.3):
            self.poison -= set(added)
            added = []
        self.tasks = self.tasks + added
        self.tell(TasksAdded(tasks=tuple(added), more_to_come=bool(self.rounds)))

    def stop(self) -> None:
        self.stop_told = True
        self.tell(StopRequested())

    def report(self, event: Event) -> None:
        """Deliver an event some time later, perhaps twice, so that reports overtake each other."""
        for _ in range(2 if self.chance(self.weather.report_twice) else 1):
            self.at(self.rng.uniform(0, self.weather.report_delay_s), lambda: self.tell(event))

    def tell(self, event: Event) -> None:
        match event:
            case EngineLost(engine=number) | EngineStartFailed(engine=number):
                self.note_start(number, event)
                self.engines[number].loss_told = True
                self.suspect(number)
            case EngineStarted(engine=number):
                self.any_up |= self.is_open(number)
            case NodeDraining(node=node):
                self.told_draining.add(node)
            case VisitDone(visit=visit) if self.finished is None:
                self.acknowledged.update(self.visits[visit].task.tasks)
                self.any_done = True
        self.carry_out(self.scheduler.handle(event))

    def is_open(self, number: int) -> bool:
        return number not in self.stopped and not self.engines[number].loss_told

    def note_start(self, number: int, event: EngineLost | EngineStartFailed) -> None:
        """Take note of a failed start, as long as no engine has ever come up."""
        preempted = isinstance(event, EngineLost) and event.preempted
        if preempted:
            self.taken_away.add(number)
        if not self.any_up and self.is_open(number) and not preempted:
            self.failed_starts.append((self.ticked, event.error))

    def suspect(self, number: int) -> None:
        """With late reports nobody can know which visit an engine was at when it went: any of them may be charged."""
        if self.weather.report_delay_s:
            for assign in self.visits.values():
                if assign.engine == number and not self.acknowledged.issuperset(assign.task.tasks):
                    self.charge(assign.task)

    def charge(self, task: Task) -> None:
        """Count a mishap that may be charged; visits to several points are halved instead."""
        if isinstance(task, PointTask):
            self.mishaps[task] += 1

    def create_engine(self, number: int) -> None:
        if self.engines[number].alive:
            self.engines[number].has_room = True
            self.report(EngineCreated(engine=number))
            self.at(self.rng.uniform(1, 60), lambda: self.start_engine(number))

    def start_engine(self, number: int) -> None:
        engine, rng = self.engines[number], self.rng
        if not engine.alive:
            return
        if self.chance(self.weather.lasting):
            self.fail_start(number, rng.choice(LASTING))
        elif self.chance(self.weather.start_outage):
            self.fail_start(number, OUTAGE)
        elif self.chance(self.weather.start_failure):
            self.fail_start(number, rng.choice(CAUSES[: self.weather.num_causes]))
        elif self.chance(self.weather.start_loss):
            self.kill(number, preempted=False)
        else:
            engine.started = True
            self.report(EngineStarted(engine=number, node=engine.node))
            if self.chance(self.weather.idle_death):
                self.at(self.rng.uniform(0, 50), lambda: self.kill(number, preempted=False))
            if self.preemptions_left and self.chance(self.weather.drain):
                self.preemptions_left -= 1
                self.at(self.rng.uniform(0, 50), lambda: self.drain(number))

    def fail_start(self, number: int, error: Exception) -> None:
        self.engines[number].alive = False
        self.report(EngineStartFailed(engine=number, error=error))

    def drain(self, number: int) -> None:
        self.report(NodeDraining(node=self.engines[number].node))
        self.at(self.rng.uniform(0, 60), lambda: self.kill(number, preempted=True))

    def kill(self, number: int, *, preempted: bool) -> None:
        engine = self.engines[number]
        if engine.alive:
            if engine.queue and not preempted:
                self.charge(engine.queue[max(engine.num_begun - 1, 0)].task)
            engine.alive = False
            engine.queue.clear()
            self.report(EngineLost(engine=number, error=LOSS, preempted=preempted))

    def begin_visit(self, number: int) -> None:
        engine, rng, weather = self.engines[number], self.rng, self.weather
        assign = engine.queue[engine.num_begun]
        visit, task = assign.visit, assign.task
        engine.num_begun += 1
        engine.busy = True
        duration_s = rng.uniform(0.5, 3.0) * (rng.uniform(5, 15) if self.chance(weather.slow) else 1)
        end: Callable[[], None]
        if self.deadly.intersection(task.tasks) or self.chance(weather.death):
            end = lambda: self.kill(number, preempted=False)  # noqa: E731
        elif self.poison.intersection(task.tasks) or self.chance(weather.fail):
            self.charge(task)
            end = lambda: self.fail_visit(number, assign, VisitFailed(visit=visit, error=FAILURE))  # noqa: E731
        elif self.chance(weather.outage):
            self.num_outages += 1
            outage = VisitFailed(visit=visit, error=OUTAGE)
            end = lambda: self.fail_visit(number, assign, outage)  # noqa: E731
        elif self.chance(weather.out_of_memory):
            self.charge(task)
            failed = VisitFailed(visit=visit, error=FAILURE, out_of_memory=True, engine_usable=False)
            end = lambda: self.fail_visit(number, assign, failed)  # noqa: E731
        elif self.chance(weather.broken):
            self.charge(task)
            end = lambda: self.fail_visit(  # noqa: E731
                number, assign, VisitFailed(visit=visit, error=FAILURE, engine_usable=False)
            )
        elif self.preemptions_left and self.chance(weather.preemption):
            self.preemptions_left -= 1
            end = lambda: self.kill(number, preempted=True)  # noqa: E731
        elif self.chance(weather.hang):
            self.charge(task)
            return
        else:
            end = lambda: self.generated(number, assign)  # noqa: E731
        self.at(duration_s, end)

    def generated(self, number: int, assign: Assign) -> None:
        if self.engines[number].alive:
            self.at(self.rng.uniform(0, self.weather.publish_s), lambda: self.publish(number, assign))
            self.free(number)

    def publish(self, number: int, assign: Assign) -> None:
        if self.engines[number].alive:
            self.published.update(assign.task.tasks)
            self.end_visit(number, assign, VisitDone(visit=assign.visit))

    def fail_visit(self, number: int, assign: Assign, event: Event) -> None:
        if self.engines[number].alive:
            self.end_visit(number, assign, event)
            self.free(number)

    def end_visit(self, number: int, assign: Assign, event: Event) -> None:
        engine = self.engines[number]
        engine.queue.remove(assign)
        engine.num_begun -= 1
        self.report(event)

    def free(self, number: int) -> None:
        engine = self.engines[number]
        engine.busy = False
        if len(engine.queue) > engine.num_begun:
            self.begin_visit(number)

    # -- instructions, and what must hold when they are given

    def carry_out(self, instructions: list[Instruction]) -> None:
        for instruction in instructions:
            assert self.finished is None, "an instruction after Finished"
            match instruction:
                case StartEngine(engine=number):
                    assert number not in self.engines, "an engine's number is used again"
                    assert not self.stop_told, "an engine started after the stop"
                    self.check_start()
                    self.engines[number] = SimulatedEngine(node=f"node{number}")
                    self.at(self.rng.uniform(0, 20), lambda n=number: self.create_engine(n))  # type: ignore[misc]
                case StopEngine(engine=number):
                    assert number not in self.stopped, "an engine ended twice"
                    self.stopped.add(number)
                    self.suspect(number)
                    self.engines[number].alive = False
                    self.engines[number].queue.clear()
                case Assign():
                    self.check_assign(instruction)
                    self.visits[instruction.visit] = instruction
                    engine = self.engines[instruction.engine]
                    if engine.alive:
                        engine.queue.append(instruction)
                        if not engine.busy:
                            self.begin_visit(instruction.engine)
                case GiveUp(task=task):
                    assert task not in self.given_up, "given up twice"
                    assert instruction.attempts >= self.policy.max_attempts
                    self.given_up[task] = instruction
                case TasksWanted():
                    assert not self.wanted, "asked for more twice"
                    assert not self.stop_told, "asked for more after the stop"
                    assert self.rounds, "asked for more where nothing is to come"
                    unsettled = [t for t in self.tasks if t not in self.acknowledged and t not in self.given_up]
                    assert not unsettled, "asked for more before all is done"
                    self.wanted = True
                    self.at(self.rng.choice((0.0, 5.0)), self.add_tasks)
                case Finished():
                    self.finished = instruction
                    self.ended_early = any(map(self.is_open, self.engines))
        self.check_number()

    def working(self) -> set[int]:
        return {
            number
            for number, engine in self.engines.items()
            if self.is_open(number) and engine.node not in self.told_draining
        }

    def check_number(self) -> None:
        assert len(self.working()) <= max(self.policy.num_engines, self.num_engines), "more engines than asked for"

    def check_start(self) -> None:
        """As long as no engine has ever come up, failed starts are repeated one by one, and only where it may help."""
        if self.any_up or not self.failed_starts:
            return
        told_s, error = self.failed_starts[-1]
        assert not isinstance(error, LASTING_CLASSES), "a start is repeated that cannot get better"
        assert not any(map(self.is_open, self.engines)), "starts are repeated before the others have failed"
        assert self.ticked - told_s >= BACKOFF_S, "a start is repeated without a pause"

    def check_assign(self, assign: Assign) -> None:
        engine = self.engines[assign.engine]
        assert assign.visit not in self.visits
        assert engine.started, "work for an engine that has not started"
        assert not engine.loss_told, "work for an engine known to be dead"
        assert assign.engine not in self.stopped, "work for an engine that was ended"
        assert engine.node not in self.told_draining, "work for a draining node"
        assert not self.stop_told, "work after the stop"
        points = set(assign.task.tasks)
        assert len(points) == len(assign.task.tasks) <= self.policy.points_per_visit
        assert not points & self.acknowledged, "a point done is visited again"
        assert not points & self.given_up.keys(), "a point given up is visited again"
        assert not any(points.intersection(queued.task.tasks) for queued in engine.queue), "a point twice on one engine"
        assert len(engine.queue) <= 1 or self.weather.report_delay_s, "more than one visit queued"
        assert 1 <= assign.attempt <= self.policy.max_attempts, "more attempts than allowed"
        assert assign.num_batches in {1, 2, 4}

    def check_end(self) -> None:
        assert self.finished is not None, "the sweep never ends"
        left = [task for task in self.tasks if task not in self.acknowledged and task not in self.given_up]
        assert all(self.published[task] for task in self.acknowledged), "a point counts that has no result"
        for task in self.given_up:
            # A result may be stored although its report was lost with its engine; the driver looks into the store.
            assert self.mishaps[task] >= self.policy.max_attempts or self.published[task], "an innocent point given up"
        assert not (self.poison & self.acknowledged)
        if self.finished.error is None:
            assert not (left or self.rounds) or self.stop_told, "points were lost"
        else:
            assert left
            assert not self.wanted
            self.check_despair(self.finished.error)
        most = self.most_engines + self.policy.max_engine_restarts
        # One whose node was taken away costs no start.
        num_charged = sum(
            number not in self.taken_away and engine.node not in self.told_draining
            for number, engine in self.engines.items()
        )
        assert self.any_up or num_charged <= most, "too many starts before the first engine"

    def check_despair(self, error: Exception) -> None:
        """A sweep is ended for what lasts, for what went wrong twice in the same way, or when its budgets are used."""
        errors = [error for _, error in self.failed_starts]
        if isinstance(error, LASTING_CLASSES):
            assert not (self.any_done and self.ended_early), "ended for one bad engine"
        elif self.any_up or isinstance(error, TransientError) or errors.count(error) < 2:
            num_failures = len(self.engines) + self.num_outages
            assert num_failures > self.policy.max_engine_restarts, "gave up on engines too early"


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [range(4000), pytest.param(range(4000, 200_000), marks=LONG)], ids=len)
def test_promises_hold_in_every_schedule(seeds: range) -> None:
    seen: Counter[str] = Counter()
    for seed in seeds:
        try:
            cluster = Cluster(seed).run()
        except AssertionError as failure:
            pytest.fail(f"seed {seed}: {failure}")
        assert cluster.finished is not None
        seen["visits"] += len(cluster.visits)
        seen["engines"] += len(cluster.engines)
        seen["given up"] += len(cluster.given_up)
        seen["repeated"] += sum(count > 1 for count in cluster.published.values())
        seen["stopped"] += cluster.stop_told
        seen["out of engines"] += cluster.any_up and cluster.finished.error in {LOSS, FAILURE, OUTAGE, *CAUSES}
        seen["never up"] += not cluster.any_up and isinstance(cluster.finished.error, TransientError)
        seen["the same twice"] += not cluster.any_up and isinstance(cluster.finished.error, GenerationError)
        seen["lasting error"] += isinstance(cluster.finished.error, LASTING_CLASSES)
        seen["all done"] += cluster.acknowledged == set(cluster.tasks)
        seen["rounds"] += bool(cluster.acknowledged & set(itertools.chain(*LATER_TASKS)))
    # The weather must be neither always fair nor always foul, or the promises were not tested.
    least = dict.fromkeys(
        (
            *("given up", "repeated", "stopped", "all done", "rounds"),
            *("out of engines", "never up", "the same twice", "lasting error"),
        ),
        30,
    )
    assert {name: count for name, count in seen.items() if count < least.get(name, 3000)} == {}


class LinesCluster(Cluster):
    """Engines that take up to five points at a time."""

    points_per_visit = 5


@pytest.mark.slow
def test_promises_hold_where_visits_are_of_several_points() -> None:
    seen: Counter[str] = Counter()
    for seed in range(3000):
        try:
            cluster = LinesCluster(seed).run()
        except AssertionError as failure:
            pytest.fail(f"seed {seed}: {failure}")
        seen.update(f"visits of {len(assign.task.tasks)}" for assign in cluster.visits.values())
        seen["given up"] += len(cluster.given_up)
        seen["poisoned"] += len(cluster.poison & cluster.given_up.keys())
        lines = {task for assign in cluster.visits.values() for task in assign.task.tasks[1:]}
        seen["done of lines"] += len(lines & cluster.acknowledged)
    names = ("given up", "poisoned", "done of lines", *(f"visits of {num}" for num in range(1, 6)))
    assert {name: seen[name] for name in names if seen[name] < 300} == {}


class SteeredCluster(Cluster):
    """People pause the sweep, resume it, want more or fewer engines, and may stop it, at any time."""

    def __init__(self, seed: int, make: type[Scheduler] = Scheduler) -> None:
        super().__init__(seed, make)
        self.people = random.Random(f"people/{seed}")  # noqa: S311  (a schedule, not a secret)
        self.asked: Counter[str] = Counter()
        self.paused = False
        self.num_set: int | None = None
        self.before: set[int] = set()
        self.assigned_since: set[int] = set()

    def run(self) -> "Cluster":
        for _ in range(self.people.randint(1, 8)):
            self.at(self.people.uniform(0, 150), self.ask)
        self.at(150, lambda: self.request("resume"))
        return super().run()

    def ask(self) -> None:
        self.request(self.people.choice(("pause", "pause", "pause", "resume", "set", "set", "set", "stop")))

    def request(self, action: Literal["pause", "resume", "stop", "set"]) -> None:
        if self.finished is not None or (action == "stop" and self.people.random() < 0.8):
            return
        self.asked[action] += 1
        self.paused = action == "pause" if action in {"pause", "resume"} else self.paused
        stopped = set(self.stopped)
        if action == "set":
            self.num_set = self.people.randint(1, 6)
            self.num_engines = max(self.num_engines, self.num_set)
            self.most_engines = max(self.most_engines, self.num_engines)
            self.before, self.assigned_since = self.working(), set()
            at_work = {number for number, engine in self.engines.items() if engine.queue}
        self.tell(Requested(action=action, num_engines=self.num_set if action == "set" else None, by="a", why="b"))
        if action == "set" and self.finished is None:
            assert not (self.stopped - stopped) & at_work, "a visit is cut off by a request"
            self.taken_away |= self.stopped - stopped  # and may be started anew, if more are wanted again
        if action == "stop":
            self.stop()

    def carry_out(self, instructions: list[Instruction]) -> None:
        for instruction in instructions:
            assert not (self.paused and isinstance(instruction, StartEngine | Assign)), "work in a pause"
            if isinstance(instruction, Assign):
                self.assigned_since.add(instruction.engine)
        super().carry_out(instructions)

    def check_number(self) -> None:
        """Those that were there when a number was set may finish what they have."""
        if self.num_set is None:
            super().check_number()
            return
        working = self.working()
        assert len(working & self.assigned_since) <= self.num_set, "work for more engines than were set"
        assert len(working - (self.before - self.assigned_since)) <= self.num_set, "more engines than were set"


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [range(2000), pytest.param(range(2000, 60_000), marks=LONG)], ids=len)
def test_promises_hold_whatever_people_ask_for(seeds: range) -> None:
    seen: Counter[str] = Counter()
    for seed in seeds:
        cluster = SteeredCluster(seed)
        try:
            cluster.run()
        except AssertionError as failure:
            pytest.fail(f"seed {seed}: {failure}")
        seen += cluster.asked
        everything = cluster.acknowledged == set(cluster.tasks)
        seen["all done"] += everything
        seen["all done after a pause"] += everything and cluster.asked["pause"] > 0
        seen["fewer engines than before"] += (cluster.num_set or 99) < cluster.policy.num_engines
        seen["stopped in a pause"] += cluster.paused and cluster.stop_told
    least = {"pause": 500, "resume": 500, "set": 500, "stop": 50, "stopped in a pause": 5}
    names = (*least, "all done", "all done after a pause", "fewer engines than before")
    assert {name: seen[name] for name in names if seen[name] < least.get(name, 100)} == {}


def test_same_seed_same_schedule() -> None:
    first, second = Cluster(7).run(), Cluster(7).run()
    assert list(first.visits.values()) == list(second.visits.values())
    assert first.now == second.now


class RoundsCluster(Cluster):
    """Notes which engines have been ended each time that more tasks are asked for."""

    stopped_before: list[set[int]]

    def add_tasks(self) -> None:
        self.stopped_before.append(set(self.stopped))
        super().add_tasks()


def test_engines_are_kept_from_round_to_round() -> None:
    """In fair weather no engine ends before the last round."""
    for seed in range(200):
        cluster = RoundsCluster(seed)
        cluster.stopped_before = []
        cluster.weather, cluster.poison, cluster.deadly = Weather(), set(), set()
        cluster.tasks, cluster.rounds = OTHER_TASKS[:8], deque(LATER_TASKS)
        cluster.policy = Policy(num_engines=3, max_attempts=2, max_engine_restarts=2, visit_timeout_s=60.0)
        cluster.scheduler = Scheduler(cluster.tasks, cluster.policy, more_to_come=True)
        cluster.run()
        assert cluster.stopped_before == [set(), set()]
        assert cluster.acknowledged == set(cluster.tasks)


def test_poison_point_fails_alone() -> None:
    """In otherwise fair weather every other point is done, whatever the poison does."""
    for seed in range(500):
        cluster = Cluster(seed)
        cluster.weather = Weather(report_delay_s=cluster.rng.choice((0.0, 0.5)))
        poison = set(cluster.rng.sample(cluster.tasks, min(1, len(cluster.tasks))))
        cluster.poison, cluster.deadly = poison, cluster.rng.choice((poison, set()))
        cluster.policy = Policy(num_engines=2, max_attempts=2, max_engine_restarts=2, visit_timeout_s=60.0)
        cluster.rounds.clear()
        cluster.scheduler = Scheduler(cluster.tasks, cluster.policy)
        cluster.run()
        assert set(cluster.given_up) == poison
        assert cluster.acknowledged == set(cluster.tasks) - poison
        # 3 if both copies of a repeated straggler fail.
        assert {g.attempts for g in cluster.given_up.values()} <= {2, 3}


class _ForgetsQueued(Scheduler):
    def _lose(self, number, error, *, preempted, suspects=()):  # type: ignore[no-untyped-def]
        if (engine := self._engines.get(number)) and len(engine.visits) > 1:
            engine.visits.pop()
        super()._lose(number, error, preempted=preempted, suspects=suspects)


class _BlamesTheFirst(Scheduler):
    def _visits_of(self, number):  # type: ignore[no-untyped-def]
        return super()._visits_of(number)[:1]


class _ForgetsDrain(Scheduler):
    def _drain(self, engine):  # type: ignore[no-untyped-def]
        pass


class _ChargesNobody(Scheduler):
    def _release(self, task, visit, charged):  # type: ignore[no-untyped-def]
        task.error = charged or task.error
        super()._release(task, visit, None)


class _ChargesTwice(Scheduler):
    def _release(self, task, visit, charged):  # type: ignore[no-untyped-def]
        task.failures += charged is not None
        super()._release(task, visit, charged)


class _IgnoresLateResults(Scheduler):
    def _visit_done(self, visit):  # type: ignore[no-untyped-def]
        number, _ = self._visits.get(visit, (None, None))
        if number in self._engines:
            super()._visit_done(visit)


class _ForgetsAdded(Scheduler):
    def _add(self, tasks):  # type: ignore[no-untyped-def]
        super()._add(() if self._visits else tasks)


class _RetriesWhatLasts(Scheduler):
    def handle(self, event: Event) -> list[Instruction]:
        return super().handle(replace(event, error=OUTAGE) if isinstance(event, EngineStartFailed) else event)


class _RetriesEachSlot(Scheduler):
    def _first_start_failed(self, failed, error):  # type: ignore[no-untyped-def]
        pass


class _EagerStarts(Starts):
    def _may_try(self, budget, now_s):  # type: ignore[no-untyped-def] # noqa: ARG002
        return self._has_tries_left(budget)


class _NeverPauses(Scheduler):
    def __init__(self, tasks, policy, *, more_to_come=False):  # type: ignore[no-untyped-def]
        super().__init__(tasks, policy, more_to_come=more_to_come)
        self._starts = _EagerStarts(policy.max_engine_restarts)
        self._add_slots()


class _BlamesThePointForAll(Scheduler):
    def _visit_failed(self, event):  # type: ignore[no-untyped-def]
        super()._visit_failed(replace(event, error=FAILURE))


class _NeverHung(Scheduler):
    def _replace_hung_engines(self):  # type: ignore[no-untyped-def]
        pass


class _NeverPausesForPeople(Scheduler):
    def handle(self, event: Event) -> list[Instruction]:
        return [] if isinstance(event, Requested) and event.action == "pause" else super().handle(event)


class _NeverResumes(Scheduler):
    def handle(self, event: Event) -> list[Instruction]:
        return [] if isinstance(event, Requested) and event.action == "resume" else super().handle(event)


class _NeverShrinks(Scheduler):
    def handle(self, event: Event) -> list[Instruction]:
        return [] if isinstance(event, Requested) and event.action == "set" else super().handle(event)


class _GrowsAgain(Scheduler):
    def handle(self, event: Event) -> list[Instruction]:
        self._may_grow = True
        return super().handle(event)


class _CutsOff(Scheduler):
    def handle(self, event: Event) -> list[Instruction]:
        if isinstance(event, Requested) and event.num_engines is not None and not self._finished:
            for number in list(self._engines)[event.num_engines :]:
                self._out.append(StopEngine(engine=number))
                self._lose(number, LOSS, preempted=True)
        return super().handle(event)


STEERED = {_NeverPausesForPeople, _NeverResumes, _NeverShrinks, _GrowsAgain, _CutsOff}


@pytest.mark.parametrize(
    ("broken", "promise"),
    [
        (_NeverPausesForPeople, "work in a pause"),
        (_NeverResumes, "the sweep never ends"),
        (_NeverShrinks, "work for more engines than were set"),
        (_GrowsAgain, "more engines than were set"),
        (_CutsOff, "a visit is cut off by a request"),
        (_ForgetsQueued, "the sweep never ends"),
        (_BlamesTheFirst, "an innocent point given up"),
        (_ForgetsDrain, "work for a draining node"),
        (_ChargesNobody, "the sweep never ends"),
        (_ChargesTwice, "an innocent point given up"),
        (_IgnoresLateResults, "a point done is visited again"),
        (_NeverHung, "the sweep never ends"),
        (_ForgetsAdded, "points were lost"),
        (_RetriesWhatLasts, "a start is repeated that cannot get better"),
        (_RetriesEachSlot, "starts are repeated before the others have failed"),
        (_NeverPauses, "a start is repeated without a pause"),
        (_BlamesThePointForAll, "an innocent point given up"),
    ],
)
def test_a_broken_scheduler_is_noticed(broken: type[Scheduler], promise: str) -> None:
    failures: defaultdict[str, int] = defaultdict(int)
    for seed in range(400):
        try:
            (SteeredCluster if broken in STEERED else Cluster)(seed, broken).run()
        except AssertionError as failure:
            failures[str(failure).splitlines()[0]] += 1
            if promise in failures:
                return
    pytest.fail(f"not noticed; seen: {dict(failures)}")
