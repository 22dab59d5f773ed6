"""Where results lie: a local folder, or a prefix of an object store, behind the few operations that the store needs.

Readers never see half a file. A local file is written under another name, flushed to the disk and then linked to its
own name; an object is put in one request from finished bytes (a stream would publish what it has on an exception).
"""

import contextlib
import errno
import inspect
import os
import random
import re
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import fsspec
from fsspec.implementations.local import LocalFileSystem

from landscape_ray.errors import OutputError, TransientError
from landscape_ray.store.redaction import redacted
from landscape_ray.transience import is_transient

__all__ = ["Entry", "Filesystem", "LocalFilesystem", "absolute", "explained", "open_filesystem"]

TEMPORARY = re.compile(r"\.tmp-[0-9a-f]{16}")
STALE_AFTER_S = 3600.0
"""A temporary file this old belongs to a writer that died: writing a part takes milliseconds."""
BATCH = 256
"""Files requested at once from an object store; bounds the memory that their contents take."""
PAUSES_S = (0.2, 0.6, 2.0, 6.0)
"""Pauses between attempts at an object store, in addition to those that its driver makes."""
FINAL_ERRORS = (FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError, NotADirectoryError, TypeError)
FINAL_CODES = (errno.EINVAL, errno.ENOSYS)
"""Errors that another attempt will not change."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file of a folder."""

    name: str
    """File name, without folder."""
    num_bytes: int
    """Size."""


class Filesystem:
    """A prefix of any file system that fsspec knows. Paths are relative to it, with `/`; "" is the prefix itself.

    Whatever may pass is tried again, with growing pauses. What then still fails is an OSError, whatever the driver of
    the file system raises.
    """

    def __init__(self, fs: Any, root: str) -> None:
        self._fs = fs
        self._root = root.rstrip("/")
        put = fs._pipe_file if fs.async_impl else fs.pipe_file  # noqa: SLF001 - the sync name hides the signature
        self._create_only = {"mode": "create"} if "mode" in inspect.signature(put).parameters else {}

    def files(self, folder: str) -> list[Entry]:
        """List the files of a folder by name; none if there is no such folder."""
        path = self._path(folder)
        self._fs.invalidate_cache(path)
        try:
            infos = _patiently(self._fs.ls, path, detail=True)
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
            paths = [self._path(folder, entry.name) for entry in batch]
            ends = [entry.num_bytes for entry in batch]
            starts = [0 if last is None else max(0, end - last) for end in ends]
            found = _patiently(self._fs.cat_ranges, paths, starts, ends, on_error="return")  # many requests at once
            for path, start, end, content in zip(paths, starts, ends, found, strict=True):
                if isinstance(content, bytes) and len(content) == end - start:
                    yield content
                else:
                    yield _patiently(self._range, path, start, end)

    def create(self, path: str, content: bytes) -> bool:
        """Write a file that readers see whole or not at all; False, with nothing changed, if the name is taken.

        A request may succeed and its answer be lost, so False may also mean that this very content is there.
        """
        target = self._target(path)
        if not self._create_only and _patiently(self._fs.exists, target):
            return False
        try:
            _patiently(self._fs.pipe_file, target, content, **self._create_only)
        except FileExistsError:
            return False
        except OSError as error:
            self._fs.invalidate_cache(target)
            if _patiently(self._fs.exists, target):  # refused as taken, in the words of some store
                return False
            if error.errno != errno.ENOSYS or not self._create_only:
                raise
            self._create_only = {}  # a store that speaks S3 but has no conditional writes
            return self.create(path, content)
        return True

    def replace(self, path: str, content: bytes) -> None:
        """Write a file that readers see whole; until then they see the old one."""
        _patiently(self._fs.pipe_file, self._target(path), content)

    def move(self, source: str, target: str) -> None:
        """Rename a file. On an object store: copy, then delete, so that nothing is lost between the two."""
        _patiently(self._fs.cp_file, self._path(source), self._target(target))
        _patiently(self._fs.rm_file, self._path(source))

    def delete(self, path: str) -> None:
        """Remove a file; nothing happens if it has gone."""
        with contextlib.suppress(FileNotFoundError):
            _patiently(self._fs.rm_file, self._path(path))

    def sweep(self, folder: str) -> None:
        """Remove what writers that died left half-written in a folder. An object store keeps nothing half-written."""

    def _range(self, path: str, start: int, end: int) -> bytes | None:
        if start == end:
            return b""
        try:
            content: bytes = self._fs.cat_file(path, start=start, end=end)  # by name: s3fs has another order
        except FileNotFoundError:
            return None
        return _whole(content, end - start, path)

    def _path(self, *names: str) -> str:
        return "/".join(name for name in (self._root, *names) if name)

    def _target(self, path: str) -> str:
        """Return a path to write to, in a folder that exists. Object stores, which are async, have no folders."""
        target = self._path(path)
        if not self._fs.async_impl:
            _patiently(self._fs.makedirs, target.rpartition("/")[0], exist_ok=True)
        return target


class LocalFilesystem(Filesystem):
    """A folder on this machine, or on a network file system that is mounted here."""

    def path_of(self, path: str) -> Path:
        """Return where a file or folder lies."""
        return Path(self._path(path))

    def files(self, folder: str) -> list[Entry]:
        """List the files of a folder by name; none if there is no such folder. Temporary files are left out."""
        entries = []
        with contextlib.suppress(FileNotFoundError), os.scandir(self._path(folder)) as found:
            for entry in found:
                if entry.is_file() and not TEMPORARY.fullmatch(entry.name):
                    with contextlib.suppress(FileNotFoundError):  # another process removed it since: the others count
                        entries.append(Entry(name=entry.name, num_bytes=entry.stat().st_size))
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
                with contextlib.suppress(FileNotFoundError):
                    if TEMPORARY.fullmatch(entry.name) and entry.stat(follow_symlinks=False).st_mtime < oldest:
                        Path(entry.path).unlink()


def absolute(location: str) -> str:
    """Return a location that is the same place for processes of another working folder; addresses are as they are."""
    fs, root = fsspec.core.url_to_fs(location)
    return str(root) if isinstance(fs, LocalFileSystem) else location


def open_filesystem(location: str) -> Filesystem:
    """Return the file system at a path or URL (`s3://bucket/prefix`, `gs://`, `abfs://`, any address fsspec knows).

    Credentials are those of the environment.

    Raises:
        OutputError: The address is of no known kind, or the driver for it is not installed, or it is on the Hub.
    """
    if location.startswith("hf://"):
        msg = (
            f"Cannot use {redacted(location)!r} for results: the Hub cannot create a file only where there is none, by "
            "which engines and drivers keep out of each other's way. Measure into a folder or a bucket, and share the "
            "results with `landscape-ray publish`."
        )
        raise OutputError(msg)
    try:
        fs, root = fsspec.core.url_to_fs(location)
    except (ImportError, ValueError, OSError) as error:
        msg = (
            f"Cannot use {redacted(location)!r} for results: {redacted(str(error))}. Give a folder, or an address such "
            "as s3://bucket/prefix (needs s3fs), gs://bucket/prefix (gcsfs) or abfs://container/prefix (adlfs)."
        )
        raise OutputError(msg) from error
    return LocalFilesystem(fs, root) if isinstance(fs, LocalFileSystem) else Filesystem(fs, root)


@contextlib.contextmanager
def explained(location: str, action: str) -> Iterator[None]:
    """Explain what a file system raises.

    Args:
        location: Where, as it may be shown.
        action: What is tried there, such as `write to`.

    Raises:
        OutputError: In place of an OSError.
        TransientError: In place of one that may pass.
    """
    try:
        yield
    except OSError as error:
        reason = redacted(error.strerror or str(error) or type(error).__name__)
        if is_transient(error):
            msg = f"Cannot {action} {location} at the moment: {reason}. The same command goes on when it answers again."
            raise TransientError(msg) from error
        msg = (
            f"Cannot {action} {location}: {reason}. Check that it exists, that you have the rights, and "
            "that it is not full, or choose another output folder (--out)."
        )
        raise OutputError(msg) from error


def _patiently(call: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Call a function of a file system until it succeeds, fails for good, or has failed too often."""
    pauses_s = iter(PAUSES_S)
    while True:
        try:
            return call(*args, **kwargs)
        except Exception as error:  # drivers raise classes of their own
            final = isinstance(error, FINAL_ERRORS) or getattr(error, "errno", None) in FINAL_CODES
            pause_s = None if final else next(pauses_s, None)
            if pause_s is None:
                if isinstance(error, OSError):
                    raise
                msg = f"{type(error).__name__}: {error}"
                raise OSError(msg) from error
        time.sleep(pause_s * random.uniform(0.5, 1.5))  # noqa: S311 - so that engines do not return in step


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
