"""`refusal_ablation`: from the weights to what they are when nothing is written along the refusal direction."""

import torch

from landscape_ray.planning import RefusalAblation
from landscape_ray.weights.files import Endpoints

__all__ = ["refusal_ablation"]


def refusal_ablation(
    vector: RefusalAblation, name: str, weights: torch.Tensor, endpoints: Endpoints
) -> torch.Tensor | None:
    """Return `-r (r' W)` on one tensor that writes to the residual stream, float32; None on one that does not.

    The stored unit direction r says which: the tensors that it is stored for. Its shape says how: it is as long as the
    dimension of W that is the residual stream, and 1 in all others, so that a transposed matrix has `-(W r) r'`.

    Source: Arditi et al. 2024, "Refusal in Language Models Is Mediated by a Single Direction", Section 4.1.
    """
    source = endpoints[vector.along]
    if name not in source.names:
        return None
    r = source.tensor(name).to(torch.float64)
    (stream,) = (dim for dim, size in enumerate(r.shape) if size > 1)
    written = weights.to(torch.float64).mul(r).sum(dim=stream, keepdim=True)
    # Rounded, so that it hardly depends on the order of summation.
    return written.to(torch.float32).to(torch.float64).mul(-r).to(torch.float32)
