import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from landscape_ray.sweep.cluster.resources import forwarded_environment

SCRIPT = """
import os, sys
from landscape_ray.sweep.cluster.resources import lease_cores
cores = lease_cores(int(sys.argv[1]))
print(list(cores), sorted(os.sched_getaffinity(0)), os.environ.get("OMP_NUM_THREADS"), flush=True)
sys.stdin.read()
"""


class Engine:
    """A process that leases cores and keeps them until it is ended."""

    def __init__(self, num: int, folder: Path) -> None:
        environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
        self._process = subprocess.Popen(  # noqa: S603  (our own interpreter and code)
            [sys.executable, "-c", SCRIPT, str(num)],
            env=environment | {"TMPDIR": str(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.said = self._process.stdout.readline().strip()

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.mark.slow
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_engines_of_one_node_get_disjoint_cores_and_a_new_one_those_of_the_dead(tmp_path: Path) -> None:
    cores = sorted(os.sched_getaffinity(0))
    engines = [Engine(1, tmp_path), Engine(1, tmp_path)]
    try:
        assert [engine.said for engine in engines] == [f"[{core}] [{core}] 1" for core in cores[:2]]
        engines.append(Engine(len(cores) - 1, tmp_path))
        assert engines[2].said == f"[] {cores} None"  # one core too few is left, so it is bound to none
        engines[0].kill()
        engines.append(Engine(1, tmp_path))
        assert engines[3].said == f"[{cores[0]}] [{cores[0]}] 1"
    finally:
        for engine in engines:
            engine.kill()


def test_leases_lie_in_a_folder_of_the_user(tmp_path: Path) -> None:
    engine = Engine(1, tmp_path)
    engine.kill()
    (folder,) = tmp_path.iterdir()
    assert folder.name == f"landscape-ray-cores-{os.getuid()}"
    assert folder.stat().st_mode & 0o077 == 0
    assert tempfile.gettempdir() != str(tmp_path)


def test_engines_see_tokens_caches_and_endpoints_of_the_driver_and_nothing_else() -> None:
    environment = {
        "HF_TOKEN": "t",
        "HF_HUB_OFFLINE": "1",
        "VLLM_CACHE_ROOT": "/cache",
        "AWS_ENDPOINT_URL": "http://store",
        "PATH": "/bin",
        "RAY_ADDRESS": "head:6379",
    }
    assert forwarded_environment(environment).keys() == environment.keys() - {"PATH", "RAY_ADDRESS"}
