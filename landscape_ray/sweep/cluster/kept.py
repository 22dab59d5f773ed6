"""Engines that outlive their sweep on a running cluster, for the next sweep of the same model.

A kept engine is a detached actor. While a driver has it, only that driver knows of it; when its sweep is over, it gives
it to the keeper, a small actor that hands each engine to one taker only. Nobody need clean up: an engine that is asked
nothing for a while ends by itself, whether it lies with the keeper or its driver has died.
"""

import contextlib
import hashlib
import json
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError

from landscape_ray.engine import EngineSpec
from landscape_ray.errors import PlacementError
from landscape_ray.planning import ORIGIN, Task
from landscape_ray.sweep.actor import EngineActor
from landscape_ray.sweep.cluster.resources import Allotment, connection
from landscape_ray.sweep.reports import EngineReady, Trouble, VisitReport

__all__ = ["IdleEngine", "IdleTimer", "Keeper", "KeptEngineActor", "KeptEngines", "engine_key", "kept_engines"]

NAMESPACE = "landscape-ray"
KEEPER = "keeper"
# A driver asks something of its engines every few seconds; one that is silent for so long is no more.
HELD_S = 60.0
ANSWER_S = 10.0
# To give an engine away: it may be amid being taken over, and the keeper is a process of its own, which a cold machine
# takes minutes to start.
GIVE_S = 300.0
# Nobody comes within less than that.
LEAST_KEEP_S = 1.0
# How a sweep goes about its points, which changes nothing about the engine it needs.
NOT_BUILT_IN = {
    "engines",
    "min_engines",
    "max_attempts",
    "max_engine_restarts",
    "visit_timeout_s",
    "keep_engines_s",
    "points_per_visit",
}


def engine_key(spec: EngineSpec, allotment: Allotment, environment: Mapping[str, str], **facts: Any) -> str:
    """Return a hash of everything that decides how an engine is built, but for the room its benchmarks need.

    Args:
        spec: What it is built from.
        allotment: What it gets of the cluster.
        environment: The variables that it sees; those of vLLM count.
        **facts: What else tells engines apart: content of the model, versions.
    """
    built = {
        "engine": (spec.engine, spec.batching, spec.num_directions),
        "model": (spec.model, spec.revision, spec.dtype),
        "deltas": [asdict(delta) for delta in spec.deltas],
        "run": spec.run.model_dump(mode="json", exclude=NOT_BUILT_IN),
        "options": allotment.options,
        "environment": {name: value for name, value in environment.items() if name.startswith("VLLM_")},
        **facts,
    }
    return hashlib.sha256(json.dumps(built, sort_keys=True).encode()).hexdigest()[:16]


class IdleTimer:
    """Ends this process when nothing has been asked of it for a while."""

    def __init__(
        self,
        limit_s: float,
        *,
        leave: Callable[[], object] = lambda: os._exit(0),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start the clock.

        Args:
            limit_s: Seconds of idleness to end after.
            leave: Ends the process.
            clock: Seconds, of which only differences count.
        """
        self.limit_s = limit_s
        self._leave = leave
        self._clock = clock
        self._last_s = clock()
        self._num_busy = 0
        self._counting = threading.Lock()

    @contextlib.contextmanager
    def busy(self) -> Iterator[None]:
        """Hold the timer while something is done."""
        with self._counting:
            self._num_busy += 1
        try:
            yield
        finally:
            with self._counting:
                self._last_s = self._clock()
                self._num_busy -= 1

    def left_s(self) -> float:
        """Return the seconds until the end, if nothing comes; infinite while something is done."""
        return float("inf") if self._num_busy else self._last_s + self.limit_s - self._clock()

    def watch(self) -> None:
        """Leave in time, from a thread of its own."""

        def wait() -> None:
            pause = threading.Event()
            while (left_s := self.left_s()) > 0:
                pause.wait(min(left_s, 1.0))
            self._leave()

        threading.Thread(target=wait, daemon=True).start()


class KeptEngineActor(EngineActor):
    """An engine that may go from one sweep to the next, and ends by itself when it is wanted no more."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._idle = IdleTimer(HELD_S)
        self._idle.watch()

    @ray.method(concurrency_group="visits")  # type: ignore[untyped-decorator]
    def visit(self, task: Task, attempt: int, num_batches: int) -> tuple[VisitReport, ...] | Trouble:
        """See `EngineActor.visit`."""
        with self._idle.busy():
            reports: tuple[VisitReport, ...] | Trouble = super().visit(task, attempt, num_batches)
            return reports

    def beat(self) -> None:
        """Learn that the driver lives, though it asks nothing."""
        with self._idle.busy():
            pass

    def release(self, keep_s: float) -> None:
        """Wait so long for another sweep."""
        self._idle.limit_s = keep_s

    def adopt(self, **arguments: Any) -> EngineReady | Trouble:
        """Serve another sweep with the engine as it is, back at the origin.

        Args:
            **arguments: What `EngineActor.take_on` takes.
        """
        with self._idle.busy():  # first: the shorter limit may be over by now
            self._idle.limit_s = HELD_S
            self.take_on(**arguments)
            return self._stage("adopt", self._adopt) or self._ready(self._stages_s)

    def _stage(self, name: str, carry_out: Callable[[], None]) -> Trouble | None:
        with self._idle.busy():
            return super()._stage(name, carry_out)

    def _start(self) -> None:
        super()._start()
        self._origin = self._engine.place(ORIGIN)

    def _adopt(self) -> None:
        self._fetch()
        self._engine.admit(self._spec.benchmarks)
        # Placing resets the prefix cache as well.
        if (digest := self._engine.place(ORIGIN)) != self._origin:
            msg = f"The base weights of a kept engine have changed: digest {digest} at the origin, not {self._origin}."
            raise PlacementError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleEngine:
    """An engine that waits for a sweep."""

    model: str
    """Its model."""
    left_s: float
    """Seconds until it ends by itself."""


class Keeper:
    """Hands each idle engine to one taker only: an actor does one thing at a time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # Key, model, time of its end, and handle of each.
        self._idle: list[tuple[str, str, float, Any]] = []

    def give(self, key: str, model: str, keep_s: float, actor: Any) -> None:
        """Take in an engine that will wait for so long."""
        self._idle.append((key, model, self._clock() + keep_s, actor))

    def take(self, key: str) -> tuple[Any | None, list[Any]]:
        """Return an engine of a key, or else those of other keys, which are in the way of a new one."""
        self._forget_gone()
        for engine in reversed(self._idle):
            if engine[0] == key:
                self._idle.remove(engine)
                return engine[-1], []
        others, self._idle = [engine[-1] for engine in self._idle], []
        return None, others

    def idle(self) -> list[IdleEngine]:
        """Return what there is to take."""
        self._forget_gone()
        return [IdleEngine(model=model, left_s=end_s - self._clock()) for _, model, end_s, _ in self._idle]

    def _forget_gone(self) -> None:
        self._idle = [engine for engine in self._idle if engine[2] > self._clock()]


class KeeperActor(Keeper):
    """The keeper as an actor, which ends when all it was given must have ended."""

    def __init__(self) -> None:
        super().__init__()
        self._timer = IdleTimer(HELD_S)
        self._timer.watch()

    def give(self, key: str, model: str, keep_s: float, actor: Any) -> None:
        """See `Keeper.give`."""
        with self._timer.busy():
            self._timer.limit_s = max(self._timer.limit_s, keep_s)
            super().give(key, model, keep_s, actor)


class KeptEngines:
    """What one driver does with kept engines."""

    def __init__(self, key: str, *, model: str, keep_s: float) -> None:
        """Prepare to take and give.

        Args:
            key: Key of the engines that this sweep can use; empty if it takes none over.
            model: Their model, for people.
            keep_s: How long they are to wait for the next sweep.
        """
        self._key = key
        self._model = model
        self._keep_s = keep_s
        self._asked: Any = None

    def options(self) -> dict[str, Any]:
        """Return what makes an actor outlive its driver."""
        return {"lifetime": "detached", "namespace": NAMESPACE, "name": f"engine-{secrets.token_hex(8)}"}

    def take(self) -> Any | None:
        """Return a kept engine, which is this driver's alone from now on; None if there is none, or none yet.

        Then idle engines that were built otherwise are ended, because they may hold what a new one waits for.
        """
        try:
            self._asked = self._asked or _keeper().take.remote(self._key)
            actor, others = ray.get(self._asked, timeout=ANSWER_S)
        except GetTimeoutError:  # the next call gets what the keeper has handed out meanwhile
            return None
        except (ValueError, RayError):  # no keeper
            self._asked = None
            return None
        self._asked = None
        for other in others:
            ray.kill(other)
        return actor

    def give(self, actor: Any) -> None:
        """Leave an engine to the next sweep, once it has done all that was asked of it."""
        if self._keep_s < LEAST_KEEP_S:
            ray.kill(actor)
            return
        keeper = ray.remote(KeeperActor).options(
            name=KEEPER, namespace=NAMESPACE, lifetime="detached", get_if_exists=True, num_cpus=0
        )
        try:
            # The answer comes last. The next taker's calls could overtake ours if it had the engine before.
            ray.get(actor.release.remote(self._keep_s), timeout=GIVE_S)
            ray.get(keeper.remote().give.remote(self._key, self._model, self._keep_s, actor), timeout=GIVE_S)
        except RayError:  # the engine died, or the keeper was leaving or did not come up
            ray.kill(actor)


def kept_engines(*, stop: bool) -> list[IdleEngine]:
    """Return the idle engines on the running cluster.

    Args:
        stop: End them now.

    Raises:
        ResourceError: No cluster is running at RAY_ADDRESS.
    """
    with connection(must_outlive=True):
        try:
            keeper = _keeper()
            found: list[IdleEngine] = ray.get(keeper.idle.remote(), timeout=ANSWER_S)
        except (ValueError, RayError):  # no keeper
            return []
        if stop:
            KeptEngines("", model="", keep_s=0.0).take()
        return found


def _keeper() -> Any:
    return ray.get_actor(KEEPER, namespace=NAMESPACE)
