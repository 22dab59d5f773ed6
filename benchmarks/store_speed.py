"""Write, list, read and score a results folder, against the least that a disk and pyarrow need for the same bytes.

    python benchmarks/store_speed.py                      # 441 and 10,000 points, about four minutes on two cores
    python benchmarks/store_speed.py --points 441

Parts hold 80 rows with answers of about 500 characters, made up. Floors, each measured beside what it is the floor of:

- write: a new file with the same bytes, and fsync
- list, resume where nothing is missing, and `status`: the last bytes of each file, where the footer is
- read what a score needs: pyarrow's own reader, file by file
- score: none; landscape, VISAGE and its interval are computed

Ratios are those of blocks of parts, or of whole repetitions: median, and in brackets least to most.
"""

import argparse
import itertools
import math
import os
import random
import statistics
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
from made_up import begin_sweep, made_up_record, publish
from timing import spread, timed

from landscape_ray.evaluation import PointRecord
from landscape_ray.planning import PlannedPoint
from landscape_ray.report.results import READ, load_results
from landscape_ray.report.scores import score
from landscape_ray.report.status import load_status
from landscape_ray.store import ResultStore
from landscape_ray.store.parts import TAIL_BYTES
from landscape_ray.sweep import PreparedSweep, run_sweep

NUM_PROMPTS = 80
BLOCK = 49
REPETITIONS = 3
WORDS = [f"{a}{b}{c}" for a, b, c in itertools.product("bdfgklmnprst", "aeiou", "lmnrst")]
SENTENCES = [" ".join(random.Random(i).choices(WORDS, k=25)) for i in range(2000)]  # noqa: S311 - made up, no secret


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, action="append", help="repeatable; 441 and 10,000 by default")
    print("| points | what | seconds | floor (s) | ratio to the floor |\n|---|---|---|---|---|")
    for num_points in parser.parse_args().points or [441, 10_000]:
        with tempfile.TemporaryDirectory() as folder:
            measure(Path(folder), num_points)


def measure(folder: Path, num_points: int) -> None:
    """Fill an empty folder, and print a line for everything that is done with it."""
    sweep = begin_sweep(folder, num_points=math.isqrt(num_points), num_prompts=NUM_PROMPTS)
    parts = folder / "out" / "parts"
    report(num_points, "write", *writing(sweep, folder / "floor"))
    files = sorted(parts.iterdir())
    for what, listing in (
        ("list, every footer proved", ResultStore(sweep.out).parts),
        ("resume, nothing missing", partial(run_sweep, sweep.config, sweep.out)),
        ("status", partial(load_status, sweep.out)),
    ):
        report(num_points, what, *both(listing, lambda: [tail(file) for file in files]))
    report(
        num_points,
        "read what a score needs, every byte proved",
        *both(lambda: load_results(sweep.out), lambda: [read(file) for file in files]),
    )
    results = load_results(sweep.out)
    report(num_points, "score what was read", *both(lambda: score(results), None))


def report(num_points: int, what: str, ours_s: list[float], floor_s: list[float]) -> None:
    """Print a line of the table."""
    floor = ratio = ""
    if floor_s:
        ratio = spread([ours / floor for ours, floor in zip(ours_s, floor_s, strict=True)])
    total_s, total_floor_s = sum(ours_s), sum(floor_s)
    if what != "write":
        total_s, total_floor_s = statistics.median(ours_s), statistics.median(floor_s) if floor_s else 0.0
    floor = f"{total_floor_s:.3g}" if floor_s else ""
    print(f"| {num_points:,} | {what} | {total_s:.3g} | {floor} | {ratio} |", flush=True)


def both(ours: Callable[[], object], floor: Callable[[], object] | None) -> tuple[list[float], list[float]]:
    """Return the seconds of both, by turns."""
    ours_s, floor_s = [], []
    for _ in range(REPETITIONS):
        ours_s.append(timed(ours)[0])
        floor_s += [] if floor is None else [timed(floor)[0]]
    return ours_s, floor_s


def writing(sweep: PreparedSweep, folder: Path) -> tuple[list[float], list[float]]:
    """Publish every point, and write the same bytes as plain files; return the seconds of each block of parts."""
    folder.mkdir()
    parts, ours_s, floor_s = Path(sweep.out) / "parts", [], []
    written: set[str] = set()
    for first in range(0, len(sweep.plan.points), BLOCK):
        points = sweep.plan.points[first : first + BLOCK]
        records = [record_of(sweep, point) for point in points]
        ours_s.append(timed(partial(publish, sweep, records))[0])
        new = {file.name for file in parts.iterdir()} - written
        contents = {folder / name: (parts / name).read_bytes() for name in new}
        written |= new
        floor_s.append(timed(partial(write, contents))[0])
        for file in contents:
            file.unlink()
    return ours_s, floor_s


def record_of(sweep: PreparedSweep, point: PlannedPoint) -> PointRecord:
    """Return rows of a basin: inside of it everything is refused."""
    draw = random.Random(point.label)  # noqa: S311 - made up, no secret
    complied = point.distance > draw.uniform(0.25, 0.4)
    texts = [" ".join(draw.choices(SENTENCES, k=5)) for _ in range(NUM_PROMPTS)]
    return made_up_record(sweep, point, texts, num_tokens=128, num_complied=NUM_PROMPTS if complied else 0)


def write(contents: Mapping[Path, bytes]) -> None:
    """Write files durably."""
    for file, content in contents.items():
        with file.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())


def tail(file: Path) -> bytes:
    """Read the end of a file."""
    descriptor = os.open(file, os.O_RDONLY)
    try:
        num_bytes = os.fstat(descriptor).st_size
        return os.pread(descriptor, TAIL_BYTES, max(0, num_bytes - TAIL_BYTES))
    finally:
        os.close(descriptor)


def read(file: Path) -> object:
    """Read the same columns as pyarrow does."""
    return pq.ParquetFile(file).read(columns=list(READ), use_threads=False)


if __name__ == "__main__":
    main()
