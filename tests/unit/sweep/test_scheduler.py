"""Single decisions of the scheduler; its promises as a whole are tested in tests/property."""

from collections.abc import Sequence
from typing import Literal

import pytest

from landscape_ray.errors import (
    CheckpointError,
    DefectError,
    GenerationError,
    LandscapeError,
    OutputError,
    PlacementError,
    TransientError,
)
from landscape_ray.planning import ORIGIN, PlannedPoint, PointTask
from landscape_ray.sweep.events import (
    Assign,
    ClusterGrown,
    EngineCreated,
    EngineLost,
    EngineStarted,
    EngineStartFailed,
    Finished,
    GiveUp,
    Instruction,
    NodeDraining,
    Policy,
    Requested,
    StartEngine,
    StopEngine,
    StopRequested,
    Tick,
    VisitDone,
    VisitFailed,
)
from landscape_ray.sweep.scheduler import Scheduler

LOSS = GenerationError("the process died")
FAILURE = GenerationError("the visit failed")
BUSY = TransientError("HTTP 429")


def task(number: int) -> PointTask:
    """Return the origin's repeat -number - 1 for negative numbers, else a point of the grid."""
    point = PlannedPoint(
        draw=None if number < 0 else 0, repeat=max(-number - 1, 0), coordinates=(float(number),), perturbation=ORIGIN
    )
    return PointTask(point=point, benchmarks=("harmful",))


def scheduler(
    numbers: Sequence[int],
    *,
    num_engines: int = 1,
    min_engines: int = 1,
    max_attempts: int = 3,
    max_engine_restarts: int = 3,
    visit_timeout_s: float = 100.0,
    repeat_stragglers: bool = True,
) -> Scheduler:
    policy = Policy(
        num_engines=num_engines,
        min_engines=min_engines,
        max_attempts=max_attempts,
        max_engine_restarts=max_engine_restarts,
        visit_timeout_s=visit_timeout_s,
        repeat_stragglers=repeat_stragglers,
    )
    return Scheduler([task(number) for number in numbers], policy)


def up(engine: int, node: str = "a") -> EngineStarted:
    return EngineStarted(engine=engine, node=node)


def assigned(instructions: list[Instruction]) -> list[tuple[int, int]]:
    """Return engine and number of the point of each assignment."""
    return [(i.engine, int(i.task.tasks[0].point.coordinates[0])) for i in instructions if isinstance(i, Assign)]


def test_a_sweep_from_start_to_end() -> None:
    sweep = scheduler([0, 1])
    assert sweep.start() == [StartEngine(engine=0)]
    first = sweep.handle(up(0))
    assert first == [Assign(engine=0, visit=0, task=task(0), attempt=1, num_batches=1)]
    assert assigned(sweep.handle(VisitDone(visit=0))) == [(0, 1)]
    assert sweep.handle(VisitDone(visit=1)) == [Finished(error=None)]
    assert sweep.handle(Tick(now_s=1.0)) == []


def test_nothing_to_do_ends_at_once() -> None:
    assert scheduler([]).start() == [Finished(error=None)]


def test_no_more_engines_than_points() -> None:
    assert scheduler([0, 1], num_engines=5).start() == [StartEngine(engine=0), StartEngine(engine=1)]


def test_repeats_of_the_origin_go_to_different_engines() -> None:
    sweep = scheduler([-1, -2, 0, 1, 2, 3], num_engines=2)
    sweep.start()
    # The first engine takes one repeat, and work of another kind while the second engine is on its way.
    assert assigned(sweep.handle(up(0))) == [(0, -1), (0, 0)]
    assert assigned(sweep.handle(up(1)))[0] == (1, -2)


def test_a_single_engine_takes_all_repeats_of_the_origin_first() -> None:
    sweep = scheduler([-1, -2, 0])
    sweep.start()
    order = assigned(sweep.handle(up(0)))
    for visit in range(3):
        order += assigned(sweep.handle(VisitDone(visit=visit)))
    assert order == [(0, -1), (0, -2), (0, 0)]


def test_a_second_visit_is_sent_ahead_only_while_work_is_plenty() -> None:
    sweep = scheduler(range(4), num_engines=1)
    sweep.start()
    assert assigned(sweep.handle(up(0))) == [(0, 0), (0, 1)]
    assert assigned(sweep.handle(VisitDone(visit=0))) == [(0, 2)]
    assert assigned(sweep.handle(VisitDone(visit=1))) == []
    assert assigned(sweep.handle(VisitDone(visit=2))) == [(0, 3)]


def test_a_failed_task_waits_behind_all_others_and_is_given_up_after_its_attempts() -> None:
    sweep = scheduler([0, 1], max_attempts=2)
    sweep.start()
    sweep.handle(up(0))
    assert assigned(sweep.handle(VisitFailed(visit=0, error=FAILURE))) == [(0, 1)]
    (again,) = sweep.handle(VisitDone(visit=1))
    assert again == Assign(engine=0, visit=2, task=task(0), attempt=2, num_batches=1)
    assert sweep.handle(VisitFailed(visit=2, error=FAILURE)) == [
        GiveUp(task=task(0), attempts=2, error=FAILURE),
        Finished(error=None),
    ]


def test_each_lack_of_memory_halves_the_batches() -> None:
    sweep = scheduler([0])
    sweep.start()
    sweep.handle(up(0))
    (second,) = sweep.handle(VisitFailed(visit=0, error=FAILURE, out_of_memory=True))
    assert isinstance(second, Assign)
    (third,) = sweep.handle(VisitFailed(visit=1, error=FAILURE, out_of_memory=True))
    assert isinstance(third, Assign)
    assert (second.num_batches, third.num_batches) == (2, 4)


def test_a_lost_engine_is_charged_to_its_visit() -> None:
    sweep = scheduler([0, 1])
    sweep.start()
    sweep.handle(up(0))
    sweep.handle(EngineLost(engine=0, error=LOSS, preempted=False))
    sweep.handle(Tick(now_s=1.0))
    first = sweep.handle(up(1))
    assert first == [Assign(engine=1, visit=1, task=task(1), attempt=1, num_batches=1)]
    assert sweep.handle(VisitDone(visit=1)) == [Assign(engine=1, visit=2, task=task(0), attempt=2, num_batches=1)]


def test_an_engine_lost_with_two_visits_is_charged_to_neither_and_each_then_has_one_to_itself() -> None:
    sweep = scheduler(range(6), max_attempts=1)
    sweep.start()
    assert assigned(sweep.handle(up(0))) == [(0, 0), (0, 1)]
    sweep.handle(EngineLost(engine=0, error=LOSS, preempted=False))
    sweep.handle(Tick(now_s=1.0))
    assert assigned(sweep.handle(up(1))) == [(1, 2), (1, 3)]
    assert assigned(sweep.handle(VisitDone(visit=2))) == [(1, 4)]
    assert assigned(sweep.handle(VisitDone(visit=3))) == [(1, 5)]
    assert assigned(sweep.handle(VisitDone(visit=4))) == []  # the next one is not sent ahead
    alone = sweep.handle(VisitDone(visit=5))
    assert alone == [Assign(engine=1, visit=6, task=task(0), attempt=1, num_batches=1)]
    lost = sweep.handle(EngineLost(engine=1, error=LOSS, preempted=False))
    assert lost == [GiveUp(task=task(0), attempts=1, error=LOSS)]
    sweep.handle(Tick(now_s=2.0))
    assert assigned(sweep.handle(up(2))) == [(2, 1)]
    assert sweep.handle(VisitDone(visit=7))[-1] == Finished(error=None)


def test_preemption_is_charged_to_nobody_and_restarts_at_once() -> None:
    sweep = scheduler([0], max_attempts=1, max_engine_restarts=0)
    sweep.start()
    for engine in range(20):
        sweep.handle(up(engine))
        assert sweep.handle(EngineLost(engine=engine, error=LOSS, preempted=True)) == [StartEngine(engine=engine + 1)]
    (assign,) = sweep.handle(up(20))
    assert isinstance(assign, Assign)
    assert assign.attempt == 1


def test_engines_restart_after_ever_longer_pauses_until_the_budget_is_used() -> None:
    sweep, now_s, starts = scheduler([0], max_engine_restarts=3), 0.0, [0.0]
    sweep.start()
    for engine in range(3):
        assert sweep.handle(EngineStartFailed(engine=engine, error=BUSY)) == []
        while not (instructions := sweep.handle(Tick(now_s=now_s))):
            now_s += 0.5
        assert instructions == [StartEngine(engine=engine + 1)]
        starts.append(now_s)
    assert starts == [0.0, 1.0, 3.0, 7.0]
    assert sweep.handle(EngineStartFailed(engine=3, error=BUSY)) == [Finished(error=BUSY)]


def test_a_visit_done_renews_the_budget_of_restarts() -> None:
    sweep = scheduler(range(50), max_engine_restarts=0)
    sweep.start()
    sweep.handle(up(0))
    sweep.handle(VisitDone(visit=0))
    assert sweep.handle(EngineLost(engine=0, error=LOSS, preempted=False)) == [Finished(error=LOSS)]

    sweep = scheduler(range(50), max_engine_restarts=1)
    sweep.start()
    for engine in range(10):
        first, _ = sweep.handle(up(engine))
        assert isinstance(first, Assign)
        sweep.handle(VisitDone(visit=first.visit))
        sweep.handle(EngineLost(engine=engine, error=LOSS, preempted=False))
        assert sweep.handle(Tick(now_s=10.0 * (engine + 1))) == [StartEngine(engine=engine + 1)]


def create(sweep: Scheduler, *engines: int) -> None:
    for engine in engines:
        assert sweep.handle(EngineCreated(engine=engine)) == []


@pytest.mark.parametrize("error", [PlacementError("lm_head not filled"), DefectError("AttributeError: 'x'")])
def test_a_start_that_cannot_get_better_ends_the_sweep_whatever_the_other_engines_are_doing(error: Exception) -> None:
    sweep = scheduler(range(99), num_engines=8)
    assert len(sweep.start()) == 8
    create(sweep, *range(8))
    sweep.handle(up(7))  # up, but nothing measured yet
    assert sweep.handle(EngineStartFailed(engine=3, error=error)) == [Finished(error=error)]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("RuntimeError: CUDA error 12 in process 4711", "RuntimeError: CUDA error 12 in process 815"),
        ("lost: pid: 3, ip: 10.0.0.1, actor_id: 9a3f00e1", "lost: pid: 77, ip: 10.0.0.23, actor_id: bc5512ff"),
    ],
)
def test_an_engine_that_fails_in_the_same_way_twice_is_not_started_again(first: str, second: str) -> None:
    sweep, error = scheduler([0, 1], max_engine_restarts=8), GenerationError(second)
    sweep.start()
    sweep.handle(EngineStartFailed(engine=0, error=GenerationError(first)))
    assert sweep.handle(Tick(now_s=1.0)) == [StartEngine(engine=1)]
    assert sweep.handle(EngineLost(engine=1, error=error, preempted=False)) == [Finished(error=error)]


def test_starts_that_were_under_way_together_count_once_and_are_followed_by_one() -> None:
    sweep = scheduler(range(99), num_engines=8)
    sweep.start()
    create(sweep, *range(8))
    for engine in range(8):
        assert sweep.handle(EngineStartFailed(engine=engine, error=LOSS)) == []
    assert sweep.handle(Tick(now_s=2.0)) == [StartEngine(engine=8)]
    assert sweep.handle(Tick(now_s=99.0)) == []
    assert sweep.handle(EngineStartFailed(engine=8, error=LOSS)) == [Finished(error=LOSS)]


def test_a_failed_start_takes_those_back_that_wait_for_room_until_one_succeeds() -> None:
    sweep = scheduler(range(99), num_engines=4)
    sweep.start()
    create(sweep, 0)
    taken_back: list[Instruction] = [StopEngine(engine=engine) for engine in (1, 2, 3)]
    assert sweep.handle(EngineStartFailed(engine=0, error=BUSY)) == taken_back
    assert sweep.handle(Tick(now_s=0.9)) == []
    assert sweep.handle(Tick(now_s=1.0)) == [StartEngine(engine=4)]
    create(sweep, 4)
    others = [StartEngine(engine=engine) for engine in (5, 6, 7)]
    assert sweep.handle(up(4))[-3:] == others


@pytest.mark.parametrize(("num_engines", "num_starts"), [(1, 4), (8, 11)])
def test_what_passes_is_tried_as_often_by_many_engines_as_by_one(num_engines: int, num_starts: int) -> None:
    sweep, out = scheduler(range(99), num_engines=num_engines), list[Instruction]()
    sweep.start()
    create(sweep, *range(num_engines))
    for engine in range(num_starts):
        assert out == ([] if engine < num_engines else [StartEngine(engine=engine)])
        create(sweep, engine)
        out = sweep.handle(EngineStartFailed(engine=engine, error=BUSY))
        out += sweep.handle(Tick(now_s=100.0 * (engine + 1)))
    assert out == [Finished(error=BUSY)]


@pytest.mark.parametrize("error", [TransientError("HTTP 503"), OutputError("the token has expired")])
def test_a_visit_that_fails_through_no_fault_of_its_point_is_repeated_after_a_pause(error: LandscapeError) -> None:
    sweep = scheduler([0, 1], max_attempts=1, max_engine_restarts=2)
    sweep.start()
    sweep.handle(up(0))
    sweep.handle(VisitDone(visit=0))
    sweep.handle(VisitFailed(visit=1, error=error))
    assert sweep.handle(Tick(now_s=0.9)) == []
    assert sweep.handle(Tick(now_s=1.0)) == [Assign(engine=0, visit=2, task=task(1), attempt=1, num_batches=1)]
    assert sweep.handle(VisitFailed(visit=2, error=error)) == []
    assert assigned(sweep.handle(Tick(now_s=3.0))) == [(0, 1)]
    assert sweep.handle(VisitFailed(visit=3, error=error)) == [StopEngine(engine=0), Finished(error=error)]


@pytest.mark.parametrize("error", [CheckpointError("no safetensors"), OutputError("the bucket is gone")])
def test_a_users_error_before_any_success_ends_the_sweep(error: Exception) -> None:
    sweep = scheduler(range(9), num_engines=3)
    sweep.start()
    stops: list[Instruction] = [StopEngine(engine=1), StopEngine(engine=2)]
    assert sweep.handle(EngineStartFailed(engine=0, error=error)) == [*stops, Finished(error=error)]

    sweep = scheduler(range(9))
    sweep.start()
    sweep.handle(up(0))
    assert sweep.handle(VisitFailed(visit=0, error=error)) == [Finished(error=error)]


def test_a_users_error_after_a_success_takes_one_slot_only() -> None:
    error = OutputError("the disk of this node is full")
    sweep = scheduler(range(99), num_engines=2)
    sweep.start()
    sweep.handle(up(0))
    sweep.handle(VisitDone(visit=0))
    sweep.handle(EngineStartFailed(engine=1, error=error))
    assert sweep.handle(Tick(now_s=90.0)) == []
    assert assigned(sweep.handle(VisitDone(visit=1))) == [(0, 3)]


def test_an_engine_of_unknown_state_is_replaced() -> None:
    sweep = scheduler([0], max_attempts=2)
    sweep.start()
    sweep.handle(up(0))
    assert sweep.handle(VisitFailed(visit=0, error=FAILURE, engine_usable=False)) == [StopEngine(engine=0)]
    assert sweep.handle(Tick(now_s=1.0)) == [StartEngine(engine=1)]
    (assign,) = sweep.handle(up(1))
    assert isinstance(assign, Assign)
    assert assign.attempt == 2


def test_a_hung_visit_ends_its_engine_and_is_charged() -> None:
    sweep = scheduler([0], max_attempts=1, visit_timeout_s=10.0)
    sweep.start()
    sweep.handle(up(0))
    assert sweep.handle(Tick(now_s=10.0)) == []
    stop, give_up, finished = sweep.handle(Tick(now_s=10.5))
    assert stop == StopEngine(engine=0)
    assert isinstance(give_up, GiveUp)
    assert "within 10 s" in str(give_up.error)
    assert finished == Finished(error=None)


def test_a_draining_node_gets_nothing_new_and_another_engine_starts_in_time() -> None:
    sweep = scheduler(range(9), num_engines=1)
    sweep.start()
    sweep.handle(up(0, node="spot"))
    assert sweep.handle(NodeDraining(node="spot")) == [StartEngine(engine=1)]
    assert sweep.handle(VisitDone(visit=0)) == []
    assert sweep.handle(VisitDone(visit=1)) == [StopEngine(engine=0)]
    assert assigned(sweep.handle(up(1, node="other"))) == [(1, 2), (1, 3)]


def test_engines_join_as_the_cluster_grows() -> None:
    sweep = scheduler(range(9), num_engines=1)
    sweep.start()
    assert sweep.handle(ClusterGrown(num_engines=3)) == [StartEngine(engine=1), StartEngine(engine=2)]
    assert sweep.handle(ClusterGrown(num_engines=2)) == []
    assert len(sweep.handle(ClusterGrown(num_engines=99))) == 6  # no more engines than points


def test_an_idle_engine_repeats_a_straggler_and_the_first_result_counts() -> None:
    sweep = scheduler([0, 1, 2], num_engines=2)
    sweep.start()
    sweep.handle(up(0))
    sweep.handle(up(1))
    sweep.handle(Tick(now_s=2.0))
    assert assigned(sweep.handle(VisitDone(visit=1))) == [(1, 2)]
    sweep.handle(Tick(now_s=4.0))
    assert sweep.handle(VisitDone(visit=2)) == []
    assert sweep.handle(Tick(now_s=6.0)) == []  # three times the median of two seconds is not over yet
    assert sweep.handle(Tick(now_s=6.5)) == [Assign(engine=1, visit=3, task=task(0), attempt=1, num_batches=1)]
    assert sweep.handle(Tick(now_s=50.0)) == []
    assert sweep.handle(VisitDone(visit=3)) == [Finished(error=None)]


def test_a_straggler_is_left_alone_where_visits_are_paid_for() -> None:
    sweep = scheduler([0, 1, 2], num_engines=2, repeat_stragglers=False)
    sweep.start()
    sweep.handle(up(0))
    sweep.handle(up(1))
    sweep.handle(Tick(now_s=2.0))
    assert assigned(sweep.handle(VisitDone(visit=1))) == [(1, 2)]
    assert sweep.handle(VisitDone(visit=2)) == []
    assert sweep.handle(Tick(now_s=90.0)) == []
    assert sweep.handle(VisitDone(visit=0))[-1] == Finished(error=None)


def test_idle_engines_end_but_for_one_while_others_work() -> None:
    sweep = scheduler(range(3), num_engines=3)
    sweep.start()
    for engine in range(3):
        sweep.handle(up(engine))
    assert sweep.handle(VisitDone(visit=0)) == []
    assert sweep.handle(VisitDone(visit=1)) == [StopEngine(engine=1)]


@pytest.mark.parametrize(("min_engines", "num_ended"), [(1, 3), (2, 3), (3, 2), (4, 1), (5, 0)])
def test_the_least_number_of_engines_stays_up(min_engines: int, num_ended: int) -> None:
    """One engine works on and one always stays for stragglers: together they are two."""
    sweep = scheduler(range(5), num_engines=5, min_engines=min_engines)
    sweep.start()
    for engine in range(5):
        sweep.handle(up(engine))
    found = [instruction for visit in (4, 3, 2, 1) for instruction in sweep.handle(VisitDone(visit=visit))]
    assert len({i.engine for i in found if isinstance(i, StopEngine)} - {0}) == len(found) == num_ended


def test_engines_still_starting_end_when_nothing_waits_for_them() -> None:
    sweep = scheduler([0, 1], num_engines=2)
    sweep.start()
    sweep.handle(up(0))
    assert sweep.handle(VisitDone(visit=0)) == [
        Assign(engine=0, visit=1, task=task(1), attempt=1, num_batches=1),
        StopEngine(engine=1),
    ]


def test_a_stop_waits_for_running_visits_only() -> None:
    sweep = scheduler(range(9), num_engines=2)
    sweep.start()
    sweep.handle(up(0))
    assert sweep.handle(StopRequested()) == []
    assert sweep.handle(VisitDone(visit=0)) == []
    assert sweep.handle(VisitDone(visit=1)) == [Finished(error=None)]


def test_a_result_of_an_engine_written_off_counts() -> None:
    sweep = scheduler([0], visit_timeout_s=10.0)
    sweep.start()
    sweep.handle(up(0))
    sweep.handle(Tick(now_s=11.0))
    assert sweep.handle(VisitDone(visit=0)) == [Finished(error=None)]


def requested(action: Literal["pause", "resume", "set"], num_engines: int | None = None) -> Requested:
    return Requested(action=action, num_engines=num_engines, by="a@b", why="c")


def test_in_a_pause_engines_stay_up_and_get_nothing() -> None:
    sweep = scheduler([0, 1, 2, 3, 4, 5], num_engines=2)
    sweep.start()
    sweep.handle(up(0))
    sweep.handle(up(1))
    assert sweep.handle(requested("pause")) == []
    for visit in range(4):  # each engine had two
        assert sweep.handle(VisitDone(visit=visit)) == []
    assert sweep.handle(Tick(now_s=1e6)) == []  # nobody hangs, nobody is late
    assert sweep.num_up == 2
    assert sweep.handle(EngineLost(engine=1, error=LOSS, preempted=False)) == []
    assert assigned(sweep.handle(requested("resume"))) == [(0, 4)]


def test_a_sweep_whose_last_visits_end_in_a_pause_is_finished() -> None:
    sweep = scheduler([0])
    sweep.start()
    sweep.handle(up(0))
    sweep.handle(requested("pause"))
    assert sweep.handle(VisitDone(visit=0)) == [Finished(error=None)]


def test_fewer_engines_those_that_start_or_idle_go_first_and_no_visit_is_cut_off() -> None:
    sweep = scheduler(range(9), num_engines=4)
    sweep.start()
    sweep.handle(up(0))
    sweep.handle(up(1))
    sweep.handle(up(2))
    assert sweep.handle(requested("set", 2)) == [StopEngine(engine=3)]
    assert sweep.handle(ClusterGrown(num_engines=4)) == []
    ended = [sweep.handle(VisitDone(visit=visit)) for visit in range(6)]
    stopped = [i.engine for instructions in ended for i in instructions if isinstance(i, StopEngine)]
    assert len(stopped) == 1
    assert {engine for instructions in ended for engine, _ in assigned(instructions)} == {0, 1, 2} - set(stopped)
    assert sweep.handle(requested("set", 3)) == [StartEngine(engine=4)]
