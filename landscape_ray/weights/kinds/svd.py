"""`svd`: the largest singular components of a difference, or what is left without them."""

import torch

from landscape_ray.errors import CheckpointError
from landscape_ray.planning import SingularPart
from landscape_ray.weights.files import Endpoints
from landscape_ray.weights.kinds.difference import difference

__all__ = ["svd"]


def svd(vector: SingularPart, name: str, weights: torch.Tensor, endpoints: Endpoints) -> torch.Tensor | None:
    """Return `sum of s_i u_i v_i'` over the largest components of the difference on one matrix, or the rest; float32.

    Components are taken in float64, and no sign is left to choose: `u_i` and `v_i` change theirs together. A tensor of
    more than two dimensions is a stack of matrices. A vector is its own largest component.

    Source: Eckart and Young 1936, on the best approximation of low rank.

    Raises:
        CheckpointError: The difference has fewer components than were asked for.
    """
    whole = difference(vector.to, name, weights, endpoints)
    if not whole.any():
        return None
    if whole.ndim < 2:
        return whole.to(torch.float32) if vector.part == "top" else None
    left_RK, values_K, right_KC = torch.linalg.svd(whole, full_matrices=False)
    # What a difference of low rank leaves in the other components is rounding of its weights' type at least.
    floor = values_K.amax() * max(whole.shape[-2:]) * torch.finfo(torch.float32).eps
    num_components = int((values_K > floor).sum(dim=-1).amax())
    if vector.rank > num_components:
        msg = (
            f"The {vector.rank} largest singular components were asked for, and the difference of the checkpoint "
            f"{vector.to.location} has {num_components} on the tensor {name} {tuple(weights.shape)}. Lower rank, or "
            "leave the tensor out with `excluded`."
        )
        raise CheckpointError(msg)
    k = vector.rank
    top = (left_RK[..., :k] * values_K[..., None, :k]) @ right_KC[..., :k, :]
    part: torch.Tensor = top if vector.part == "top" else whole - top
    return part.to(torch.float32)
