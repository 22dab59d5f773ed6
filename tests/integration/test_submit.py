"""`landscape-ray submit` against the job API of a real cluster on this machine, with the synthetic engine."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from ray.cluster_utils import Cluster as RayCluster
from ray.job_submission import JobSubmissionClient

from landscape_ray.config import SweepConfig
from landscape_ray.report.live import LiveReport

pytestmark = pytest.mark.slow

MakeConfig = Callable[..., SweepConfig]
Rows = dict[tuple[Any, ...], str]
BIN = Path(sys.executable).parent
DEADLINE_S = 90


class Cluster:
    def __init__(self, address: str, metrics: str) -> None:
        self.address = address
        self.metrics = metrics

    def submit(self, config: SweepConfig, out: Path, folder: Path, *options: str) -> subprocess.Popen[str]:
        """Submit from a terminal; the configuration lies outside of the folder that is uploaded."""
        path = folder / "sweep.yaml"
        path.write_text(yaml.safe_dump(config.model_dump(mode="json")), encoding="utf-8")
        uploaded = folder / "uploaded"
        uploaded.mkdir(exist_ok=True)
        (uploaded / "note.txt").write_text("Ray refuses an empty folder.", encoding="utf-8")
        command = [BIN / "landscape-ray", "submit", path, "--out", out, "--address", self.address, *options]
        return subprocess.Popen(  # noqa: S603
            list(map(str, command)),
            cwd=uploaded,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "HF_TOKEN": "hf_marker"},
        )

    def metric_lines(self) -> list[str]:
        with contextlib.suppress(OSError), urllib.request.urlopen(self.metrics) as answer:  # noqa: S310
            return answer.read().decode().splitlines()  # type: ignore[no-any-return]
        return []

    def jobs(self) -> list[Any]:
        found: list[Any] = JobSubmissionClient(self.address).list_jobs()
        return found


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    ray.shutdown()  # that of `local_ray`, if there is one
    with (
        pytest.MonkeyPatch.context() as patch,
        tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder,
    ):
        patch.setenv("PATH", f"{BIN}:{os.environ['PATH']}")  # jobs find `landscape-ray` where the cluster does
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_metrics_report_interval_ms", "500")
        patch.delenv("HF_TOKEN", raising=False)
        head = RayCluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": 2,
                "include_dashboard": True,
                "dashboard_host": "127.0.0.1",
                # Any free port. Unless told, the agent takes a fixed one, and where that is taken, it takes no jobs.
                "dashboard_port": 0,
                "dashboard_agent_listen_port": 0,
                "temp_dir": folder,
            },
        )
        # A job joins the cluster that this file of the folder names. In Ray's common folder that is the latest one of
        # the machine, such as that of a test process beside this one.
        (Path(folder) / "ray_current_cluster").write_text(head.address, encoding="utf-8")
        cluster = Cluster(f"http://{head.webui_url}", f"http://127.0.0.1:{head.head_node.metrics_export_port}/metrics")
        try:
            wait_for(cluster.metric_lines, "the agent that starts jobs and exports metrics is not up")
            yield cluster
        finally:
            head.shutdown()


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    """Return the first true answer."""
    deadline_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline_s:
        if answer := condition():
            return answer
        time.sleep(0.2)
    raise AssertionError(what)


def driver_of(out: Path) -> int:
    """Return the id of the process of the job that writes to a folder."""
    command = "\0".join(["landscape-ray", "run", "/dev/stdin", "--out", str(out), "--submitted-as", ""])
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # the process has gone
            if command in path.read_text(encoding="utf-8", errors="replace"):
                found.append(int(path.parent.name))
    (pid,) = found
    return pid


def parts(out: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (out / "parts").glob("*.parquet")}


def test_a_job_is_followed_to_its_true_exit_code_and_tells_no_secrets(
    cluster: Cluster,
    tmp_path: Path,
    synthetic_config: MakeConfig,
    expected_rows: Callable[[SweepConfig], Rows],
    stored_rows: Callable[[Path], Rows],
) -> None:
    config, out = synthetic_config(num=5, faults={"poison_coordinates": [[0.1]]}), tmp_path / "out"
    job = cluster.submit(config, out, tmp_path, "--follow", "--env", "LANDSCAPE_RAY__RUN__MAX_ATTEMPTS=1")
    output, _ = job.communicate(timeout=DEADLINE_S)
    assert job.returncode == 4, output  # both draws' points at 0.1 were given up
    assert "points: 8/10, 2 failed" in output
    rows = {place: verdict for place, verdict in expected_rows(config).items() if place[2] != (0.1,)}
    assert stored_rows(out) == rows
    (log,) = (out / "log").iterdir()
    given_up = [line for line in map(json.loads, log.read_text().splitlines()) if line["event"] == "given_up"]
    assert sorted((line["label"], line["attempts"]) for line in given_up) == [("d0_a+0.1", 1), ("d1_a+0.1", 1)]

    (details,) = [job for job in cluster.jobs() if (job.metadata or {}).get("out") == str(out)]
    assert (details.status, details.driver_exit_code) == ("FAILED", 4)
    assert (details.metadata["sweep_id"], details.metadata["config"]) == (config.sweep_id, "sweep")
    assert "hf_marker" not in details.model_dump_json() + output


def test_what_is_wrong_on_the_cluster_is_exit_code_2_here(
    cluster: Cluster, tmp_path: Path, synthetic_config: MakeConfig
) -> None:
    config = synthetic_config()
    (tmp_path / "harmful.csv").unlink()
    job = cluster.submit(config, tmp_path / "out", tmp_path, "--follow")
    output, _ = job.communicate(timeout=DEADLINE_S)
    assert job.returncode == 2, output
    assert "harmful.csv" in output.rpartition("Error: ")[2]


def test_a_killed_job_is_submitted_again_and_goes_on(
    cluster: Cluster,
    tmp_path: Path,
    synthetic_config: MakeConfig,
    expected_rows: Callable[[SweepConfig], Rows],
    stored_rows: Callable[[Path], Rows],
) -> None:
    config, out = synthetic_config(num=31, faults={"delay_s": 0.3}), tmp_path / "out"
    job = cluster.submit(config, out, tmp_path, "--follow")
    wait_for(lambda: len(parts(out)) >= 5, "no parts")

    # While it runs, Ray exports what the dashboard of Grafana asks for.
    def exported() -> set[str]:
        lines = (line for line in cluster.metric_lines() if line.startswith("ray_landscape_ray_"))
        return {line.partition("{")[0] for line in lines if config.sweep_id in line}

    asked = {
        "ray_landscape_ray_points",
        "ray_landscape_ray_points_done",
        "ray_landscape_ray_points_failed",
        "ray_landscape_ray_engines_up",
        "ray_landscape_ray_engines_starting",
        "ray_landscape_ray_tokens_total",
        "ray_landscape_ray_visit_seconds_bucket",
        "ray_landscape_ray_visit_seconds_sum",
        "ray_landscape_ray_visit_seconds_count",
        "ray_landscape_ray_engine_start_seconds_sum",
        "ray_landscape_ray_engine_start_seconds_count",
    }
    wait_for(lambda: asked <= exported(), f"Ray exports {sorted(exported())}")
    assert re.match(r"running: harmful \d+ of 62 points; .*driver on ", LiveReport(str(out)).look().line)

    os.kill(driver_of(out), signal.SIGKILL)
    output, _ = job.communicate(timeout=DEADLINE_S)
    assert job.returncode == 128 + signal.SIGKILL, output
    before = parts(out)
    assert 5 <= len(before) < 62
    assert LiveReport(str(out)).look().line.startswith("the driver is silent, last heard of ")
    (log,) = (out / "log").iterdir()
    assert json.loads(log.read_text().splitlines()[-1])["event"] == "running"

    job = cluster.submit(config, out, tmp_path, "--follow", "--set", "run.synthetic.delay_s=0")
    output, _ = job.communicate(timeout=DEADLINE_S)
    assert job.returncode == 0, output
    after = parts(out)
    assert len(after) == 62
    assert {name: after[name] for name in before} == before
    assert stored_rows(out) == expected_rows(config)
