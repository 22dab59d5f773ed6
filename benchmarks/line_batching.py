"""Several points in one batch against one after the other, in one run, and the roofline.

    python benchmarks/line_batching.py                           # vLLM, about five minutes on two cores
    python benchmarks/line_batching.py --engine transformers

On the embedded model and on one of the 135M class (`model_135m.py`), in float32 on all cores: at each point of a line
weights are placed and completions generated, for several numbers of prompts; then the whole line in one batch. Both are
repeated by turns. The texts are compared, and every completion runs to its own end, as in a sweep.
"""

import argparse
import json
import math
import os
import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from line_roofline import Device, Model, Workload, compare, print_roofline
from model_135m import write_model
from safetensors import safe_open
from timing import spread, timed

from landscape_ray.config import BenchmarkConfig, ModelConfig, RunConfig
from landscape_ray.engine import EngineSpec
from landscape_ray.engine.checkpoints.resolution import resolve
from landscape_ray.engine.factory import create_engine
from landscape_ray.evaluation import Completion, load_benchmark
from landscape_ray.planning import Perturbation, RandomVector, direction_seed

NUM_PROMPTS = (2, 8, 32)
VECTOR = RandomVector(seed=direction_seed(0, 0, 0), normalization="layer", excluded=("norm",))


@dataclass(slots=True)
class Timings:
    """What was measured with one number of prompts, repeat by repeat."""

    single_s: list[float] = field(default_factory=list)
    """Seconds of generating at all points, one after the other."""
    line_s: list[float] = field(default_factory=list)
    """Seconds of generating at all points in one batch."""
    single: list[tuple[Completion, ...]] = field(default_factory=list)
    """Completions of the last repeat, point by point, of single visits."""
    line: list[tuple[Completion, ...]] = field(default_factory=list)
    """Those of one batch."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=("vllm", "transformers"), default="vllm")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = _this_device()
    print(
        f"{arguments.threads} threads: {device.bandwidth / 1e9:.1f} GB/s of weights read, "
        f"{device.peak / 1e9:.0f} GFLOP/s in products, float32.\n"
    )
    heads = "model | prompts a point | points | single visits (s) | in one batch (s) | ratio | roofline | with placing"
    print(f"| {heads} | steps after the end | equal texts |\n{'|---' * 10}|")
    demo = Path(resolve(ModelConfig(id="demo:aligned")).location)
    _measure("embedded", demo, device, arguments, num_points=11, max_new_tokens=32)
    with tempfile.TemporaryDirectory() as folder:
        large = Path(folder) / "model"
        write_model(large)
        _measure("135M class", large, device, arguments, num_points=8, max_new_tokens=16)
    print()
    print_roofline()


def _this_device() -> Device:
    """Measure what this machine reads and computes: best of several products of a matrix with a row, and with many."""
    weights, rows = torch.randn(4096, 16384), torch.randn(512, 16384)
    product = torch.nn.functional.linear
    read_s = min(timed(partial(product, rows[:1], weights))[0] for _ in range(10))
    multiply_s = min(timed(partial(product, rows, weights))[0] for _ in range(5))
    memory = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return Device(
        name="this machine",
        bandwidth=4 * weights.numel() / read_s,
        peak=2 * weights.numel() * len(rows) / multiply_s,
        memory=memory,
    )


def _measure(
    name: str, folder: Path, device: Device, arguments: argparse.Namespace, *, num_points: int, max_new_tokens: int
) -> None:
    spec = EngineSpec(
        engine=arguments.engine,
        model=str(folder),
        revision=None,
        dtype="float32",
        run=RunConfig(max_num_seqs=max(NUM_PROMPTS) * num_points),
    )
    # Of its own, because directions beside the weights cost time where there is a single point, too.
    engine = create_engine(spec)
    line: Any = create_engine(replace(spec, batching="line", num_directions=1))
    benchmark = load_benchmark(
        BenchmarkConfig.model_validate(
            {"name": "harmful", "prompts": {"source": "demo"}, "decoding": {"max_new_tokens": max_new_tokens}}
        )
    )
    points = [Perturbation.of([(VECTOR, step / (num_points - 1) - 0.5)]) for step in range(num_points)]
    found = {n: Timings() for n in NUM_PROMPTS}
    asked = {n: [replace(benchmark, prompts=benchmark.prompts[:n])] for n in NUM_PROMPTS}
    place_s, place_points_s = [], []
    for _ in range(arguments.repeats):
        place_s.append(0.0)
        for timings in found.values():
            timings.single_s.append(0.0)
            timings.single.clear()
        for point in points:
            place_s[-1] += timed(partial(engine.place, point))[0]
            for n, timings in found.items():
                seconds, (completions,) = timed(partial(engine.generate, asked[n]))
                timings.single_s[-1] += seconds
                timings.single.append(completions)
        place_points_s.append(timed(partial(line.place_points, points))[0])
        for n, timings in found.items():
            seconds, answers = timed(partial(line.generate_points, asked[n]))
            timings.line_s.append(seconds)
            timings.line = [completions for (completions,) in answers]
    engine.close()
    line.close()
    model = _model(folder)
    for n, timings in found.items():
        ratios = [single / line for single, line in zip(timings.single_s, timings.line_s, strict=True)]
        pairs = zip(place_s, timings.single_s, place_points_s, timings.line_s, strict=True)
        placed = [(place + single) / (place_points + line) for place, single, place_points, line in pairs]
        row = [
            f"{name}, {max_new_tokens} tokens",
            f"{n}",
            f"{num_points}",
            f"{statistics.median(timings.single_s):.2f}",
            f"{statistics.median(timings.line_s):.2f}",
            spread(ratios),
            f"{compare(device, model, _workload(timings, n, max_new_tokens)).ratio:.1f}",
            spread(placed),
            f"{_idle(timings.single):.0%}",
            f"{sum(a == b for a, b in _pairs(timings))} of {n * num_points}",
        ]
        print(f"| {' | '.join(row)} |", flush=True)


def _workload(timings: Timings, num_prompts: int, max_new_tokens: int) -> Workload:
    """Describe what was decoded in the roofline's words."""
    lengths = [len(completion.token_ids) for point in timings.single for completion in point]
    short = [length for length in lengths if length < max_new_tokens]
    return Workload(
        num_prompts=num_prompts,
        num_points=len(timings.single),
        most_tokens=max_new_tokens,
        short_tokens=round(statistics.fmean(short)) if short else max_new_tokens,
        share_long=1 - len(short) / len(lengths),
    )


def _model(folder: Path) -> Model:
    """Describe a checkpoint whose head is its embedding, in float32."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    with safe_open(folder / "model.safetensors", framework="pt") as file:
        shapes = [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118  (no mapping)
    kv_bytes = 2 * 4 * config["num_hidden_layers"] * config["num_key_value_heads"] * config["head_dim"]
    return Model(name="", num_weights=sum(map(math.prod, shapes)), weight_bytes=4, kv_bytes=kv_bytes)


def _idle(points: list[tuple[Completion, ...]]) -> float:
    """Return the share of the steps of all rows that come after their own end, where batches run to the longest."""
    lengths = [[len(completion.token_ids) for completion in point] for point in points]
    return 1 - sum(map(sum, lengths)) / sum(max(point) * len(point) for point in lengths)


def _pairs(timings: Timings) -> Iterator[tuple[Completion, Completion]]:
    for single, line in zip(timings.single, timings.line, strict=True):
        yield from zip(single, line, strict=True)


if __name__ == "__main__":
    main()
