"""First tokens at points against those at the origin, as one engine gives both."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from landscape_ray.engine import Engine, LineEngine
from landscape_ray.evaluation import Benchmark, FirstTokens, divergence
from landscape_ray.planning import ORIGIN, PlannedPoint
from landscape_ray.sweep.batches import first_tokens

__all__ = ["OriginTokens"]


@dataclass(frozen=True, slots=True)
class _Reference:
    """What is known of the origin, per prompt: None does not fit the context, without tokens the engine failed."""

    tokens: Sequence[FirstTokens | None]

    def asked(self, benchmark: Benchmark) -> Benchmark:
        """Return the benchmark with the prompts that can be compared only."""
        pairs = zip(benchmark.prompts, self.tokens, strict=True)
        return replace(benchmark, prompts=tuple(prompt for prompt, tokens in pairs if tokens and tokens.token_ids))

    @property
    def wanted(self) -> list[tuple[int, ...]]:
        """The tokens to ask for, of these prompts."""
        return [tokens.token_ids for tokens in self.tokens if tokens and tokens.token_ids]

    def divergences(self, found: Sequence[FirstTokens | None]) -> tuple[float | None, ...]:
        """Return the divergence of each prompt, NaN where the engine failed, from what is found of those asked."""
        rest = iter(found)
        return tuple(
            None if then is None else _divergence(then, next(rest)) if then.token_ids else math.nan
            for then in self.tokens
        )


class OriginTokens:
    """Asks an engine once for the first tokens at the origin, and remembers them as long as the engine lives.

    So nothing is stored and no point waits for another; and what is compared always comes from one engine.
    """

    def __init__(self) -> None:
        self._known: dict[str, _Reference] = {}

    def ask(self, engine: Engine, benchmarks: Sequence[Benchmark], num_batches: int) -> None:
        """Go to the origin, where something is not known of it yet.

        Raises:
            PlacementError: The engine did not take the weights.
            GenerationError: It failed, and no single prompt is to blame.
        """
        unknown = [benchmark for benchmark in benchmarks if benchmark.name not in self._known]
        if unknown:
            engine.place(ORIGIN)
        for benchmark in unknown:
            self._known[benchmark.name] = _Reference(first_tokens(engine, benchmark, None, num_batches))

    def divergences(
        self, engine: Engine, benchmarks: Sequence[Benchmark], point: PlannedPoint, num_batches: int
    ) -> list[tuple[float | None, ...]]:
        """Return the divergences of each benchmark's prompts where the engine is; None where a prompt does not fit.

        The first visit to the origin is what others are compared with, so it is 0 there; repeats are measured.
        """
        found = []
        for benchmark in benchmarks:
            known = self._known[benchmark.name]
            if point.perturbation == ORIGIN and not point.repeat:
                now: Sequence[FirstTokens | None] = [tokens for tokens in known.tokens if tokens and tokens.token_ids]
            else:
                now = first_tokens(engine, known.asked(benchmark), known.wanted, num_batches)
            found.append(known.divergences(now))
        return found

    def divergences_points(
        self, engine: LineEngine, benchmarks: Sequence[Benchmark], num_points: int
    ) -> list[list[tuple[float | None, ...]]]:
        """Return the same at all points that the engine is at, the origin not among them.

        Raises:
            GenerationError: The engine failed.
        """
        by_benchmark = []
        for benchmark in benchmarks:
            known = self._known[benchmark.name]
            at_points = engine.first_tokens_points(known.asked(benchmark), known.wanted)
            by_benchmark.append([known.divergences(now) for now in at_points])
        return [[of[point] for of in by_benchmark] for point in range(num_points)]


def _divergence(then: FirstTokens, now: FirstTokens | None) -> float:
    return divergence(then, now) if now and now.token_ids else math.nan
