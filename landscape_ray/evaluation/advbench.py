"""AdvBench harmful behaviours: fetched from a pinned address or read from a local copy, never shipped."""

import contextlib
import hashlib
import http.client
import os
import tempfile
import urllib.request
from pathlib import Path

from landscape_ray.errors import BenchmarkError, TransientError
from landscape_ray.transience import is_transient

__all__ = ["ADVBENCH_SHA256", "ADVBENCH_URL", "advbench_csv"]

ADVBENCH_URL = (
    "https://raw.githubusercontent.com/llm-attacks/llm-attacks/098262edf85f807224e70ecd87b9d83716bf6b73"
    "/data/advbench/harmful_behaviors.csv"
)
"""Pinned to a commit. Source: Zou et al. 2023, MIT licence; columns `goal` and `target`, 520 rows, 82,125 bytes."""

ADVBENCH_SHA256 = "6cd1a5c63c07610d7eb67307772ee5606017ee950b5770ab288a2c487489d3e1"
"""Whatever is read must have this checksum, so that every measurement is of the same prompts."""

TIMEOUT_S = 30.0


def advbench_csv(
    path: str | None,
    *,
    url: str = ADVBENCH_URL,
    sha256: str = ADVBENCH_SHA256,
    cache: Path | None = None,
) -> str:
    """Return the text of harmful_behaviors.csv, checksum verified.

    Args:
        path: A local copy; None: take it from the user's cache folder, or fetch it once into there.
        url: Where it is fetched from.
        sha256: Checksum it must have.
        cache: Cache folder; by default `$XDG_CACHE_HOME/landscape-ray`, or `~/.cache/landscape-ray`.

    Raises:
        BenchmarkError: The file cannot be read or fetched, or is another file.
        TransientError: The network or the server is out of reach.
    """
    if path is not None:
        content = _read(Path(path).expanduser())
        _verify(content, sha256, path)
        return content.decode()
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    cached = (cache or caches / "landscape-ray") / f"advbench-{sha256[:12]}.csv"
    with contextlib.suppress(OSError):
        content = cached.read_bytes()
        # A damaged cache is no error: it is fetched anew.
        if hashlib.sha256(content).hexdigest() == sha256:
            return content.decode()
    content = _fetch(url)
    _verify(content, sha256, url)
    # The content is in hand and verified; where nothing can be cached (a read-only home) it is fetched each time.
    with contextlib.suppress(OSError):
        _write(cached, content)
    return content.decode()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        msg = (
            f"Cannot read the AdvBench file {path}: {error.strerror or error}. Give the path of a copy of "
            f"harmful_behaviors.csv as prompts.path, or leave it out to fetch {ADVBENCH_URL}."
        )
        raise BenchmarkError(msg) from error


def _fetch(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response:  # noqa: S310 - the scheme is ours
            content: bytes = response.read()
    except (OSError, http.client.HTTPException) as error:
        msg = (
            f"Cannot fetch AdvBench from {url}: {error}. Check the network (HTTPS_PROXY is honoured), or put a copy "
            "of harmful_behaviors.csv somewhere and give its path as prompts.path."
        )
        raise (TransientError if is_transient(error) else BenchmarkError)(msg) from error
    return content


def _verify(content: bytes, sha256: str, where: str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        msg = (
            f"{where} is not the AdvBench file this benchmark is defined on: its sha256 is {found}, expected {sha256}. "
            "Use the original harmful_behaviors.csv, or measure your own file with source: file and column: goal."
        )
        raise BenchmarkError(msg)


def _write(path: Path, content: bytes) -> None:
    """Write so that a reader sees the whole file or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        Path(temporary).replace(path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
