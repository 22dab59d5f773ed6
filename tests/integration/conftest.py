"""A local Ray cluster for the tests of this folder, and sweeps of the synthetic engine with what they must find."""

import hashlib
import itertools
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

import pytest
import ray

from landscape_ray.config import SweepConfig
from landscape_ray.planning import RandomVector, SweepPlan
from landscape_ray.store import ResultStore

# (draw or None, repeat, coordinates, benchmark, prompt number): verdict
Rows: TypeAlias = dict[tuple[Any, ...], str]
MEASURED = (
    *("draw", "repeat", "alpha", "benchmark", "prompt_id", "prompt", "completion", "num_tokens", "finish_reason"),
    *("verdict", "weights_digest"),
)

SCRIPT = """
import sys
from landscape_ray.config import load_config
from landscape_ray.sweep import run_sweep
sys.exit(run_sweep(load_config(sys.argv[1]), sys.argv[2]).exit_code)
"""


@pytest.fixture(scope="module")
def local_ray() -> None:
    """Connect to a cluster of this machine with four logical cores, whatever the machine has.

    The next modules go on with it, unless they start one of their own: each takes eight seconds of a core.
    """
    if not ray.is_initialized():
        ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="ERROR")


@pytest.fixture
def synthetic_config(tmp_path: Path) -> Callable[..., SweepConfig]:
    """Make the configuration of a sweep of two draws of the synthetic engine; keywords are run fields and faults."""

    def make(
        *,
        num: int = 5,
        benchmarks: tuple[str, ...] = ("harmful",),
        seed: int = 0,
        engines: int | None = 1,
        **settings: Any,
    ) -> SweepConfig:
        for name in benchmarks:
            lines = "".join(f"{name} request {i}\n" for i in range(12))
            (tmp_path / f"{name}.csv").write_text(f"prompt\n{lines}", encoding="utf-8")
        faults = settings.pop("faults", {})
        return SweepConfig.model_validate(
            {
                "model": {"id": "no-such-model"},
                "engine": "synthetic",
                "landscape": {"axes": [{"start": -(num // 2) / 10, "stop": (num // 2) / 10, "num": num}]},
                "directions": {"draws": 2, "seed": seed},
                "benchmarks": [
                    {"name": name, "prompts": {"source": "file", "path": str(tmp_path / f"{name}.csv")}}
                    for name in benchmarks
                ],
                "run": {"engines": engines, "synthetic": faults, **settings},
            }
        )

    return make


@pytest.fixture
def letters_config(tmp_path: Path, tied_checkpoint: Path) -> Callable[..., SweepConfig]:
    """Make the configuration of a sweep of one vLLM engine over 24 prompts; further keywords are run fields."""
    prompts = tmp_path / "prompts.csv"
    prompts.write_text("prompt\n" + "".join(f"Tell:{chr(ord('a') + i)}\n" for i in range(24)), encoding="utf-8")

    def make(*, num: int, directions: Any = MappingProxyType({"draws": 1}), **run: Any) -> SweepConfig:
        return SweepConfig.model_validate(
            {
                "model": {"id": str(tied_checkpoint)},
                "dtype": "float32",
                "landscape": {"axes": [{"start": -0.3, "stop": 0.3, "num": num}], "origin_repeats": 1},
                "directions": directions,
                "benchmarks": [
                    {
                        "name": "letters",
                        "prompts": {"source": "file", "path": str(prompts)},
                        "decoding": {"max_new_tokens": 64},
                    }
                ],
                "run": {"engines": 1, "kv_cache_gib": 0.0625, "max_num_seqs": 32, **run},
            }
        )

    return make


@pytest.fixture
def start_driver(tmp_path: Path) -> Callable[[SweepConfig, Path], "subprocess.Popen[bytes]"]:
    """Run a sweep on this test's cluster from a process of its own."""

    def start(config: SweepConfig, out: Path) -> "subprocess.Popen[bytes]":
        path = tmp_path / f"{out.name}.json"
        path.write_text(config.model_dump_json(), encoding="utf-8")
        environment = os.environ | {"RAY_ADDRESS": ray.get_runtime_context().gcs_address}
        return subprocess.Popen([sys.executable, "-c", SCRIPT, str(path), str(out)], env=environment)  # noqa: S603

    return start


@pytest.fixture
def killed_after(
    start_driver: Callable[[SweepConfig, Path], "subprocess.Popen[bytes]"],
) -> Callable[[int, SweepConfig, Path], None]:
    """Run a sweep from a process of its own, and kill that when so many parts are there."""

    def run(num_parts: int, config: SweepConfig, out: Path) -> None:
        driver, pause = start_driver(config, out), threading.Event()
        for _ in range(6000):
            if (out / "parts").exists() and len(list((out / "parts").glob("*.parquet"))) >= num_parts:
                break
            pause.wait(0.02)
        else:
            driver.kill()
            pytest.fail(f"{num_parts} parts never came")
        driver.send_signal(signal.SIGKILL)
        assert driver.wait(timeout=60) == -signal.SIGKILL

    return run


def uniform(text: str) -> float:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") / 2**64


@pytest.fixture
def expected_attempts() -> Callable[[SweepConfig], dict[str, int]]:
    """Compute at which attempt each point succeeds, from the formula of the synthetic engine's faults."""

    def compute(config: SweepConfig) -> dict[str, int]:
        faults = config.run.synthetic
        rates = {
            "death": faults.death_rate,
            "failure": faults.failure_rate,
            "out of memory": faults.out_of_memory_rate,
            "hang": faults.hang_rate,
        }
        return {
            point.label: next(
                attempt
                for attempt in itertools.count(1)
                if all(uniform(f"{fault}/{point.label}/{attempt}") >= rate for fault, rate in rates.items())
            )
            for point in SweepPlan.from_config(config).points
        }

    return compute


@pytest.fixture
def expected_rows() -> Callable[[SweepConfig], Rows]:
    """Compute every verdict of a sweep from the formula of the synthetic engine, written down a second time here."""

    def compute(config: SweepConfig) -> Rows:
        rows: Rows = {}
        for point in SweepPlan.from_config(config).points:
            steps = [
                c / (0.2 + 0.2 * uniform(f"wall/{vector.seed}"))
                for vector, c in point.perturbation.terms
                if isinstance(vector, RandomVector)
            ]
            distance = math.sqrt(sum(step**2 for step in steps))
            for benchmark in config.benchmarks:
                for number in range(12):
                    refused = distance < 0.5 + uniform(f"threshold/{number}")
                    place = (point.draw, point.repeat, point.coordinates, benchmark.name, number)
                    rows[place] = "refused" if refused else "complied"
        return rows

    return compute


@pytest.fixture
def stored_rows() -> Callable[[Path], Rows]:
    """Read every row of an output folder; a row that is there twice is an error."""

    def read(out: Path) -> Rows:
        store = ResultStore(str(out))
        columns = store.columns(list(store.parts()))
        rows: Rows = {}
        for i, verdict in enumerate(columns["verdict"]):
            draw = None if math.isnan(columns["draw"][i]) else int(columns["draw"][i])
            coordinates = (float(columns["alpha"][i]),)
            name, number = columns["benchmark"][i], int(columns["prompt_index"][i])
            place = (draw, int(columns["repeat"][i]), coordinates, name, number)
            assert place not in rows
            rows[place] = verdict
            assert columns["prompt"][i] == f"{name} request {number}"
        return rows

    return read


@pytest.fixture
def measured() -> Callable[[Path], list[tuple[str, ...]]]:
    """Read the columns `MEASURED` of an output folder as text: NaN, the draw of the origin, equals not even itself."""

    def read(out: Path) -> list[tuple[str, ...]]:
        store = ResultStore(str(out))
        columns = store.columns(list(store.parts()))
        return sorted(zip(*(map(str, columns[name]) for name in MEASURED), strict=True))

    return read
