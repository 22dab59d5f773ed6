"""A sweep that runs is paused, resumed, resized and stopped through its folder, on a local Ray cluster."""

import json
import re
import shlex
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from landscape_ray.cli import main
from landscape_ray.config import SweepConfig
from landscape_ray.report.live import LiveReport
from landscape_ray.report.status import load_status
from landscape_ray.store import ResultStore
from landscape_ray.sweep import run_sweep

pytestmark = pytest.mark.usefixtures("local_ray")

Rows = dict[tuple[Any, ...], str]
StartDriver = Callable[[SweepConfig, Path], "subprocess.Popen[bytes]"]
SEEN_WITHIN_S = 10.0


def num_parts(out: Path) -> int:
    return len(list((out / "parts").glob("*.parquet"))) if (out / "parts").exists() else 0


def settled(out: Path) -> int:
    """Return how many parts there are once visits that were under way have ended: none has come for two seconds."""
    before = -1
    while before < (before := num_parts(out)):
        time.sleep(2.0)
    return before


def wait_for(what: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(1200):
        if what():
            return
        pause.wait(0.05)
    pytest.fail("it never came")


def ctl(out: Path, request: str, why: str) -> None:
    """Ask, and make sure that the driver has seen it soon enough."""
    began_s = time.monotonic()
    with pytest.raises(SystemExit) as ended:
        main(["ctl", str(out), *shlex.split(request), "--why", why])
    assert ended.value.code == 0
    assert time.monotonic() - began_s < SEEN_WITHIN_S


def log_of(out: Path) -> list[dict[str, Any]]:
    (path,) = (out / "log").iterdir()
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize(
    ("pause_s", "run"),
    [
        pytest.param(3.0, {}, id="briefly"),
        # Longer than kept engines wait for a sign of their driver, than a visit may take, and than a lease lapses.
        pytest.param(75.0, {"keep_engines_s": 5.0, "visit_timeout_s": 20.0}, id="for-long", marks=pytest.mark.long),
    ],
)
def test_a_pause_loses_nothing_and_more_engines_come_when_asked_for(  # noqa: PLR0917  (pytest's)
    pause_s: float,
    run: dict[str, float],
    tmp_path: Path,
    synthetic_config: Callable[..., SweepConfig],
    start_driver: StartDriver,
    expected_rows: Callable[[SweepConfig], Rows],
    stored_rows: Callable[[Path], Rows],
) -> None:
    config, out = synthetic_config(num=61, faults={"delay_s": 0.15}, **run), tmp_path / "out"
    driver = start_driver(config, out)
    wait_for(lambda: num_parts(out) >= 3)
    ctl(out, "pause", "the <judge> is down")
    before = settled(out)
    time.sleep(pause_s)
    assert num_parts(out) == before
    assert 3 <= before < 122
    status = load_status(str(out))
    assert status.paused is not None
    assert status.paused.why == "the <judge> is down"
    ctl(out, "set run.engines=2", "there is room")
    assert num_parts(out) == before
    ctl(out, "resume", "it is up")
    assert load_status(str(out)).paused is None
    assert driver.wait(timeout=120) == 0
    assert stored_rows(out) == expected_rows(config)

    log = log_of(out)
    asked = [(line["action"], line["num_engines"], line["why"]) for line in log if line["event"] == "requested"]
    assert asked == [("pause", None, "the <judge> is down"), ("set", 2, "there is room"), ("resume", None, "it is up")]
    assert all("@" in line["by"] for line in log if line["event"] == "requested")
    assert sum(line["event"] == "engine_up" for line in log) == 2
    assert not [line for line in log if line["event"] in {"engine_lost", "visit_failed", "given_up"}]
    assert log[-1]["work_s"] < 60  # the pause is not work


def test_a_stop_ends_the_run_and_the_next_one_goes_on(
    tmp_path: Path,
    synthetic_config: Callable[..., SweepConfig],
    start_driver: StartDriver,
    expected_rows: Callable[[SweepConfig], Rows],
    stored_rows: Callable[[Path], Rows],
) -> None:
    config, out = synthetic_config(num=61, engines=2, faults={"delay_s": 0.2}), tmp_path / "out"
    driver = start_driver(config, out)
    wait_for(lambda: num_parts(out) >= 3)
    ctl(out, "set run.engines=1", "others need it")
    ctl(out, "stop", "enough for today")
    assert driver.wait(timeout=60) == 3
    before = {path.name: path.stat().st_mtime_ns for path in (out / "parts").glob("*.parquet")}
    assert 3 <= len(before) < 122
    assert "requested" in [line["event"] for line in log_of(out)]

    late = ResultStore(str(out)).requests.asked()[-1].request
    assert not isinstance(late, str)
    name = ResultStore(str(out)).requests.ask(late)  # as if it had come a moment too late
    config = synthetic_config(num=61)
    assert run_sweep(config, str(out)).exit_code == 0
    after = {path.name: path.stat().st_mtime_ns for path in (out / "parts").glob("*.parquet")}
    assert {part: after[part] for part in before} == before
    assert stored_rows(out) == expected_rows(config)
    answers = {each.name: each.answer for each in ResultStore(str(out)).requests.asked()}
    assert (answer := answers[name]) is not None
    assert answer.refused == "the run that it was for had ended"


def test_after_a_crash_the_page_shows_what_is_there_and_nobody_can_be_asked(
    tmp_path: Path,
    synthetic_config: Callable[..., SweepConfig],
    killed_after: Callable[[int, SweepConfig, Path], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    killed_after(5, synthetic_config(num=61, faults={"delay_s": 0.1}), out)
    shown = LiveReport(str(out)).look()
    assert re.match(
        r"the driver is silent, last heard of 20\S+; the same command goes on from here: harmful ", shown.line
    )
    assert int(re.findall(r"harmful (\d+) of 122 points", shown.line)[0]) >= 5
    assert b"<h3>harmful</h3>" in shown.page
    with pytest.raises(SystemExit) as ended:
        main(["ctl", str(out), "pause", "--why", "x"])
    assert ended.value.code == 2
    assert "its driver has died" in capsys.readouterr().err
