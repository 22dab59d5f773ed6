"""The perturbation itself: `W = cast(W0 + sum of c_k * v_k)`, from the pristine base, tensor by tensor.

A tensor is seen as a matrix of R rows (output rows, or 'filters') and C columns; a 1-D tensor is a single row. It is
built in blocks of whole rows, so the memory beside the result is that of a block.

Shape suffixes: R rows, C columns, B rows of one block.
"""

import re
from collections.abc import Iterator

import torch

from landscape_ray.errors import CheckpointError
from landscape_ray.plan import Perturbation, RandomVector
from landscape_ray.weights.base import BaseWeights
from landscape_ray.weights.philox import standard_normals, tensor_key

__all__ = ["Perturber", "direction"]

# Elements of a block: large enough that launches do not matter, small beside a layer of a large model.
BLOCK_CPU, BLOCK_GPU = 1 << 20, 1 << 24


def direction(vector: RandomVector, name: str, base: torch.Tensor) -> torch.Tensor:
    """Return the vector on one checkpoint tensor: float32, in the tensor's shape, on its device.

    This is what a coefficient multiplies, so that others can reproduce a point.

    Args:
        vector: Which vector.
        name: The tensor's name in the checkpoint.
        base: The tensor's base weights; only their shape and norms count.

    Source: Peng et al. 2024, Eq. 2 (`layer`, per checkpoint tensor); Li et al. 2018, Section 4 (`filter`).

    Differs from reference: normals are counter-based rather than drawn in sequence, and an excluded tensor's part is
    zero. Under `filter`, a 1-D tensor counts as one filter.
    """
    if _is_excluded(vector, name):
        return torch.zeros_like(base, dtype=torch.float32)
    matrix_RC = _as_matrix(base)
    rows, columns = matrix_RC.shape
    scale = _scale(vector, name, matrix_RC, base.device).to(torch.float32)
    return (_normals(vector, name, 0, rows, columns=columns, device=base.device) * scale).view(base.shape)


class Perturber:
    """Builds the tensors of any point from one set of base weights."""

    def __init__(self, base: BaseWeights, *, dtype: torch.dtype, device: torch.device) -> None:
        """Remember where the base is; nothing is computed.

        Args:
            base: The pristine weights, on the device or in host memory.
            dtype: Type of the perturbed tensors.
            device: Where they are built.
        """
        self._base = base
        self._dtype = dtype
        self._device = device
        # Scales take a pass over vector and weights; they are the same at every point along a vector.
        self._scales: dict[tuple[RandomVector, str], torch.Tensor] = {}

    def tensors(self, perturbation: Perturbation) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield every checkpoint tensor at a point, by name, layer by layer.

        Sums are taken in float32 and cast once. Tensors are new: the base is never changed or handed out.

        Raises:
            CheckpointError: An excluded-name pattern of a vector matches no tensor.
        """
        for vector, _ in perturbation.terms:
            _check_patterns(vector, self._base.names)
        for name, base in self._base.tensors.items():
            yield name, self._tensor(name, base, perturbation)

    def _tensor(self, name: str, base: torch.Tensor, perturbation: Perturbation) -> torch.Tensor:
        terms = [(vector, c) for vector, c in perturbation.terms if not _is_excluded(vector, name)]
        if not terms or base.numel() == 0:
            return base.to(device=self._device, dtype=self._dtype, copy=True)
        matrix_RC = _as_matrix(base)
        out_RC = torch.empty(matrix_RC.shape, dtype=self._dtype, device=self._device)
        columns = matrix_RC.shape[1]
        factors = [(self._scale(vector, name, matrix_RC) * c).to(torch.float32) for vector, c in terms]
        for first, last in _row_blocks(matrix_RC, self._device):
            sum_BC = matrix_RC[first:last].to(device=self._device, dtype=torch.float32, copy=True)
            for (vector, _), factor in zip(terms, factors, strict=True):
                normals_BC = _normals(vector, name, first, last, columns=columns, device=self._device)
                sum_BC += normals_BC.mul_(factor if factor.ndim == 0 else factor[first:last])
            out_RC[first:last] = sum_BC
        return out_RC.view(base.shape)

    def _scale(self, vector: RandomVector, name: str, base_RC: torch.Tensor) -> torch.Tensor:
        if (vector, name) not in self._scales:
            self._scales[vector, name] = _scale(vector, name, base_RC, self._device)
        return self._scales[vector, name]


def _scale(vector: RandomVector, name: str, base_RC: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return what the normals are multiplied by: float64, shape [] or, under `filter`, [R, 1].

    Norms are summed in float64, so that the float32 factors hardly depend on the order of summation.
    """
    if vector.normalization == "none":
        return torch.ones((), dtype=torch.float64, device=device)
    blocks = []
    for first, last in _row_blocks(base_RC, device):
        normals_BC = _normals(vector, name, first, last, columns=base_RC.shape[1], device=device)
        pair = (base_RC[first:last].to(device=device, dtype=torch.float64), normals_BC.to(torch.float64))
        blocks.append(torch.stack([matrix.square().sum(dim=1) for matrix in pair]))
    squares_2R = torch.cat(blocks, dim=1)
    if vector.normalization == "layer":
        norms_2 = squares_2R.sum(dim=1).sqrt()
        return norms_2[0] / norms_2[1]
    norms_2R = squares_2R.sqrt()
    return (norms_2R[0] / norms_2R[1]).unsqueeze(1)


def _normals(
    vector: RandomVector, name: str, first: int, last: int, *, columns: int, device: torch.device
) -> torch.Tensor:
    """Return rows first .. last-1 of the vector's normals on one tensor: float32, shape [last - first, C]."""
    key = tensor_key(vector.seed, name)
    return standard_normals(key, first * columns, last * columns, device=device).view(-1, columns)


def _as_matrix(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.reshape(tensor.shape[0] if tensor.ndim > 1 else 1, -1)


def _row_blocks(matrix_RC: torch.Tensor, device: torch.device) -> Iterator[tuple[int, int]]:
    rows, columns = matrix_RC.shape
    step = max(1, (BLOCK_CPU if device.type == "cpu" else BLOCK_GPU) // columns)
    for first in range(0, rows, step):
        yield first, min(first + step, rows)


def _is_excluded(vector: RandomVector, name: str) -> bool:
    return any(re.search(pattern, name) for pattern in vector.excluded)


def _check_patterns(vector: RandomVector, names: tuple[str, ...]) -> None:
    for pattern in vector.excluded:
        if not any(re.search(pattern, name) for name in names):
            msg = (
                f"directions.excluded has the pattern {pattern!r}, which matches none of the checkpoint's {len(names)} "
                f"tensors ({names[0]}, {names[len(names) // 2]}, ..., {names[-1]}). A tensor meant to stay would be "
                "perturbed without notice; give patterns that match, or [] to perturb every tensor."
            )
            raise CheckpointError(msg)
