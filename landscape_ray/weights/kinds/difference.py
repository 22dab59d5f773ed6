"""The difference of a checkpoint from the model, for kinds that are made of one."""

import torch

from landscape_ray.planning import CheckpointDelta
from landscape_ray.weights.files import Endpoints

__all__ = ["difference"]


def difference(to: CheckpointDelta, name: str, weights: torch.Tensor, endpoints: Endpoints) -> torch.Tensor:
    """Return a checkpoint's tensor minus the base weights: float64, in host memory."""
    return endpoints[to].tensor(name).to("cpu", torch.float64) - weights.to(torch.float64)
