"""The divergence of first tokens: against SciPy's over the whole vocabulary, in float64."""

import math

import numpy as np
import pytest
from scipy.special import log_softmax, rel_entr

from landscape_ray.evaluation import Benchmark, FinishReason, FirstTokens, Prompt, Verdict, compared, divergence
from landscape_ray.evaluation.judge import judge_version


def of_tokens(logits: np.ndarray, token_ids: np.ndarray) -> FirstTokens:
    """What an engine would say, in its 32 bits."""
    said = log_softmax(logits)[token_ids].astype(np.float32)
    return FirstTokens(token_ids=tuple(token_ids.tolist()), log_probabilities=tuple(map(float, said)))


@pytest.mark.parametrize("moved", [0.0, 0.01, 0.5, 3.0])
def test_of_a_whole_vocabulary_it_is_the_divergence(moved: float) -> None:
    rng = np.random.default_rng(1)
    before = rng.normal(0, 3, 100)
    after = before + moved * rng.normal(size=100)
    expected = rel_entr(np.exp(log_softmax(before)), np.exp(log_softmax(after))).sum()
    every = np.arange(100)
    found = divergence(of_tokens(before, every), of_tokens(after, every))
    assert found == pytest.approx(expected, abs=1e-6)
    assert moved or found == 0


def test_of_its_likeliest_tokens_it_is_no_more_and_close() -> None:
    rng = np.random.default_rng(2)
    for _ in range(50):
        before = rng.normal(0, 4, 5000)
        after = before + rng.choice([0.1, 1.0]) * rng.normal(size=5000)
        p, q = (np.exp(log_softmax(logits)) for logits in (before, after))
        likeliest = np.argsort(-p)[:128]
        whole = rel_entr(p, q).sum()
        found = divergence(of_tokens(before, likeliest), of_tokens(after, likeliest))
        rest = p.sum() - p[likeliest].sum()
        others = np.setdiff1d(np.arange(5000), likeliest)
        left_out = rest * rel_entr(p[others] / p[others].sum(), q[others] / q[others].sum()).sum()
        assert found <= whole + 1e-6
        assert found == pytest.approx(whole - left_out, abs=2e-6)  # the chain rule of divergences


def test_it_is_finite_where_others_vanish_and_nan_where_the_model_gives_no_numbers() -> None:
    origin = FirstTokens(token_ids=(0, 1), log_probabilities=(math.log(0.6), math.log(0.3)))
    sure = FirstTokens(token_ids=(0, 1), log_probabilities=(math.log(0.7), math.log(0.3)))
    expected = 0.6 * math.log(0.6 / 0.7) + 0.1 * math.log(0.1 / 1e-6)
    assert divergence(origin, sure) == pytest.approx(expected)
    assert divergence(origin, origin) == 0
    for value in (math.nan, -math.inf):
        assert math.isnan(divergence(origin, FirstTokens(token_ids=(0, 1), log_probabilities=(value, -1.0))))


def test_rows_say_why_a_prompt_was_not_compared() -> None:
    rows = compared([0.25, None, math.nan])
    assert [row.kl for row in rows] == [0.25, None, None]
    reasons = [FinishReason.SCORED, FinishReason.PROMPT_TOO_LONG, FinishReason.FAILED]
    assert [row.completion.finish_reason for row in rows] == reasons
    assert {row.verdict for row in rows} == {Verdict.UNSCORED}


def test_it_is_measured_without_a_judge_and_in_a_version_of_its_own() -> None:
    benchmark = Benchmark(
        name="harmless",
        prompts=(Prompt(id="0", text="Hello"),),
        system_prompt=None,
        chat_template=None,
        max_new_tokens=1,
        metric="first_token_kl",
        judge="keyword",
    )
    assert judge_version(benchmark) == "first_token_kl/1"
    assert benchmark.is_compared
    assert not benchmark.is_generated
    assert not benchmark.is_scored
