"""One engine in this process that answers at several points: requests of many callers become batches."""

import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from landscape_ray.engine import Engine, EngineSpec
from landscape_ray.engine.factory import create_engine, create_point_on_line, import_engine
from landscape_ray.errors import PlacementError
from landscape_ray.evaluation import Benchmark, Completion
from landscape_ray.inspecting.points import SweepPoint
from landscape_ray.planning import Perturbation

__all__ = ["SharedEngine", "shared_engine"]

GATHER_S = 0.05
"""How long requests are waited for that come along with a first one."""


@dataclass(frozen=True, slots=True)
class _Request:
    at: SweepPoint
    asked: Benchmark
    answer: Future[Completion] = field(default_factory=Future)


class SharedEngine:
    """An engine that any number of threads may ask; it goes from point to point as asked."""

    def __init__(self, spec: EngineSpec) -> None:
        """Start it, once its placing is proven.

        Raises:
            LandscapeError: It cannot be started.
        """
        self.spec = spec
        # One thread for all that the engine does: its libraries keep what they set up by thread.
        self._on_engine = ThreadPoolExecutor(max_workers=1, thread_name_prefix="engine")
        self._guard = threading.Lock()
        self._waiting: list[_Request] = []
        self._placed: Perturbation | None = None
        self._digest = ""
        self._engine: Engine = self._on_engine.submit(_started, spec).result()

    def ask(self, at: SweepPoint, asked: Benchmark) -> Completion:
        """Return the answer to the one prompt of a benchmark at a point; waits for it.

        Raises:
            PlacementError: The weights there are not those that the sweep measured.
            GenerationError: The engine failed.
        """
        request = _Request(at, asked)
        with self._guard:
            self._waiting.append(request)
        self._on_engine.submit(self._serve)
        return request.answer.result()

    def _serve(self) -> None:
        """Answer all that wait, point by point."""
        with self._guard:
            is_idle = not self._waiting
        if is_idle:  # an earlier call has answered
            return
        time.sleep(GATHER_S)
        with self._guard:
            requests, self._waiting = self._waiting, []
        by_point: defaultdict[Perturbation, list[_Request]] = defaultdict(list)
        for request in requests:
            by_point[request.at.point.perturbation].append(request)
        for alike in by_point.values():
            self._answer(alike)

    def _answer(self, requests: Sequence[_Request]) -> None:
        try:
            self._go_to(requests[0].at)
            found = self._engine.generate([request.asked for request in requests])
        except Exception as error:  # noqa: BLE001 - whatever it is, those who ask must hear of it
            for request in requests:
                request.answer.set_exception(error)
        else:
            for request, (completion,) in zip(requests, found, strict=True):
                request.answer.set_result(completion)

    def _go_to(self, at: SweepPoint) -> None:
        if self._placed != at.point.perturbation:
            self._placed = None
            self._digest = self._engine.place(at.point.perturbation)
            self._placed = at.point.perturbation
        if at.digests and self._digest not in at.digests:
            msg = (
                f"The weights placed at {at.point.label} have the digest {self._digest}, and those measured there "
                f"{' and '.join(sorted(at.digests))}: answers would be of another model than the sweep's."
            )
            raise PlacementError(msg)


_started_engines: list[SharedEngine] = []
_starting = threading.Lock()


def shared_engine(spec: EngineSpec) -> SharedEngine:
    """Return the engine of a specification in this process, and start it if there is none. It stays to the end.

    Raises:
        LandscapeError: It cannot be started.
    """
    with _starting:
        found = next((engine for engine in _started_engines if engine.spec == spec), None)
        if found is None:
            found = SharedEngine(spec)
            _started_engines.append(found)
        return found


def _started(spec: EngineSpec) -> Engine:
    import_engine(spec)
    from landscape_ray.engine.proof.proven import (  # noqa: PLC0415 - torch, which is imported by now
        Combination,
        awaited_proof,
        prove,
        require_way,
    )

    combination = Combination.of(spec)
    proof = prove(spec, combination)
    engine: Engine = create_point_on_line(spec) if spec.batching == "line" else create_engine(spec)
    require_way(proof or awaited_proof(combination), engine.facts.way)
    return engine
