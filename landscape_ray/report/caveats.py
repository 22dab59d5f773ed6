"""What has to stand beside scores wherever they are shown."""

from landscape_ray.planning import random_axes
from landscape_ray.report.results import Results

__all__ = ["INTERVALS", "caveats", "one_direction"]

INTERVALS = (
    "Intervals: 95 % is nominal; in simulations they held 90 % or more (docs/numerics.md). An interval of "
    "VISAGE does not see refusals that none of the prompts asked shows at a wall: they would lower it."
)
"""What the intervals of scores hold, in one line; docs/numerics.md has the table."""


def one_direction(results: Results) -> str | None:
    """Return what one random draw says, None where there are several, or the axes lead to checkpoints."""
    axes = random_axes(results.config)
    if not axes or results.plan.num_directions_sampled > 1:
        return None
    scored = results.plan.directions[results.plan.scored_draws[0]] if results.plan.directions else None
    if scored is not None and scored.kind not in {"random", "group"}:
        return f"No random directions: these scores and their intervals speak of one direction only, {scored.label}."
    what = "plane" if len(axes) > 1 else "direction"
    return (
        f"One draw: these scores and their intervals speak of this {what} only. Do not compare models by them; three "
        f"draws or more speak of {what}s in general."
    )


def caveats(results: Results) -> list[str]:
    """Return the lines to show beside the scores of a sweep."""
    note = one_direction(results)
    attacked = any(landscape.metric.name == "asr" for landscape in results.landscapes.values())
    return [*([note] if note else []), *([INTERVALS] if attacked else [])]
