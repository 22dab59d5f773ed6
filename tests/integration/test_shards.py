"""Drivers that share a folder, as processes of their own on one local Ray cluster; each row checked by its formula."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from landscape_ray.config import SweepConfig
from landscape_ray.errors import ConfigError, LeaseError
from landscape_ray.report.status import load_status
from landscape_ray.store import ResultStore, Shard
from landscape_ray.sweep import measure_shard, prepare, run_sweep, shards

pytestmark = [pytest.mark.usefixtures("local_ray"), pytest.mark.slow]

MakeConfig = Callable[..., SweepConfig]
Rows = dict[tuple[Any, ...], str]
ExpectedRows = Callable[[SweepConfig], Rows]
StoredRows = Callable[[Path], Rows]
Start = Callable[[SweepConfig, Path, str], "subprocess.Popen[str]"]

SCRIPT = """
import sys
import landscape_ray.sweep.driver
from landscape_ray.config import load_config
from landscape_ray.store import Shard
from landscape_ray.sweep import measure_shard, prepare
landscape_ray.sweep.driver.RENEW_EVERY_S = 0.5
sweep = prepare(load_config(sys.argv[1]), sys.argv[2])
sys.exit(measure_shard(sweep, shard=Shard.parse(sys.argv[3])).exit_code)
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Run a shard from a process of its own."""
    started = []

    def run(config: SweepConfig, out: Path, shard: str) -> "subprocess.Popen[str]":
        path = tmp_path / "sweep.json"
        path.write_text(config.model_dump_json(), encoding="utf-8")
        environment = os.environ | {"RAY_ADDRESS": ray.get_runtime_context().gcs_address}
        command = [sys.executable, "-c", SCRIPT, str(path), str(out), shard]
        started.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))  # noqa: S603
        return started[-1]

    yield run
    for driver in started:
        driver.kill()
        driver.communicate()


def labels(out: Path) -> set[str]:
    return {info.label for info in ResultStore(str(out)).parts().values()}


def wait_for_parts(out: Path, shard: Shard, num: int) -> None:
    """Return when so many points of a shard are measured."""
    pause = threading.Event()
    for _ in range(1200):
        if len(list(filter(shard.owns, labels(out)))) >= num:
            return
        pause.wait(0.1)
    pytest.fail(f"{num} parts of {shard} never came")


def num_visits(out: Path) -> list[int]:
    """Return how many points each run into a folder has measured, by the last line of its log."""
    lines = (log.read_text(encoding="ascii").splitlines()[-1] for log in (out / "log").iterdir())
    return [json.loads(line)["num_done_now"] for line in lines]


def test_two_drivers_share_a_sweep_and_others_are_refused_meanwhile(
    tmp_path: Path, start: Start, synthetic_config: MakeConfig, expected_rows: ExpectedRows, stored_rows: StoredRows
) -> None:
    config, out = synthetic_config(num=41, faults={"delay_s": 0.2}), tmp_path / "out"
    first, second = Shard(1, 2), Shard(2, 2)
    drivers = [start(config, out, str(shard)) for shard in (first, second)]
    for shard in (first, second):
        wait_for_parts(out, shard, 2)
    assert {name: held.pid for name, held in load_status(str(out)).shards.items()} == {
        shard.name: driver.pid for shard, driver in zip((first, second), drivers, strict=True)
    }
    with pytest.raises(
        LeaseError, match=r"Another run is measuring shard ./2 of this sweep .* or one driver takes all"
    ):
        run_sweep(config, str(out))
    with pytest.raises(LeaseError, match=r"Another run is measuring shard ./2 of this sweep .* of the same number"):
        measure_shard(prepare(config, str(out)), shard=Shard(3, 3))
    with pytest.raises(LeaseError, match=r"Another run is measuring shard 1/2 of this sweep .* Two would do"):
        measure_shard(prepare(config, str(out)), shard=first)
    errors = [driver.communicate(timeout=120)[1] for driver in drivers]
    codes = [driver.returncode for driver in drivers]
    assert set(codes) <= {0, 3}, errors
    assert 0 in codes, errors  # the last one finds nothing missing
    for code, error in zip(codes, errors, strict=True):
        assert ("is left to its driver" in error) == (code == 3), error

    assert stored_rows(out) == expected_rows(config)
    shares = [sum(map(shard.owns, labels(out))) for shard in (first, second)]
    assert sorted(num_visits(out)) == sorted(shares)
    store = ResultStore(str(out))
    assert (store.quarantined(), store.failures(), load_status(str(out)).shards) == ([], {}, {})
    manifest = store.require_manifest()
    assert (manifest.sweep_id, load_status(str(out)).exit_code) == (config.sweep_id, 0)


def test_the_shard_of_a_driver_that_was_killed_is_taken_over(
    tmp_path: Path, start: Start, synthetic_config: MakeConfig, expected_rows: ExpectedRows, stored_rows: StoredRows
) -> None:
    config, out = synthetic_config(num=41, faults={"delay_s": 0.1}), tmp_path / "out"
    survivor, lost = start(config, out, "1/2"), start(config, out, "2/2")
    wait_for_parts(out, Shard(2, 2), 3)
    lost.send_signal(signal.SIGKILL)
    lost.wait(timeout=60)
    before = {path.name: path.stat().st_mtime_ns for path in (out / "parts").glob("*.parquet")}
    assert len(list(filter(Shard(2, 2).owns, labels(out)))) < 30
    _, errors = survivor.communicate(timeout=240)
    assert survivor.returncode == 0, errors
    assert "Looking after shard 2/2: " in errors
    after = {path.name: path.stat().st_mtime_ns for path in (out / "parts").glob("*.parquet")}
    assert {name: after[name] for name in before} == before
    assert stored_rows(out) == expected_rows(config)
    assert ResultStore(str(out)).quarantined() == []
    assert load_status(str(out)).shards == {}


def test_shards_whose_drivers_never_come_are_taken_over_and_a_point_given_up_is_tried_once(
    tmp_path: Path,
    synthetic_config: MakeConfig,
    expected_rows: ExpectedRows,
    stored_rows: StoredRows,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shards, "GRACE_S", 0.5)
    monkeypatch.setattr(shards, "LOOK_EVERY_S", 0.1)
    config, out = synthetic_config(num=5, faults={"poison_coordinates": [[0.1]]}, max_attempts=1), tmp_path / "out"
    for retry_failed in (False, True):
        outcome = measure_shard(prepare(config, str(out)), shard=Shard(2, 3), retry_failed=retry_failed)
        assert (outcome.num_points, outcome.num_done, outcome.num_failed, outcome.exit_code) == (10, 8, 2, 4)
    expected = {place: verdict for place, verdict in expected_rows(config).items() if place[2] != (0.1,)}
    assert stored_rows(out) == expected
    assert sum(num_visits(out)) == 8


@pytest.mark.long
def test_repeats_of_the_wall_point_are_chosen_when_all_shards_are_done(
    tmp_path: Path, synthetic_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "GRACE_S", 0.0)
    made = synthetic_config(num=11).model_dump(mode="json")
    made["landscape"]["wall_repeats"] = 3
    config = SweepConfig.model_validate(made)
    outcome = measure_shard(prepare(config, str(tmp_path / "out")), shard=Shard(1, 2))
    alone = run_sweep(config, str(tmp_path / "alone"))
    assert outcome == alone
    assert labels(tmp_path / "out") == labels(tmp_path / "alone")
    assert len(labels(tmp_path / "out")) == 24


@pytest.mark.parametrize(("science", "said"), [("adaptive", "With adaptive"), ("certify", r"With certify \(--until-c")])
def test_points_that_depend_on_each_other_are_not_shared(
    tmp_path: Path, synthetic_config: MakeConfig, science: str, said: str
) -> None:
    made = synthetic_config(num=21).model_dump(mode="json")
    made["directions"]["draws"] = 59
    made[science] = {"radius": 0.5} if science == "certify" else {"fraction": 0.6}
    sweep = prepare(SweepConfig.model_validate(made), str(tmp_path / "out"))
    with pytest.raises(ConfigError, match=rf"{said}.* Leave out --shard 1/2"):
        measure_shard(sweep, shard=Shard(1, 2))
