"""The key of a part: the hash of everything that decides its rows."""

import hashlib
import json

from landscape_ray.evaluation import Benchmark
from landscape_ray.planning import PlannedPoint, RandomVector
from landscape_ray.store.manifest import BenchmarkIdentity

__all__ = ["part_key"]

KEY_DIGITS = 32


def part_key(
    *,
    fingerprint: str,
    engine: str,
    dtype: str,
    point: PlannedPoint,
    benchmark: Benchmark | BenchmarkIdentity,
    judge: str,
    batching: str = "point",
) -> str:
    """Return the key of the part that holds one benchmark at one point: 32 hexadecimal digits.

    Equal keys mean rows that may stand in for each other: a wider axis, another draw or another benchmark finds the
    parts that are already there, and rows of different science never mix. Floats enter by their exact bits. The
    draw does not enter, because the seeds in the perturbation tell draws apart; so the origin, which has no terms,
    is shared by all draws. Only where a later draw has no such vector in it, on the line from the model to a
    checkpoint or along a computed direction, it does: its rows bear its number. `repeat` enters, because repeated
    visits to the origin are separate measurements. So do the coordinates: a 2-D row at beta = 0 differs from a 1-D
    row in its `beta`. And so does the benchmark's name: a second benchmark with the same prompts would otherwise
    count as done while no row bears its name.

    Args:
        fingerprint: Content of the base checkpoint.
        engine: Name of the engine, without its version.
        dtype: Type of the placed weights.
        point: Where.
        benchmark: What is asked there; or, where its prompts are elsewhere, what a manifest says of it.
        judge: Name and version of the judge.
        batching: Whether points share batches. `point`, that they do not, came first and enters no key.
    """
    terms = [[type(vector).__name__, vector.identity, _exact(c)] for vector, c in point.perturbation.terms]
    is_repeated = bool(terms) and not any(isinstance(vector, RandomVector) for vector, _ in point.perturbation.terms)
    draw = [point.draw] if is_repeated and point.draw else []
    content = [
        [fingerprint, engine, dtype, *([batching] if batching != "point" else [])],
        [terms, [_exact(coordinate) for coordinate in point.coordinates], point.repeat, *draw],
        [benchmark.name, benchmark.digest, benchmark.metric, judge],
    ]
    canonical = json.dumps(["landscape-ray/part", content], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:KEY_DIGITS]


def _exact(value: float) -> str:
    """Return the exact bits of a float as text; -0.0 is written as 0.0."""
    return (float(value) + 0.0).hex()
