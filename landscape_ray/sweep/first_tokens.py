"""First tokens at points against those at the origin, as one engine gives both."""

import math
from collections.abc import Sequence
from dataclasses import replace

from landscape_ray.engine import Engine, LineEngine
from landscape_ray.evaluation import Benchmark, FirstTokens, divergence
from landscape_ray.plan import ORIGIN, PlannedPoint

__all__ = ["OriginTokens"]


class OriginTokens:
    """Asks an engine once for the first tokens at the origin, and remembers them as long as the engine lives.

    So nothing is stored and no point waits for another; and what is compared always comes from one engine.
    """

    def __init__(self) -> None:
        self._known: dict[str, list[FirstTokens | None]] = {}

    def ask(self, engine: Engine, benchmarks: Sequence[Benchmark], num_batches: int) -> None:
        """Go to the origin, where something is not known of it yet.

        Raises:
            PlacementError: The engine did not take the weights.
            GenerationError: It failed.
        """
        unknown = [benchmark for benchmark in benchmarks if benchmark.name not in self._known]
        if unknown:
            engine.place(ORIGIN)
        for benchmark in unknown:
            self._known[benchmark.name] = _ask(engine, benchmark, None, num_batches)

    def divergences(
        self, engine: Engine, benchmarks: Sequence[Benchmark], point: PlannedPoint, num_batches: int
    ) -> list[tuple[float | None, ...]]:
        """Return what `divergence` gives for each prompt where the engine is; None for prompts that do not fit.

        The first visit to the origin is what others are compared with, so it is 0 there; repeats are measured.
        """
        found = []
        for benchmark in benchmarks:
            then = self._known[benchmark.name]
            is_origin = point.perturbation == ORIGIN and not point.repeat
            found.append(_compared(then, then if is_origin else _ask(engine, benchmark, then, num_batches)))
        return found

    def divergences_points(
        self, engine: LineEngine, benchmarks: Sequence[Benchmark], num_points: int
    ) -> list[list[tuple[float | None, ...]]]:
        """Return the same at all points that the engine is at, the origin not among them."""
        by_benchmark = []
        for benchmark in benchmarks:
            then = self._known[benchmark.name]
            by_benchmark.append([_compared(then, now) for now in engine.first_tokens_points(benchmark, _wanted(then))])
        return [[of[point] for of in by_benchmark] for point in range(num_points)]


def _ask(
    engine: Engine, benchmark: Benchmark, then: list[FirstTokens | None] | None, num_batches: int
) -> list[FirstTokens | None]:
    """Ask in so many batches; of the tokens known from the origin, or of the likeliest ones."""
    size = math.ceil(len(benchmark.prompts) / num_batches)
    found: list[FirstTokens | None] = []
    for first in range(0, len(benchmark.prompts), size):
        share = replace(benchmark, prompts=benchmark.prompts[first : first + size])
        found += engine.first_tokens(share, None if then is None else _wanted(then[first : first + size]))
    return found


def _wanted(then: Sequence[FirstTokens | None]) -> list[tuple[int, ...]]:
    return [() if tokens is None else tokens.token_ids for tokens in then]


def _compared(then: Sequence[FirstTokens | None], now: Sequence[FirstTokens | None]) -> tuple[float | None, ...]:
    return tuple(
        None if before is None or after is None else divergence(before, after)
        for before, after in zip(then, now, strict=True)
    )
