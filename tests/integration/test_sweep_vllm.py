"""A sweep with the real vLLM engine whose process is killed in the middle of a visit, against transformers."""

import contextlib
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from landscape_ray.config import SweepConfig
from landscape_ray.store import ResultStore
from landscape_ray.sweep import SweepStatus, run_sweep

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("local_ray")]


KINDS: dict[str, dict[str, Any]] = {
    "random": {"draws": 1},
    "quantization_error": {"format": "int4"},
}


class Killer:
    """Progress that kills the engine's process during a visit, once a point has been done."""

    def __init__(self, num_points: int) -> None:
        self.killed: list[int] = []
        self._num_points = num_points
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
        assert status.num_points == self._num_points
        self._ended.set()
        assert self._thread is not None
        self._thread.join()


def test_an_engine_killed_in_mid_visit_changes_no_row(
    tmp_path: Path,
    letters_config: Callable[..., SweepConfig],
    measured: Callable[[Path], list[tuple[str, ...]]],
) -> None:
    config = letters_config(num=5, directions=[{"kind": kind, **rest} for kind, rest in KINDS.items()])
    num_points = 1 + 4 * len(KINDS)
    oracle = config.model_copy(update={"engine": "transformers"})
    assert run_sweep(oracle, str(tmp_path / "undisturbed")).exit_code == 0
    killer = Killer(num_points)
    assert run_sweep(config, str(tmp_path / "disturbed"), progress=killer).exit_code == 0
    assert len(killer.killed) == 1

    expected = measured(tmp_path / "undisturbed")
    assert len(expected) == num_points * 24
    assert len({row[6] for row in expected}) > 50, "completions should differ between points, or nothing is compared"
    assert measured(tmp_path / "disturbed") == expected
    store = ResultStore(str(tmp_path / "disturbed"))
    assert store.quarantined() == []
    # Two visits were under way, one of them sent ahead: none is charged, and both are repeated.
    assert set(store.columns(list(store.parts()))["attempt"]) == {1}
    (log,) = (tmp_path / "disturbed" / "log").iterdir()
    events = [json.loads(line)["event"] for line in log.read_text(encoding="ascii").splitlines()]
    assert events.count("engine_lost") == 1
