"""Prompts in, verdicts out."""

from landscape_ray.evaluation.benchmark import Benchmark, Prompt
from landscape_ray.evaluation.records import Completion, FinishReason, PointRecord, Verdict, VisitFacts

__all__ = ["Benchmark", "Completion", "FinishReason", "PointRecord", "Prompt", "Verdict", "VisitFacts"]
