"""Actors whose start fails, in real processes: how often they are started, and what is told in the end."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pytest
import ray
from ray.core.generated.common_pb2 import ActorDiedErrorContext
from ray.exceptions import ActorDiedError, RuntimeEnvSetupError

from landscape_ray.engine import EngineFacts
from landscape_ray.errors import DefectError, GenerationError, LandscapeError, TransientError
from landscape_ray.planning import ORIGIN, PlannedPoint, PointTask
from landscape_ray.sweep.cluster.resources import Allotment
from landscape_ray.sweep.events import Finished, Instruction, Policy, StartEngine, Tick
from landscape_ray.sweep.fleet import Fleet, _loss
from landscape_ray.sweep.reports import EngineReady, Trouble
from landscape_ray.sweep.scheduler import Scheduler

pytestmark = pytest.mark.usefixtures("local_ray")

TASKS = [
    PointTask(
        point=PlannedPoint(draw=0, repeat=0, coordinates=(float(i),), perturbation=ORIGIN), benchmarks=("harmful",)
    )
    for i in range(8)
]


ERRORS = {
    "defect": AttributeError("no such thing"),
    "network": TimeoutError("the Hub"),
    "unknown": RuntimeError("of some kind"),
}


class FailingActor:
    """Fails to start in a way, but for the start of a number; each start leaves a file."""

    STAGES: ClassVar[Mapping[str, str]] = {"start": "failing"}
    CONCURRENCY_GROUPS: ClassVar[Mapping[str, int]] = {}

    def __init__(self, *, way: str, log: Path, good: int, **_: object) -> None:
        self._way, self._log, self._good = way, log, good

    def start(self) -> EngineReady | Trouble:
        (self._log / str(os.getpid())).touch()
        if len(list(self._log.iterdir())) == self._good:
            facts = EngineFacts(engine="good", torch_version="", device="")
            return EngineReady(node=ray.get_runtime_context().get_node_id(), facts=facts, start_s=0.0)
        if self._way == "death":
            os._exit(1)
        return Trouble.of_start(ERRORS[self._way])


def outcome_of(way: str, log: Path, *, num_engines: int = 1, good: int = 0) -> tuple[int, Exception | None]:
    """Return how many starts there were until the end, or until an engine came up, and the error at the end."""
    allotment = Allotment(num_engines=num_engines, num_cpus=1, num_gpus=0, node_labels=())
    fleet = Fleet(FailingActor, allotment=allotment, room=lambda: allotment, way=way, log=log, good=good)
    policy = Policy(num_engines=num_engines, max_attempts=1, max_engine_restarts=3, visit_timeout_s=60.0)
    scheduler = Scheduler(TASKS, policy)
    now_s, todo = 0.0, scheduler.start()
    while not scheduler.num_up and not any(isinstance(instruction, Finished) for instruction in todo):
        for instruction in todo:
            carry_out(fleet, instruction)
        todo, now_s = scheduler.handle(Tick(now_s=now_s)), now_s + 100.0  # no pause is that long
        for event, _ in fleet.events(0.5):
            todo += scheduler.handle(event)
    fleet.close(all_done=False)
    return len(list(log.iterdir())), next((each.error for each in todo if isinstance(each, Finished)), None)


def carry_out(fleet: Fleet, instruction: Instruction) -> None:
    if isinstance(instruction, StartEngine):
        fleet.start(instruction)


@pytest.mark.parametrize(
    ("way", "num_starts", "error"),
    [
        ("defect", 1, DefectError("The engine cannot be built, .*AttributeError: no such thing")),
        ("unknown", 2, GenerationError("RuntimeError")),
        ("death", 2, GenerationError("The process of the engine was lost")),
    ],
)
def test_what_cannot_get_better_is_started_at_most_twice(
    tmp_path: Path, way: str, num_starts: int, error: LandscapeError
) -> None:
    found, told = outcome_of(way, tmp_path)
    assert found == num_starts
    with pytest.raises(type(error), match=str(error)):
        raise told or AssertionError


def test_what_passes_is_started_again_until_it_has_passed(tmp_path: Path) -> None:
    assert outcome_of("network", tmp_path, good=3) == (3, None)


def test_many_engines_do_not_each_try_what_cannot_get_better(tmp_path: Path) -> None:
    """Two together, and one more that shows that it is no accident."""
    found, told = outcome_of("unknown", tmp_path, num_engines=2)
    assert found == 3
    assert isinstance(told, GenerationError)


def test_a_node_that_has_gone_is_no_fault_of_its_engine() -> None:
    """In the words of Ray's control service."""
    words = "The actor died because its node has died. Node Id: 7f"
    died = ActorDiedErrorContext(error_message=words, actor_id=b"a" * 16)
    killed = ActorDiedErrorContext(error_message="Worker unexpectedly exits", actor_id=b"a" * 16)
    assert isinstance(_loss(ActorDiedError(died)), TransientError)
    assert isinstance(_loss(ActorDiedError(killed)), GenerationError)


def test_a_long_traceback_is_told_with_its_cause() -> None:
    page = "Traceback:\n" + "  File agent.py, line 1\n" * 100 + "OSError: No space left on device"
    told = str(_loss(RuntimeEnvSetupError(page)))
    assert told.startswith("The process of the engine was lost: Failed to set up runtime environment.")
    assert told.endswith("OSError: No space left on device")
    assert len(told) < 1100
