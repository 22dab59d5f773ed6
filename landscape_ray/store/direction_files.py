"""Tensors of directions that an engine computed, beside the results: `directions/<SHA-256>/tensors.safetensors`.

The name is the content: files are created, never changed, and proven whenever they are read.
"""

import hashlib
import os
import tempfile
from pathlib import Path

from landscape_ray.errors import OutputError
from landscape_ray.planning import STORED_FILE, StoredTensors
from landscape_ray.store.filesystem import LocalFilesystem, explained, open_filesystem
from landscape_ray.store.redaction import redacted

__all__ = ["DirectionFiles"]


class DirectionFiles:
    """The stored tensors of one results folder."""

    def __init__(self, location: str) -> None:
        """Open a results folder, at a path or URL; nothing is read or written yet."""
        self.location = redacted(location)
        self._files = open_filesystem(location)

    def put(self, content: bytes) -> str:
        """Store a file, unless it is there; return its SHA-256 in hexadecimal digits.

        Raises:
            OutputError: It cannot be written.
        """
        digest = hashlib.sha256(content).hexdigest()
        with explained(self.location, "write to"):
            self._files.create(f"{StoredTensors.of(digest).location}/{STORED_FILE}", content)
        return digest

    def folder(self, digest: str) -> Path | None:
        """Return a local folder with the file, which is fetched where results are elsewhere; None if it is not there.

        Raises:
            OutputError: It cannot be read, or its content is not what its name says.
        """
        place = StoredTensors.of(digest).location
        with explained(self.location, "read"):
            entries = [entry for entry in self._files.files(place) if entry.name == STORED_FILE]
            content = next(self._files.contents(place, entries), None)
        if content is None:
            return None
        if (found := hashlib.sha256(content).hexdigest()) != digest:
            msg = (
                f"{self.location}/{place}/{STORED_FILE} is damaged: its SHA-256 is {found}. Move it away and run "
                "the same command again: the direction is computed anew, and must come out the same."
            )
            raise OutputError(msg)
        if isinstance(self._files, LocalFilesystem):
            return self._files.path_of(place)
        return _cached(place, content)


def _cached(place: str, content: bytes) -> Path:
    """Keep a file on this machine, where engines read it tensor by tensor as long as they run."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = caches / "landscape_ray" / place
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / STORED_FILE).is_file() or (folder / STORED_FILE).read_bytes() != content:
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
            file.write(content)
        Path(file.name).replace(folder / STORED_FILE)
    return folder
