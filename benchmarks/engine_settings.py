"""Measure what each setting of vLLM is worth on a CPU: seconds of a visit, against the settings as they are.

    python benchmarks/engine_settings.py                  # the embedded model, about four minutes on two cores
    python benchmarks/engine_settings.py --model FOLDER --repeats 3

Each setting has an engine in a process of its own, which goes to a point and answers, a few times. Texts are compared
with those of the settings as they are.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from landscape_ray.config import SweepConfig
from landscape_ray.sweep import PreparedSweep, prepare

SETTINGS: dict[str, dict[str, Any]] = {
    "as they are": {},
    "enable_prefix_caching=False": {"enable_prefix_caching": False},
    "enable_chunked_prefill=False": {"enable_chunked_prefill": False},
    "max_num_batched_tokens=512": {"max_num_batched_tokens": 512},
    "max_num_batched_tokens=16384": {"max_num_batched_tokens": 16384},
    "block_size=32": {"block_size": 32},
    "max_num_seqs=16": {"max_num_seqs": 16},
    "max_num_seqs=32": {"max_num_seqs": 32},
    "max_num_seqs=256": {"max_num_seqs": 256},
    "two threads": {"threads": 2},
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="demo:aligned", help="embedded model or checkpoint folder")
    parser.add_argument("--repeats", type=int, default=5, help="visits of each engine")
    parser.add_argument("--setting", action="append", choices=list(SETTINGS)[1:], help="repeatable; all by default")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure is not None:
        measure(arguments.model, arguments.repeats, json.loads(arguments.measure))
        return
    print("| setting | seconds a visit | spread | ratio | equal texts |\n|---|---|---|---|---|")
    base: dict[str, Any] = {}
    usual_name, *others = SETTINGS
    for name in (usual_name, *(arguments.setting or others)):
        found = in_own_process(arguments.model, arguments.repeats, SETTINGS[name])
        base = base or found
        median, usual = statistics.median(found["seconds"]), statistics.median(base["seconds"])
        equal = sum(ours == theirs for ours, theirs in zip(found["texts"], base["texts"], strict=True))
        spread = f"{min(found['seconds']):.2f} to {max(found['seconds']):.2f}"
        num_texts = len(base["texts"])
        print(f"| {name} | {median:.2f} | {spread} | {median / usual:.2f} | {equal}/{num_texts} |", flush=True)


def in_own_process(model: str, repeats: int, settings: dict[str, Any]) -> Any:
    """Return seconds and texts of an engine with these settings, bound to as many cores as it has threads."""
    num_threads = settings.get("threads", 1)
    command = [sys.executable, __file__, "--model", model, "--repeats", str(repeats), "--measure", json.dumps(settings)]
    done = subprocess.run(  # noqa: S603  (our own interpreter and code)
        command,
        env=os.environ | {"OMP_NUM_THREADS": str(num_threads)},
        preexec_fn=lambda: os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:num_threads]),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def measure(model: str, repeats: int, settings: dict[str, Any]) -> None:
    """Build an engine with these settings, and print the seconds and texts of visits to one point."""
    from landscape_ray.engine.vllm.engine import VllmEngine  # noqa: PLC0415 - in the measuring process only

    sweep = prepared(model)
    engine = VllmEngine(sweep.spec, **{name: value for name, value in settings.items() if name != "threads"})
    point = sweep.plan.points[-1]  # beyond the wall: answers are long
    seconds, texts = [], []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        engine.place(point.perturbation)
        (completions,) = engine.generate(sweep.spec.benchmarks)
        seconds.append(time.perf_counter() - began)
        texts = [completion.text for completion in completions]
    print(json.dumps({"seconds": seconds[1:], "texts": texts}))  # without the first one, which warms up


def prepared(model: str) -> PreparedSweep:
    """Return a sweep of 64 prompts as the shipped ones are."""
    config = SweepConfig.model_validate(
        {
            "model": {"id": model},
            "dtype": "float32",
            "landscape": {"axes": [{"start": 0.0, "stop": 0.5, "num": 2}], "origin_repeats": 1},
            "directions": {"draws": 1},
            "benchmarks": [{"name": "harmful", "prompts": {"source": "demo"}, "decoding": {"max_new_tokens": 64}}],
            "run": {"kv_cache_gib": 0.5},
        }
    )
    return prepare(config, str(Path(tempfile.gettempdir()) / "nothing-is-written-here"))


if __name__ == "__main__":
    main()
