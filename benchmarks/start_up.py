"""Measure what lies between the command and the first visit, beside the engine's own start; prints a table.

    python benchmarks/start_up.py                         # the embedded model, about five minutes on two cores
    python benchmarks/start_up.py --model FOLDER --repeats 1

In turn, each in processes of their own: the engine alone (from starting Python to the first point in place, no Ray, no
driver), `landscape-ray run` with a Ray of its own, and on a running cluster two runs with `--keep-engines`. One engine
on one core; the first visit is known by the time that its part holds.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import yaml
from ray.cluster_utils import Cluster

from landscape_ray.config import SweepConfig
from landscape_ray.store import ResultStore

ENGINE_ALONE = """
import os, sys
from landscape_ray.config import load_config
from landscape_ray.engine.factory import create_engine
from landscape_ray.planning import ORIGIN
from landscape_ray.sweep import prepare
os.environ["OMP_NUM_THREADS"] = "1"
create_engine(prepare(load_config(sys.argv[1]), sys.argv[2]).spec).place(ORIGIN)
os._exit(0)
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="demo:aligned", help="embedded model or checkpoint folder")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "sweep.yaml"
        config.write_text(yaml.safe_dump(configuration(arguments.model).model_dump(mode="json")), encoding="utf-8")
        for number in range(arguments.repeats):
            out = Path(folder) / str(number)
            found.setdefault("engine alone", []).append(seconds_alone(config, out / "alone"))
            found.setdefault("run, Ray of its own", []).append(seconds_to_first_visit(config, out / "own"))
            cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
            environment = {"RAY_ADDRESS": cluster.address}
            try:
                for name in ("run, running cluster", "run, kept engine"):
                    seconds = seconds_to_first_visit(config, out / name, "--keep-engines", environment=environment)
                    found.setdefault(name, []).append(seconds)
            finally:
                cluster.shutdown()
    alone = statistics.median(found["engine alone"])
    print("| until the first visit | seconds | spread | beyond the engine alone (s) | ratio to the engine alone |")
    print("|---|---|---|---|---|")
    for name, times in found.items():
        median = statistics.median(times)
        print(
            f"| {name} | {median:.1f} | {min(times):.1f} to {max(times):.1f} | {median - alone:+.1f} | "
            f"{median / alone:.2f} |"
        )


def configuration(model: str) -> SweepConfig:
    """Return a sweep of two points."""
    return SweepConfig.model_validate(
        {
            "model": {"id": model},
            "dtype": "float32",
            "landscape": {"axes": [{"start": 0.0, "stop": 0.1, "num": 2}], "origin_repeats": 1},
            "directions": {"draws": 1},
            "benchmarks": [
                {"name": "harmful", "prompts": {"source": "demo"}, "limit": 8, "decoding": {"max_new_tokens": 8}}
            ],
            "run": {"engines": 1, "kv_cache_gib": 0.25},
        }
    )


def seconds_alone(config: Path, out: Path) -> float:
    """Return the seconds from starting Python until an engine has a point in place."""
    began = time.time()
    call(sys.executable, "-c", ENGINE_ALONE, str(config), str(out))
    return time.time() - began


def seconds_to_first_visit(
    config: Path, out: Path, *options: str, environment: Mapping[str, str] | None = None
) -> float:
    """Return the seconds from the command until its first visit."""
    began = time.time()
    script = "from landscape_ray.cli import main; main()"
    arguments = ("run", str(config), "--out", str(out), *options)
    call(sys.executable, "-c", script, *arguments, environment=environment)
    store = ResultStore(str(out))
    return min(map(timestamp, store.columns(list(store.parts()))["started_at"])) - began


def timestamp(text: str) -> float:
    """Return the seconds since the epoch that a stored time means."""
    return datetime.fromisoformat(text).timestamp()


def call(*command: str, environment: Mapping[str, str] | None = None) -> None:
    """Run a command that must succeed; its output is shown only if it does not."""
    done = subprocess.run(  # noqa: S603  (our own interpreter and code)
        command, env={**os.environ, **(environment or {})}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)


if __name__ == "__main__":
    main()
