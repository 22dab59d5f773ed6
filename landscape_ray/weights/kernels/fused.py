"""The fused pass: base, vectors, sum, cast and digest in one pass over the weights, written where an engine keeps them.

`Perturber.tensors` builds checkpoint tensors step by step, for an engine's own loader to place. `FusedPass` gives the
same bits: as checkpoint tensors, or straight into the parts of them that an engine holds, its *regions*.
"""

import itertools
import logging
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch

from landscape_ray.planning import Perturbation, RandomVector
from landscape_ray.weights.base import BaseWeights, moved
from landscape_ray.weights.digest import WeightsDigest
from landscape_ray.weights.files import TensorSource
from landscape_ray.weights.kernels.cpu import compiled_kernel
from landscape_ray.weights.kernels.write import Kernel, Write
from landscape_ray.weights.perturbation import Perturber, TensorSum, as_matrix

__all__ = ["FusedPass", "Rectangle", "Region", "check_partition", "digest_of", "kernel_for"]

logger = logging.getLogger(__name__)

# Types of checkpoints and engines that kernels read and write.
TYPES = (torch.float32, torch.bfloat16, torch.float16)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rectangle:
    """A part of a checkpoint tensor, seen as a matrix."""

    name: str
    """The checkpoint tensor."""
    row: int
    """First row."""
    column: int
    """First column."""
    rows: int
    """Number of rows."""
    columns: int
    """Number of columns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A rectangle of a checkpoint tensor, and where an engine keeps it."""

    name: str
    """The checkpoint tensor."""
    row: int
    """First row of the rectangle."""
    column: int
    """First column."""
    target: torch.Tensor
    """The engine's memory, in the rectangle's shape [rows, columns]; elements of a row lie side by side."""
    base: torch.Tensor | None = None
    """The base weights there, in the same shape, for an engine that keeps no more of them than what it writes."""

    @property
    def rectangle(self) -> Rectangle:
        """Which part of the tensor it is."""
        rows, columns = self.target.shape
        return Rectangle(name=self.name, row=self.row, column=self.column, rows=rows, columns=columns)


def check_partition(rectangles: Collection[Rectangle], shape: torch.Size) -> str | None:
    """Return what is wrong with the rectangles of one checkpoint tensor, unless each element lies in one of them."""
    width = shape[1:].numel() if len(shape) > 1 else shape.numel()
    overlap = any(
        max(a.row, b.row) < min(a.row + a.rows, b.row + b.rows)
        and max(a.column, b.column) < min(a.column + a.columns, b.column + b.columns)
        for a, b in itertools.combinations(rectangles, 2)
    )
    inside = all(part.column + part.columns <= width for part in rectangles)
    if overlap or not inside or sum(part.rows * part.columns for part in rectangles) != shape.numel():
        return "not copied as it is, or not once"
    return None


def with_base(
    regions: Mapping[str, Sequence[Region]],
    base: TensorSource,
    *,
    location: Literal["device", "host"],
    device: torch.device,
) -> dict[str, list[Region]]:
    """Return regions that hold their own part of the base weights.

    Writing a point then reads nothing else of the base, unless further checkpoints are part of the point.

    Args:
        regions: By the names of checkpoint tensors.
        base: The weights.
        location: Keep the parts on the device, or in host memory (pinned when the device is a GPU).
        device: Where the engine computes.
    """

    def part(region: Region) -> torch.Tensor:
        return moved(as_matrix(base.tensor(region.name))[_window(region.rectangle)].contiguous(), location, device)

    return {name: [replace(region, base=part(region)) for region in parts] for name, parts in regions.items()}


def digest_of(totals: Mapping[Rectangle, int], shapes: Mapping[str, torch.Size], dtype: torch.dtype) -> str:
    """Return the digest of checkpoint tensors from what each part of them adds to it.

    Args:
        totals: By part; together the whole of each tensor, once. See `FusedPass.write`.
        shapes: Of the tensors, by name.
        dtype: Their type.
    """
    by_name: Counter[str] = Counter()
    for part, total in totals.items():
        by_name[part.name] += total
    digest = WeightsDigest()
    for name, shape in shapes.items():
        digest.add(name, dtype, shape, by_name[name])
    return digest.hexdigest()


def kernel_for(base: TensorSource, *, dtype: torch.dtype, device: torch.device) -> Kernel | None:
    """Return what runs the fused pass on a device for these weights; None if nothing does, and the log says why.

    Compilers and processors differ, so it is proven where it runs, by two points of a small model.

    Args:
        base: The weights; only their types count.
        dtype: Type of the perturbed tensors.
        device: Where they are built.
    """
    stored = {base.tensor(name).dtype for name in base.names}
    if strange := sorted(map(str, {dtype, *stored}.difference(TYPES))):
        logger.warning("Weights of type %s are placed step by step, which is slower.", ", ".join(strange))
        return None
    kernel = _kernel(device)
    try:
        if kernel is None or all(_is_proven(kernel, kind, dtype, device) for kind in stored):
            return kernel
        problem = "the kernel's numbers differ from torch's"
    except Exception as error:  # noqa: BLE001  (whatever a compiler does on a new device, there is the slower way)
        problem = f"the kernel does not run: {type(error).__name__}: {error}"
    logger.warning("Weights are placed step by step, which is slower: %s.", problem)
    return None


def _kernel(device: torch.device) -> Kernel | None:
    if device.type == "cpu":
        return compiled_kernel()
    try:
        from landscape_ray.weights.kernels.cuda import CudaKernel  # noqa: PLC0415  (Triton comes with torch for GPUs)
    except ImportError as error:
        logger.warning("Weights are placed step by step, which is slower: there is no Triton (%s).", error)
        return None
    return CudaKernel()


def _is_proven(kernel: Kernel, stored: torch.dtype, dtype: torch.dtype, device: torch.device) -> bool:
    """Tell whether a kernel gives the numbers of torch, and its digest is that of what it wrote."""
    numbers = torch.linspace(-1, 1, 37 * 101, dtype=torch.float64).pow(3).view(37, 101)
    perturber = Perturber(
        BaseWeights(tensors={"w": numbers.to(device=device, dtype=stored)}), dtype=dtype, device=device
    )
    layer = RandomVector(seed=1, normalization="layer", excluded=())
    per_row = replace(layer, seed=2, normalization="filter")
    for terms in ([(layer, 0.3)], [(layer, 0.3), (per_row, -0.7)]):
        point, digest, digest_of_kernel = Perturbation.of(terms), WeightsDigest(), WeightsDigest()
        ((name, expected),) = perturber.tensors(point)
        ((_, got),) = FusedPass(perturber, kernel).tensors(point, digest_of_kernel)
        digest.update(name, expected)
        if not torch.equal(got, expected) or digest.hexdigest() != digest_of_kernel.hexdigest():
            return False
    return True


class FusedPass:
    """Computes any point as `Perturber.tensors` does, to the bit."""

    def __init__(self, perturber: Perturber, kernel: Kernel) -> None:
        """Remember what knows the points, and what computes them; see `kernel_for`."""
        self._perturber = perturber
        self._kernel = kernel

    def tensors(self, perturbation: Perturbation, digest: WeightsDigest) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield every checkpoint tensor at a point, by name, layer by layer, and add each to a digest."""
        tensor_sum = self._perturber.point(perturbation)
        for name in self._perturber.base.names:
            whole = tensor_sum(name)
            out = torch.empty(whole.shape, dtype=self._perturber.dtype, device=self._perturber.device)
            region = Region(name=name, row=0, column=0, target=as_matrix(out))
            totals = self._kernel.run(self._writes(whole, [region])) if out.numel() else []
            digest.add(name, out.dtype, out.shape, sum(totals))
            yield name, out

    def write(self, perturbation: Perturbation, regions: Mapping[str, Sequence[Region]]) -> dict[Rectangle, int]:
        """Write a point into the memory of an engine.

        Args:
            perturbation: The point.
            regions: By the names of checkpoint tensors.

        Returns:
            What each adds to the digest of its tensor, in the order of `regions`; see `digest_of`.
        """
        tensor_sum = self._perturber.point(perturbation)
        totals = self._kernel.run(
            itertools.chain.from_iterable(self._writes(tensor_sum(name), parts) for name, parts in regions.items())
        )
        written = (region.rectangle for parts in regions.values() for region in parts)
        return dict(zip(written, totals, strict=True))

    def _writes(self, tensor_sum: TensorSum, regions: Sequence[Region]) -> Iterator[Write]:
        """Yield what fills regions of one tensor."""
        width = tensor_sum.anchor.shape[1]
        for region in regions:
            part = tensor_sum.part(*_window(region.rectangle))
            if part.starts_from_base and region.base is not None:
                part = replace(part, anchor=region.base)
            if part.is_anchor:
                start = part.anchor.to(self._perturber.device, non_blocking=True)
            else:
                start = part.start(0, part.anchor.shape[0], device=self._perturber.device)
            yield Write(
                out=region.target,
                start=start,
                index=region.row * width + region.column,
                index_step=width,
                terms=part.terms,
            )


def _window(part: Rectangle) -> tuple[slice, slice]:
    return slice(part.row, part.row + part.rows), slice(part.column, part.column + part.columns)
