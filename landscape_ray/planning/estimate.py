"""What a sweep will cost, before anything is started."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from landscape_ray.config import GENERATED_METRICS, SweepConfig
from landscape_ray.planning.sweep_plan import SweepPlan

__all__ = ["TIME_ASSUMPTIONS", "SweepEstimate", "estimate", "num_planned_visits"]

TIME_ASSUMPTIONS = (
    "a model of 7 to 8 billion parameters in 16 bits and one H100 per engine; from every prompt refused after 30 "
    "tokens to one running to the token limit. Engine start-up (minutes) comes on top. Other models and GPUs: scale "
    "by bytes of weights over memory bandwidth."
)
"""What the time range of an estimate rests on."""

# Roofline arithmetic for an 8B model in bfloat16 and 80 prompts on one H100, not a measurement: a visit takes 0.44 s
# when the longest of its outputs has 30 tokens, 4.8 s when it has 512. The line through both is the estimate. (Among
# published figures, 3.0 s for 64 prompts of 512 tokens on a 7B model lies in its range.)
TOKENS_OF_A_REFUSAL = 30
SECONDS_PER_TOKEN = (4.8 - 0.44) / (512 - 30)
SECONDS_PER_VISIT = 0.44 - 30 * SECONDS_PER_TOKEN


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepEstimate:
    """Size of a sweep. Counts are exact but for early endings of generations, times are rough."""

    num_points: int
    """Distinct points of weight space, the origin included."""
    num_visits: int
    """Points with the repeats of the origin."""
    num_generations: int
    """Completions in all: prompts of the benchmarks that generate times visits."""
    num_scored: int
    """Prompts of the benchmarks that measure likelihoods or first tokens times visits."""
    max_tokens: int
    """Upper bound on generated tokens: every completion as long as its limit."""
    seconds: tuple[float, float] | None
    """Least and most time of all visits on the engines configured (one when that is left open), see
    `TIME_ASSUMPTIONS`; None where those do not hold even roughly."""


def num_planned_visits(config: SweepConfig, plan: SweepPlan) -> int:
    """Return how many visits a sweep makes: to every point of the plan, or as many as an adaptive sweep chooses.

    With those that repeat a wall point, of which there are none if no wall is found.
    """
    again = (config.landscape.wall_repeats - 1) * bool(config.deciding_benchmarks)
    if config.adaptive is None:
        return len(plan.points) + again
    # The origin is visited for its own sake, and counts among the grid points of each draw.
    per_draw = config.adaptive.num_points(math.prod(plan.grid.shape)) - (plan.grid.zero is not None)
    return config.landscape.origin_repeats + plan.draws * per_draw + again


def estimate(config: SweepConfig, plan: SweepPlan, num_prompts: Mapping[str, int]) -> SweepEstimate:
    """Return the size of a sweep with so many prompts, by name of the benchmark, and a rough time.

    The time of a visit follows the longest output, hardly the number of prompts, up to the number of sequences that
    are decoded at once. No time is given for the embedded models, 32 bits, several GPUs per engine, another engine
    than vLLM, or where likelihoods are measured, whose time depends on lengths that only the tokenizer knows.
    """
    num_visits = num_planned_visits(config, plan)
    limits = {b.name: b.decoding.max_new_tokens for b in config.benchmarks if b.metric in GENERATED_METRICS}
    num_answers = {b.name: num_prompts[b.name] * b.decoding.samples for b in config.benchmarks if b.name in limits}
    per_visit = sum(num_answers.values())
    comparable = (
        config.engine == "vllm"
        and config.dtype != "float32"
        and config.run.tensor_parallel == 1
        and not config.model.id.startswith("demo:")
        and len(limits) == len(config.benchmarks)
    )
    longest = max(limits.values(), default=0)
    rounds = math.ceil(per_visit / config.run.max_num_seqs) * math.ceil(num_visits / (config.run.engines or 1))
    least, most = (
        rounds * (SECONDS_PER_VISIT + SECONDS_PER_TOKEN * tokens)
        for tokens in (min(TOKENS_OF_A_REFUSAL, longest), longest)
    )
    return SweepEstimate(
        num_points=num_visits - (config.landscape.origin_repeats - 1),
        num_visits=num_visits,
        num_generations=num_visits * per_visit,
        num_scored=num_visits * sum(num for name, num in num_prompts.items() if name not in limits),
        max_tokens=num_visits * sum(limit * num_answers[name] for name, limit in limits.items()),
        seconds=(least, most) if comparable else None,
    )
