"""Where results lie: a local folder, or a prefix of an object store, behind the few operations that the store needs.

Readers never see half a file. A local file is written under another name, flushed to the disk and then linked to its
own name; an object is put in one request from finished bytes (a stream would publish what it has on an exception).
"""

import contextlib
import errno
import os
import re
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from landscape_ray.errors import OutputError
from landscape_ray.store.redaction import redacted

__all__ = ["Entry", "Filesystem", "LocalFilesystem", "open_filesystem"]

TEMPORARY = re.compile(r"\.tmp-[0-9a-f]{16}")
STALE_AFTER_S = 3600.0
"""A temporary file this old belongs to a writer that died: writing a part takes milliseconds."""
BATCH = 256
"""Files requested at once from an object store; bounds the memory that their contents take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file of a folder."""

    name: str
    """File name, without folder."""
    num_bytes: int
    """Size."""


class Filesystem:
    """A prefix of any file system that fsspec knows. Paths are relative to it, with `/`; "" is the prefix itself."""

    def __init__(self, fs: Any, root: str) -> None:
        self._fs = fs
        self._root = root.rstrip("/")

    def files(self, folder: str) -> list[Entry]:
        """List the files of a folder by name; none if there is no such folder."""
        path = self._path(folder)
        self._fs.invalidate_cache(path)
        try:
            infos = self._fs.ls(path, detail=True)
        except FileNotFoundError:
            return []
        entries = [
            Entry(name=info["name"].rpartition("/")[2], num_bytes=info["size"])
            for info in infos
            if info["type"] == "file"
        ]
        return sorted(entries, key=lambda entry: entry.name)

    def contents(self, folder: str, entries: Sequence[Entry], *, last: int | None = None) -> Iterator[bytes | None]:
        """Yield the content of each file, or only its `last` bytes; None if the file has gone.

        Raises:
            OSError: A file cannot be read, or is shorter than its entry says.
        """
        for first in range(0, len(entries), BATCH):
            batch = entries[first : first + BATCH]
            ends = [entry.num_bytes for entry in batch]
            starts = [0 if last is None else max(0, end - last) for end in ends]
            found = self._fs.cat_ranges([self._path(folder, entry.name) for entry in batch], starts, ends)
            for entry, start, content in zip(batch, starts, found, strict=True):
                if isinstance(content, FileNotFoundError):
                    yield None
                elif isinstance(content, Exception):
                    raise content
                else:
                    yield _whole(content, entry.num_bytes - start, entry.name)

    def create(self, path: str, content: bytes) -> bool:
        """Write a file that readers see whole or not at all; False, with nothing changed, if the name is taken."""
        try:
            self._fs.pipe_file(self._path(path), content, mode="create")
        except FileExistsError:
            return False
        return True

    def replace(self, path: str, content: bytes) -> None:
        """Write a file that readers see whole; until then they see the old one."""
        self._fs.pipe_file(self._path(path), content)

    def move(self, source: str, target: str) -> None:
        """Rename a file. On an object store: copy, then delete, so that nothing is lost between the two."""
        self._fs.cp_file(self._path(source), self._path(target))
        self._fs.rm_file(self._path(source))

    def delete(self, path: str) -> None:
        """Remove a file."""
        self._fs.rm_file(self._path(path))

    def sweep(self, folder: str) -> None:
        """Remove what writers that died left half-written in a folder. An object store keeps nothing half-written."""

    def _path(self, *names: str) -> str:
        return "/".join(name for name in (self._root, *names) if name)


class LocalFilesystem(Filesystem):
    """A folder on this machine, or on a network file system that is mounted here."""

    def files(self, folder: str) -> list[Entry]:
        """List the files of a folder by name; none if there is no such folder. Temporary files are left out."""
        try:
            with os.scandir(self._path(folder)) as found:
                entries = [
                    Entry(name=entry.name, num_bytes=entry.stat().st_size)
                    for entry in found
                    if entry.is_file() and not TEMPORARY.fullmatch(entry.name)
                ]
        except FileNotFoundError:
            return []
        return sorted(entries, key=lambda entry: entry.name)

    def contents(self, folder: str, entries: Sequence[Entry], *, last: int | None = None) -> Iterator[bytes | None]:
        """Yield the content of each file, or only its `last` bytes; None if the file has gone.

        Raises:
            OSError: A file cannot be read, or is shorter than its entry says.
        """
        for entry in entries:
            length = entry.num_bytes if last is None else min(last, entry.num_bytes)
            try:
                descriptor = os.open(self._path(folder, entry.name), os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                yield None
                continue
            try:
                content = os.pread(descriptor, length, entry.num_bytes - length)
            finally:
                os.close(descriptor)
            yield _whole(content, length, entry.name)

    def create(self, path: str, content: bytes) -> bool:
        """Write a file that readers see whole or not at all; False, with nothing changed, if the name is taken."""
        target = Path(self._path(path))
        temporary = _write_temporary(target.parent, content)
        try:
            _link(temporary, target)
        except FileExistsError:
            return False
        finally:
            temporary.unlink(missing_ok=True)
        _flush(target.parent)
        return True

    def replace(self, path: str, content: bytes) -> None:
        """Write a file that readers see whole; until then they see the old one."""
        target = Path(self._path(path))
        _write_temporary(target.parent, content).replace(target)
        _flush(target.parent)

    def move(self, source: str, target: str) -> None:
        """Rename a file."""
        old, new = Path(self._path(source)), Path(self._path(target))
        new.parent.mkdir(parents=True, exist_ok=True)
        old.replace(new)
        _flush(new.parent)
        _flush(old.parent)

    def sweep(self, folder: str) -> None:
        """Remove what writers that died left half-written in a folder."""
        oldest = time.time() - STALE_AFTER_S
        with contextlib.suppress(FileNotFoundError), os.scandir(self._path(folder)) as found:
            for entry in found:
                if TEMPORARY.fullmatch(entry.name) and entry.stat(follow_symlinks=False).st_mtime < oldest:
                    Path(entry.path).unlink(missing_ok=True)


def open_filesystem(location: str) -> Filesystem:
    """Return the file system at a path or URL (`s3://bucket/prefix`, `gs://`, `abfs://`, any address fsspec knows).

    Credentials are those of the environment.

    Raises:
        OutputError: The address is of no known kind, or the driver for it is not installed.
    """
    try:
        fs, root = fsspec.core.url_to_fs(location)
    except (ImportError, ValueError, OSError) as error:
        msg = (
            f"Cannot use {redacted(location)!r} for results: {redacted(str(error))}. Give a folder, or an address such "
            "as s3://bucket/prefix (needs s3fs), gs://bucket/prefix (gcsfs) or abfs://container/prefix (adlfs)."
        )
        raise OutputError(msg) from error
    return LocalFilesystem(fs, root) if isinstance(fs, LocalFileSystem) else Filesystem(fs, root)


def _whole(content: bytes, num_bytes: int, name: str) -> bytes:
    """Return the content if it has its length: half a read must not pass for a torn file."""
    if len(content) != num_bytes:
        msg = f"{name}: asked for {num_bytes} bytes, got {len(content)}"
        raise OSError(msg)
    return content


def _write_temporary(folder: Path, content: bytes) -> Path:
    """Write a file under a name that readers ignore, down to the disk."""
    if not folder.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _flush(folder.parent)
    temporary = folder / f".tmp-{secrets.token_hex(8)}"
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def _link(temporary: Path, target: Path) -> None:
    """Give a finished file its name, unless that is taken."""
    try:
        os.link(temporary, target)
    except OSError as error:
        if error.errno not in {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}:
            raise
        # A file system without hard links: two writers in the same instant may both succeed, the later one stays.
        if target.exists():
            raise FileExistsError(target) from error
        temporary.replace(target)


def _flush(folder: Path) -> None:
    """Bring a folder's names to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
