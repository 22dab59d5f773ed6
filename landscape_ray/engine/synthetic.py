"""An analytic landscape without a model: for tests of everything around an engine, and for runs at any scale.

Each direction has a wall, each prompt a threshold, both hashes, so a test can compute every verdict itself::

    wall(vector)      = 0.2 + 0.2 * u("wall", w)                    in [0.2, 0.4)
                        where w is a random vector's seed, with the patterns that it is limited to if there are any,
                        a checkpoint's fingerprint, or a computed vector's kind and identity as JSON
    threshold(prompt) = 0.5 + u("threshold", prompt id)             in [0.5, 1.5)
    distance          = sqrt(sum over terms of (coefficient / wall(the term's vector))^2)
    a prompt is refused  if and only if  distance < its threshold
    where answers are drawn, each one's threshold is moved by temperature * (2 u("sample", seed of the answer) - 1)

where `u(words...)` is the first 8 bytes (little-endian) of BLAKE2b of the words joined by `/`, divided by 2^64. So ASR
is exactly 0 in the basin, rises over its walls, and is exactly 1 beyond. A limit of one new token cuts refusals short
of their keyword. Where likelihoods are measured, each word is a token, and::

    log-likelihood of a text of n words = -n * (1 + max(0, distance - threshold))
    threshold                           = 0.5 + u("threshold", context + text)

The first token of an answer is 0 or 1, and that it is 1 has the log-odds `distance - threshold` of the prompt.

So the perplexity is exactly e in the basin, where of several answers as long the first one is chosen, and rises
outside.

There are no weights, so any checkpoint is one: its fingerprint is `synthetic:<id>@<revision>`. All of them, the model
included, are at distance 1 from each other, so that two differences from the model have the inner product 1/2; a random
direction has the norm 1, and so have computed ones and the weights.
"""

import hashlib
import json
import math
import os
import threading
import time
from collections.abc import Iterator, Sequence

from landscape_ray import __version__
from landscape_ray.config import CheckpointConfig, SyntheticFaults
from landscape_ray.engine.hardware import cpu_name
from landscape_ray.engine.protocol import EngineFacts
from landscape_ray.engine.stopwatch import Stopwatch
from landscape_ray.errors import GenerationError, PlacementError
from landscape_ray.evaluation import (
    Benchmark,
    Completion,
    FinishReason,
    FirstTokens,
    LogLikelihood,
    Prompt,
    ScoredText,
    stop_strings,
)
from landscape_ray.planning import CheckpointDelta, Geometry, Perturbation, PlannedPoint, RandomVector, VectorSpec

__all__ = ["SyntheticEngine", "strike", "synthetic_delta", "synthetic_geometry"]

REFUSAL = "I'm sorry, but that is beyond my threshold."
COMPLIANCE = "Sure, here is what lies outside the basin."


class SyntheticEngine:
    """The analytic landscape behind the `Engine` protocol."""

    def __init__(self, faults: SyntheticFaults) -> None:
        self.facts = EngineFacts(engine=f"synthetic {__version__}", torch_version="", device=cpu_name())
        self._delay_s = faults.delay_s
        self._poison_prompts = frozenset(faults.poison_prompts)
        self._distance = 0.0
        self._points: tuple[Perturbation, ...] = ()
        self.stopwatch = Stopwatch()
        time.sleep(faults.start_delay_s)

    def admit(self, benchmarks: Sequence[Benchmark]) -> None:
        """Have room for any; see `Engine.admit`."""

    def place(self, perturbation: Perturbation) -> str:
        """Move to a perturbation; see `Engine.place`. The digest is of the perturbation."""
        self._distance = math.hypot(*(coefficient / _wall(vector) for vector, coefficient in perturbation.terms))
        terms = [(vector.identity, coefficient) for vector, coefficient in perturbation.terms]
        return hashlib.blake2b(repr(terms).encode(), digest_size=8).hexdigest()

    def generate(self, benchmarks: Sequence[Benchmark]) -> list[tuple[Completion, ...]]:
        """Refuse or comply by the formula of the module; one token per word; see `Engine.generate`."""
        with self.stopwatch.phase("decode"):
            time.sleep(self._delay_s)
        self._refuse_poison(benchmarks)
        return [
            tuple(
                self._complete(_drawn(benchmark, prompt), benchmark.max_new_tokens, stop_strings(benchmark))
                for prompt in benchmark.prompts
            )
            for benchmark in benchmarks
        ]

    def _refuse_poison(self, benchmarks: Sequence[Benchmark]) -> None:
        if poison := self._poison_prompts & {prompt.id for benchmark in benchmarks for prompt in benchmark.prompts}:
            msg = f"Fails on demand, on prompt {min(poison)}."
            raise GenerationError(msg)

    def log_likelihoods(self, texts: Sequence[ScoredText]) -> list[LogLikelihood | None]:
        """Score by the formula of the module; see `Engine.log_likelihoods`."""
        return [self._score(text) for text in texts]

    def first_tokens(self, benchmark: Benchmark, wanted: Sequence[Sequence[int]] | None) -> list[FirstTokens | None]:  # noqa: ARG002
        """Say how likely both tokens are by the formula of the module; see `Engine.first_tokens`."""
        self._refuse_poison([benchmark])
        found: list[FirstTokens | None] = []
        for prompt in benchmark.prompts:
            log_odds = self._distance - _threshold(prompt.id)
            log_probabilities = (-math.log1p(math.exp(log_odds)), -math.log1p(math.exp(-log_odds)))
            found.append(FirstTokens(token_ids=(0, 1), log_probabilities=log_probabilities))
        return found

    def place_points(self, perturbations: Sequence[Perturbation]) -> list[str]:
        """Remember the points; see `LineEngine.place_points`."""
        self._points = tuple(perturbations)
        return [self.place(perturbation) for perturbation in perturbations]

    def generate_points(self, benchmarks: Sequence[Benchmark]) -> list[list[tuple[Completion, ...]]]:
        """Go from point to point; see `LineEngine.generate_points`."""
        return [self.generate(benchmarks) for _ in self._at_points()]

    def log_likelihoods_points(self, texts: Sequence[ScoredText]) -> list[list[LogLikelihood | None]]:
        """Go from point to point; see `LineEngine.log_likelihoods_points`."""
        return [self.log_likelihoods(texts) for _ in self._at_points()]

    def first_tokens_points(
        self, benchmark: Benchmark, wanted: Sequence[Sequence[int]] | None
    ) -> list[list[FirstTokens | None]]:
        """Go from point to point; see `LineEngine.first_tokens_points`."""
        return [self.first_tokens(benchmark, wanted) for _ in self._at_points()]

    def _at_points(self) -> Iterator[str]:
        return map(self.place, self._points)

    def close(self) -> None:
        """Release nothing."""

    def _score(self, scored: ScoredText) -> LogLikelihood:
        num_words = max(1, len(scored.text.split()))
        beyond = max(0.0, self._distance - _threshold(scored.context + scored.text))
        return LogLikelihood(total=-num_words * (1 + beyond), token_ids=tuple(range(num_words)))

    def _complete(self, threshold: float, max_new_tokens: int, stops: Sequence[str]) -> Completion:
        words = (REFUSAL if self._distance < threshold else COMPLIANCE).split(" ")
        kept = words[:max_new_tokens]
        finish_reason = FinishReason.STOP if len(kept) == len(words) else FinishReason.LENGTH
        for num_words in range(1, len(kept) + 1):
            if any(stop in " ".join(kept[:num_words]) for stop in stops):
                kept, finish_reason = kept[:num_words], FinishReason.VERDICT
                break
        return Completion(text=" ".join(kept), token_ids=tuple(range(len(kept))), finish_reason=finish_reason)


def synthetic_delta(checkpoint: CheckpointConfig) -> CheckpointDelta:
    """Return a checkpoint of the analytic landscape; any id is one."""
    revision = checkpoint.revision or "main"
    return CheckpointDelta(
        fingerprint=f"synthetic:{checkpoint.id}@{revision}", location=checkpoint.id, revision=checkpoint.revision
    )


def synthetic_geometry(deltas: tuple[CheckpointDelta, ...], *, num_directions: int = 0) -> Geometry:
    """Return how checkpoints of the analytic landscape lie to each other, by the formula of the module.

    Args:
        deltas: The checkpoints.
        num_directions: Number of entries in a list of directions.
    """
    return Geometry(
        deltas=deltas,
        inner_products=tuple(tuple(1.0 if a == b else 0.5 for b in deltas) for a in deltas),
        random_norm=1.0,
        direction_norms=(1.0,) * num_directions,
        weights_norm=1.0 if num_directions else None,
    )


def strike(faults: SyntheticFaults, point: PlannedPoint, attempt: int) -> None:
    """Let a visit fail, hang, run out of memory or end the process, as demanded for this point and attempt.

    A pure function of its arguments, so a run repeats itself whichever engine a visit comes to.

    Raises:
        PlacementError: This visit is to fail.
        MemoryError: This visit is to run out of memory.
    """
    if point.coordinates in faults.deadly_coordinates or _happens(faults.death_rate, "death", point, attempt):
        os._exit(1)
    if point.coordinates in faults.poison_coordinates or _happens(faults.failure_rate, "failure", point, attempt):
        msg = f"Attempt {attempt} at {point.label} fails on demand."
        raise PlacementError(msg)
    if _happens(faults.out_of_memory_rate, "out of memory", point, attempt):
        msg = f"Attempt {attempt} at {point.label} runs out of memory on demand."
        raise MemoryError(msg)
    if _happens(faults.hang_rate, "hang", point, attempt):
        threading.Event().wait()


def _happens(rate: float, fault: str, point: PlannedPoint, attempt: int) -> bool:
    return _uniform(fault, point.label, attempt) < rate


def _uniform(*words: object) -> float:
    """Return a number in [0, 1) that is a hash of the words."""
    digest = hashlib.blake2b("/".join(map(str, words)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") / 2**64


def _wall(vector: VectorSpec) -> float:
    match vector:
        case CheckpointDelta():
            word: object = vector.fingerprint
        case RandomVector():
            word = "/".join([str(vector.seed), *vector.included])
        case _:
            word = json.dumps([type(vector).__name__, vector.identity], sort_keys=True)
    return 0.2 + 0.2 * _uniform("wall", word)


def _drawn(benchmark: Benchmark, prompt: Prompt) -> float:
    """Return where an answer turns: where its prompt does, or by the seed up to the temperature away from there."""
    seed = benchmark.seed_of(prompt)
    moved = 0.0 if seed is None else benchmark.temperature * (2 * _uniform("sample", seed) - 1)
    return _threshold(prompt.id) + moved


def _threshold(prompt: str) -> float:
    return 0.5 + _uniform("threshold", prompt)
