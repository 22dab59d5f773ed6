"""The perturbation itself: `W = cast(W0 + sum of c_k * v_k)`, from the pristine base, tensor by tensor.

Differences of checkpoints, `v_k = W_k - W0`, make this `(1 - sum of c_k) W0 + sum of c_k W_k`: weights of checkpoints
that add up to 1. The sum starts from the checkpoint with the largest weight, the *anchor* A, and adds the others as
`weight * (W_j - A)`. Where one weight is 1 and the others are 0 nothing is added, so the point is that checkpoint to
the bit, whichever it is; and a line is the same from both of its ends.

A tensor is seen as a matrix of R rows (output rows, or 'filters') and C columns; a 1-D tensor is a single row. It is
built in blocks of whole rows, so the memory beside the result is that of a block.

Shape suffixes: R rows, C columns, B rows of one block.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import torch

from landscape_ray.planning import ComputedVector, Perturbation, RandomVector
from landscape_ray.weights.files import Endpoints, TensorSource
from landscape_ray.weights.kernels.write import Term
from landscape_ray.weights.kinds import ComputedTensors
from landscape_ray.weights.patterns import check_patterns, is_perturbed
from landscape_ray.weights.philox import standard_normals, tensor_key

__all__ = ["Perturber", "TensorSum", "as_matrix", "direction"]

# Elements of a block: large enough that launches do not matter, small beside a layer of a large model.
BLOCK_CPU, BLOCK_GPU = 1 << 20, 1 << 24


def direction(
    vector: RandomVector, name: str, base: torch.Tensor, normals: Callable[..., torch.Tensor] = standard_normals
) -> torch.Tensor:
    """Return the vector on one checkpoint tensor: float32, in the tensor's shape, on its device.

    This is what a coefficient multiplies, so that others can reproduce a point.

    Args:
        vector: Which vector.
        name: The tensor's name in the checkpoint.
        base: The tensor's base weights; only their shape and norms count.
        normals: `standard_normals`, or what gives the same faster.

    Source: Peng et al. 2024, Eq. 2 (`layer`, per checkpoint tensor); Li et al. 2018, Section 4 (`filter`).

    Differs from reference: normals are counter-based rather than drawn in sequence, and an excluded tensor's part is
    zero. Under `filter`, a 1-D tensor counts as one filter.
    """
    if not is_perturbed(vector, name):
        return torch.zeros_like(base, dtype=torch.float32)
    matrix_RC = as_matrix(base)
    scale = _scale(vector, name, matrix_RC, base.device, normals).to(torch.float32)
    drawn = normals(tensor_key(vector.seed, name), 0, matrix_RC.numel(), device=base.device)
    return (drawn.view(matrix_RC.shape) * scale).view(base.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSum:
    """One checkpoint tensor at a point, before it is computed: anchor, plus differences and steps, plus terms."""

    shape: torch.Size
    """Its shape in the checkpoint."""
    anchor: torch.Tensor
    """The checkpoint that the sum starts from, in its own type, on the device or in host memory; shape [R, C]."""
    others: tuple[tuple[torch.Tensor, float], ...]
    """Further checkpoints, of the same shape, with their weights."""
    steps: tuple[tuple[torch.Tensor, float], ...]
    """Computed vectors, in host memory, of the same shape, with their coefficients."""
    terms: tuple[Term, ...]
    """Random vectors, last of all."""
    starts_from_base: bool
    """The anchor is the base."""

    def part(self, rows: slice, columns: slice) -> "TensorSum":
        """Return the sum on some rows and columns of the matrix."""
        return replace(
            self,
            anchor=self.anchor[rows, columns],
            others=tuple((other[rows, columns], weight) for other, weight in self.others),
            steps=tuple((step[rows, columns], coefficient) for step, coefficient in self.steps),
            terms=tuple(replace(term, factor=term.factor[rows]) if term.factor.ndim else term for term in self.terms),
        )

    @property
    def is_anchor(self) -> bool:
        """Nothing but random vectors is added to the anchor."""
        return not (self.others or self.steps)

    def start(self, first: int, last: int, *, device: torch.device) -> torch.Tensor:
        """Return rows first .. last-1 without the random vectors: float32, new, shape [B, C]."""
        anchor_BC = self.anchor[first:last].to(device=device, dtype=torch.float32)
        sum_BC = anchor_BC.clone()
        for other_RC, weight in self.others:
            other_BC = other_RC[first:last].to(device=device, dtype=torch.float32)
            sum_BC += (other_BC - anchor_BC).mul_(weight)
        for step_RC, coefficient in self.steps:
            sum_BC += step_RC[first:last].to(device=device, dtype=torch.float32) * coefficient
        return sum_BC


class Perturber:
    """Builds the tensors of any point from one set of base weights."""

    def __init__(
        self,
        base: TensorSource,
        *,
        dtype: torch.dtype,
        device: torch.device,
        endpoints: Endpoints | None = None,
        normals: Callable[..., torch.Tensor] = standard_normals,
    ) -> None:
        """Remember where the weights are; nothing is computed.

        Args:
            base: The pristine weights, on the device, in host memory or in files.
            dtype: Type of the perturbed tensors.
            device: Where they are built.
            endpoints: The checkpoints that differences lead to, and those that vectors are computed from. They are read
                again at every point, tensor by tensor, so that no more than one tensor of each is in memory.
            normals: Draws the vectors whose norms are taken: `standard_normals`, or what gives the same faster.
        """
        self.base = base
        self.dtype = dtype
        self.device = device
        self.computed = ComputedTensors(endpoints or {})
        self._draw = normals
        # Scales take a pass over vector and weights; they are the same at every point along a vector.
        self._drawn: dict[RandomVector, _Drawn] = {}

    def tensors(self, perturbation: Perturbation) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield every checkpoint tensor at a point, by name, layer by layer.

        Sums are taken in float32 and cast once. Tensors are new: the base is never changed or handed out. This is the
        definition of a point, step by step in torch; `FusedPass` gives the same bits.

        Raises:
            CheckpointError: A pattern of a vector matches no tensor.
            ValueError: The perturbation holds the difference of a checkpoint that this perturber was not given.
        """
        tensor_sum = self.point(perturbation)
        for name in self.base.names:
            yield name, self._tensor(tensor_sum(name))

    def point(self, perturbation: Perturbation) -> Callable[[str], TensorSum]:
        """Return what gives each checkpoint tensor at a point, by its name, as a sum; errors as of `tensors`."""
        sources: list[tuple[TensorSource, float]] = []
        given: list[tuple[ComputedVector, float]] = []
        randoms: list[dict[str, Term]] = []
        for vector, coefficient in perturbation.terms:
            if isinstance(vector, RandomVector):
                randoms.append(self._terms(vector, coefficient))
            elif isinstance(vector, ComputedVector):
                check_patterns(vector, self.base.names)
                given.append((vector, coefficient))
            elif vector in self.computed.endpoints:
                sources.append((self.computed.endpoints[vector], coefficient))
            else:
                msg = f"The checkpoint {vector.location} ({vector.fingerprint}) was not opened for this perturber."
                raise ValueError(msg)
        weights = [(self.base, 1 - math.fsum(weight for _, weight in sources)), *sources]
        anchor, others = _anchored(weights)

        def tensor_sum(name: str) -> TensorSum:
            start = anchor.tensor(name)
            return TensorSum(
                shape=start.shape,
                anchor=as_matrix(start),
                others=tuple((as_matrix(source.tensor(name)), weight) for source, weight in others),
                steps=tuple(self._steps(given, name)),
                terms=tuple(terms[name] for terms in randoms if name in terms),
                starts_from_base=anchor is self.base,
            )

        return tensor_sum

    def _steps(self, given: Iterable[tuple[ComputedVector, float]], name: str) -> Iterator[tuple[torch.Tensor, float]]:
        for vector, coefficient in given:
            step = self.computed.tensor(vector, name, self.base.tensor(name))
            if step is not None:
                yield as_matrix(step), coefficient

    def _tensor(self, tensor_sum: TensorSum) -> torch.Tensor:
        start_RC, terms = tensor_sum.anchor, tensor_sum.terms
        if (tensor_sum.is_anchor and not terms) or start_RC.numel() == 0:
            return start_RC.to(device=self.device, dtype=self.dtype, copy=True).view(tensor_sum.shape)
        out_RC = torch.empty(start_RC.shape, dtype=self.dtype, device=self.device)
        columns = start_RC.shape[1]
        for first, last in _row_blocks(start_RC, self.device):
            sum_BC = tensor_sum.start(first, last, device=self.device)
            for term in terms:
                normals = standard_normals(term.key, first * columns, last * columns, device=self.device)
                sum_BC += normals.view(-1, columns).mul_(
                    term.factor if term.factor.ndim == 0 else term.factor[first:last]
                )
            out_RC[first:last] = sum_BC
        return out_RC.view(tensor_sum.shape)

    def _terms(self, vector: RandomVector, coefficient: float) -> dict[str, Term]:
        """Return what a vector adds to each tensor that it is not zero on.

        The factors of all tensors are computed at once: on a GPU, an operation for each would take longer than placing.
        """
        if vector not in self._drawn:
            check_patterns(vector, self.base.names)
            matrices = (
                (name, as_matrix(self.base.tensor(name))) for name in self.base.names if is_perturbed(vector, name)
            )
            scales = {
                name: _scale(vector, name, matrix, self.device, self._draw)
                for name, matrix in matrices
                if matrix.numel() > 0
            }
            self._drawn[vector] = _Drawn(
                keys={name: tensor_key(vector.seed, name) for name in scales},
                shapes=[scale.shape for scale in scales.values()],
                scales=torch.cat([scale.flatten() for scale in scales.values()]),
            )
        drawn = self._drawn[vector]
        factors = torch.split((drawn.scales * coefficient).to(torch.float32), [shape.numel() for shape in drawn.shapes])
        return {
            name: Term(key=key, factor=factor.view(shape))
            for (name, key), shape, factor in zip(drawn.keys.items(), drawn.shapes, factors, strict=True)
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drawn:
    """What is the same at all points along a vector, for the tensors that it is not zero on."""

    keys: dict[str, int]
    """Philox keys."""
    shapes: list[torch.Size]
    """Shapes of scales, [] or [R, 1]."""
    scales: torch.Tensor
    """Scales of all tensors, one after the other; float64, on the device."""


def _anchored(
    weights: list[tuple[TensorSource, float]],
) -> tuple[TensorSource, list[tuple[TensorSource, float]]]:
    """Return the first of the checkpoints with the largest weight, and the others whose weight is not 0."""
    index = max(range(len(weights)), key=lambda i: weights[i][1])
    others = weights[:index] + weights[index + 1 :]
    return weights[index][0], [(source, weight) for source, weight in others if weight != 0]


def _scale(
    vector: RandomVector,
    name: str,
    base_RC: torch.Tensor,
    device: torch.device,
    draw: Callable[..., torch.Tensor] = standard_normals,
) -> torch.Tensor:
    """Return what the normals are multiplied by: float64, shape [] or, under `filter`, [R, 1].

    Norms are summed in float64, so that the float32 factors hardly depend on the order of summation.
    """
    if vector.normalization == "none":
        return torch.ones((), dtype=torch.float64, device=device)
    blocks = []
    for first, last in _row_blocks(base_RC, device):
        columns = base_RC.shape[1]
        normals = draw(tensor_key(vector.seed, name), first * columns, last * columns, device=device)
        normals_BC = normals.view(-1, columns)
        # Converted on the device: what goes there from host memory should go in its own type.
        pair = (base_RC[first:last].to(device).to(torch.float64), normals_BC.to(torch.float64))
        blocks.append(torch.stack([matrix.square().sum(dim=1) for matrix in pair]))
    squares_2R = torch.cat(blocks, dim=1)
    if vector.normalization == "layer":
        norms_2 = squares_2R.sum(dim=1).sqrt()
        return norms_2[0] / norms_2[1]
    norms_2R = squares_2R.sqrt()
    return (norms_2R[0] / norms_2R[1]).unsqueeze(1)


def as_matrix(tensor: torch.Tensor) -> torch.Tensor:
    """Return a view of a checkpoint tensor as rows, or filters, and columns."""
    return tensor.reshape(tensor.shape[0] if tensor.ndim > 1 else 1, -1)


def _row_blocks(matrix_RC: torch.Tensor, device: torch.device) -> Iterator[tuple[int, int]]:
    rows, columns = matrix_RC.shape
    step = max(1, (BLOCK_CPU if device.type == "cpu" else BLOCK_GPU) // columns)
    for first in range(0, rows, step):
        yield first, min(first + step, rows)
