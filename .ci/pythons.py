#!/usr/bin/env python3
"""Installs the plain package, as on a laptop, under each other Python that is here, imports it and plans the demo.

One that is not here is skipped by name.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
UV = str(ROOT / ".venv" / "bin" / "uv")
PYTHONS = ("3.12", "3.13")


def interpreter(version: str) -> str | None:
    """Return a Python of this version that runs; a name on PATH may be a shim of one that is not there."""
    check = f"import sys; sys.exit(sys.version_info[:2] != {tuple(map(int, version.split('.')))})"
    for candidate in (f"python{version}", *map(str, Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))):
        try:
            if subprocess.run([candidate, "-c", check], capture_output=True, check=False).returncode == 0:
                return candidate
        except FileNotFoundError:
            continue
    return None


def try_it(python: str, folder: Path) -> None:
    """Install, import and plan."""
    subprocess.run([UV, "venv", "--quiet", "--python", python, str(folder)], check=True)
    inside = folder / "bin"
    subprocess.run([UV, "pip", "install", "--quiet", "--python", str(inside / "python"), "."], cwd=ROOT, check=True)
    # From another folder, where the package is the one that was installed.
    subprocess.run([inside / "python", "-c", "import landscape_ray, landscape_ray.sweep"], cwd=folder, check=True)
    plan = [inside / "landscape-ray", "plan", str(ROOT / "jobs" / "configs" / "demo.yaml")]
    subprocess.run(plan, stdout=subprocess.DEVNULL, cwd=folder, check=True)


if __name__ == "__main__":
    for version in PYTHONS:
        found = interpreter(version)
        if found is None:
            print(f"Python {version}: skipped, there is none here")
            continue
        with tempfile.TemporaryDirectory() as folder:
            try:
                try_it(found, Path(folder))
            except subprocess.CalledProcessError as error:
                sys.exit(f"Python {version}: failed: {error}")
        print(f"Python {version}: imports and plans", flush=True)
