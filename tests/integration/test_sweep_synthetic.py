"""Whole sweeps on a local Ray cluster with the synthetic engine, checked row for row against its formula."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray

from landscape_ray.config import SweepConfig
from landscape_ray.errors import GenerationError, LeaseError, OutputError, ResourceError
from landscape_ray.store import ResultStore, lease
from landscape_ray.sweep import SweepStatus, run_sweep

pytestmark = pytest.mark.usefixtures("local_ray")

MakeConfig = Callable[..., SweepConfig]
Rows = dict[tuple[Any, ...], str]
ExpectedRows = Callable[[SweepConfig], Rows]
StoredRows = Callable[[Path], Rows]
ExpectedAttempts = Callable[[SweepConfig], dict[str, int]]


class Recorder:
    """Keeps the last status, and counts how often it was told."""

    def __init__(self) -> None:
        self.num_updates = 0
        self.closed = 0
        self.last: SweepStatus | None = None

    def update(self, status: SweepStatus) -> None:
        self.num_updates += 1
        self.last = status

    def close(self, status: SweepStatus) -> None:
        self.closed += 1
        self.last = status


def column(out: Path, name: str) -> Any:
    store = ResultStore(str(out))
    return store.columns(list(store.parts()))[name]


def attempts(out: Path) -> dict[str, int]:
    store = ResultStore(str(out))
    infos = store.parts()
    columns = store.columns(list(infos))
    return {infos[key].label: int(attempt) for key, attempt in zip(columns["key"], columns["attempt"], strict=True)}


def parts_with_times(out: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (out / "parts").glob("*.parquet")}


def test_rows_are_the_closed_form_and_a_second_run_does_nothing(
    tmp_path: Path, synthetic_config: MakeConfig, expected_rows: ExpectedRows, stored_rows: StoredRows
) -> None:
    config, out = synthetic_config(num=11, engines=2, benchmarks=("harmful", "harmless")), tmp_path / "out"
    recorder = Recorder()
    outcome = run_sweep(config, str(out), progress=recorder)
    assert (outcome.num_points, outcome.num_done, outcome.exit_code) == (22, 22, 0)
    rows = stored_rows(out)
    assert rows == expected_rows(config)
    assert set(rows.values()) == {"refused", "complied"}

    status = recorder.last
    assert status is not None
    assert (status.num_done, status.num_done_now, status.num_failed, recorder.closed) == (22, 22, 0, 1)
    assert status.num_tokens == column(out, "num_tokens").sum()
    harmful = [verdict for place, verdict in rows.items() if place[3] == "harmful"]
    assert status.so_far["harmful"] == ("asr", 100 * harmful.count("complied") / len(harmful))

    manifest = ResultStore(str(out)).read_manifest()
    assert manifest is not None
    assert manifest.sweep_id == config.sweep_id
    assert manifest.fingerprint == "synthetic"
    assert manifest.hardware["num_engines"] == 2
    assert manifest.versions["ray"] == ray.__version__

    before, again = parts_with_times(out), Recorder()
    assert run_sweep(config, str(out), progress=again) == outcome
    assert parts_with_times(out) == before
    assert again.num_updates == again.closed == 0


def test_a_wider_axis_and_a_further_benchmark_compute_only_what_is_new(
    tmp_path: Path, synthetic_config: MakeConfig, expected_rows: ExpectedRows, stored_rows: StoredRows
) -> None:
    out = tmp_path / "out"
    run_sweep(synthetic_config(num=5), str(out))
    first = parts_with_times(out)
    assert len(first) == 2 + 2 * 4

    wider = synthetic_config(num=7)
    assert run_sweep(wider, str(out)).num_done == 2 + 2 * 6
    second = parts_with_times(out)
    assert {name: second[name] for name in first} == first
    assert {name.split("_")[1].split(".harmful")[0] for name in second.keys() - first.keys()} == {"a-0.3", "a+0.3"}
    assert stored_rows(out) == expected_rows(wider)

    both = synthetic_config(num=7, benchmarks=("harmful", "harmless"))
    assert run_sweep(both, str(out)).exit_code == 0
    third = parts_with_times(out)
    assert {name: third[name] for name in second} == second
    assert len(third) == 2 * len(second)
    assert stored_rows(out) == expected_rows(both)


def test_a_poison_point_fails_alone_and_is_retried_on_request(
    tmp_path: Path, synthetic_config: MakeConfig, expected_rows: ExpectedRows, stored_rows: StoredRows
) -> None:
    out = tmp_path / "out"
    poisoned = synthetic_config(faults={"poison_coordinates": [[0.1]]}, max_attempts=2)
    outcome = run_sweep(poisoned, str(out))
    assert (outcome.num_done, outcome.num_failed, outcome.num_missing, outcome.exit_code) == (8, 2, 0, 4)
    expected = {place: verdict for place, verdict in expected_rows(poisoned).items() if place[2] != (0.1,)}
    assert stored_rows(out) == expected
    failures = ResultStore(str(out)).failures().values()
    assert {(f.label, f.benchmark, f.attempts, f.error) for f in failures} == {
        (f"d{draw}_a+0.1", "harmful", 2, f"Attempt 2 at d{draw}_a+0.1 fails on demand.") for draw in (0, 1)
    }

    recorder, healthy = Recorder(), synthetic_config()
    assert run_sweep(healthy, str(out), progress=recorder).exit_code == 4
    assert recorder.num_updates == 0
    assert run_sweep(healthy, str(out), retry_failed=True).exit_code == 0
    assert stored_rows(out) == expected_rows(healthy)
    assert ResultStore(str(out)).failures() == {}


def test_a_poison_prompt_is_marked_in_its_row_and_costs_no_attempt(
    tmp_path: Path, synthetic_config: MakeConfig, expected_rows: ExpectedRows, stored_rows: StoredRows
) -> None:
    config, out = synthetic_config(faults={"poison_prompts": ["7"]}, max_attempts=1), tmp_path / "out"
    assert run_sweep(config, str(out)).exit_code == 0
    expected = {place: "unscored" if place[-1] == 7 else verdict for place, verdict in expected_rows(config).items()}
    assert stored_rows(out) == expected
    assert set(column(out, "finish_reason")) == {"stop", "failed"}


def test_deaths_failures_and_lack_of_memory_change_no_row(
    tmp_path: Path,
    synthetic_config: MakeConfig,
    expected_rows: ExpectedRows,
    expected_attempts: ExpectedAttempts,
    stored_rows: StoredRows,
) -> None:
    faults = {"death_rate": 0.15, "failure_rate": 0.4, "out_of_memory_rate": 0.2}
    config, out = synthetic_config(num=7, engines=2, faults=faults, max_attempts=4), tmp_path / "out"
    assert run_sweep(config, str(out)).exit_code == 0
    assert stored_rows(out) == expected_rows(config)
    assert attempts(out) == expected_attempts(config)
    assert max(attempts(out).values()) == 4


def test_a_deadly_point_fails_alone(
    tmp_path: Path, synthetic_config: MakeConfig, expected_rows: ExpectedRows, stored_rows: StoredRows
) -> None:
    config = synthetic_config(num=3, faults={"deadly_coordinates": [[-0.1]]}, max_attempts=1)
    outcome = run_sweep(config, str(tmp_path / "out"))
    assert (outcome.num_done, outcome.num_failed, outcome.exit_code) == (4, 2, 4)
    expected = {place: verdict for place, verdict in expected_rows(config).items() if place[2] != (-0.1,)}
    assert stored_rows(tmp_path / "out") == expected
    errors = [failure.error for failure in ResultStore(str(tmp_path / "out")).failures().values()]
    assert all(error.startswith("The process of the engine was lost: ") for error in errors)


def test_a_visit_that_hangs_is_ended_and_repeated(
    tmp_path: Path, synthetic_config: MakeConfig, expected_rows: ExpectedRows, stored_rows: StoredRows
) -> None:
    # The first attempt at the origin hangs; with one engine nobody else can repeat it.
    config = synthetic_config(num=3, faults={"hang_rate": 0.15}, visit_timeout_s=2.0, max_attempts=4)
    assert run_sweep(config, str(tmp_path / "out")).exit_code == 0
    assert stored_rows(tmp_path / "out") == expected_rows(config)
    assert attempts(tmp_path / "out")["origin-r0"] > 1


def test_engines_that_cannot_stay_up_end_the_sweep_with_their_error(
    tmp_path: Path, synthetic_config: MakeConfig
) -> None:
    config = synthetic_config(engines=1, faults={"death_rate": 1.0}, max_attempts=3, max_engine_restarts=1)
    with pytest.raises(GenerationError, match="The process of the engine was lost"):
        run_sweep(config, str(tmp_path / "out"))


def test_another_science_is_refused_before_anything_starts(tmp_path: Path, synthetic_config: MakeConfig) -> None:
    out = tmp_path / "out"
    run_sweep(synthetic_config(num=1), str(out))
    before, recorder = parts_with_times(out), Recorder()
    with pytest.raises(OutputError, match=r"directions\.seed"):
        run_sweep(synthetic_config(num=1, seed=1), str(out), progress=recorder)
    assert parts_with_times(out) == before
    assert recorder.num_updates == 0


def test_an_engine_larger_than_any_node_is_refused(tmp_path: Path, synthetic_config: MakeConfig) -> None:
    with pytest.raises(ResourceError, match=r"takes 5 CPUs of one node .* is 4 CPUs\."):
        run_sweep(synthetic_config(cpus_per_engine=5), str(tmp_path / "out"))


def test_output_that_cannot_be_written_is_the_users_error(tmp_path: Path, synthetic_config: MakeConfig) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(OutputError, match="Cannot"):
        run_sweep(synthetic_config(), str(tmp_path / "file" / "out"))


SCRIPT = """
import sys
import landscape_ray.sweep.driver
from landscape_ray.config import load_config
from landscape_ray.errors import LandscapeError
from landscape_ray.sweep import run_sweep
landscape_ray.sweep.driver.RENEW_EVERY_S = 0.5
try:
    outcome = run_sweep(load_config(sys.argv[1]), sys.argv[2])
except LandscapeError as error:
    sys.exit(f"{type(error).__name__}: {error}")
print({name.partition(".")[0] for name in sys.modules} & {"torch", "vllm", "transformers", "safetensors"})
sys.exit(outcome.exit_code)
"""


def driver_process(config: SweepConfig, out: Path, folder: Path) -> "subprocess.Popen[str]":
    path = folder / "sweep.yaml"
    path.write_text(config.model_dump_json(), encoding="utf-8")
    address = ray.get_runtime_context().gcs_address
    return subprocess.Popen(  # noqa: S603  (our own interpreter and code)
        [sys.executable, "-c", SCRIPT, str(path), str(out)],
        env=os.environ | {"RAY_ADDRESS": address},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_parts(out: Path, num: int) -> None:
    """Return when a sweep under way has stored so many parts."""
    folder, pause = out / "parts", threading.Event()
    for _ in range(1200):
        if folder.exists() and sum(path.suffix == ".parquet" for path in folder.iterdir()) >= num:
            return
        pause.wait(0.05)
    pytest.fail(f"{num} parts never came")


def test_the_driver_imports_no_engine(tmp_path: Path, synthetic_config: MakeConfig) -> None:
    driver = driver_process(synthetic_config(num=1), tmp_path / "out", tmp_path)
    output, errors = driver.communicate(timeout=120)
    assert (driver.returncode, output.strip()) == (0, "set()"), errors


@pytest.mark.parametrize(("signum", "exit_code"), [(signal.SIGTERM, 3), (signal.SIGINT, 3), (signal.SIGKILL, -9)])
def test_an_interrupted_sweep_goes_on_where_it_was(  # noqa: PLR0917  (pytest passes them by name)
    signum: signal.Signals,
    exit_code: int,
    tmp_path: Path,
    synthetic_config: MakeConfig,
    expected_rows: ExpectedRows,
    stored_rows: StoredRows,
) -> None:
    slow, out = synthetic_config(num=31, faults={"delay_s": 0.1}), tmp_path / "out"
    driver = driver_process(slow, out, tmp_path)
    wait_for_parts(out, 5)
    driver.send_signal(signum)
    _, errors = driver.communicate(timeout=60)
    assert driver.returncode == exit_code, errors
    before = parts_with_times(out)
    assert 5 <= len(before) < 62

    config = synthetic_config(num=31)
    assert run_sweep(config, str(out)).exit_code == 0
    after = parts_with_times(out)
    assert {name: after[name] for name in before} == before
    assert stored_rows(out) == expected_rows(config)


def test_a_relative_folder_is_that_of_the_driver_wherever_engines_were_started(
    tmp_path: Path,
    synthetic_config: MakeConfig,
    stored_rows: StoredRows,
    expected_rows: ExpectedRows,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The cluster of these tests was started in another folder."""
    config = synthetic_config(num=3)
    monkeypatch.chdir(tmp_path)
    assert run_sweep(config, "out").exit_code == 0
    assert stored_rows(tmp_path / "out") == expected_rows(config)


def test_a_second_driver_gives_way_to_one_at_work_and_takes_over_from_one_that_fell_silent(
    tmp_path: Path,
    synthetic_config: MakeConfig,
    expected_rows: ExpectedRows,
    stored_rows: StoredRows,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slow, out = synthetic_config(num=61, faults={"delay_s": 0.1}), tmp_path / "out"
    first = driver_process(slow, out, tmp_path)
    wait_for_parts(out, 3)
    before = Recorder()
    with pytest.raises(LeaseError, match=rf"Another run is measuring this sweep \(process {first.pid} on "):
        run_sweep(slow, str(out), progress=before)
    assert before.num_updates == 0
    assert first.poll() is None

    first.send_signal(signal.SIGSTOP)
    monkeypatch.setattr(lease, "LAPSE_S", 2.0)
    assert run_sweep(slow, str(out)).exit_code == 0
    first.send_signal(signal.SIGCONT)
    _, errors = first.communicate(timeout=60)
    assert first.returncode == 1
    assert "LeaseError: Another run has taken this sweep over" in errors

    store = ResultStore(str(out))
    assert stored_rows(out) == expected_rows(slow)
    assert (store.quarantined(), store.failures(), store.drivers().get("")) == ([], {}, None)
