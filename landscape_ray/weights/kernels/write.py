"""What a kernel of the fused pass is asked to do."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Protocol

import torch

__all__ = ["Kernel", "Term", "Write"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """A vector on one tensor, times a number."""

    key: int
    """Philox key of the vector on this tensor."""
    factor: torch.Tensor
    """What its normals are multiplied by: float32 on the device, of shape [], or [R, 1] for one per row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """Make `out = cast(start + sum of factor * normals)`, in float32 until the cast, on part of a checkpoint tensor."""

    out: torch.Tensor
    """Where to, shape [R, C]; elements of a row lie side by side, rows need not."""
    start: torch.Tensor
    """What to start from, shape [R, C], on the same device, in a type of its own; rows as in `out`."""
    index: int
    """Of element (0, 0) in the flat checkpoint tensor, which decides the normals."""
    index_step: int
    """From row to row."""
    terms: tuple[Term, ...]
    """What is added, in this order."""

    def flattened(self) -> "Write":
        """Return the same as a single row, if rows follow each other without a gap and share their factors."""
        rows, columns = self.out.shape
        together = (self.index_step, self.out.stride(0), self.start.stride(0)) == (columns,) * 3
        if rows == 1 or not together or any(term.factor.ndim for term in self.terms):
            return self
        return replace(self, out=self.out.view(1, -1), start=self.start.view(1, -1))


class Kernel(Protocol):
    """An implementation of `Write` for one kind of device. Its numbers are those of `Perturber.tensors`, to the bit."""

    def run(self, writes: Iterable[Write]) -> list[int]:
        """Carry out writes one after the other.

        Returns:
            What each adds to the sum of its tensor in `WeightsDigest`, modulo 2**64.
        """
        ...

    def normals(self, key: int, start: int, stop: int, *, device: torch.device) -> torch.Tensor:
        """Return what `standard_normals` does."""
        ...
