"""The fused pass gives the bits that the perturber computes step by step."""

import itertools
import logging
import platform
import time
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from landscape_ray.planning import ORIGIN, CheckpointDelta, Perturbation, Pruning, RandomVector, TaskVector
from landscape_ray.weights import (
    BaseWeights,
    FusedPass,
    Perturber,
    WeightsDigest,
    as_matrix,
    kernel_for,
    standard_normals,
)
from landscape_ray.weights.kernels import cpu as cpu_kernel
from landscape_ray.weights.kernels import fused
from landscape_ray.weights.kernels.cpu import CpuKernel, compiled_kernel
from landscape_ray.weights.kernels.write import Kernel, Term, Write

CPU = torch.device("cpu")
TYPES = (torch.float32, torch.bfloat16, torch.float16)
SHAPES = {"embed.weight": (7, 30), "a.weight": (64, 96), "b.weight": (3, 1025), "a.bias": (5,), "norm.weight": (33,)}


@pytest.fixture(scope="module")
def kernel() -> Kernel:
    found = kernel_for(weights(), dtype=torch.float32, device=CPU)
    assert found is not None, "no C compiler"
    return found


def weights(dtype: torch.dtype = torch.float32, seed: int = 0) -> BaseWeights:
    generator = torch.Generator().manual_seed(seed)
    return BaseWeights(
        tensors={name: torch.randn(shape, generator=generator).to(dtype) for name, shape in SHAPES.items()}
    )


def vector(seed: int, normalization: str = "layer", **patterns: tuple[str, ...]) -> RandomVector:
    return RandomVector(seed=seed, normalization=normalization, excluded=patterns.pop("excluded", ()), **patterns)  # type: ignore[arg-type]


def compare(perturber: Perturber, kernel: Kernel, point: Perturbation) -> None:
    digest, digest_of_kernel = WeightsDigest(), WeightsDigest()
    got = dict(FusedPass(perturber, kernel).tensors(point, digest_of_kernel))
    for name, expected in perturber.tensors(point):
        digest.update(name, expected)
        assert got[name].dtype == expected.dtype
        assert torch.equal(got[name], expected), name
    assert digest_of_kernel.hexdigest() == digest.hexdigest()


POINTS = {
    "origin": ORIGIN,
    "one": Perturbation.of([(vector(1), 0.3)]),
    "two": Perturbation.of([(vector(1), 0.3), (vector(2), -1.7)]),
    "filter": Perturbation.of([(vector(1, "filter"), 0.3), (vector(2, "none"), 1e-3)]),
    "excluded": Perturbation.of([(vector(1, excluded=("norm",)), 0.3), (vector(2, included=("norm", "bias")), 0.4)]),
}


@pytest.mark.parametrize(("stored", "placed"), list(itertools.product(TYPES, TYPES)))
@pytest.mark.parametrize("point", list(POINTS))
def test_every_tensor_has_the_bits_of_the_step_by_step_path(
    stored: torch.dtype, placed: torch.dtype, point: str, kernel: Kernel
) -> None:
    compare(Perturber(weights(stored), dtype=placed, device=CPU), kernel, POINTS[point])


@pytest.mark.parametrize("alphas", [(0.25, 0.0), (0.9, 0.0), (0.3, -0.4)])
def test_differences_of_checkpoints_too(alphas: tuple[float, float], kernel: Kernel) -> None:
    deltas = [CheckpointDelta(fingerprint=str(i), location=str(i), revision=None) for i in range(2)]
    perturber = Perturber(
        weights(torch.bfloat16),
        dtype=torch.bfloat16,
        device=CPU,
        endpoints={delta: weights(torch.bfloat16, seed=i + 1) for i, delta in enumerate(deltas)},
    )
    compare(perturber, kernel, Perturbation.of([*zip(deltas, alphas, strict=True), (vector(3), 0.1)]))
    compare(perturber, kernel, Perturbation.of([(TaskVector(minus=deltas[0], plus=deltas[1]), 0.7), (vector(3), 0.1)]))


def test_normals_and_so_scales_are_those_of_torch(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_kernel, "TASK", 1000)
    for start, stop in ((0, 4099), (1, 2), (2, 2), (5, 9000), (2**33 + 3, 2**33 + 50)):
        expected = standard_normals(2**64 - 5, start, stop, device=CPU)
        assert torch.equal(kernel.normals(2**64 - 5, start, stop, device=CPU), expected)
    point = POINTS["filter"]
    by_torch = Perturber(weights(), dtype=torch.float32, device=CPU)
    by_kernel = Perturber(weights(), dtype=torch.float32, device=CPU, normals=kernel.normals)
    for (_, expected), (_, got) in zip(by_torch.tensors(point), by_kernel.tensors(point), strict=True):
        assert torch.equal(got, expected)


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 40)),
    corner=st.tuples(st.integers(0, 8), st.integers(0, 39)),
    size=st.tuples(st.integers(1, 9), st.integers(1, 40)),
    task=st.integers(1, 50),
    placed=st.sampled_from(TYPES),
    per_row=st.booleans(),
    pruned=st.sampled_from((0.0, 0.5)),
)
def test_any_rectangle_is_part_of_the_whole(  # noqa: PLR0917  (drawn)
    shape: tuple[int, int],
    corner: tuple[int, int],
    size: tuple[int, int],
    task: int,
    placed: torch.dtype,
    per_row: bool,  # noqa: FBT001
    pruned: float,
) -> None:
    """Row and column slices of any alignment, into memory with a gap between rows, leave their surroundings alone."""
    kernel = compiled_kernel()
    assert kernel is not None
    rows, columns = shape
    row, column = min(corner[0], rows - 1), min(corner[1], columns - 1)
    part = slice(row, min(row + size[0], rows)), slice(column, min(column + size[1], columns))
    perturber = Perturber(BaseWeights(tensors={"w": torch.randn(shape)}), dtype=placed, device=CPU)
    layer = vector(1, "filter" if per_row else "layer")
    point = Perturbation.of([(layer, 0.5), (Pruning(share=0.5), pruned), (vector(2), -0.25)])
    ((_, whole),) = perturber.tensors(point)
    memory = torch.full((rows, columns + 3), 7.0, dtype=placed)
    expected = memory.clone()
    expected[part] = whole[part]
    region = fused.Region(name="w", row=row, column=column, target=memory[part])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cpu_kernel, "TASK", task)
        (total,) = kernel.run(FusedPass(perturber, kernel)._writes(perturber.point(point)("w"), [region]))
    assert torch.equal(memory, expected)
    # What the rectangle adds to the digest is what remains of the whole when all around it is zero.
    alone = torch.zeros_like(whole)
    alone[part] = whole[part]
    digest, by_kernel = WeightsDigest(), WeightsDigest()
    digest.update("w", alone)
    by_kernel.add("w", placed, alone.shape, total)
    assert by_kernel.hexdigest() == digest.hexdigest()


@pytest.fixture
def threads(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> CpuKernel:
    """The kernel with three threads, and tasks small enough for all of them."""
    assert isinstance(kernel, CpuKernel)
    num_threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        found = CpuKernel(kernel._library)
    finally:
        torch.set_num_threads(num_threads)
    monkeypatch.setattr(cpu_kernel, "TASK", 100)
    return found


def test_threads_give_the_same(kernel: Kernel, threads: CpuKernel) -> None:
    perturber = Perturber(weights(), dtype=torch.float32, device=CPU)
    compare(perturber, threads, POINTS["two"])
    written, totals = [], []
    for each in (kernel, threads):
        memory = {name: torch.empty(shape) for name, shape in SHAPES.items()}
        regions = {
            name: [fused.Region(name=name, row=0, column=0, target=as_matrix(tensor))]
            for name, tensor in memory.items()
        }
        totals.append(FusedPass(perturber, each).write(POINTS["two"], regions))
        written.append(memory)
    assert totals[0] == totals[1]
    assert all(torch.equal(written[0][name], written[1][name]) for name in SHAPES)


def test_threads_write_no_more_once_an_error_is_raised(threads: CpuKernel, monkeypatch: pytest.MonkeyPatch) -> None:
    carry_out = threads._run

    def slowly(write: Write) -> int:
        time.sleep(0.01)
        return carry_out(write)

    def writes() -> Iterator[Write]:
        yield Write(out=memory, start=torch.ones(1, 500), index=0, index_step=500, terms=())
        msg = "the next start is not there"
        raise OSError(msg)

    monkeypatch.setattr(threads, "_run", slowly)
    memory = torch.zeros(1, 500)
    with pytest.raises(OSError, match="not there"):
        threads.run(writes())
    assert memory.all()


@pytest.fixture
def _fresh() -> Iterator[None]:
    """Forget the compiled kernel, before and after."""
    compiled_kernel.cache_clear()
    yield
    compiled_kernel.cache_clear()


@pytest.mark.usefixtures("_fresh")
def test_without_a_compiler_there_is_no_kernel_and_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    with caplog.at_level(logging.WARNING):
        assert kernel_for(weights(), dtype=torch.float32, device=CPU) is None
    (record,) = caplog.records
    assert record.message == (
        "Weights are placed by torch, which is slower: no C compiler made the kernel ([Errno 2] No such file or "
        "directory: 'no-such-compiler')."
    )


@pytest.mark.skipif(platform.machine() != "x86_64", reason="other processors have one way only")
@pytest.mark.usefixtures("_fresh")
def test_a_processor_without_wide_products_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_kernel, "FLAGS", (*cpu_kernel.FLAGS, "-mno-avx2"))
    found = kernel_for(weights(), dtype=torch.float32, device=CPU)
    assert found is not None
    compare(Perturber(weights(), dtype=torch.float32, device=CPU), found, POINTS["two"])


@pytest.mark.usefixtures("_fresh")
def test_a_kernel_that_was_compiled_to_other_numbers_is_not_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cpu_kernel, "FLAGS", (*cpu_kernel.FLAGS, "-Dsqrt=fabs"))
    with caplog.at_level(logging.WARNING):
        assert kernel_for(weights(), dtype=torch.float32, device=CPU) is None
    (record,) = caplog.records
    assert "the kernel's numbers differ from torch's" in record.message


def test_other_types_are_left_to_the_step_by_step_path(caplog: pytest.LogCaptureFixture) -> None:
    for dtype, known in ((torch.float32, True), (torch.float64, False), (torch.float8_e4m3fn, False)):
        assert (kernel_for(weights(dtype), dtype=torch.float32, device=CPU) is not None) == known
    assert [record.message for record in caplog.records] == [
        "Weights of type torch.float64 are placed step by step, which is slower.",
        "Weights of type torch.float8_e4m3fn are placed step by step, which is slower.",
    ]


def test_memory_of_another_device_is_refused(kernel: Kernel) -> None:
    matrix = torch.zeros(1, 4)
    term = Term(key=1, factor=torch.ones((), device="meta"))
    with pytest.raises(ValueError, match="asked to write"):
        kernel.run([Write(out=matrix, start=matrix, index=0, index_step=4, terms=(term,))])


def test_a_kernel_that_fails_is_not_used(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def run(self, writes: object) -> list[int]:
            msg = f"no {type(writes).__name__}"
            raise RuntimeError(msg)

    monkeypatch.setattr(fused, "_kernel", lambda device: Broken())  # noqa: ARG005
    assert kernel_for(weights(), dtype=torch.float32, device=CPU) is None
    (record,) = caplog.records
    assert record.message == (
        "Weights are placed step by step, which is slower: the kernel does not run: RuntimeError: no generator."
    )
