"""Tensors of a checkpoint folder, read one at a time."""

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from landscape_ray.errors import CheckpointError, few_of

__all__ = ["HEAD", "CheckpointFiles", "TensorSource", "write_checkpoint"]

INDEX_FILE = "model.safetensors.index.json"
# Buffers that old checkpoints carry along. They are no parameters: models compute them.
BUFFERS = re.compile(r"rotary_(pos_)?emb\.(inv_freq|cos_cached|sin_cached)$|\.attn\.(masked_)?bias$")
HEAD = "lm_head.weight"
FLOATING = frozenset({"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"})


class TensorSource(Protocol):
    """Weights by their checkpoint names: in memory, in files, or computed."""

    @property
    def names(self) -> tuple[str, ...]:
        """Checkpoint names of the tensors, layer by layer."""
        ...

    def tensor(self, name: str) -> torch.Tensor:
        """Return one tensor in the checkpoint's dtype. Do not write to it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointFiles:
    """The floating-point tensors of a checkpoint, left where they are until they are asked for.

    Reading maps the one file that holds the tensor, and forgets the mapping with the tensor: never is more of the
    checkpoint in memory than the tensors that are in use.
    """

    files: Mapping[str, Path]
    """The file of each tensor, by name, layer by layer."""
    shapes: Mapping[str, tuple[int, ...]]
    """The shape of each tensor."""

    @classmethod
    def open(cls, folder: Path, *, tied_head: bool) -> "CheckpointFiles":
        """Read the headers of a checkpoint folder's `*.safetensors` files.

        Args:
            folder: The folder.
            tied_head: The model shares the head with the embedding. A redundant head tensor in the file is then left
                out: it is the same parameter, and must not be perturbed under a second name.

        Raises:
            CheckpointError: There are no safetensors, a tensor is listed but absent, or none is of floating point.
        """
        opened = cls.read(_safetensors_files(folder), without={HEAD} if tied_head else ())
        if not opened.files:
            msg = f"{folder} holds no floating-point tensors in safetensors files; is it a language model's checkpoint?"
            raise CheckpointError(msg)
        return opened

    @classmethod
    def read(cls, files: Iterable[Path], *, without: Collection[str] = ()) -> "CheckpointFiles":
        """Read the headers of given files; buffers, integers and named tensors are left out."""
        file_of: dict[str, Path] = {}
        shapes: dict[str, tuple[int, ...]] = {}
        for file in files:
            with safe_open(file, framework="pt", device="cpu") as reader:
                for name in reader.keys():  # noqa: SIM118  (safe_open is no mapping)
                    view: Any = reader.get_slice(name)
                    if view.get_dtype() in FLOATING and not BUFFERS.search(name) and name not in without:
                        file_of[name], shapes[name] = file, tuple(view.get_shape())
        return cls(
            files=MappingProxyType({name: file_of[name] for name in sorted(file_of, key=_natural)}),
            shapes=MappingProxyType(shapes),
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Checkpoint names of the tensors, layer by layer."""
        return tuple(self.files)

    def all_tensors(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield every tensor by name, file by file; all that are kept share one mapping per file."""
        for file in sorted(set(self.files.values())):
            with safe_open(file, framework="pt", device="cpu") as reader:
                yield from ((name, reader.get_tensor(name)) for name in self.names if self.files[name] == file)

    def tensor(self, name: str) -> torch.Tensor:
        """Return one tensor in the checkpoint's dtype, in host memory. Do not write to it."""
        with safe_open(self.files[name], framework="pt", device="cpu") as reader:
            tensor: torch.Tensor = reader.get_tensor(name)
        return tensor


def write_checkpoint(folder: Path, tensors: Iterable[tuple[str, torch.Tensor]], *, shard_bytes: int = 4 << 30) -> None:
    """Write tensors as the safetensors files of a checkpoint, with an index; never is more than a file in memory."""
    file_of: dict[str, str] = {}
    shard: dict[str, torch.Tensor] = {}

    def flush() -> None:
        name = f"model-{len(set(file_of.values())) + 1:05}.safetensors"
        save_file(shard, folder / name, metadata={"format": "pt"})
        file_of.update(dict.fromkeys(shard, name))
        shard.clear()

    for name, tensor in tensors:
        if shard and sum(each.nbytes for each in shard.values()) + tensor.nbytes > shard_bytes:
            flush()
        shard[name] = tensor
    flush()
    (folder / INDEX_FILE).write_text(json.dumps({"metadata": {}, "weight_map": file_of}), encoding="utf-8")


def _safetensors_files(folder: Path) -> list[Path]:
    """Return the safetensors files of a checkpoint, from its index where it has one."""
    index = folder / INDEX_FILE
    if index.is_file():
        files = sorted({folder / name for name in json.loads(index.read_text())["weight_map"].values()})
        if missing := [file.name for file in files if not file.is_file()]:
            msg = f"{folder} lacks {few_of(missing)}, which {INDEX_FILE} lists; fetch the checkpoint again."
            raise CheckpointError(msg)
        return files
    single = folder / "model.safetensors"
    files = [single] if single.is_file() else sorted(folder.glob("*.safetensors"))
    if not files:
        msg = (
            f"{folder} holds no *.safetensors file. Only safetensors are read, because other formats can run code; "
            "convert the checkpoint with `model.save_pretrained(folder, safe_serialization=True)`."
        )
        raise CheckpointError(msg)
    return files


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort key that puts layer 2 before layer 10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in name.split(".")]
