"""Campaigns on a local Ray cluster with the synthetic engine, each row checked against its formula."""

import csv
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
import yaml

from landscape_ray.config import SweepConfig

pytestmark = pytest.mark.slow

MakeConfig = Callable[..., SweepConfig]
Rows = dict[tuple[Any, ...], str]
ExpectedRows = Callable[[SweepConfig], Rows]
StoredRows = Callable[[Path], Rows]

Start = Callable[..., "subprocess.Popen[str]"]

MAIN = "from landscape_ray.cli import main; main()"


@pytest.fixture
def write_config(tmp_path: Path, synthetic_config: MakeConfig) -> Callable[..., SweepConfig]:
    """Write a sweep of a model into a file of that name."""

    def write(model: str, *, name: str = "", **settings: Any) -> SweepConfig:
        made = synthetic_config(**settings).model_dump(mode="json") | {"model": {"id": model}}
        (tmp_path / f"{name or model}.yaml").write_text(yaml.safe_dump(made), encoding="utf-8")
        return SweepConfig.model_validate(made)

    return write


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Start the command line in a folder, with a Ray of its own."""
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    started = []

    def run(*arguments: str) -> "subprocess.Popen[str]":
        driver = subprocess.Popen(  # noqa: S603  (our own interpreter and code)
            [sys.executable, "-c", MAIN, "run", *arguments],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(driver)
        return driver

    yield run
    for driver in started:
        driver.kill()
        driver.communicate()


def wait_for_parts(driver: "subprocess.Popen[str]", folder: Path, num: int) -> None:
    pause = threading.Event()
    for _ in range(4000):
        assert driver.poll() is None, driver.communicate()
        if len(list(folder.glob("parts/*.parquet"))) >= num:
            return
        pause.wait(0.05)
    pytest.fail(f"{num} parts never came")


def times(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("parts/*.parquet")}


def stages(folder: Path) -> list[list[str]]:
    """Return the stages through which each engine of a folder came up."""
    lines = [line for log in (folder / "log").iterdir() for line in log.read_text(encoding="ascii").splitlines()]
    return [sorted(event["stages_s"]) for event in map(json.loads, lines) if event["event"] == "engine_up"]


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "all" / "table.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


NEW = ["fetch", "load", "prove", "start"]


@pytest.mark.parametrize(
    ("signum", "code"), [(signal.SIGTERM, 3), pytest.param(signal.SIGKILL, -9, marks=pytest.mark.long)]
)
def test_a_campaign_that_ends_amid_its_second_sweep_goes_on_there(  # noqa: PLR0917  (pytest passes them by name)
    signum: signal.Signals,
    code: int,
    tmp_path: Path,
    start: Start,
    write_config: MakeConfig,
    expected_rows: ExpectedRows,
    stored_rows: StoredRows,
) -> None:
    slow = {"delay_s": 0.2}
    first = write_config("model", name="first", num=3, faults=slow)
    write_config("model", name="second", num=31, seed=7, faults=slow)
    folders = {name: tmp_path / "all" / name for name in ("model", "model-second")}
    driver = start("first.yaml", "second.yaml", "--out", "all")
    wait_for_parts(driver, folders["model-second"], 4)
    driver.send_signal(signum)
    output, errors = driver.communicate(timeout=120)
    assert driver.returncode == code, errors
    assert "model 2 of 2: model-second; points: 0/62" in errors
    if signum == signal.SIGTERM:
        again = "landscape-ray run first.yaml second.yaml --out all"
        assert f"points of model-second; the same command measures them: {again}" in output
        assert [row["sweep"] for row in table(tmp_path)] == list(folders)
        assert [stages(folder) for folder in folders.values()] == [[NEW], [["adopt"]]]
    before = {name: times(folder) for name, folder in folders.items()}
    assert len(before["model"]) == 6
    assert 4 <= len(before["model-second"]) < 62

    second = write_config("model", name="second", num=31, seed=7)
    resumed = start("first.yaml", "second.yaml", "--out", "all", "--json")
    output, errors = resumed.communicate(timeout=240)
    assert resumed.returncode == 0, errors
    events = [json.loads(line) for line in output.splitlines()]
    assert [(each["event"], each.get("name")) for each in events] == [
        ("end", "model"),
        ("start", "model-second"),
        ("end", "model-second"),
        ("campaign", None),
    ]
    for config, (name, folder) in zip((first, second), folders.items(), strict=True):
        after = times(folder)
        assert {part: after[part] for part in before[name]} == before[name]
        assert stored_rows(folder) == expected_rows(config)
        assert (folder / "report" / "report.html").exists()
    assert [(row["sweep"], row["num_missing"]) for row in table(tmp_path)] == [(name, "0") for name in folders]
    assert (tmp_path / "all" / "table.html").exists()


def test_bad_input_for_the_last_sweep_is_told_before_the_first_begins(
    tmp_path: Path, start: Start, write_config: MakeConfig
) -> None:
    write_config("first", num=3)
    write_config("second", num=3)
    (tmp_path / "second.yaml").write_text(
        (tmp_path / "second.yaml").read_text(encoding="utf-8").replace("harmful.csv", "nowhere.csv"), encoding="utf-8"
    )
    driver = start("first.yaml", "second.yaml", "--out", "all")
    output, errors = driver.communicate(timeout=120)
    assert (driver.returncode, output) == (2, "")
    assert errors.startswith("Error: second: Benchmark 'harmful': cannot read the prompt file")
    assert errors.endswith("Nothing was started.\n")
    assert not (tmp_path / "all").exists()


@pytest.mark.long
def test_a_sweep_that_fails_stops_no_other_and_engines_go_from_one_to_the_next_of_their_model(
    tmp_path: Path, start: Start, write_config: MakeConfig, expected_rows: ExpectedRows, stored_rows: StoredRows
) -> None:
    write_config("broken", num=3, faults={"death_rate": 1.0}, max_engine_restarts=0)
    poisoned = write_config("shared", num=5, faults={"poison_coordinates": [[0.1]]}, max_attempts=1)
    again = write_config("shared", name="again", num=5, seed=3, faults={"poison_coordinates": [[0.1]]}, max_attempts=1)
    driver = start("shared.yaml", "broken.yaml", "again.yaml", "--out", "all")
    output, errors = driver.communicate(timeout=240)
    assert driver.returncode == 1, errors  # an error is worse than points given up
    assert "Error: broken: The process of the engine was lost" in errors
    assert "points of broken; the same command measures them" in output
    assert "points of shared, shared-again; landscape-ray run" in output
    assert [row["sweep"] for row in table(tmp_path)] == ["shared", "shared-again"]
    for name, config in (("shared", poisoned), ("shared-again", again)):
        expected = {place: verdict for place, verdict in expected_rows(config).items() if place[2] != (0.1,)}
        assert stored_rows(tmp_path / "all" / name) == expected
    assert stages(tmp_path / "all" / "shared-again") == [["adopt"]]
    assert stages(tmp_path / "all" / "shared") == [NEW]
