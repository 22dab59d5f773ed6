"""Is the record in order: complete, undisputed, and made in one way?"""

from collections.abc import Callable, Mapping

from landscape_ray.analysis import noise_floor
from landscape_ray.report.checks.check import Check, Sweep, check_that

__all__ = ["complete", "origin", "own_weights", "same", "undisputed"]


def complete(sweep: Sweep) -> Check:
    """Were all points measured and judged?"""
    problems = []
    for name, status in sweep.status.benchmarks.items():
        if status.num_missing:
            problems.append(f"{name}: {status.num_missing:,} of {status.num_points:,} points are missing.")
        if status.failures:
            problems.append(f"{name}: {len(status.failures):,} points were given up; `landscape-ray status` says why.")
    if num_unjudged := sum(sweep.results.num_unjudged.values()):
        problems.append(f"{num_unjudged:,} points were measured, but not judged yet; `landscape-ray judge` goes on.")
    if problems:
        problems.append("Scores are of what is there. The same `landscape-ray run` measures what is missing.")
    num_points = sum(status.num_points for status in sweep.status.benchmarks.values())
    return check_that("Every point was measured", problems, f"All {num_points:,} visits of the plan are there.")


def undisputed(sweep: Sweep) -> Check:
    """Do repeated visits agree with the first ones, and do all files prove themselves?"""
    findings = [file.path for file in sweep.status.quarantined if file.reason.startswith("FINDING")]
    num_other = len(sweep.status.quarantined) - len(findings)
    problems = []
    if findings:
        problems.append(
            f"{len(findings):,} repeated visits disagree with the first one, which counts: the engine does not repeat "
            f"itself. The first is {findings[0]}."
        )
    if num_other:
        problems.append(f"{num_other:,} files do not prove themselves and were left out.")
    return check_that(
        "No result is disputed", problems, "Every file proves itself, and no repeated visit disagrees with another."
    )


def origin(sweep: Sweep) -> Check:
    """Do visits to the unperturbed model, and to the wall, repeat to the last verdict?"""
    name = "The origin is the unperturbed model, and it repeats"
    problems, num_repeats = [], 0
    for benchmark, landscape in sweep.results.landscapes.items():
        digests = {
            digest
            for point, digest in zip(sweep.results.plan.points, sweep.visits[benchmark].weights_digest, strict=True)
            if point.draw is None and digest is not None
        }
        if len(digests) > 1:
            problems.append(f"{benchmark}: the weights at the origin are not the same at each visit.")
        floor = noise_floor(landscape)
        num_repeats = max(num_repeats, 0 if floor is None else floor.num_repeats)
        if floor is not None and floor.flipped:
            problems.append(
                f"{benchmark}: {100 * floor.flipped:.1f} % of {floor.num_prompts} prompts change their verdict between "
                f"{floor.num_repeats} visits to the same weights. Differences as small as that mean nothing."
            )
        wall = sweep.results.wall_noise.get(benchmark)
        if wall is not None and wall.flipped:
            problems.append(
                f"{benchmark}: {100 * wall.flipped:.1f} % of {wall.num_prompts} prompts change their verdict between "
                f"{wall.num_repeats} visits to the point nearest to the wall. Such differences mean nothing there."
            )
    return check_that(
        name,
        problems,
        f"It was measured {num_repeats} times. Its weights were the same each time, and so was every verdict.",
        known=num_repeats > 1,
        unknown="It was measured less than twice; set landscape.origin_repeats to 2 to know the noise floor.",
    )


def own_weights(sweep: Sweep) -> Check:
    """Were different weights in place at different points?"""
    points = sweep.results.plan.points
    digests: dict[str, str] = {}
    shared: list[tuple[str, str]] = []
    for visits in list(sweep.visits.values())[:1]:  # a visit places weights once, for all its benchmarks
        for point, digest in zip(points, visits.weights_digest, strict=True):
            if digest is None or point.repeat:
                continue
            if digest in digests:
                shared.append((point.label, digests[digest]))
            else:
                digests[digest] = point.label
    problems = []
    if shared:
        problems.append(
            f"{len(shared):,} points have the same weights as another, the first {shared[0][0]} as {shared[0][1]}. "
            f"Is the step too small for {sweep.results.config.dtype}?"
        )
    return check_that(
        "Every point has weights of its own",
        problems,
        f"{len(digests):,} points have {len(digests):,} different digests of the weights that were in place.",
        known=len(digests) > 1,
        unknown="Fewer than two points were measured.",
    )


def same(name: str, facts: Mapping[str, str], fine: str) -> Callable[[Sweep], Check]:
    """Return the check that some facts of visits are the same at all points."""

    def check(sweep: Sweep) -> Check:
        problems: list[str] = []
        seen: set[str] = set()
        for fact, plural in facts.items():
            for benchmark, visits in sweep.visits.items():
                found = visits.ran_on[fact]
                if len(found) > 1:
                    counts = ", ".join(f"{value or 'none'} ({num:,} points)" for value, num in found.most_common())
                    problems.append(f"{benchmark}: {len(found)} {plural}: {counts}.")
                seen.update(value for value in found if value)
        return check_that(
            name,
            list(dict.fromkeys(problems)),
            f"{fine}: {', '.join(sorted(seen))}.",
            known=bool(seen),
            unknown="Nothing was measured.",
        )

    return check
