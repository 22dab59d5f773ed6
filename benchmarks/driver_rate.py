"""Measure how many points a second one driver gets through, with 1, 4, 16 and 64 actors; prints a table.

    python benchmarks/driver_rate.py                      # about four minutes on two cores
    python benchmarks/driver_rate.py --actors 2 --points 5000 --prompts 20

The synthetic engine takes no time, so what is measured is the driver, Ray, the actors' own overhead and the store. To
Ray the machine has as many cores as actors: 64 actors on two cores wait for each other, and the rate of the sweep is
then that of the machine. What the driver alone could do is the points it handles in a second of its own CPU time.

An actor takes a second of CPU to start, and those that are up do not wait for the others. So the rate is counted from
when all are up, and when enough points are counted the sweep is stopped.
"""

import argparse
import itertools
import os
import signal
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import ray

from landscape_ray.config import SweepConfig
from landscape_ray.sweep import SweepStatus, run_sweep

MIB = 1 << 20
# Points done while the other actors start, at most: more than 1.5 s of CPU each, at 100 points in a second of CPU.
POINTS_OF_STARTING = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """How far a sweep was at one moment, and what the driver's process had used by then."""

    num_done: int
    at_s: float
    cpu_s: float
    memory_mib: float


class Watch:
    """Sets a mark when all actors are up, and after each so many points; the last of them ends the sweep."""

    def __init__(self, *, num_actors: int, num_points: int, repeats: int) -> None:
        self.marks: list[Mark] = []
        self._num_actors = num_actors
        self._num_points = num_points
        self._repeats = repeats

    def update(self, status: SweepStatus) -> None:
        """Take note."""
        due = self.marks[-1].num_done + self._num_points if self.marks else 0
        if len(self.marks) > self._repeats or status.num_up < self._num_actors or status.num_done_now < due:
            return
        self.marks.append(
            Mark(
                num_done=status.num_done_now,
                at_s=time.perf_counter(),
                cpu_s=time.process_time(),
                memory_mib=psutil.Process().memory_info().rss / MIB,
            )
        )
        if len(self.marks) > self._repeats:
            signal.raise_signal(signal.SIGINT)

    def close(self, status: SweepStatus) -> None:
        """Do nothing: what is done while the sweep ends does not count."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--actors", type=int, action="append", help="repeatable; 1, 4, 16 and 64 by default")
    parser.add_argument("--points", type=int, default=1000, help="to count the rate over")
    parser.add_argument("--prompts", type=int, default=80)
    parser.add_argument("--repeats", type=int, default=3, help="rates counted in each sweep, one after the other")
    arguments = parser.parse_args()
    rows = []
    for num_actors in arguments.actors or [1, 4, 16, 64]:
        marks = measured(
            num_actors, num_points=arguments.points, num_prompts=arguments.prompts, repeats=arguments.repeats
        )
        rows.append(row(num_actors, marks))
    # At the end, because Ray writes between them that so many processes are more than it expects.
    print(f"\n{arguments.points:,} points of {arguments.prompts} prompts, {os.cpu_count()} cores for everything\n")
    print(
        "| actors | points a second | spread | driver, ms of CPU a point | points a second of driver CPU "
        "| driver's memory, first to last point counted (MiB) |\n|---|---|---|---|---|---|"
    )
    print("\n".join(rows))


def row(num_actors: int, marks: Sequence[Mark]) -> str:
    """Return a row of the table."""
    pairs = list(itertools.pairwise(marks))
    rates = [(b.num_done - a.num_done) / (b.at_s - a.at_s) for a, b in pairs]
    cpu_s = statistics.median((b.cpu_s - a.cpu_s) / (b.num_done - a.num_done) for a, b in pairs)
    cells = (
        f"{num_actors}",
        f"{statistics.median(rates):.0f}",
        f"{min(rates):.0f} to {max(rates):.0f}",
        f"{1000 * cpu_s:.2f}",
        f"{1 / cpu_s:.0f}",
        f"{marks[0].memory_mib:.0f} to {marks[-1].memory_mib:.0f}",
    )
    return f"| {' | '.join(cells)} |"


def measured(num_actors: int, *, num_points: int, num_prompts: int, repeats: int) -> Sequence[Mark]:
    """Run one sweep, with a Ray and in a folder of its own."""
    watch = Watch(num_actors=num_actors, num_points=num_points, repeats=repeats)
    # Up to one batch of answers may lie between a mark and the next update.
    most = repeats * (num_points + num_actors) + num_actors * POINTS_OF_STARTING
    ray.init("local", num_cpus=num_actors, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        with tempfile.TemporaryDirectory() as folder:
            outcome = run_sweep(
                configuration(Path(folder), most, num_actors, num_prompts), f"{folder}/out", progress=watch
            )
    finally:
        ray.shutdown()
    if outcome.num_failed or len(watch.marks) <= repeats:
        msg = f"There is no rate of {num_actors} actors: {outcome}"
        raise SystemExit(msg)
    return watch.marks


def configuration(folder: Path, num_points: int, num_actors: int, num_prompts: int) -> SweepConfig:
    """Return a sweep along one direction, the points beside the origin being one less than asked for."""
    prompts = folder / "prompts.csv"
    prompts.write_text("prompt\n" + "".join(f"request {i}\n" for i in range(num_prompts)), encoding="utf-8")
    return SweepConfig.model_validate(
        {
            "model": {"id": "synthetic"},
            "engine": "synthetic",
            "landscape": {"axes": [{"num": num_points + 1}], "origin_repeats": 1},
            "directions": {"draws": 1},
            "benchmarks": [{"name": "requests", "prompts": {"source": "file", "path": str(prompts)}}],
            "run": {"engines": num_actors},
        }
    )


if __name__ == "__main__":
    main()
