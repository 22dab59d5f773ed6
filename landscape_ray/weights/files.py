"""Tensors of a checkpoint folder, read one at a time."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, TypeAlias

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from landscape_ray.errors import CheckpointError, few_of
from landscape_ray.planning import CheckpointDelta, is_scale, left_out

__all__ = ["HEAD", "CheckpointFiles", "Endpoints", "TensorSource", "write_checkpoint"]

INDEX_FILE = "model.safetensors.index.json"
HEAD = "lm_head.weight"
# Types of weights. What is kept in fewer bits, or as integers, stands for weights, and a direction cannot be added.
FLOATING = frozenset({"F64", "F32", "F16", "BF16"})


class TensorSource(Protocol):
    """Weights by their checkpoint names: in memory, in files, or computed."""

    @property
    def names(self) -> tuple[str, ...]:
        """Checkpoint names of the tensors, layer by layer."""
        ...

    def tensor(self, name: str) -> torch.Tensor:
        """Return one tensor in the checkpoint's dtype. Do not write to it."""
        ...


Endpoints: TypeAlias = Mapping[CheckpointDelta, TensorSource]
"""The checkpoints that differences lead to, and those that directions are computed from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointFiles:
    """The weights of a checkpoint's language model, left where they are until they are asked for.

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
        config_file = folder / "config.json"
        config = json.loads(config_file.read_text(encoding="utf-8")) if config_file.is_file() else {}
        opened = cls.read(_safetensors_files(folder), config=config, without_head=tied_head)
        if not opened.files:
            msg = f"{folder} holds no floating-point tensors in safetensors files; is it a language model's checkpoint?"
            raise CheckpointError(msg)
        return opened

    @classmethod
    def read(
        cls, files: Iterable[Path], *, config: Mapping[str, Any] = MappingProxyType({}), without_head: bool = False
    ) -> "CheckpointFiles":
        """Read the headers of given files, and leave out what is no weight of the language model.

        Raises:
            CheckpointError: Tensors that are not left out are no plain floating-point weights.
        """
        file_of: dict[str, Path] = {}
        shapes: dict[str, tuple[int, ...]] = {}
        strange: list[str] = []
        for file in files:
            with safe_open(file, framework="pt", device="cpu") as reader:
                for name in reader.keys():  # noqa: SIM118  (safe_open is no mapping)
                    if left_out(name, config):
                        continue
                    view: Any = reader.get_slice(name)
                    if view.get_dtype() not in FLOATING or is_scale(name):
                        strange.append(f"{name} ({view.get_dtype()})")
                    elif not (without_head and (name == HEAD or name.endswith(f".{HEAD}"))):
                        file_of[name], shapes[name] = file, tuple(view.get_shape())
        if strange:
            raise _quantised(file.parent, strange)
        return cls(
            files=MappingProxyType({name: file_of[name] for name in sorted(file_of, key=_natural)}),
            shapes=MappingProxyType(shapes),
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Checkpoint names of the tensors, layer by layer."""
        return tuple(self.files)

    @property
    def has_redundant_head(self) -> bool:
        """Whether the head, which there must be, is a copy of another tensor: that can only be the embedding."""
        head = self.tensor(HEAD)
        twins = (name for name in self.names if name != HEAD and self.shapes[name] == self.shapes[HEAD])
        return any(torch.equal(head, self.tensor(name)) for name in twins)

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


def _quantised(folder: Path, names: list[str]) -> CheckpointError:
    return CheckpointError(
        f"{folder} holds tensors that are no plain weights: {few_of(sorted(names))}. Integers, numbers of 8 bits and "
        "scales are how quantised weights are kept, and a step in weight space cannot be added to those; give the "
        "unquantised model."
    )


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort key that puts layer 2 before layer 10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in name.split(".")]
