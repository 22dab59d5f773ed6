"""Random vectors against independent implementations and known answers."""

import math
import shutil

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from landscape_ray.weights import philox, philox_words, standard_normals, tensor_key

CPU = torch.device("cpu")
words = st.integers(0, 2**64 - 1)


def philox_by_hand(counter: list[int], key: list[int]) -> list[int]:
    """Philox4x32-10 in Python integers, written from the paper's description of one round."""
    for _ in range(10):
        product_a, product_b = 0xD2511F53 * counter[0], 0xCD9E8D57 * counter[2]
        counter = [
            (product_b >> 32) ^ counter[1] ^ key[0],
            product_b % 2**32,
            (product_a >> 32) ^ counter[3] ^ key[1],
            product_a % 2**32,
        ]
        key = [(key[0] + 0x9E3779B9) % 2**32, (key[1] + 0xBB67AE85) % 2**32]
    return counter


def normals_by_hand(key: int, index: int) -> float:
    """One element of a vector in float64."""
    w = philox_by_hand([index // 4 % 2**32, index // 4 >> 32, 0, 0], [key % 2**32, key >> 32])
    radius_word, angle_word = (w[0], w[1]) if index % 4 < 2 else (w[2], w[3])
    radius = math.sqrt(-2 * math.log((radius_word + 0.5) / 2**32))
    angle = 2 * math.pi * (angle_word + 0.5) / 2**32
    return radius * (math.cos(angle) if index % 2 == 0 else math.sin(angle))


def test_by_hand_implementation_gives_the_published_known_answers() -> None:
    # Source: Random123's known-answer file for philox4x32, 10 rounds.
    assert philox_by_hand([0] * 4, [0] * 2) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    assert philox_by_hand([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2) == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]
    pi = [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344], [0xA4093822, 0x299F31D0]
    assert philox_by_hand(*pi) == [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]


@given(key=words, counters=st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=8))
def test_words_equal_python_integers(key: int, counters: list[int]) -> None:
    got = torch.stack(philox_words(key, torch.tensor(counters)), dim=1).tolist()
    assert got == [philox_by_hand([c % 2**32, c >> 32, 0, 0], [key % 2**32, key >> 32]) for c in counters]


@given(key=words, start=st.integers(0, 2**40), length=st.integers(1, 40))
def test_normals_equal_float64_box_muller(key: int, start: int, length: int) -> None:
    got = standard_normals(key, start, start + length, device=CPU)
    expected = [normals_by_hand(key, i) for i in range(start, start + length)]
    np.testing.assert_allclose(got.numpy(), expected, rtol=1.2e-7, atol=1e-14)


def test_functions_are_within_1e_13_at_their_edges_too() -> None:
    """Where words are extreme, and on both sides of each quadrant's ends; references hold more digits than float64."""
    near = [offset for corner in range(0, 2**32 + 1, 2**29) for offset in range(corner - 2, corner + 2)]
    edges = [word for word in [*near, int(2**31.5), int(2**31.5) + 1] if 0 <= word < 2**32]
    radius = philox._radius(torch.tensor(edges))
    cosine, sine = philox._cos_sin(torch.tensor(edges))
    with mpmath.workdps(40):
        for i, word in enumerate(edges):
            share = (mpmath.mpf(word) + 0.5) / 2**32
            for got, exact in (
                (radius, mpmath.sqrt(-2 * mpmath.log(share))),
                (cosine, mpmath.cos(2 * mpmath.pi * share)),
                (sine, mpmath.sin(2 * mpmath.pi * share)),
            ):
                assert abs(float(got[i]) / exact - 1) < 1.1e-13


@given(key=words, start=st.integers(0, 500), length=st.integers(0, 500))
def test_any_slice_equals_the_whole(key: int, start: int, length: int) -> None:
    whole = standard_normals(key, 0, 1000, device=CPU)
    assert torch.equal(standard_normals(key, start, start + length, device=CPU), whole[start : start + length])


def test_normals_do_not_depend_on_chunking_or_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = standard_normals(7, 3, 100_003, device=CPU)
    monkeypatch.setattr(philox, "CHUNK_CPU", 1 << 10)
    assert torch.equal(standard_normals(7, 3, 100_003, device=CPU), whole)
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if threads > 1 else 2)
    try:
        assert torch.equal(standard_normals(7, 3, 100_003, device=CPU), whole)
    finally:
        torch.set_num_threads(threads)


def test_normals_are_standard_normal() -> None:
    n = 500_000
    z = standard_normals(tensor_key(0, "w"), 0, n, device=CPU).double()
    # Standard errors of the first four sample moments of n normals: 1, sqrt 2, sqrt 15, sqrt 96 over sqrt n.
    for power, expected, sd in (
        (1, 0.0, 1.0),
        (2, 1.0, math.sqrt(2)),
        (3, 0.0, math.sqrt(15)),
        (4, 3.0, math.sqrt(96)),
    ):
        assert abs(float((z**power).mean()) - expected) < 5 * sd / math.sqrt(n)
    for limit, expected in ((1.0, 0.3173105), (2.0, 0.0455003), (3.0, 0.0026998)):
        share = float((z.abs() > limit).double().mean())
        assert abs(share - expected) < 5 * math.sqrt(expected / n)


def test_same_shaped_tensors_and_seeds_are_uncorrelated() -> None:
    n = 100_000
    keys = [tensor_key(seed, f"model.layers.{i}.mlp.up_proj.weight") for seed in (0, 1) for i in range(4)]
    assert len(set(keys)) == len(keys)
    vectors = torch.stack([standard_normals(key, 0, n, device=CPU) for key in keys]).double()
    correlations = torch.corrcoef(vectors) - torch.eye(len(keys), dtype=torch.float64)
    assert float(correlations.abs().max()) < 5 / math.sqrt(n)
    # Neighbours within one vector (the pairs of Box-Muller among them) are uncorrelated, too, and so are their squares.
    for transform in (vectors[0], vectors[0].square() - 1):
        for lag in (1, 2, 3, 4):
            assert abs(float((transform[:-lag] * transform[lag:]).mean())) < 5 * 2 / math.sqrt(n)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile on a CPU needs a C++ compiler")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # raised inside torch's compiler
def test_compiled_cpu_gives_the_same_words_and_normals() -> None:
    counters = torch.arange(250_000)
    key = tensor_key(3, "lm_head.weight")
    compiled = torch.compile(philox_words, dynamic=False)
    assert all(torch.equal(a, b) for a, b in zip(compiled(key, counters), philox_words(key, counters), strict=True))
    words = philox_words(key, counters)
    box_muller = torch.compile(philox._box_muller, dynamic=False)
    assert torch.equal(box_muller(words), philox._box_muller(words))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_cuda_gives_the_same_words_and_normals() -> None:
    counters = torch.arange(1_000_000)
    key = tensor_key(3, "lm_head.weight")
    on_gpu = philox_words(key, counters.cuda())
    assert all(torch.equal(a.cpu(), b) for a, b in zip(on_gpu, philox_words(key, counters), strict=True))
    gpu = standard_normals(key, 0, 1_000_000, device=torch.device("cuda")).cpu()
    assert torch.equal(gpu, standard_normals(key, 0, 1_000_000, device=CPU))
