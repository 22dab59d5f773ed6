import http.server
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeAlias

import numpy as np
import pytest
from huggingface_hub import constants
from safetensors.numpy import load_file, save_file

from landscape_ray.config import ModelConfig
from landscape_ray.engine.checkpoints.resolution import checkpoint_folder, resolve
from landscape_ray.errors import CheckpointError, TransientError
from landscape_ray.sweep.fetching import persistently

COMMITS = {"main": "a" * 40, "v1": "b" * 40}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint whose weights file is larger than what is sampled of it."""
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "tokenizer.json").write_text('{"vocabulary": "small"}')
    (folder / "chat_template.jinja").write_text("{{ messages[0].content }}")
    weights = np.random.default_rng(0).standard_normal((8, 1 << 20), dtype=np.float32)
    save_file({"up.weight": weights, "down.weight": weights[::-1].copy()}, folder / "model.safetensors")
    return folder


def fingerprint(folder: Path) -> str:
    return resolve(ModelConfig(id=str(folder))).fingerprint


def message(folder: Path) -> str:
    with pytest.raises(CheckpointError) as error:
        resolve(ModelConfig(id=str(folder)))
    return str(error.value)


def test_a_folder_is_its_content_wherever_it_lies(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolved = resolve(ModelConfig(id=str(folder)))
    assert resolved.revision is None
    assert resolved.fingerprint.startswith("folder:")
    assert len(resolved.fingerprint) == len("folder:") + 32
    moved = shutil.copytree(folder, tmp_path / "elsewhere" / "moved")
    assert fingerprint(moved) == resolved.fingerprint
    monkeypatch.chdir(tmp_path)
    relative = resolve(ModelConfig(id="checkpoint"))
    # Workers have another working directory.
    assert relative.location == str(folder.resolve())
    assert checkpoint_folder(relative.location, relative.revision) == folder.resolve()


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "chat_template.jinja"])
def test_a_fingerprint_covers_configuration_tokenizer_and_template(folder: Path, name: str) -> None:
    before = fingerprint(folder)
    (folder / name).write_text((folder / name).read_text().replace("a", "b"))
    assert fingerprint(folder) != before


def test_a_fingerprint_sees_a_finetuned_model_and_a_renamed_tensor(folder: Path) -> None:
    before = fingerprint(folder)
    tensors = load_file(folder / "model.safetensors")
    save_file(tensors | {"up.weight": tensors["up.weight"] * np.float32(1.0001)}, folder / "model.safetensors")
    finetuned = fingerprint(folder)
    save_file({"up.weight": tensors["down.weight"], "down.weight": tensors["up.weight"]}, folder / "model.safetensors")
    swapped = fingerprint(folder)
    # The same bytes under another type and under another name.
    save_file({name: tensor.view(np.int32) for name, tensor in tensors.items()}, folder / "model.safetensors")
    retyped = fingerprint(folder)
    save_file(
        {"gate.weight": tensors["up.weight"], "down.weight": tensors["down.weight"]}, folder / "model.safetensors"
    )
    renamed = fingerprint(folder)
    assert len({before, finetuned, swapped, retyped, renamed}) == 5


def test_a_fingerprint_covers_every_byte_of_a_small_file(folder: Path) -> None:
    save_file({"w": np.zeros(1 << 20, dtype=np.float32)}, folder / "model.safetensors")
    seen = {fingerprint(folder)}
    size = (folder / "model.safetensors").stat().st_size
    for offset in (size - 1, size - 123_457, size - (3 << 20)):
        with (folder / "model.safetensors").open("r+b") as stream:
            stream.seek(offset)
            stream.write(b"\x01")
        seen.add(fingerprint(folder))
    assert len(seen) == 4


def test_a_fingerprint_of_a_large_file_reads_a_small_part(folder: Path) -> None:
    # 8 GiB, of which the disk holds the header only.
    header = json.dumps({"w": {"dtype": "F32", "shape": [1 << 31], "data_offsets": [0, 1 << 33]}}).encode()
    with (folder / "model.safetensors").open("wb") as stream:
        stream.write(len(header).to_bytes(8, "little") + header)
        stream.truncate(8 + len(header) + (1 << 33))
    before = fingerprint(folder)
    with (folder / "model.safetensors").open("r+b") as stream:
        for offset in range(8 + len(header), 1 << 33, 1 << 25):
            stream.seek(offset)
            stream.write(b"\x01")
    assert fingerprint(folder) != before


def test_other_formats_are_refused_with_the_way_to_convert(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "no *.safetensors file (there is pytorch_model.bin)" in message(folder)
    assert "save_pretrained(folder, safe_serialization=True)" in message(folder)


def test_a_missing_shard_is_named(folder: Path) -> None:
    index = {"weight_map": {"up.weight": "model.safetensors", "down.weight": "model-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "lacks model-2.safetensors" in message(folder)
    shutil.copy(folder / "model.safetensors", folder / "model-2.safetensors")
    assert fingerprint(folder).startswith("folder:")


@pytest.mark.parametrize("content", [b"version https://git-lfs.github.com/spec/v1\noid sha256:0", b"\x00", b""])
def test_a_torn_file_or_a_git_lfs_pointer_is_refused(folder: Path, content: bytes) -> None:
    (folder / "model.safetensors").write_bytes(content)
    assert "git-lfs pointer; fetch the checkpoint again" in message(folder)


def test_a_folder_without_configuration_is_no_checkpoint(folder: Path) -> None:
    (folder / "config.json").unlink()
    assert "has no config.json" in message(folder)


def test_a_folder_has_no_revisions(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="folders have no revisions"):
        resolve(ModelConfig(id=str(folder), revision="main"))


@pytest.mark.parametrize("name", ["./model", "/no/such/folder", "~/model", "one/two/three"])
def test_a_path_that_is_not_there_is_not_taken_for_a_hub_id(name: str) -> None:
    with pytest.raises(CheckpointError, match="is no folder here"):
        resolve(ModelConfig(id=name))


def test_an_unknown_embedded_model_is_refused() -> None:
    with pytest.raises(CheckpointError, match="'demo:aligned' and 'demo:finetuned'"):
        resolve(ModelConfig(id="demo:misaligned"))


def test_a_folder_that_a_node_does_not_see_is_explained(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="storage that every node of the cluster sees"):
        checkpoint_folder(str(tmp_path / "driver-only"), None)


class FakeHub(http.server.ThreadingHTTPServer):
    """As much of the Hub as resolving and fetching a model asks for; gated without the token `secret`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.files = {"config.json": b"{}", "model.safetensors": b"\x02\0\0\0\0\0\0\0{}", "modeling.py": b"evil()"}
        self.files |= {"original/params.json": b"{}", "consolidated.safetensors": b"", "pytorch_model.bin": b"evil"}
        self.gated = False
        self.busy: int | None = None
        """Status to answer everything with."""


class _Answer(http.server.BaseHTTPRequestHandler):
    server: FakeHub

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the library's
        """Keep quiet."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        parts = self.path.partition("?")[0].removeprefix("/api/models").strip("/").split("/")
        # org/model/resolve/REVISION/FILE, or org/model/{tree,revision}/REVISION of the API
        commit = COMMITS.get(parts[3], parts[3])
        if self.server.busy:
            self.answer(self.server.busy)
        elif parts[:2] != ["org", "model"]:
            self.answer(404, error="RepoNotFound")
        elif commit not in COMMITS.values():
            self.answer(404, error="RevisionNotFound")
        elif self.path.startswith("/api/"):
            files = [{"type": "file", "path": n, "size": len(b), "oid": n} for n, b in self.server.files.items()]
            about = {"id": "org/model", "sha": commit, "siblings": [{"rfilename": name} for name in self.server.files]}
            self.answer(200, json.dumps(files if "tree" in parts else about).encode())
        elif self.server.gated and self.headers["Authorization"] != "Bearer secret":
            self.answer(401, error="GatedRepo")
        elif (name := "/".join(parts[4:])) not in self.server.files:
            self.answer(404, error="EntryNotFound", commit=commit)
        else:
            self.answer(200, self.server.files[name], commit=commit)

    def answer(self, status: int, body: bytes = b"", *, error: str = "", commit: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/json")
        if error:
            self.send_header("X-Error-Code", error)
        if commit:
            self.send_header("X-Repo-Commit", commit)
            self.send_header("ETag", f'"{hash(body)}"')
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A Hub of one model, and an empty cache."""
    with FakeHub() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        endpoint = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(constants, "ENDPOINT", endpoint)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield server
        server.shutdown()
        thread.join()


Failure: TypeAlias = Callable[..., str]


@pytest.fixture
def failure() -> Failure:
    def of(**model: Any) -> str:
        with pytest.raises(CheckpointError) as error:
            resolve(ModelConfig(**({"id": "org/model"} | model)))
        return str(error.value)

    return of


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize(("revision", "commit"), [(None, "a" * 40), ("v1", "b" * 40), ("b" * 40, "b" * 40)])
def test_a_revision_becomes_a_commit(revision: str | None, commit: str) -> None:
    resolved = resolve(ModelConfig(id="org/model", revision=revision))
    assert resolved.location == "org/model"
    assert resolved.revision == commit
    assert resolved.fingerprint == f"hub:org/model@{commit}"


@pytest.mark.usefixtures("hub")
def test_neither_code_nor_pickles_nor_second_copies_are_fetched() -> None:
    resolved = resolve(ModelConfig(id="org/model"))
    folder = checkpoint_folder(resolved.location, resolved.revision)
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]


def test_a_gated_model_needs_a_token(hub: FakeHub, failure: Failure, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.gated = True
    assert "is gated: accept its licence on its page, then set HF_TOKEN" in failure()
    monkeypatch.setenv("HF_TOKEN", "secret")
    assert resolve(ModelConfig(id="org/model")).revision == "a" * 40


@pytest.mark.usefixtures("hub")
def test_an_unknown_model_or_revision_is_named(failure: Failure) -> None:
    assert "'org/modle' is neither a folder here nor on the Hub" in failure(id="org/modle")
    assert "'org/model' at revision 'v2' has no such revision" in failure(revision="v2")


def test_a_repository_without_safetensors_is_refused(hub: FakeHub, failure: Failure) -> None:
    hub.files = {"config.json": b"{}", "pytorch_model.bin": b""}
    assert "org/model on the Hub has no *.safetensors file (there is pytorch_model.bin)" in failure()
    hub.files = {"adapter_config.json": b"{}"}
    assert "has no config.json" in failure(revision="v1")


@pytest.mark.usefixtures("hub")
def test_off_line_the_cache_counts(failure: Failure, monkeypatch: pytest.MonkeyPatch) -> None:
    resolved = resolve(ModelConfig(id="org/model"))
    folder = checkpoint_folder(resolved.location, resolved.revision)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert resolve(ModelConfig(id="org/model")) == resolved
    assert checkpoint_folder(resolved.location, resolved.revision) == folder
    assert "not in the local cache, and the Hub is out of reach" in failure(revision="v1")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The Hub's client tries again by itself; here without its pauses."""
    monkeypatch.setattr("huggingface_hub.utils._http.time", SimpleNamespace(sleep=lambda _: None, time=time.time))


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_hub_is_nobodys_mistake_and_is_asked_again(hub: FakeHub, status: int) -> None:
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        hub.busy = status if len(pauses) < 2 else None

    hub.busy = status
    found = persistently(lambda: resolve(ModelConfig(id="org/model")), (1.0, 2.0, 4.0), pause)
    assert (found.revision, pauses) == ("a" * 40, [1.0, 2.0])
    hub.busy = status
    # Its client then gives the folder that it has, in which there is nothing but the configuration.
    with pytest.raises(TransientError, match=r"'org/model' only a part .* \*\.safetensors must be fetched"):
        checkpoint_folder(found.location, found.revision)
    with pytest.raises(TransientError, match=rf"'org/model' at .* cannot be fetched at the moment.*{status}"):
        checkpoint_folder("org/model", "b" * 40)
    hub.busy = None
    assert (checkpoint_folder(found.location, found.revision) / "model.safetensors").is_file()


@pytest.mark.usefixtures("impatient")
def test_a_hub_that_cannot_be_reached_is_no_mistake_of_the_user(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", "http://127.0.0.1:9/{repo_id}/{revision}/{filename}")
    with pytest.raises(TransientError, match=r"out of reach.*in the local cache.*refused"):
        resolve(ModelConfig(id="org/model"))
    assert not hub.busy


@pytest.mark.usefixtures("hub")
def test_a_mistake_is_not_asked_again() -> None:
    pauses: list[float] = []
    with pytest.raises(CheckpointError, match="no such revision"):
        persistently(lambda: resolve(ModelConfig(id="org/model", revision="v2")), (1.0,), pauses.append)
    assert pauses == []
