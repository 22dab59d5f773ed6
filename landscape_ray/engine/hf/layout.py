"""Where a model of transformers keeps each tensor of its checkpoint: as it is, renamed, or as a part of a larger one.

Since version 5, transformers stacks the experts of a layer in one parameter, and renames what old checkpoints call
otherwise. Its own conversion, which writes checkpoints, tells where things are: it is run on the numbers of elements
instead of their values, so that each checkpoint tensor comes out as the places of its elements.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

__all__ = ["Place", "checkpoint_places", "live_tensors"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A checkpoint tensor within a parameter or buffer of a live model."""

    within: str
    """Name in the model."""
    shape: tuple[int, ...]
    """Shape of the checkpoint tensor."""
    steps: tuple[int, ...]
    """How many elements of the parameter lie from one index to the next, by dimension."""
    offset: int
    """Where it begins."""

    def view(self, live: torch.Tensor) -> torch.Tensor:
        """Return the part of the parameter, or of a contiguous tensor of its shape, which is the checkpoint's."""
        return live.detach().as_strided(self.shape, self.steps, live.storage_offset() + self.offset)


def checkpoint_places(model: Any) -> dict[str, Place]:
    """Return where a model keeps the tensors of its checkpoint, by their names there.

    What its conversion mixes in other ways than by slicing, stacking and transposing is left out.
    """
    places: dict[str, Place] = {}
    for name, live in live_tensors(model).items():
        numbers = torch.arange(live.numel()).view(live.shape)
        for checkpoint_name, part in _as_in_checkpoint(model, name, numbers).items():
            if (place := _place(name, part)) is not None:
                places[checkpoint_name] = place
    return places


def live_tensors(model: Any) -> dict[str, torch.Tensor]:
    """Return the parameters of a model and the buffers that it saves, by name; what is shared by its first name."""
    first: dict[int, str] = {}
    state = model.state_dict(keep_vars=True)
    return {
        name: tensor
        for name, tensor in state.items()
        if tensor.is_floating_point() and first.setdefault(id(tensor), name) == name
    }


def _as_in_checkpoint(model: Any, name: str, tensor: torch.Tensor) -> Mapping[str, torch.Tensor]:
    try:
        from transformers.core_model_loading import revert_weight_conversion  # noqa: PLC0415
    except ImportError:  # before version 5 models kept tensors as checkpoints do
        return {name: tensor}
    found: Mapping[str, torch.Tensor] = revert_weight_conversion(model, {name: tensor})
    return found


def _place(name: str, numbers: torch.Tensor) -> Place | None:
    """Return the view that has these elements of a contiguous parameter, or None if no view has."""
    if numbers.numel() == 0:
        return None
    first = int(numbers.flatten()[0])
    steps = tuple(
        int(numbers.select(i, 1).flatten()[0]) - first if size > 1 else 1 for i, size in enumerate(numbers.shape)
    )
    grid = torch.full((), first)
    for i, (size, step) in enumerate(zip(numbers.shape, steps, strict=True)):
        grid = grid + (torch.arange(size) * step).view(-1, *[1] * (numbers.ndim - i - 1))
    if min(steps, default=1) < 0 or not torch.equal(grid.broadcast_to(numbers.shape), numbers):
        return None
    return Place(within=name, shape=tuple(numbers.shape), steps=steps, offset=first)
