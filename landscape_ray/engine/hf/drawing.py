"""Tokens that are drawn, each answer's by a generator of its own, so that draws do not depend on the batch."""

from collections.abc import Sequence

import torch
from transformers import LogitsProcessor

from landscape_ray.engine.tokens.jobs import Job

__all__ = ["DrawnTokens"]


class DrawnTokens(LogitsProcessor):  # type: ignore[misc]
    """Makes the likeliest token a drawn one: of `logits / temperature` plus Gumbel noise the largest is softmax's."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        """Seed a generator, on the CPU, for each row of the batch; each job has a seed."""
        self._temperatures_B1 = torch.tensor([[job.temperature] for job in jobs])
        self._generators = [torch.Generator().manual_seed(job.seed or 0) for job in jobs]

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.Tensor:  # noqa: ARG002
        """Return scores with the noise of the next token, (B, V)."""
        size = scores.shape[-1]
        waits_BV = torch.stack([torch.empty(size).exponential_(generator=each) for each in self._generators])
        return scores.float() / self._temperatures_B1.to(scores.device) - waits_BV.log().to(scores.device)
