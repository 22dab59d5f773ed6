"""Measure on one GPU what nobody can on a laptop, in one call of at most eight minutes, and print one table.

    python benchmarks/gpu.py                                  # a 7B model of random weights, in bfloat16
    python benchmarks/gpu.py --only placing --only line       # these parts alone
    python benchmarks/gpu.py --layers 2 --width 256 --tokens 16 --device cpu      # does the script itself work?

The model has the shape of Mistral-7B (grouped heads) and random weights, written to a folder for temporary files, which
takes 15 GB. Nothing ends its texts but the limit of new tokens. Each part runs in a process of its own, one after the
other, so that none holds memory that another needs; a part that fails costs its own rows. Each row is printed when it
has been measured, and what the time is not enough for is named: a run that is cut off has told what it knew.

Not yet run on a GPU: that which cannot be seen without one is written after the libraries' sources.
"""

import argparse
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from timing import timed

from landscape_ray.config import BenchmarkConfig, RunConfig
from landscape_ray.engine import Engine, EngineSpec
from landscape_ray.engine.factory import create_engine
from landscape_ray.evaluation import Benchmark, load_benchmark
from landscape_ray.planning import ORIGIN, Perturbation, RandomVector, direction_seed

Row: TypeAlias = tuple[str, str, str]

VOCABULARY = 32_000
# What is asked at a point, and the limit that stands for an early verdict: random weights refuse nothing.
NUM_PROMPTS, NUM_LINE_PROMPTS, EARLY_TOKENS = 64, 32, 32
NUM_POINTS, NUM_LINE_POINTS, REPEATS = 3, 20, 5
SPARE_S = 5.0
"""Of the time that is given, for what ends the run."""
VECTORS = tuple(
    RandomVector(seed=direction_seed(0, 0, axis), normalization="layer", excluded=("norm",)) for axis in (0, 1)
)


ALONE = f"a point of {NUM_LINE_PROMPTS} prompts, one at a time (s)"
TOGETHER = f"a point of {NUM_LINE_PROMPTS} prompts, {NUM_LINE_POINTS} along a line in one batch (s)"


Part: TypeAlias = Callable[[Path, argparse.Namespace], Iterator[Row]]


def main() -> None:
    """Write the model, run the parts, and print the table as it grows."""
    parts: dict[str, Part] = {part.__name__: part for part in (visits, placing, line, reference_batch)}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--width", type=int, default=4096, help="a multiple of 256")
    parser.add_argument("--tokens", type=int, default=512, help="length of all texts")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--only", metavar="PART", action="append", choices=parts, help=f"any of {', '.join(parts)}")
    parser.add_argument("--minutes", type=float, default=8.0, help="at most so long, the writing of the model included")
    arguments = parser.parse_args()
    began = time.perf_counter()
    until = began + 60 * arguments.minutes - SPARE_S
    medians: dict[str, str] = {}
    print("| | median | spread |\n|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in ("model", *(arguments.only or parts)):
            part = write_random_model if name == "model" else parts[name]
            for row in _rows(part, Path(folder), arguments, until):
                print(f"| {' | '.join(row)} |", flush=True)
                medians[row[0]] = row[1]
            print(f"{name}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    if ALONE in medians and TOGETHER in medians:
        faster = float(medians[ALONE]) / float(medians[TOGETHER])
        print(f"| times faster along a line | {faster:.1f} | |", flush=True)


def _rows(part: Part, folder: Path, arguments: argparse.Namespace, until: float) -> Iterator[Row]:
    """Run a part in a process of its own, and yield its rows as they come, as long as there is time."""
    skipped = part.__name__, "skipped: out of time", ""
    if time.perf_counter() >= until:
        yield skipped
        return
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe(duplex=False)
    process = spawn.Process(target=_send_rows, args=(there, part, folder, arguments))
    process.start()
    there.close()
    try:
        while here.poll(max(until - time.perf_counter(), 0)):
            row = here.recv()
            if row is None:
                return
            yield row
        yield skipped
    except EOFError:
        process.join()
        yield part.__name__, f"failed: its process ended with {process.exitcode}", ""
    finally:
        process.kill()  # nothing that has ended in order is left to be killed
        process.join()


def _send_rows(there: Any, part: Part, folder: Path, arguments: argparse.Namespace) -> None:
    try:
        for row in part(folder, arguments):
            there.send(row)
    except Exception as error:  # noqa: BLE001 - whatever it is, the other parts are worth their time
        there.send((part.__name__, f"failed: {type(error).__name__}: {' '.join(str(error).split())}", ""))
    there.send(None)


def write_random_model(folder: Path, arguments: argparse.Namespace) -> Iterator[Row]:
    """Write a checkpoint in which no text ends by itself: the logit of the token that ends one is 0, never the best."""
    import torch  # noqa: PLC0415 - in a process of its own
    from model_135m import write_tokenizer  # noqa: PLC0415
    from transformers import LlamaConfig, LlamaForCausalLM  # noqa: PLC0415

    write_tokenizer(folder, VOCABULARY)
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    width = arguments.width
    with torch.device(arguments.device):
        model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=VOCABULARY,
                hidden_size=width,
                intermediate_size=width * 7 // 2,
                num_hidden_layers=arguments.layers,
                num_attention_heads=width // 128,
                num_key_value_heads=max(1, width // 512),
                head_dim=128,
                max_position_embeddings=4096,
                bos_token_id=1,
                eos_token_id=2,
            )
        )
    with torch.no_grad():
        model.lm_head.weight[2] = 0
    model.save_pretrained(folder, max_shard_size="4GB")
    yield from ()


def visits(folder: Path, arguments: argparse.Namespace) -> Iterator[Row]:
    """Whole visits of one vLLM engine, and what of them is placing."""
    start_s, engine = timed(lambda: _engine(folder, arguments, NUM_PROMPTS))
    yield "engine start (s)", f"{start_s:.1f}", ""
    for words, second in (("one direction", ()), ("two directions", (-0.01,))):
        times = [timed(partial(engine.place, _point(0.01 * i, *second)))[0] for i in range(REPEATS + 1)]
        yield _row(f"placing in the engine, {words} (ms)", [1000 * seconds for seconds in times[1:]])
    points = [_point(0.1 * (1 + i)) for i in range(NUM_POINTS)]
    for tokens, words in ((arguments.tokens, "all texts to the limit"), (EARLY_TOKENS, "as if verdicts were early")):
        asked = [_benchmark(NUM_PROMPTS, min(tokens, arguments.tokens))]
        engine.generate(asked)  # what is compiled at first use
        times = [timed(partial(_visit, engine, point, asked))[0] for point in points]
        yield _row(f"visit, {NUM_PROMPTS} prompts of {tokens} tokens, {words} (s)", times)
    asked = [_benchmark(NUM_LINE_PROMPTS, arguments.tokens)]
    yield _row(ALONE, [timed(partial(_visit, engine, point, asked))[0] for point in points])
    engine.close()


def placing(folder: Path, arguments: argparse.Namespace) -> Iterator[Row]:
    """The passes of placing alone, beside reading and writing as many bytes: no way of placing is faster."""
    import torch  # noqa: PLC0415
    from placing_weights import DIRECTIONS, measure_passes  # noqa: PLC0415

    from landscape_ray.weights import BaseWeights  # noqa: PLC0415

    device = torch.device(arguments.device)
    base = BaseWeights.load(folder, device=device, location="device", tied_head=False)
    both = measure_passes(base, dtype=torch.bfloat16, device=device, rounds=REPEATS)
    for words, times in zip(DIRECTIONS, both, strict=True):
        for way in ("step by step", "fused", "floor"):
            yield _row(f"placing alone, {words}, {way} (ms)", [1000 * seconds for seconds in times.seconds[way]])


def reference_batch(folder: Path, arguments: argparse.Namespace) -> Iterator[Row]:
    """One batch of the reference's way of working, from which a point follows: it has as many as there are fours."""
    from reference_way import BATCH_SIZE, reference_sweep  # noqa: PLC0415

    benchmark = _benchmark(BATCH_SIZE, arguments.tokens)
    points = reference_sweep(folder, VECTORS[0], (0.0, 0.1, 0.2), benchmark, device=arguments.device)
    times = [point.seconds * NUM_PROMPTS / BATCH_SIZE for point in points[1:]]
    yield _row(f"a point, the reference's way, {NUM_PROMPTS // BATCH_SIZE} times one batch, float32 (s)", times)


def line(folder: Path, arguments: argparse.Namespace) -> Iterator[Row]:
    """Points of a line in one batch of vLLM; `visits` has one at a time."""
    engine: Any = _engine(folder, arguments, NUM_LINE_PROMPTS * NUM_LINE_POINTS, batching="line")
    asked = [_benchmark(NUM_LINE_PROMPTS, arguments.tokens)]
    points = [_point(i / NUM_LINE_POINTS) for i in range(NUM_LINE_POINTS)]
    place_s, _ = timed(partial(engine.place_points, points))
    yield "placing a direction beside the weights, once (s)", f"{place_s:.2f}", ""
    engine.generate_points([_benchmark(NUM_LINE_PROMPTS, 2)])  # what is compiled at first use
    together_s, _ = timed(partial(engine.generate_points, asked))
    yield TOGETHER, f"{together_s / NUM_LINE_POINTS:.2f}", ""
    engine.close()


def _engine(folder: Path, arguments: argparse.Namespace, max_num_seqs: int, *, batching: Any = "point") -> Engine:
    return create_engine(
        EngineSpec(
            engine="vllm",
            model=str(folder),
            revision=None,
            dtype="bfloat16" if arguments.device == "cuda" else "float32",
            run=RunConfig(max_num_seqs=max_num_seqs),
            benchmarks=(_benchmark(NUM_PROMPTS, arguments.tokens),),
            batching=batching,
            num_directions=1 if batching == "line" else 0,
        )
    )


def _visit(engine: Engine, point: Perturbation, asked: list[Benchmark]) -> None:
    engine.place(point)
    engine.generate(asked)


def _benchmark(num_prompts: int, max_new_tokens: int) -> Benchmark:
    config = {"name": "harmful", "prompts": {"source": "demo"}, "decoding": {"max_new_tokens": max_new_tokens}}
    benchmark = load_benchmark(BenchmarkConfig.model_validate(config))
    return replace(benchmark, prompts=benchmark.prompts[:num_prompts])


def _point(*coordinates: float) -> Perturbation:
    return Perturbation.of(list(zip(VECTORS, coordinates, strict=False))) if any(coordinates) else ORIGIN


def _row(title: str, values: Sequence[float]) -> Row:
    return title, f"{statistics.median(values):.2f}", f"{min(values):.2f} to {max(values):.2f}"


if __name__ == "__main__":
    main()
