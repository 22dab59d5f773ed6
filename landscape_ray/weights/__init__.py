"""The perturbation itself: base weights plus coefficients times vectors."""

from landscape_ray.weights.base import BaseWeights
from landscape_ray.weights.digest import WeightsDigest
from landscape_ray.weights.directions import vector_tensors
from landscape_ray.weights.endpoints import open_endpoint
from landscape_ray.weights.files import CheckpointFiles, TensorSource, write_checkpoint
from landscape_ray.weights.finite import check_finite
from landscape_ray.weights.geometry import direction_norms, inner_products, random_norm, weights_norm
from landscape_ray.weights.kernels.fused import (
    FusedPass,
    Rectangle,
    Region,
    check_partition,
    digest_of,
    kernel_for,
    with_base,
)
from landscape_ray.weights.perturbation import Perturber, as_matrix, direction
from landscape_ray.weights.philox import philox_words, standard_normals, tensor_key

__all__ = [
    "BaseWeights",
    "CheckpointFiles",
    "FusedPass",
    "Perturber",
    "Rectangle",
    "Region",
    "TensorSource",
    "WeightsDigest",
    "as_matrix",
    "check_finite",
    "check_partition",
    "digest_of",
    "direction",
    "direction_norms",
    "inner_products",
    "kernel_for",
    "open_endpoint",
    "philox_words",
    "random_norm",
    "standard_normals",
    "tensor_key",
    "vector_tensors",
    "weights_norm",
    "with_base",
    "write_checkpoint",
]
