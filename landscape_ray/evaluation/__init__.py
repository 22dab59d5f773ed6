"""Prompts in, verdicts out."""

from landscape_ray.evaluation.benchmark import Benchmark, Prompt, Settled, Turn
from landscape_ray.evaluation.broken import is_broken
from landscape_ray.evaluation.first_tokens import NUM_TOKENS, FirstTokens, compared, divergence
from landscape_ray.evaluation.judge import judge_named, judge_version, stop_strings
from landscape_ray.evaluation.likelihood import LogLikelihood, ScoredText, score, scored_texts
from landscape_ray.evaluation.prompts import load_benchmark
from landscape_ray.evaluation.reasoning import Reasoning
from landscape_ray.evaluation.records import (
    WHOLE_ANSWERS,
    Completion,
    FinishReason,
    PointRecord,
    Row,
    Verdict,
    VisitFacts,
)
from landscape_ray.evaluation.visit_judge import judge_of

__all__ = [
    "NUM_TOKENS",
    "WHOLE_ANSWERS",
    "Benchmark",
    "Completion",
    "FinishReason",
    "FirstTokens",
    "LogLikelihood",
    "PointRecord",
    "Prompt",
    "Reasoning",
    "Row",
    "ScoredText",
    "Settled",
    "Turn",
    "Verdict",
    "VisitFacts",
    "compared",
    "divergence",
    "is_broken",
    "judge_named",
    "judge_of",
    "judge_version",
    "load_benchmark",
    "score",
    "scored_texts",
    "stop_strings",
]
