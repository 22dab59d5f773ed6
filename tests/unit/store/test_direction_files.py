"""Stored directions: by their content, in a folder or an object store, and proven whenever they are read."""

import hashlib
from pathlib import Path

import fsspec
import pytest

from landscape_ray.errors import OutputError
from landscape_ray.store import DirectionFiles


@pytest.fixture(params=["folder", "memory"])
def location(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return str(tmp_path / "out") if request.param == "folder" else f"memory://{tmp_path.name}"


def test_a_file_is_found_by_its_content(location: str) -> None:
    files, content = DirectionFiles(location), b"tensors"
    digest = files.put(content)
    assert digest == files.put(content) == hashlib.sha256(content).hexdigest()
    for _ in range(2):  # where results are elsewhere: fetched, and found again
        folder = DirectionFiles(location).folder(digest)
        assert folder is not None
        assert [(path.name, path.read_bytes()) for path in folder.iterdir()] == [("tensors.safetensors", content)]
    assert files.folder("0" * 64) is None


def test_a_file_that_is_not_what_its_name_says_is_refused(location: str) -> None:
    digest = DirectionFiles(location).put(b"tensors")
    with fsspec.open(f"{location}/directions/{digest}/tensors.safetensors", "wb") as file:
        file.write(b"other tensors")
    with pytest.raises(
        OutputError, match=rf"directions/{digest}/tensors.safetensors is damaged: its SHA-256 is [0-9a-f]"
    ):
        DirectionFiles(location).folder(digest)


def test_a_damaged_copy_on_this_machine_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    files = DirectionFiles(f"memory://{tmp_path.name}")
    digest = files.put(b"tensors")
    folder = files.folder(digest)
    assert folder is not None
    (folder / "tensors.safetensors").write_bytes(b"half")
    assert files.folder(digest) == folder
    assert (folder / "tensors.safetensors").read_bytes() == b"tensors"
