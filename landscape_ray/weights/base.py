"""The pristine base weights that every point is built from."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from safetensors import safe_open

from landscape_ray.errors import CheckpointError

__all__ = ["BaseWeights"]

INDEX_FILE = "model.safetensors.index.json"
# Buffers that old checkpoints carry along. They are no parameters: models compute them.
BUFFERS = re.compile(r"rotary_(pos_)?emb\.(inv_freq|cos_cached|sin_cached)$|\.attn\.(masked_)?bias$")
HEAD = "lm_head.weight"


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseWeights:
    """The floating-point tensors of a checkpoint under their checkpoint names, in the checkpoint's own dtype."""

    tensors: Mapping[str, torch.Tensor]
    """Tensors by name, layer by layer; never written to after loading."""

    @classmethod
    def load(
        cls, folder: Path, *, device: torch.device, location: Literal["device", "host"], tied_head: bool
    ) -> "BaseWeights":
        """Read a checkpoint folder.

        Args:
            folder: Folder with `*.safetensors` files.
            device: Where the engine computes.
            location: Keep the weights on that device, or in host memory (pinned when the device is a GPU).
            tied_head: The model shares the head with the embedding. A redundant head tensor in the file is then left
                out: it is the same parameter, and must not be perturbed under a second name.

        Raises:
            CheckpointError: There are no safetensors, or a tensor is listed but absent.
        """
        keep_on_host = location == "host" or device.type == "cpu"
        tensors: dict[str, torch.Tensor] = {}
        for file in _files(folder):
            with safe_open(file, framework="pt", device="cpu") as reader:
                for name in reader.keys():  # noqa: SIM118  (safe_open is no mapping)
                    if BUFFERS.search(name) or (tied_head and name == HEAD):
                        continue
                    tensor = reader.get_tensor(name)
                    if not tensor.is_floating_point():
                        continue
                    if keep_on_host and device.type != "cpu":
                        tensor = tensor.pin_memory()
                    tensors[name] = tensor if keep_on_host else tensor.to(device)
        if not tensors:
            msg = f"{folder} holds no floating-point tensors in safetensors files; is it a language model's checkpoint?"
            raise CheckpointError(msg)
        return cls(tensors={name: tensors[name] for name in sorted(tensors, key=_natural)})

    @property
    def names(self) -> tuple[str, ...]:
        """Checkpoint names of the tensors, layer by layer."""
        return tuple(self.tensors)

    def tensor(self, name: str) -> torch.Tensor:
        """Return one tensor in the checkpoint's dtype. Do not write to it."""
        return self.tensors[name]

    @property
    def num_elements(self) -> int:
        """Number of weights in all tensors."""
        return sum(tensor.numel() for tensor in self.tensors.values())


def _files(folder: Path) -> list[Path]:
    """Return the safetensors files of a checkpoint, from its index where it has one."""
    index = folder / INDEX_FILE
    if index.is_file():
        files = sorted({folder / name for name in json.loads(index.read_text())["weight_map"].values()})
        if missing := [file.name for file in files if not file.is_file()]:
            msg = f"{folder} lacks {', '.join(missing)}, which {INDEX_FILE} lists; fetch the checkpoint again."
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
