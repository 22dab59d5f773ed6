"""`task_vector`: what one checkpoint has learnt over another."""

import torch

from landscape_ray.planning import TaskVector
from landscape_ray.weights.files import Endpoints

__all__ = ["task_vector"]


def task_vector(vector: TaskVector, name: str, _weights: torch.Tensor, endpoints: Endpoints) -> torch.Tensor:
    """Return `plus - minus` on one tensor, in float32.

    Source: Ilharco et al. 2023, "Editing Models with Task Arithmetic", Section 2.
    """
    plus, minus = (endpoints[delta].tensor(name).to("cpu", torch.float32) for delta in (vector.plus, vector.minus))
    return plus - minus
