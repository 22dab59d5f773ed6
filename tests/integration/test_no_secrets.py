"""Nothing that is written or printed holds a token, nothing is unpickled, and nothing shipped opens a dashboard."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from landscape_ray.config import SweepConfig

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "landscape_ray").rglob("*.py"))
SHIPPED = [
    path
    for path in (*(ROOT / "jobs").rglob("*"), *(ROOT / "docs").rglob("*"), *ROOT.glob("*.y*ml"), ROOT / "README.md")
    if path.is_file()
]
UNPICKLERS = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
MARK = "S3cr3tMarker"
SECRETS = {
    "HF_TOKEN": f"hf_{MARK}1",
    "AWS_ACCESS_KEY_ID": f"AKIA{MARK}2",
    "AWS_SECRET_ACCESS_KEY": f"{MARK}3",
    "AWS_ENDPOINT_URL": f"https://user:{MARK}4@store.invalid",
    "GOOGLE_APPLICATION_CREDENTIALS": f"/nowhere/{MARK}5.json",
    "AZURE_STORAGE_CONNECTION_STRING": f"AccountKey={MARK}6",
    "HF_ENDPOINT": f"https://user:{MARK}7@hub.invalid",
}


def landscape_ray(*arguments: str, cwd: Path) -> tuple[int, bytes]:
    result = subprocess.run(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-c", "from landscape_ray.cli import main; main()", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        cwd=cwd,
        env={**os.environ, **SECRETS},
        timeout=120,
    )
    return result.returncode, result.stdout


@pytest.mark.slow
def test_a_whole_sweep_writes_and_prints_no_token(tmp_path: Path, synthetic_config: Callable[..., SweepConfig]) -> None:
    """With engines that fail, die and give up, because errors are what tends to quote what it should not."""
    faults = {"poison_coordinates": [[0.2]], "deadly_coordinates": [[-0.2]]}
    config = synthetic_config(num=5, faults=faults, max_attempts=1)
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json")), encoding="utf-8")
    code, printed = landscape_ray("run", "sweep.yaml", "--out", "out", cwd=tmp_path)
    assert code == 4, printed.decode()
    said = [landscape_ray(command, "out", cwd=tmp_path)[1] for command in ("status", "report")]

    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    folders = {path.relative_to(tmp_path / "out").parts[0] for path in files}
    assert folders >= {"manifest.json", "parts", "failures", "log", "report"}
    holding = [str(path) for path in files if MARK.encode() in path.read_bytes() or MARK in path.name]
    assert holding == []
    assert MARK.encode() not in b"".join([printed, *said])


@pytest.mark.parametrize("command", [["run", "sweep.yaml", "--out"], ["submit", "sweep.yaml", "--out"], ["status"]])
def test_credentials_in_an_address_are_not_repeated_when_it_fails(
    command: list[str], tmp_path: Path, synthetic_config: Callable[..., SweepConfig]
) -> None:
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(synthetic_config().model_dump(mode="json")), encoding="utf-8")
    code, printed = landscape_ray(*command, f"nosuch://user:{MARK}@host/x?token={MARK}", cwd=tmp_path)
    assert code == 2
    assert b"Error: " in printed
    assert MARK.encode() not in printed


def imported(path: Path) -> Iterator[str]:
    """Yield the top-level name of each module that a file imports, inside of functions as well."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


def test_nothing_of_ours_unpickles() -> None:
    assert len(SOURCES) > 40
    assert {str(path): found for path in SOURCES if (found := UNPICKLERS & set(imported(path)))} == {}
    calls = {
        ast.unparse(node.func)
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
    }
    refused = {"torch.load", "eval", "exec", "yaml.load", "yaml.unsafe_load", "np.load", "numpy.load"}
    assert calls & refused == set()
    assert "yaml.safe_load" in calls  # so that the calls were found


def test_no_shipped_file_opens_a_dashboard_to_the_network() -> None:
    hosts = {
        (path.name, host)
        for path in SHIPPED
        for host in re.findall(r"dashboard[-_]host['\"]?[=:\s]+['\"]?([^\s'\",]+)", path.read_text(errors="replace"))
    }
    assert {(name, host) for name, host in hosts if host not in {"127.0.0.1", "localhost"}} == set()
