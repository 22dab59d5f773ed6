"""The kernel for GPUs, carried out by Triton's interpreter: the same bits as torch on a CPU.

What it does on a GPU is proven there, by `kernel_for`, before it is used.
"""

import importlib.util
import os
import subprocess
import sys

import pytest

# Triton decides when it is imported whether it interprets: hence a process of its own.
SCRIPT = """
import itertools, torch
from landscape_ray.planning import Perturbation, RandomVector
from landscape_ray.weights import BaseWeights, FusedPass, Perturber, WeightsDigest, standard_normals
from landscape_ray.weights.kernels import fused
from landscape_ray.weights.kernels.cuda import CudaKernel

cpu, kernel = torch.device("cpu"), CudaKernel()
for start, stop in ((0, 4099), (3, 3), (6, 8), (2**33 + 3, 2**33 + 50)):
    expected = standard_normals(2**64 - 5, start, stop, device=cpu)
    assert torch.equal(kernel.normals(2**64 - 5, start, stop, device=cpu), expected)
assert all(fused._is_proven(kernel, *pair, cpu) for pair in itertools.product(fused.TYPES, fused.TYPES))

vectors = [RandomVector(seed=i, normalization=how, excluded=()) for i, how in enumerate(("filter", "none", "layer"))]
base = BaseWeights(tensors={"w": torch.randn(3, 1100), "v": torch.randn(2, 30, 2), "b": torch.randn(7)})
for dtype, num_vectors in ((torch.float32, 0), (torch.bfloat16, 1), (torch.float32, 2)):
    perturber = Perturber(base, dtype=dtype, device=cpu)
    point = Perturbation.of([(vector, 0.25) for vector in vectors[:num_vectors]])
    expected = dict(perturber.tensors(point))
    whole = {name: torch.zeros_like(tensor) for name, tensor in expected.items()}
    regions = {}
    for name, tensor in whole.items():  # in four rectangles, none of which need begin with a counter
        matrix = fused.as_matrix(tensor)
        rows, columns = matrix.shape
        corners = itertools.product(((0, rows // 2), (rows // 2, rows)), ((0, columns // 3), (columns // 3, columns)))
        regions[name] = [
            fused.Region(name=name, row=top, column=left, target=matrix[top:bottom, left:right])
            for (top, bottom), (left, right) in corners
            if top < bottom
        ]
    digest = WeightsDigest()
    for name, tensor in expected.items():
        digest.update(name, tensor)
    totals = FusedPass(perturber, kernel).write(point, regions)
    shapes = {name: tensor.shape for name, tensor in expected.items()}
    assert fused.digest_of(totals, shapes, dtype) == digest.hexdigest()
    assert all(torch.equal(whole[name], tensor) for name, tensor in expected.items())
try:
    FusedPass(perturber, kernel).write(Perturbation.of([(vector, 0.25) for vector in vectors]), regions)
except ValueError as error:
    print(error)
"""


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs Triton")
def test_interpreted_kernel_gives_the_bits_of_torch() -> None:
    done = subprocess.run(  # noqa: S603  (the script above)
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "The kernel of the GPU adds up to 2 random vectors at a time, not 3.\n"
