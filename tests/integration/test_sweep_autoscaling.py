"""A sweep makes an autoscaled cluster grow from no worker to two, and shrink to none again when it is done."""

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from landscape_ray.config import SweepConfig

pytestmark = pytest.mark.slow

Rows = dict[tuple[Any, ...], str]
HEAD_ID = "f" * 51 + "00000"
PORT = 6379
"""Ray's default port: pretend nodes look for their head nowhere else."""
EMPTY_LISTS = (
    "cluster_synced_files",
    "rsync_exclude",
    "rsync_filter",
    "initialization_commands",
    "setup_commands",
    "head_setup_commands",
    "worker_setup_commands",
    "head_start_ray_commands",
    "worker_start_ray_commands",
)


DRIVER = """
import json, sys, time
import ray
from landscape_ray.config import load_config
from landscape_ray.sweep import run_sweep

def num_gpu_nodes():
    return sum(node["Alive"] and node["Resources"].get("GPU", 0) > 0 for node in ray.nodes())

class Watch:
    most_up = most_nodes = 0
    def update(self, status):
        self.most_up = max(self.most_up, status.num_up)
        self.most_nodes = max(self.most_nodes, num_gpu_nodes())
    def close(self, status):
        pass

ray.init(log_to_driver=False, logging_level="ERROR")
before, watch = num_gpu_nodes(), Watch()
assert run_sweep(load_config(sys.argv[1]), sys.argv[2], progress=watch).exit_code == 0
deadline = time.monotonic() + 120
while (after := num_gpu_nodes()) and time.monotonic() < deadline:
    time.sleep(0.2)
print(json.dumps({"before": before, "most_up": watch.most_up, "most_nodes": watch.most_nodes, "after": after}))
"""


@pytest.fixture
def autoscaled_cluster(tmp_path: Path) -> Iterator[str]:
    """Start a head whose autoscaler brings pretend GPU nodes, which are processes of this machine; no cloud needed."""
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", PORT)) == 0:
            pytest.skip(f"something else listens on port {PORT}")
    config: dict[str, Any] = {
        "cluster_name": "pretend",
        "max_workers": 8,
        "provider": {
            # Type `fake_multinode` would do the same, but lacks a file in Ray's wheels.
            "type": "external",
            "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
            "use_node_id_as_ip": True,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
            "launch_multiple": True,
            "head_node_id": HEAD_ID,
        },
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            "gpu": {
                "resources": {"CPU": 1, "GPU": 1, "object_store_memory": 100 * 1024**2},
                "node_config": {},
                "min_workers": 0,
                "max_workers": 2,
                "labels": {"ray.io/market-type": "spot"},
            },
        },
        "head_node_type": "ray.head.default",
        "idle_timeout_minutes": 0.1,
        "upscaling_speed": 1.0,
        **{key: {} for key in ("auth", "docker", "file_mounts")},
        **{key: [] for key in EMPTY_LISTS},
        "file_mounts_sync_continuously": False,
    }
    file = tmp_path / "autoscaling.json"
    file.write_text(json.dumps(config), encoding="utf-8")
    log = tmp_path / "head.log"
    # In a folder of its own, so that no other driver of this machine takes it for the cluster to use. The path is
    # short, because sockets lie in it.
    folder = tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True)
    with log.open("w") as output:
        head = subprocess.Popen(  # noqa: S603  (our own command)
            [
                Path(sys.executable).parent / "ray",
                "start",
                "--head",
                "--block",
                "--num-cpus=0",
                f"--port={PORT}",
                f"--temp-dir={folder.name}",
                "--include-dashboard=false",
                "--object-store-memory=100000000",
                f"--autoscaling-config={file}",
            ],
            env=os.environ
            | {
                "RAY_FAKE_CLUSTER": "1",
                "AUTOSCALER_UPDATE_INTERVAL_S": "1",
                "RAY_AUTH_MODE": "disabled",
                "RAY_USAGE_STATS_ENABLED": "0",
                "RAY_enable_autoscaler_v2": "1",
                "RAY_CLOUD_INSTANCE_ID": HEAD_ID,
                "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD_ID,
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            },
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield address_in(log, head)
    finally:
        # `ray stop` would end every Ray of this machine; only what was started here may go.
        started = [psutil.Process(head.pid), *psutil.Process(head.pid).children(recursive=True)]
        for process in started:
            if process.is_running():
                process.kill()
        head.wait()
        psutil.wait_procs(started[1:], timeout=10)
        folder.cleanup()


def address_in(log: Path, head: "subprocess.Popen[bytes]") -> str:
    """Wait until the head says where it is."""
    pause = threading.Event()
    for _ in range(1200):
        if found := re.search(r"--address='([\d.]+:\d+)'", log.read_text(encoding="utf-8")):
            return found[1]
        assert head.poll() is None, log.read_text(encoding="utf-8")
        pause.wait(0.1)
    pytest.fail(log.read_text(encoding="utf-8"))


def test_nodes_come_for_a_sweep_and_go_after_it(
    tmp_path: Path,
    autoscaled_cluster: str,
    synthetic_config: Callable[..., SweepConfig],
    expected_rows: Callable[[SweepConfig], Rows],
    stored_rows: Callable[[Path], Rows],
) -> None:
    config = synthetic_config(
        num=101,
        engines=2,
        accelerator="gpu",
        node_labels=[{"ray.io/market-type": "spot"}, {"ray.io/market-type": "on-demand"}],
        faults={"delay_s": 0.2},
    )
    path, out = tmp_path / "sweep.yaml", tmp_path / "out"
    path.write_text(config.model_dump_json(), encoding="utf-8")
    driver = subprocess.run(  # noqa: S603  (our own interpreter and code)
        [sys.executable, "-c", DRIVER, str(path), str(out)],
        env=os.environ | {"RAY_ADDRESS": autoscaled_cluster, "RAY_AUTH_MODE": "disabled"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert driver.returncode == 0, driver.stderr
    # Ray may say before that tasks wait for nodes, and says it on standard output.
    assert json.loads(driver.stdout.splitlines()[-1]) == {"before": 0, "most_up": 2, "most_nodes": 2, "after": 0}
    assert stored_rows(out) == expected_rows(config)
