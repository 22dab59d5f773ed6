"""What directions cost that are no random ones, before the first point along them and as long as an engine lives.

A point along any kind is placed in no more time than along a random one: reading a kept tensor takes less than drawing
normals. What a kind costs is computing its tensors, once as the sweep begins and once in each engine, and the host
memory that each worker keeps them in.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from landscape_ray.config import (
    ComplementDirections,
    DirectionConfig,
    LowRankDirections,
    PruningDirection,
    QuantizationErrorDirection,
    RandomDirections,
    SvdDirection,
    SweepConfig,
    TaskVectorDirection,
)

__all__ = ["SVD_WIDTH", "KindCost", "kind_costs"]

SVD_WIDTH = 4096
"""Width of the square matrices that the cost of singular components is given for; per weight it grows in proportion."""

# Seconds of one core a billion weights, rounded; measured by benchmarks/kinds_cost.py, SVD at a width of 1,024.
CORE_SECONDS: Mapping[type, float] = {
    LowRankDirections: 10,
    ComplementDirections: 50,
    TaskVectorDirection: 3,
    PruningDirection: 25,
}
QUANTIZING_CORE_SECONDS = {"int8": 15, "int4": 15, "fp8": 15, "nf4": 30}
SVD_CORE_SECONDS = 600 * SVD_WIDTH // 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class KindCost:
    """Rough cost of an entry of a list of directions, for each billion weights that it moves."""

    label: str
    """What figures and tables call the entry."""
    core_seconds: float | None
    """Seconds of one CPU core to compute one draw of it: once as the sweep begins, and every draw once per engine. None
    where an engine computes it, once for all, and so it was not measured."""
    host_gb: float
    """Host memory of all its draws in each worker, in 10^9 bytes, with a checkpoint of 16 bits."""


def kind_costs(config: SweepConfig) -> Iterator[KindCost]:
    """Yield the cost of each entry that is computed; none of the synthetic engine, which has no weights."""
    for entry in () if config.engine == "synthetic" else config.kinds:
        if not isinstance(entry, RandomDirections):
            yield KindCost(
                label=entry.label, core_seconds=_core_seconds(entry), host_gb=_bytes_of_a_weight(entry) * entry.draws
            )


def _core_seconds(entry: DirectionConfig) -> float | None:
    if isinstance(entry, SvdDirection):
        return SVD_CORE_SECONDS
    if isinstance(entry, QuantizationErrorDirection):
        return QUANTIZING_CORE_SECONDS[entry.format]
    return CORE_SECONDS.get(type(entry))


def _bytes_of_a_weight(entry: DirectionConfig) -> int:
    """Return 2 where 16 bits hold the direction exactly, as of what weights are rounded to, or 0; else 4."""
    exact = isinstance(entry, QuantizationErrorDirection | PruningDirection) and entry.normalization == "none"
    return 2 if exact else 4
