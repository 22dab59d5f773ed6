"""An engine that has several points in a batch, asked for one: the arithmetic of a line, visited point by point."""

from collections.abc import Sequence

from landscape_ray.engine.protocol import EngineFacts, LineEngine
from landscape_ray.evaluation import Benchmark, Completion, FirstTokens, LogLikelihood, ScoredText
from landscape_ray.planning import Perturbation

__all__ = ["PointOnLine"]


class PointOnLine:
    """A `LineEngine` as an `Engine`, for points of a line that are visited alone."""

    def __init__(self, line: LineEngine) -> None:
        self.line = line
        self.stopwatch, self.admit, self.close = line.stopwatch, line.admit, line.close

    @property
    def facts(self) -> EngineFacts:
        """See `Engine.facts`: those of now, which an engine replaces when it goes over to another way of placing."""
        return self.line.facts

    def place(self, perturbation: Perturbation) -> str:
        """See `Engine.place`."""
        (digest,) = self.line.place_points([perturbation])
        return digest

    def generate(self, benchmarks: Sequence[Benchmark]) -> list[tuple[Completion, ...]]:
        """See `Engine.generate`."""
        (completions,) = self.line.generate_points(benchmarks)
        return completions

    def log_likelihoods(self, texts: Sequence[ScoredText]) -> list[LogLikelihood | None]:
        """See `Engine.log_likelihoods`."""
        (found,) = self.line.log_likelihoods_points(texts)
        return found

    def first_tokens(self, benchmark: Benchmark, wanted: Sequence[Sequence[int]] | None) -> list[FirstTokens | None]:
        """See `Engine.first_tokens`."""
        (found,) = self.line.first_tokens_points(benchmark, wanted)
        return found
