"""The engines of a sweep as Ray actors: carries out the scheduler's instructions, and reports events back."""

import contextlib
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Protocol, TypeAlias

import ray
from ray.exceptions import OutOfMemoryError, RayActorError, RayError

from landscape_ray.errors import GenerationError, LandscapeError, ResourceError, TransientError
from landscape_ray.sweep.cluster.kept import KeptEngines
from landscape_ray.sweep.cluster.resources import Allotment, forwarded_environment
from landscape_ray.sweep.events import (
    Assign,
    ClusterGrown,
    EngineCreated,
    EngineLost,
    EngineStarted,
    EngineStartFailed,
    Event,
    NodeDraining,
    StartEngine,
    StopEngine,
    VisitDone,
    VisitFailed,
)
from landscape_ray.sweep.reports import EngineReady, Trouble, VisitReport

__all__ = ["Answers", "Fleet"]

logger = logging.getLogger(__name__)

MAX_LOSS_CHARS = 1000
WAITING = "__ray_ready__"
"""Ray's own method of actors, which answers as soon as there is a process."""
ADOPTION = "taking over a kept engine"
# For a visit under way that another engine has repeated: cheaper than a new start of its engine.
LAST_VISITS_S = 30.0
NODE_DIED = "its node has died"
"""Ray's words for it; the exception itself does not tell."""


Answers: TypeAlias = tuple[VisitReport | EngineReady, ...]
"""What actors report with an event: of a visit, one report for each of its points."""


class StartsInStages(Protocol):
    """A class of actors that Fleet can start."""

    STAGES: ClassVar[Mapping[str, str]]
    """Methods to call for a start, in this order, and what to say meanwhile."""
    CONCURRENCY_GROUPS: ClassVar[Mapping[str, int]]
    """How many calls of a kind may be under way at once; all others one at a time, in order."""


class Fleet:
    """Actors by engine number, and the calls that are under way.

    Ray is told never to restart an actor or repeat a call: what happens after a loss is for the scheduler to say, where
    attempts are counted and seen.
    """

    def __init__(
        self,
        actor: type[StartsInStages],
        *,
        allotment: Allotment,
        room: Callable[[], Allotment],
        kept: KeptEngines | None = None,
        **arguments: Any,
    ) -> None:
        """Prepare to start actors.

        Args:
            actor: Class of the actors: `EngineActor`, or another one with its methods.
            allotment: What each of them gets.
            room: What they would get by now, for clusters that grow.
            kept: Where engines come from and go to instead of being started and ended; None: they are not kept.
            **arguments: What each is made with, besides `on_gpu` and `environment`.
        """
        self._room = room
        self._kept = kept
        self._actor = ray.remote(concurrency_groups=dict(actor.CONCURRENCY_GROUPS))(actor)
        self._options = allotment.options
        self._arguments = {
            "on_gpu": allotment.num_gpus > 0,
            "environment": forwarded_environment(os.environ),
            **arguments,
        }
        self._stages = {WAITING: "waiting for a node", **actor.STAGES}
        self._actors: dict[int, Any] = {}
        # Each call under way: its engine, and its visit or the stage of the engine's start.
        self._calls: dict[Any, tuple[int, int | str]] = {}
        self._draining: set[str] = set()

    def start(self, instruction: StartEngine) -> None:
        """Take a kept engine over, or start one; it comes up when a node has room for it."""
        if not self._take_over(instruction.engine):
            self._create(instruction.engine)

    def _take_over(self, engine: int) -> bool:
        """Give an engine the process of a kept one, if there is any."""
        actor = self._kept.take() if self._kept else None
        if actor is None:
            return False
        self._drop(engine)
        self._actors[engine] = actor
        self._calls[actor.adopt.remote(**self._arguments)] = (engine, ADOPTION)
        return True

    def _create(self, engine: int) -> None:
        options = self._options | (self._kept.options() if self._kept else {})
        self._actors[engine] = actor = self._actor.options(**options).remote(**self._arguments)
        for stage in self._stages:
            self._calls[getattr(actor, stage).remote()] = (engine, stage)

    def assign(self, instruction: Assign) -> None:
        """Send a task to an engine."""
        visit = self._actors[instruction.engine].visit
        call = visit.remote(instruction.task, instruction.attempt, instruction.num_batches)
        self._calls[call] = (instruction.engine, instruction.visit)

    def stop(self, instruction: StopEngine) -> None:
        """End an engine and forget its calls."""
        self._release(instruction.engine)

    def close(self, *, all_done: bool) -> None:
        """End all engines, or leave them to the next sweep.

        Args:
            all_done: Nobody waits for the visits that are under way, so engines that are kept have time to end them.
        """
        for engine in self._actors.keys() - self._busy():
            self._release(engine)
        if self._kept and all_done:
            visits = [call for call, (_, what) in self._calls.items() if isinstance(what, int)]
            ended, _ = ray.wait(visits, num_returns=len(visits), timeout=LAST_VISITS_S) if visits else ([], [])
            for call in ended:
                if call in self._calls:
                    self._event(call, *self._calls.pop(call))  # which drops an engine that is of no use any more
        for engine in list(self._actors):
            self._release(engine)

    def _release(self, engine: int) -> None:
        """Leave an engine that is in order and measures nothing to the next sweep; end any other."""
        doing = {what for of, what in self._calls.values() if of == engine}
        if self._kept and engine in self._actors and doing <= {ADOPTION}:
            self._kept.give(self._forget(engine))
        else:
            self._drop(engine)

    def _busy(self) -> set[int]:
        return {engine for engine, _ in self._calls.values()}

    def starting(self) -> Counter[str]:
        """Return how many engines are at each stage of their start."""
        return Counter(self._stages.get(stage, ADOPTION) for stage in self._current_stages().values())

    def _current_stages(self) -> dict[int, str]:
        current: dict[int, str] = {}
        for engine, stage in self._calls.values():  # in the order asked, so the first one left is the current one
            if isinstance(stage, str):
                current.setdefault(engine, stage)
        return current

    def events(self, timeout_s: float) -> Iterator[tuple[Event, Answers]]:
        """Yield what has happened, after waiting at most so long for something to happen."""
        if not self._calls:
            time.sleep(timeout_s)
        else:
            ray.wait(list(self._calls), timeout=timeout_s)
            ready, _ = ray.wait(list(self._calls), num_returns=len(self._calls), timeout=0)
            for call in ready:
                # An earlier event of this round may have ended the engine, and its calls with it.
                if call in self._calls and (event := self._event(call, *self._calls.pop(call))):
                    yield event

    def notices(self) -> Iterator[NodeDraining | ClusterGrown]:
        """Yield how much room there is for engines, and once each node that is going to be taken away.

        Called every few seconds; kept engines learn by it that the driver lives.
        """
        if self._kept:
            self._look_after()
        with contextlib.suppress(ResourceError):  # no room at all, for the moment
            yield ClusterGrown(num_engines=self._room().num_engines)
        # The only place where Ray tells it to a driver; Ray Train reads it here too.
        draining = set(ray._private.state.state.get_draining_nodes())  # noqa: SLF001
        yield from (NodeDraining(node=node) for node in draining - self._draining)
        self._draining |= draining

    def _look_after(self) -> None:
        """Let engines with nothing to do know that the driver lives, and look for kept ones in place of new ones."""
        for engine in self._actors.keys() - self._busy():
            self._actors[engine].beat.remote()
        waiting = [engine for engine, stage in self._current_stages().items() if stage == WAITING]
        for engine in waiting:
            if not self._take_over(engine):
                break

    def _event(  # noqa: PLR0911  (one case each)
        self, call: Any, engine: int, visit: int | str
    ) -> tuple[Event, Answers] | None:
        try:
            answer: EngineReady | Answers | Trouble | None = ray.get(call)
        except RayError as error:
            if visit == ADOPTION:
                self._replace(engine, _loss(error))
                return None
            # Its process is gone, or its answer did not make it here whole, and nobody knows what state it is in.
            self._drop(engine)
            preempted = isinstance(error, RayActorError) and bool(getattr(error, "preempted", False))
            return EngineLost(engine=engine, error=_loss(error), preempted=preempted), ()
        match answer, visit:
            case EngineReady(), _:
                return EngineStarted(engine=engine, node=answer.node), (answer,)
            case Trouble(), str() if visit == ADOPTION:
                self._replace(engine, answer.error)
                return None
            case Trouble(), str():
                self._drop(engine)
                return EngineStartFailed(engine=engine, error=answer.error), ()
            case Trouble(), int():
                if not answer.engine_usable:
                    self._drop(engine)  # before it could be given to the next sweep
                failed = VisitFailed(
                    visit=visit,
                    error=answer.error,
                    out_of_memory=answer.out_of_memory,
                    engine_usable=answer.engine_usable,
                )
                return failed, ()
            case tuple(), int():
                return VisitDone(visit=visit), answer
            case ((None | True), str()):  # a stage of the start, not the last one
                return (EngineCreated(engine=engine), ()) if visit == WAITING else None
            case _:
                raise AssertionError(answer, visit)

    def _replace(self, engine: int, error: Exception) -> None:
        """Start an engine in place of a kept one that could not be taken over."""
        logger.warning("A kept engine was of no use and is replaced: %s", error)
        self._drop(engine)
        self._create(engine)

    def _drop(self, engine: int) -> None:
        if engine in self._actors:
            ray.kill(self._forget(engine))

    def _forget(self, engine: int) -> Any:
        self._calls = {call: of for call, of in self._calls.items() if of[0] != engine}
        return self._actors.pop(engine)


def _loss(error: RayError) -> LandscapeError:
    """Return what Ray says of a lost engine: of a page its beginning, and its end, where a traceback has the cause."""
    text = " ".join(str(error).split())
    passes = isinstance(error, OutOfMemoryError) or NODE_DIED in text
    if len(text) > MAX_LOSS_CHARS:
        text = f"{text[: MAX_LOSS_CHARS // 2]} [...] {text[-MAX_LOSS_CHARS // 2 :]}"
    return (TransientError if passes else GenerationError)(f"The process of the engine was lost: {text}")
