"""What `run` prints at its end: where it has left things, and what to try next."""

import shlex
from collections.abc import Iterator, Sequence

from landscape_ray.config import SweepConfig
from landscape_ray.errors import number_of
from landscape_ray.library import Fact

__all__ = ["next_steps"]


def next_steps(
    config: SweepConfig,
    command: Sequence[str],
    out: str,
    *,
    num_points: int,
    num_done: int,
    num_failed: int,
    num_unchosen: int = 0,
) -> Iterator[Fact]:
    """Yield where a run has left things, and what to try next."""
    num_missing = num_points - num_done - num_failed
    full = again = shlex.join(["landscape-ray", *command, "--out", out])
    submitted = command[0] == "submit"
    if config.adaptive is not None:
        again = f"{full} {'--set adaptive={}' if submitted else '--adaptive'}"
    if config.certify is not None:
        radius = f"{config.certify.radius:g}"
        again = f"{full} {f'--set certify.radius={radius}' if submitted else f'--until-certified {radius}'}"
    yield "points", f"{num_done:,} of {num_points:,} done"
    yield "rows", f"{out}/parts/*.parquet"
    if num_missing:
        unchosen = f" (of these {num_unchosen:,} not chosen yet)" if num_unchosen else ""
        yield "missing", f"{number_of(num_missing, 'point')}{unchosen}; the same command measures them: {again}"
    if num_failed:
        yield "given up", f"{number_of(num_failed, 'point')}; {shlex.join(['landscape-ray', 'status', out])} says why"
        yield "", f"{again} --retry-failed"
    if num_missing or num_failed:
        return
    if config.model.id == "demo:aligned":
        yield "next", "landscape-ray run jobs/configs/demo-finetuned.yaml   (its sibling that lost its alignment)"
    if config.adaptive is not None:
        yield "next", f"{full} --set adaptive=null   (measures the points left out, too)"
    if config.certify is not None:
        yield "next", f"{full} --set certify=null   (measures the draws left out, too)"
        return
    if config.kinds or config.random_directions is None:
        return
    draws = config.random_directions.draws + 2
    yield "next", f"{again} --set directions.draws={draws}   (measures the added draws only)"
