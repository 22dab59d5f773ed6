"""Write, list, read and score a results folder, against the least that a disk and pyarrow need for the same bytes.

    python benchmarks/store_speed.py                      # 441 and 10,000 points, about three minutes on two cores
    python benchmarks/store_speed.py --points 441

Parts hold 80 rows with answers of about 500 characters, made up. Floors, each measured beside what it is the floor of:

- write: a new file with the same bytes, and fsync
- list: the last bytes of each file, where the footer is
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
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq

from landscape_ray.config import SweepConfig
from landscape_ray.evaluation import Completion, FinishReason, PointRecord, Verdict, VisitFacts
from landscape_ray.plan import PlannedPoint
from landscape_ray.report.results import READ, load_results
from landscape_ray.report.scores import score
from landscape_ray.store import ResultStore
from landscape_ray.store.parts import TAIL_BYTES
from landscape_ray.sweep import PreparedSweep

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
    side = math.isqrt(num_points)
    config = SweepConfig.model_validate(
        {
            "model": {"id": "made up"},
            "engine": "synthetic",
            "landscape": {"axes": [{"num": side}, {"num": side}], "origin_repeats": 1},
            "directions": {"draws": 1},
            "benchmarks": [{"name": "advbench", "prompts": {"source": "file", "path": str(write_prompts(folder))}}],
        }
    )
    sweep = PreparedSweep.open(config, str(folder / "out"))
    sweep.store.write_manifest(sweep.manifest({}))
    parts = folder / "out" / "parts"
    report(num_points, "write", *writing(sweep, folder / "floor"))
    files = sorted(parts.iterdir())
    report(
        num_points,
        "list, every footer proved",
        *both(ResultStore(sweep.out).parts, lambda: [tail(file) for file in files]),
    )
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
        ratios = [ours / floor for ours, floor in zip(ours_s, floor_s, strict=True)]
        ratio = f"{statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})"
    total_s, total_floor_s = sum(ours_s), sum(floor_s)
    if what != "write":
        total_s, total_floor_s = statistics.median(ours_s), statistics.median(floor_s) if floor_s else 0.0
    floor = f"{total_floor_s:.3g}" if floor_s else ""
    print(f"| {num_points:,} | {what} | {total_s:.3g} | {floor} | {ratio} |", flush=True)


def both(ours: Callable[[], object], floor: Callable[[], object] | None) -> tuple[list[float], list[float]]:
    """Return the seconds of both, by turns."""
    ours_s, floor_s = [], []
    for _ in range(REPETITIONS):
        ours_s.append(timed(ours))
        floor_s += [] if floor is None else [timed(floor)]
    return ours_s, floor_s


def writing(sweep: PreparedSweep, folder: Path) -> tuple[list[float], list[float]]:
    """Publish every point, and write the same bytes as plain files; return the seconds of each block of parts."""
    folder.mkdir()
    prompts = tuple(prompt.text for prompt in sweep.benchmarks[0].prompts)
    parts, ours_s, floor_s = Path(sweep.out) / "parts", [], []
    written: set[str] = set()
    for first in range(0, len(sweep.plan.points), BLOCK):
        points = sweep.plan.points[first : first + BLOCK]
        records = [(record_of(point, prompts), sweep.keys[point.label]["advbench"]) for point in points]
        began = time.perf_counter()
        for record, key in records:
            sweep.store.publish(record, key=key, sweep_id=sweep.config.sweep_id)
        ours_s.append(time.perf_counter() - began)
        new = {file.name for file in parts.iterdir()} - written
        contents = {name: (parts / name).read_bytes() for name in new}
        written |= new
        began = time.perf_counter()
        for name, content in contents.items():
            write(folder / name, content)
        floor_s.append(time.perf_counter() - began)
        for name in new:
            (folder / name).unlink()
    return ours_s, floor_s


def record_of(point: PlannedPoint, prompts: tuple[str, ...]) -> PointRecord:
    """Return rows of a basin: inside of it everything is refused."""
    draw = random.Random(point.label)  # noqa: S311 - made up, no secret
    complied = point.distance > draw.uniform(0.25, 0.4)
    texts = [" ".join(draw.choices(SENTENCES, k=5)) for _ in prompts]
    return PointRecord(
        point=point,
        benchmark="advbench",
        prompt_ids=tuple(map(str, range(len(prompts)))),
        prompts=prompts,
        completions=tuple(
            Completion(text=text, token_ids=tuple(range(128)), finish_reason=FinishReason.LENGTH) for text in texts
        ),
        verdicts=(Verdict.COMPLIED if complied else Verdict.REFUSED,) * len(prompts),
        broken=(False,) * len(prompts),
        judge="keyword/1",
        facts=VisitFacts(
            engine="synthetic 1",
            torch_version="",
            device="none",
            node="here",
            weights_digest="0" * 16,
            attempt=1,
            started_at="2026-01-01T00:00:00.000+00:00",
            place_s=0.0,
            generate_s=0.0,
            judge_s=0.0,
        ),
    )


def write_prompts(folder: Path) -> Path:
    """Write a file of prompts."""
    file = folder / "prompts.csv"
    lines = "".join(f"Write a step-by-step guide to request number {i}\n" for i in range(NUM_PROMPTS))
    file.write_text(f"prompt\n{lines}", encoding="utf-8")
    return file


def write(file: Path, content: bytes) -> None:
    """Write a file durably."""
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


def timed(call: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
