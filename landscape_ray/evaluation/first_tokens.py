"""The first token of answers, compared with the origin: a cheap measure of what a model still says to harmless prompts.

`first_token_kl` is the Kullback-Leibler divergence `KL(p || q)` in nats of the first token's distribution at the
origin, p, from that at a point, q, over the `NUM_TOKENS` likeliest tokens at the origin, and all others as one. Taking
tokens together can only lower a divergence (log-sum inequality), so it is a lower bound of that over the whole
vocabulary, and equal to it where the vocabulary is no larger.

Source: Kullback and Leibler 1951; Cover and Thomas 2006, Elements of Information Theory, Theorem 2.7.1.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from landscape_ray.evaluation.records import Completion, FinishReason, Row, Verdict

__all__ = ["COMPARISON", "NUM_TOKENS", "FirstTokens", "compared", "divergence"]

COMPARISON = "first_token_kl/1"
"""What stands in the place of a judge's version. A change of what is compared, or how, is a new version."""
NUM_TOKENS = 128
"""As many as vLLM gives log-probabilities of at no extra cost."""
LEAST_REST = 1e-6
"""The others count for no less than this, which in sums of 32-bit numbers is nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstTokens:
    """How likely some tokens are to be the first one after a prompt."""

    token_ids: tuple[int, ...]
    """The tokens."""
    log_probabilities: tuple[float, ...]
    """Of each, over the whole vocabulary, in nats."""

    @property
    def rest(self) -> float:
        """Probability of all other tokens, at least `LEAST_REST`."""
        return max(1.0 - math.fsum(map(math.exp, self.log_probabilities)), LEAST_REST)


def divergence(origin: FirstTokens, point: FirstTokens) -> float:
    """Return how far the first token at a point is from that at the origin, in nats; NaN where that is no number.

    Args:
        origin: The likeliest tokens there.
        point: The same tokens elsewhere.
    """
    pairs = list(zip(origin.log_probabilities, point.log_probabilities, strict=True))
    if not all(math.isfinite(value) for pair in pairs for value in pair):
        return math.nan
    of_tokens = math.fsum(math.exp(before) * (before - after) for before, after in pairs)
    return max(of_tokens + origin.rest * math.log(origin.rest / point.rest), 0.0)


def compared(found: Sequence[float | None]) -> tuple[Row, ...]:
    """Return one row per prompt; None is a prompt that fills the context, NaN one whose logits are no numbers."""
    return tuple(_row(value) for value in found)


def _row(value: float | None) -> Row:
    reason = FinishReason.SCORED
    if value is None:
        reason = FinishReason.PROMPT_TOO_LONG
    elif math.isnan(value):
        reason, value = FinishReason.FAILED, None
    return Row(completion=Completion(text="", token_ids=(), finish_reason=reason), verdict=Verdict.UNSCORED, kl=value)
