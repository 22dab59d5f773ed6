"""How far a sweep is, and what is missing of it, by one look into its store."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from landscape_ray.analysis import COLUMNS, Landscape, certified_plan, planned_design, with_wall_visits
from landscape_ray.planning import PlannedPoint, PointTask
from landscape_ray.store import Shard
from landscape_ray.sweep.preparation import PreparedSweep

__all__ = ["SweepOutcome", "survey"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepOutcome:
    """What the store holds of a sweep when a run ends. Counts are of points, repeats of the origin included."""

    num_points: int
    """Points of the sweep."""
    num_done: int
    """Points with all their benchmarks."""
    num_failed: int
    """Points not done, because a benchmark there was given up."""
    num_unchosen: int = 0
    """How many points may still be chosen by the results of the others: by an adaptive sweep, or one that certifies."""

    @property
    def num_missing(self) -> int:
        """Points neither done nor given up; the same command again measures them."""
        return self.num_points - self.num_done - self.num_failed

    @property
    def exit_code(self) -> int:
        """0 done, 3 incomplete but resumable, 4 finished with failed points."""
        if self.num_missing:
            return 3
        return 4 if self.num_failed else 0


def survey(
    sweep: PreparedSweep, *, retry_failed: bool = False, shard: Shard | None = None
) -> tuple[SweepOutcome, list[PointTask]]:
    """Look into the store once: how far is the sweep, and what is to be visited?

    The tasks are in the order to begin them, the longest visits first: an engine that begins one last would keep
    the others waiting. With a shard only its own are among them, and the outcome is that of the whole sweep.
    """
    done = sweep.store.parts().keys()
    points, num_unchosen = _chosen_points(sweep, done)
    failed = sweep.store.failures().keys() - done
    tasks, num_done, num_failed = [], 0, 0
    for point in points:
        keys = sweep.keys[point.label]
        missing = [name for name in keys if keys[name] not in done]
        to_visit = tuple(name for name in missing if retry_failed or keys[name] not in failed)
        num_done += not missing
        num_failed += bool(missing) and not to_visit
        if to_visit:
            tasks.append(PointTask(point=point, benchmarks=to_visit))
    if not tasks:
        num_unchosen = 0  # what the choice waits for has failed, or cannot be scored
    if shard is not None:
        tasks = [task for task in tasks if shard.owns(task.point.label)]
    tasks.sort(key=lambda task: -task.point.distance)
    outcome = SweepOutcome(
        num_points=len(points) + num_unchosen, num_done=num_done, num_failed=num_failed, num_unchosen=num_unchosen
    )
    return outcome, tasks


def _chosen_points(sweep: PreparedSweep, done: Collection[str]) -> tuple[Sequence[PlannedPoint], int]:
    """Return the points to measure, as far as they are known, and how many more will be chosen.

    That is the whole plan, except for an adaptive sweep and one that certifies, and last the repeats of the wall point:
    all are chosen by what the store holds.
    """

    def landscape_of(benchmark: str) -> Landscape:
        keys = [sweep.keys[point.label][benchmark] for point in sweep.plan.points]
        return Landscape.from_rows(sweep.store.columns(keys, COLUMNS), plan=sweep.plan, benchmark=benchmark)

    plan, num_unchosen = certified_plan(sweep.config, sweep.plan, landscape_of)
    points: Sequence[PlannedPoint] = plan.points
    design = planned_design(sweep.config, landscape_of)
    if design is not None:
        points, num_unchosen = [point for point in points if design.wants(point)], design.num_unchosen
    return with_wall_visits(
        sweep.config,
        points,
        num_unchosen,
        repeats=sweep.repeats,
        keys=sweep.keys,
        done=done,
        landscape_of=landscape_of,
    )
