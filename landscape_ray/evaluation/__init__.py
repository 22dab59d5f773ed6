"""Prompts in, verdicts out."""

from landscape_ray.evaluation.benchmark import Benchmark, Prompt
from landscape_ray.evaluation.judge import Judge, judge_named
from landscape_ray.evaluation.prompts import load_benchmark
from landscape_ray.evaluation.records import Completion, FinishReason, PointRecord, Verdict, VisitFacts

__all__ = [
    "Benchmark",
    "Completion",
    "FinishReason",
    "Judge",
    "PointRecord",
    "Prompt",
    "Verdict",
    "VisitFacts",
    "judge_named",
    "load_benchmark",
]
