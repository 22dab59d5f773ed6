"""`gradient`: against the gradient of the likelihood of refusals, which an engine has computed."""

import torch

from landscape_ray.planning import Gradient
from landscape_ray.weights.files import Endpoints

__all__ = ["gradient"]


def gradient(vector: Gradient, name: str, _weights: torch.Tensor, endpoints: Endpoints) -> torch.Tensor:
    """Return minus the gradient on one tensor, float32, as it was stored.

    Scaled to the norm of each tensor's weights (`layer`), it is the direction along which, of all whose tensors have
    these norms, the log-likelihood falls fastest: on each tensor the inner product with the gradient is the least.
    """
    return endpoints[vector.of].tensor(name)
