"""A sweep with the real vLLM engine whose process is killed in the middle of a visit."""

import contextlib
import json
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest

from landscape_ray.config import SweepConfig
from landscape_ray.store import ResultStore
from landscape_ray.sweep import SweepStatus, run_sweep

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("local_ray")]

MEASURED = ("draw", "repeat", "alpha", "prompt_id", "prompt", "completion", "num_tokens", "verdict", "weights_digest")


class Killer:
    """Progress that kills the engine's process during a visit, once a point has been done."""

    def __init__(self) -> None:
        self.killed: list[int] = []
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()

    def update(self, status: SweepStatus) -> None:
        if status.num_done_now and self._thread is None:
            self._thread = threading.Thread(target=self._kill)
            self._thread.start()

    def _kill(self) -> None:
        while not self.killed and not self._ended.wait(0.01):
            for process in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    if process.name() == "ray::EngineActor.visit":  # Ray puts what a worker is doing into its title
                        process.kill()
                        self.killed.append(process.pid)

    def close(self, status: SweepStatus) -> None:
        assert status.num_points == 7
        self._ended.set()
        assert self._thread is not None
        self._thread.join()


def measured(out: Path) -> tuple[list[tuple[Any, ...]], list[int]]:
    """Return what was measured, row by row, and at which attempts."""
    store = ResultStore(str(out))
    columns = store.columns(list(store.parts()))
    assert store.quarantined() == []
    # NaN, the draw of the origin, equals nothing, not even itself.
    return sorted(zip(*(map(str, columns[name]) for name in MEASURED), strict=True)), sorted(set(columns["attempt"]))


def test_an_engine_killed_in_mid_visit_changes_no_row(tmp_path: Path, tied_checkpoint: Path) -> None:
    prompts = tmp_path / "prompts.csv"
    prompts.write_text("prompt\n" + "".join(f"Tell:{chr(ord('a') + i)}\n" for i in range(24)), encoding="utf-8")
    config = SweepConfig.model_validate(
        {
            "model": {"id": str(tied_checkpoint)},
            "dtype": "float32",
            "landscape": {"axes": [{"start": -0.3, "stop": 0.3, "num": 7}], "origin_repeats": 1},
            "directions": {"draws": 1},
            "benchmarks": [
                {
                    "name": "letters",
                    "prompts": {"source": "file", "path": str(prompts)},
                    "decoding": {"max_new_tokens": 64},
                }
            ],
            "run": {"engines": 1, "kv_cache_gib": 0.0625, "max_num_seqs": 32},
        }
    )
    assert run_sweep(config, str(tmp_path / "undisturbed")).exit_code == 0
    killer = Killer()
    assert run_sweep(config, str(tmp_path / "disturbed"), progress=killer).exit_code == 0
    assert len(killer.killed) == 1

    expected, attempts = measured(tmp_path / "undisturbed")
    assert (len(expected), attempts) == (7 * 24, [1])
    assert len({row[5] for row in expected}) > 100, "completions should differ between points, or nothing is compared"
    rows, attempts = measured(tmp_path / "disturbed")
    assert rows == expected
    # Two visits were under way, one of them sent ahead: none is charged, and both are repeated.
    assert attempts == [1]
    (log,) = (tmp_path / "disturbed" / "log").iterdir()
    events = [json.loads(line)["event"] for line in log.read_text(encoding="ascii").splitlines()]
    assert events.count("engine_lost") == 1
