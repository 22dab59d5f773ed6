"""The fused pass: base, vectors, sum, cast and digest in one pass over the weights, written where an engine keeps them.

`Perturber.tensors` builds checkpoint tensors step by step, for an engine's own loader to place. `FusedPass` gives the
same bits: as checkpoint tensors, or straight into the parts of them that an engine holds, its *regions*.
"""

import itertools
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from landscape_ray.plan import Perturbation, RandomVector
from landscape_ray.weights.base import BaseWeights
from landscape_ray.weights.cpu_kernel import compiled_kernel
from landscape_ray.weights.digest import WeightsDigest
from landscape_ray.weights.perturbation import Perturber, TensorSum, as_matrix
from landscape_ray.weights.write import Kernel, Write

__all__ = ["FusedPass", "Region", "check_partition", "kernel_for"]

logger = logging.getLogger(__name__)

# Types of checkpoints and engines that kernels read and write.
TYPES = (torch.float32, torch.bfloat16, torch.float16)


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


def check_partition(regions: Sequence[Region], shape: torch.Size, dtype: torch.dtype) -> str | None:
    """Return what is wrong with the regions of one checkpoint tensor, unless each element lies in one of them."""
    width = shape[1:].numel() if len(shape) > 1 else shape.numel()
    if any(region.target.dtype != dtype for region in regions):
        return "kept in another type"
    spans = [
        (region.row, region.row + region.target.shape[0], region.column, region.column + region.target.shape[1])
        for region in regions
    ]
    overlap = any(
        max(a[0], b[0]) < min(a[1], b[1]) and max(a[2], b[2]) < min(a[3], b[3])
        for a, b in itertools.combinations(spans, 2)
    )
    inside = all(right <= width for _, _, _, right in spans)
    if overlap or not inside or sum(region.target.numel() for region in regions) != shape.numel():
        return "not copied as it is, or not once"
    return None


def kernel_for(base: BaseWeights, *, dtype: torch.dtype, device: torch.device) -> Kernel | None:
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
        from landscape_ray.weights.cuda_kernel import CudaKernel  # noqa: PLC0415  (Triton comes with torch for GPUs)
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

    def place(self, perturbation: Perturbation, regions: Mapping[str, Sequence[Region]]) -> str:
        """Write a point into the memory of an engine.

        Args:
            perturbation: The point.
            regions: By the names of checkpoint tensors; together the whole of each, once.

        Returns:
            The digest of the checkpoint tensors.
        """
        tensor_sum = self._perturber.point(perturbation)
        names = [name for name in self._perturber.base.names for _ in regions[name]]
        totals = self._kernel.run(
            itertools.chain.from_iterable(
                self._writes(tensor_sum(name), regions[name]) for name in self._perturber.base.names
            )
        )
        by_name: Counter[str] = Counter()
        for name, total in zip(names, totals, strict=True):
            by_name[name] += total
        digest = WeightsDigest()
        for name in self._perturber.base.names:
            digest.add(name, self._perturber.dtype, self._perturber.base.tensor(name).shape, by_name[name])
        return digest.hexdigest()

    def _writes(self, tensor_sum: TensorSum, regions: Sequence[Region]) -> Iterator[Write]:
        """Yield what fills regions of one tensor."""
        rows, columns = tensor_sum.anchor.shape
        if tensor_sum.others:
            start = tensor_sum.start(0, rows, device=self._perturber.device)
        else:
            start = tensor_sum.anchor.to(self._perturber.device, non_blocking=True)
        for region in regions:
            part = slice(region.row, region.row + region.target.shape[0])
            yield Write(
                out=region.target,
                start=start[part, region.column : region.column + region.target.shape[1]],
                index=region.row * columns + region.column,
                index_step=columns,
                terms=tuple(
                    replace(term, factor=term.factor[part]) if term.factor.ndim else term for term in tensor_sum.terms
                ),
            )
