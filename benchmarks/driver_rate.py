"""Measure how many points a second one driver gets through, with 1, 4, 16 and 64 actors; prints a table.

    python benchmarks/driver_rate.py                      # about four minutes on two cores
    python benchmarks/driver_rate.py --actors 2 --points 10000 --prompts 20

The synthetic engine takes no time, so what is measured is the driver, Ray, the actors' own overhead and the store. To
Ray the machine has as many cores as actors: 64 actors on two cores wait for each other, and the rate of the sweep is
then that of the machine. What the driver alone could do is the points it handles in a second of its own CPU time.
"""

import argparse
import os
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import ray

from landscape_ray.config import SweepConfig
from landscape_ray.sweep import SweepStatus, run_sweep

MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """What one sweep took, from the first to the last point done."""

    points_per_s: float
    driver_cpu_s: float
    """CPU seconds of the driver's process per point."""
    memory_mib: float
    """The driver's memory at the end."""


class Watch:
    """Notes when the first and the last point were done, and what the driver had used by then."""

    def __init__(self) -> None:
        self._notes: list[tuple[int, float, float]] = []

    def update(self, status: SweepStatus) -> None:
        """Take note."""
        if status.num_done_now and (not self._notes or self._notes[-1][0] < status.num_done_now):
            self._notes[1:] = [(status.num_done_now, time.perf_counter(), time.process_time())]

    def close(self, status: SweepStatus) -> None:
        """Take note."""
        self.update(status)

    def rate(self) -> Rate:
        """Return the rate between the two."""
        (first, began, cpu_began), (last, ended, cpu_ended) = self._notes
        return Rate(
            points_per_s=(last - first) / (ended - began),
            driver_cpu_s=(cpu_ended - cpu_began) / (last - first),
            memory_mib=psutil.Process().memory_info().rss / MIB,
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--actors", type=int, action="append", help="repeatable; 1, 4, 16 and 64 by default")
    parser.add_argument("--points", type=int, default=2000, help="of each sweep")
    parser.add_argument("--prompts", type=int, default=80)
    parser.add_argument("--repeats", type=int, default=3, help="sweeps for each number of actors")
    arguments = parser.parse_args()
    nums_actors = arguments.actors or [1, 4, 16, 64]
    ray.init("local", num_cpus=max(nums_actors), include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    print(f"{arguments.points:,} points of {arguments.prompts} prompts, {os.cpu_count()} cores for everything\n")
    print("| actors | points a second | spread | driver, ms of CPU a point | points a second of driver CPU |")
    print("|---|---|---|---|---|")
    for num_actors in nums_actors:
        rates = [measured(arguments.points, num_actors, arguments.prompts) for _ in range(arguments.repeats)]
        found = sorted(rate.points_per_s for rate in rates)
        cpu_s = statistics.median(rate.driver_cpu_s for rate in rates)
        spread = f"{statistics.median(found):.0f} | {found[0]:.0f} to {found[-1]:.0f}"
        print(f"| {num_actors} | {spread} | {1000 * cpu_s:.2f} | {1 / cpu_s:.0f} |", flush=True)


def measured(num_points: int, num_actors: int, num_prompts: int) -> Rate:
    """Run one sweep in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        watch = Watch()
        outcome = run_sweep(
            configuration(Path(folder), num_points, num_actors, num_prompts), f"{folder}/out", progress=watch
        )
        if outcome.exit_code:
            msg = f"The sweep did not finish: {outcome}"
            raise SystemExit(msg)
        return watch.rate()


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
