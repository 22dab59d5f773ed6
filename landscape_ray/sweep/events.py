"""What goes into the scheduler of a sweep and what comes out: its budgets, events and instructions."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from landscape_ray.planning import PointTask, Task

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
    "Requested",
    "StartEngine",
    "StopEngine",
    "StopRequested",
    "TasksAdded",
    "TasksWanted",
    "Tick",
    "VisitDone",
    "VisitFailed",
]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Requested:
    """Somebody asks for something while the sweep runs; a request to stop is followed by `StopRequested`."""

    action: Literal["pause", "resume", "stop", "set"]
    """`pause`: finish what is running, start nothing new until `resume`; engines stay up."""
    num_engines: int | None = None
    """With `set`: engines from now on, whatever room there is; those too many finish what they have."""
    by: str
    """Who."""
    why: str
    """Their reason."""


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
    | Requested
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
    """Nothing more will happen, and no engine is needed any more. Always the last instruction, and given once."""

    error: Exception | None
    """Why tasks are left over; None if none are, or if a stop was requested."""


Instruction: TypeAlias = StartEngine | StopEngine | Assign | GiveUp | TasksWanted | Finished
