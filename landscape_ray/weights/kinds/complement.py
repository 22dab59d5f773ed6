"""`complement`: random directions without what lies along the difference of a checkpoint."""

import torch

from landscape_ray.planning import Complement
from landscape_ray.weights.files import Endpoints
from landscape_ray.weights.kinds.difference import difference
from landscape_ray.weights.philox import standard_normals, tensor_key

__all__ = ["complement"]


def complement(vector: Complement, name: str, weights: torch.Tensor, endpoints: Endpoints) -> torch.Tensor:
    """Return `g - (<g, d> / <d, d>) d` on one tensor: g of standard normals, d the difference; float32.

    Where the difference is zero it is g, the normals that a random direction of the same seed has.

    Source: Gram-Schmidt, tensor by tensor.
    """
    normals = standard_normals(tensor_key(vector.seed, name), 0, weights.numel(), device=torch.device("cpu"))
    drawn, along = normals.to(torch.float64), difference(vector.to, name, weights, endpoints).flatten()
    square = along.square().sum()
    if not square:
        return normals.view(weights.shape)
    # Rounded, so that it hardly depends on the order of summation.
    share = (drawn.mul(along).sum() / square).to(torch.float32).to(torch.float64)
    return (drawn - share * along).to(torch.float32).view(weights.shape)
