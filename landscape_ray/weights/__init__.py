"""The perturbation itself: base weights plus coefficients times vectors."""

from landscape_ray.weights.base import BaseWeights
from landscape_ray.weights.digest import WeightsDigest
from landscape_ray.weights.perturbation import Perturber, direction
from landscape_ray.weights.philox import philox_words, standard_normals, tensor_key

__all__ = [
    "BaseWeights",
    "Perturber",
    "WeightsDigest",
    "direction",
    "philox_words",
    "standard_normals",
    "tensor_key",
]
