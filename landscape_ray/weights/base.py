"""The pristine base weights that every point is built from."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from landscape_ray.weights.files import CheckpointFiles
from landscape_ray.weights.finite import check_finite

__all__ = ["BaseWeights", "moved"]


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
            tied_head: The model shares the head with the embedding, see `CheckpointFiles.open`.

        Raises:
            CheckpointError: There are no safetensors, or a tensor is listed but absent, or holds what is no number.
        """
        files = CheckpointFiles.open(folder, tied_head=tied_head)
        tensors = {}
        for name, tensor in files.all_tensors():
            tensors[name] = moved(tensor, location, device)
            check_finite(name, tensors[name], folder)
        return cls(tensors={name: tensors[name] for name in files.names})

    @property
    def names(self) -> tuple[str, ...]:
        """Checkpoint names of the tensors, layer by layer."""
        return tuple(self.tensors)

    def tensor(self, name: str) -> torch.Tensor:
        """Return one tensor in the checkpoint's dtype. Do not write to it."""
        return self.tensors[name]


def moved(tensor: torch.Tensor, location: Literal["device", "host"], device: torch.device) -> torch.Tensor:
    """Return base weights, read from files, where they are to be kept; see `BaseWeights.load`."""
    if location == "host" and device.type != "cpu":
        return tensor.pin_memory()
    return tensor.to(device if location == "device" else "cpu")
