"""A cluster that asks for the token of this machine, as `ray start` makes one, and commands that get its address."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from landscape_ray.config import SweepConfig

pytestmark = pytest.mark.slow

Rows = dict[tuple[Any, ...], str]
BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a token."""
    folder = tmp_path_factory.mktemp("home")
    (folder / ".ray").mkdir()
    (folder / ".ray" / "auth_token").write_text("0123456789abcdef" * 4, encoding="utf-8")
    return folder


def environment(home: Path, **settings: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return kept | {"HOME": str(home), "RAY_USAGE_STATS_ENABLED": "0", **settings}


@pytest.fixture(scope="module")
def address(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = Path("/tmp") / f"ray-token-{os.getpid()}"  # noqa: S108  (Ray's sockets need a short path)
    command = [BIN / "ray", "start", "--head", "--block", "--port", port, "--num-cpus", 1, "--temp-dir", folder]
    with (tmp_path_factory.mktemp("ray") / "log").open("wb") as log:
        cluster = subprocess.Popen(  # noqa: S603
            [*map(str, command), "--include-dashboard=false", "--node-ip-address=127.0.0.1"],
            env=environment(home),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            wait_until_open(port)
            yield f"127.0.0.1:{port}"
        finally:
            for process in [*psutil.Process(cluster.pid).children(recursive=True), cluster]:
                process.kill()
            cluster.wait(60)


def wait_until_open(port: int) -> None:
    for _ in range(1200):
        with socket.socket() as door:
            if not door.connect_ex(("127.0.0.1", port)):
                return
        time.sleep(0.05)
    pytest.fail("the cluster did not come up")


def test_run_and_engines_send_the_token_where_it_is_asked_for(  # noqa: PLR0917  (pytest passes them by name)
    address: str,
    home: Path,
    tmp_path: Path,
    synthetic_config: Callable[..., SweepConfig],
    expected_rows: Callable[[SweepConfig], Rows],
    stored_rows: Callable[[Path], Rows],
) -> None:
    sweep, config = synthetic_config(num=3, keep_engines_s=60), tmp_path / "sweep.yaml"
    config.write_text(sweep.model_dump_json(), encoding="utf-8")

    def command(*arguments: Any, home: Path = home) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(  # noqa: S603
            [str(BIN / "landscape-ray"), *map(str, arguments)],
            env=environment(home, RAY_ADDRESS=address),
            capture_output=True,
            text=True,
            check=False,
        )

    ran = command("run", config, "--out", tmp_path / "out")
    assert (ran.returncode, "points  " in ran.stdout) == (0, True), ran.stderr
    assert stored_rows(tmp_path / "out") == expected_rows(sweep)
    kept = command("engines", "--stop")
    assert (kept.returncode, "no-such-model" in kept.stdout) == (0, True), kept.stderr
    refused = command("run", config, "--out", tmp_path / "refused", home=tmp_path)
    assert refused.returncode == 2, refused.stderr
    assert "asks for a token, and there is none here" in refused.stderr
