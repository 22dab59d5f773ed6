"""Reading with transformers: how likely given texts are, and the first tokens of answers."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeAlias

import torch

from landscape_ray.engine.stopwatch import Stopwatch
from landscape_ray.engine.tokens.encoding import PromptEncoder
from landscape_ray.engine.tokens.jobs import batched
from landscape_ray.errors import GenerationError, in_brief
from landscape_ray.evaluation import NUM_TOKENS, Benchmark, FirstTokens, LogLikelihood, ScoredText

__all__ = ["Batch", "Reader", "failures_of_transformers"]

Batch: TypeAlias = Sequence[tuple[int, int]]
"""Texts by their numbers, each at a point by its number."""


class Reader:
    """Reads with the weights in place, and generates nothing."""

    def __init__(
        self, model: Any, encoder: PromptEncoder, device: torch.device, batch_size: int, stopwatch: Stopwatch
    ) -> None:
        self._model = model
        self._encoder = encoder
        self._device = device
        self._batch_size = batch_size
        self._stopwatch = stopwatch

    def log_likelihoods(
        self, texts: Sequence[ScoredText], num_points: int, at: Callable[[Batch], AbstractContextManager[None]]
    ) -> list[list[LogLikelihood | None]]:
        """Read texts at so many points, in batches that are read where `at` puts them; see `Engine.log_likelihoods`."""
        jobs = [self._encoder.encode_scored(text) for text in texts]
        found: list[list[LogLikelihood | None]] = [[None] * len(jobs) for _ in range(num_points)]
        for batch in self._batches([ids for ids, _ in jobs], num_points):
            with at(batch), self._stopwatch.phase("prefill"):
                scores = self._read([jobs[i] for i, _ in batch])
            for (i, point), score in zip(batch, scores, strict=True):
                found[point][i] = score
        return found

    def first_tokens(
        self,
        benchmark: Benchmark,
        wanted: Sequence[Sequence[int]] | None,
        num_points: int,
        at: Callable[[Batch], AbstractContextManager[None]],
    ) -> list[list[FirstTokens | None]]:
        """Read prompts at so many points, in batches that are read where `at` puts them; see `Engine.first_tokens`."""
        prompts = self._encoder.encode(benchmark)
        found: list[list[FirstTokens | None]] = [[None] * len(prompts) for _ in range(num_points)]
        for batch in self._batches(prompts, num_points):
            with at(batch), self._stopwatch.phase("prefill"):
                predicted = self._predicted([(tuple(prompts[i]), len(prompts[i])) for i, _ in batch])
                for (i, point), (each,) in zip(batch, predicted, strict=True):
                    likeliest = each.topk(min(NUM_TOKENS, len(each))).indices.tolist()
                    token_ids = tuple(likeliest if wanted is None else wanted[i])
                    log_probabilities = tuple(each[list(token_ids)].tolist())
                    found[point][i] = FirstTokens(token_ids=token_ids, log_probabilities=log_probabilities)
        return found

    def _batches(self, texts: Sequence[Sequence[int]], num_points: int) -> list[list[tuple[int, int]]]:
        """Return the texts that fit the context at each point, those of similar lengths together."""
        fitting = (i for i, ids in enumerate(texts) if len(ids) < self._encoder.context_length)
        order = sorted(fitting, key=lambda i: len(texts[i]))
        return batched([(i, point) for i in order for point in range(num_points)], self._batch_size)

    @torch.inference_mode()
    def _read(self, jobs: Sequence[tuple[tuple[int, ...], int]]) -> list[LogLikelihood]:
        """Score a batch of texts, each from the number of a token on."""
        scores = []
        for (ids, first), predicted in zip(jobs, self._predicted(jobs), strict=True):
            each = predicted[:-1].gather(-1, torch.tensor(ids[first:], device=self._device)[:, None])
            scores.append(LogLikelihood(total=float(each.double().sum()), token_ids=ids[first:]))
        return scores

    @torch.inference_mode()
    def _predicted(self, jobs: Sequence[tuple[tuple[int, ...], int]]) -> Iterator[torch.Tensor]:
        """Yield log-probabilities of each token from the first one wanted to the one after the text, for each text.

        Shapes: B texts, T tokens of the longest, S of them from the first whose logits are needed.
        """
        longest = max(len(ids) for ids, _ in jobs)
        ids_BT = torch.full((len(jobs), longest), self._encoder.pad_token_id)
        for row, (ids, _) in enumerate(jobs):  # padded on the right, where no scored token looks
            ids_BT[row, : len(ids)] = torch.tensor(ids)
        num_kept = longest - min(first for _, first in jobs) + 1
        with failures_of_transformers(f"scoring {len(jobs)} texts"):
            logits_BSV = self._model(input_ids=ids_BT.to(self._device), logits_to_keep=num_kept).logits
        for row, (ids, first) in enumerate(jobs):
            start = first - 1 - (longest - num_kept)  # the token before predicts
            yield logits_BSV[row, start : start + len(ids) - first + 1].float().log_softmax(-1)


@contextmanager
def failures_of_transformers(doing: str) -> Iterator[None]:
    """Raise what fails in transformers as a GenerationError, which says what was being done."""
    try:
        yield
    except (RuntimeError, ValueError, IndexError) as error:
        msg = f"transformers failed while {doing}: {type(error).__name__}: {in_brief(error)}."
        raise GenerationError(msg) from error
