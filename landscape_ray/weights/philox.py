"""Counter-based standard normals: element `i` of a vector is a function of (key, i) and of nothing else.

Philox4x32-10 turns a 128-bit counter and a 64-bit key into four 32-bit words. Element `i` uses counter `i // 4`;
the words (w0, w1) and (w2, w3) give two normals each by the Box-Muller transform. So a vector does not depend on
device, thread count, chunking, tensor-parallel degree or visiting order, and any slice of it can be drawn alone.
Words and normals are equal to the bit everywhere: nothing is computed but by operations that IEEE 754 defines.

Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3" (Philox, constants of Random123).
"""

import hashlib

import torch

__all__ = ["philox_words", "standard_normals", "tensor_key"]

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL_STEPS = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10
WORD = 0xFFFFFFFF
MANTISSA_BITS = 52
MANTISSA = (1 << MANTISSA_BITS) - 1
# The root of 1/2 as the bits of a float64.
ROOT_HALF_BITS = 0x3FE6A09E667F3BCD
MINUS_LOG_4 = -1.3862943611198906
TURN = 1.4629180792671596e-09  # 2 pi / 2**32
# Polynomials in x**2 that are within 1e-13 (relative) of -4 atanh(x) / x on [0, 0.172], and of cos(x) and sin(x) / x on
# [0, pi / 4]: they interpolate at the Chebyshev nodes.
MINUS_4_ATANH = (
    -0.3921619127950611,
    -0.4434849982015498,
    -0.5714433229175145,
    -0.7999998978366476,
    -1.3333333335915851,
    -3.9999999999998943,
)
COSINE = (
    -2.717342984102282e-07,
    2.4798928755323667e-05,
    -0.0013888880393776424,
    0.04166666654391119,
    -0.49999999999351113,
    0.9999999999999444,
)
SINE = (
    -2.475655877198039e-08,
    2.7555271893389817e-06,
    -0.0001984126329839051,
    0.00833333332387815,
    -0.16666666666616686,
    0.9999999999999957,
)
# Counters drawn at a time: on a CPU the int64 temporaries should stay in cache; on a GPU larger launches pay.
CHUNK_CPU, CHUNK_GPU = 1 << 16, 1 << 20


def tensor_key(seed: int, name: str) -> int:
    """Return the 64-bit Philox key of one checkpoint tensor of one vector.

    Args:
        seed: The vector's seed, see `landscape_ray.planning.direction_seed`.
        name: The tensor's name in the checkpoint, so that same-shaped tensors differ.
    """
    digest = hashlib.blake2b(f"landscape-ray/tensor/{seed}/{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def philox_words(key: int, counters_C: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the four 32-bit words of each counter, in int64 tensors of shape [C] (C: number of counters).

    Args:
        key: 64-bit key; its low half is key word 0.
        counters_C: Non-negative int64 counters, the low 64 of the 128 counter bits; shape [C].
    """
    c0, c1 = counters_C & WORD, counters_C >> 32
    c2 = c3 = torch.zeros_like(counters_C)
    k0, k1 = key & WORD, key >> 32
    for _ in range(ROUNDS):
        # An int64 product wraps, which keeps all 64 bits of a product of two 32-bit words.
        p0, p1 = c0 * MULTIPLIERS[0], c2 * MULTIPLIERS[1]
        c0, c1, c2, c3 = ((p1 >> 32) & WORD) ^ c1 ^ k0, p1 & WORD, ((p0 >> 32) & WORD) ^ c3 ^ k1, p0 & WORD
        k0, k1 = (k0 + WEYL_STEPS[0]) & WORD, (k1 + WEYL_STEPS[1]) & WORD
    return c0, c1, c2, c3


def standard_normals(key: int, start: int, stop: int, *, device: torch.device) -> torch.Tensor:
    """Return elements start .. stop-1 of a vector of standard normals: float32, shape [stop - start].

    Source: Box and Muller 1958, on uniforms `(w + 0.5) / 2**32`, so that |z| <= 6.77.
    """
    out = torch.empty(stop - start, dtype=torch.float32, device=device)
    first, last = start // 4, (stop + 3) // 4
    chunk = CHUNK_CPU if device.type == "cpu" else CHUNK_GPU
    for low in range(first, last, chunk):
        high = min(low + chunk, last)
        normals = _box_muller(philox_words(key, torch.arange(low, high, dtype=torch.int64, device=device)))
        begin, end = max(start, 4 * low), min(stop, 4 * high)
        out[begin - start : end - start] = normals[begin - 4 * low : end - 4 * low]
    return out


def _box_muller(words: tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Return the normals of C counters in element order: float32, shape [4 C].

    In float64, rounded once. `log`, `cos` and `sin` of libraries differ in their last bits; these are made of
    additions, multiplications, divisions and square roots, in a fixed order, which IEEE 754 defines to the bit.
    """
    w0, w1, w2, w3 = words
    normals = []
    for radius_word, angle_word in ((w0, w1), (w2, w3)):
        radius = _radius(radius_word)
        cosine, sine = _cos_sin(angle_word)
        normals += [radius * cosine, radius * sine]
    return torch.stack(normals, dim=1).flatten().to(torch.float32)


def _radius(words: torch.Tensor) -> torch.Tensor:
    """Return `sqrt(-2 log u)` of `u = (w + 0.5) / 2**32`.

    With `u = 2**k m` and m between the roots of 1/2 and 2, `log u = k log 2 + 2 atanh(s)` for `s = (m - 1) / (m + 1)`.
    """
    bits = words.to(torch.float64).add_(0.5).mul_(2.0**-32).view(torch.int64).sub_(ROOT_HALF_BITS)
    exponent = bits >> MANTISSA_BITS  # rounds down: m is at least the root of 1/2
    mantissa = bits.bitwise_and_(MANTISSA).add_(ROOT_HALF_BITS).view(torch.float64)
    s = (mantissa - 1.0).div_(mantissa + 1.0)
    return _polynomial(MINUS_4_ATANH, s * s).mul_(s).add_(exponent.to(torch.float64).mul_(MINUS_LOG_4)).sqrt_()


def _cos_sin(words: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return cosine and sine of the angle `2 pi (t + 0.5) / 2**32`, from its distance to the nearest axis."""
    quadrant = (words + (1 << 29)).bitwise_right_shift_(30)
    x = (words - (quadrant << 30)).to(torch.float64).add_(0.5).mul_(TURN)
    square = x * x
    cosine, sine = _polynomial(COSINE, square), _polynomial(SINE, square).mul_(x)
    # What quadrants 0 .. 4 make of them: exchanged in odd ones, and either negative in half of them.
    odd = (quadrant & 1).to(torch.bool)
    cosine, sine = torch.where(odd, sine, cosine), torch.where(odd, cosine, sine)
    return (
        cosine.mul_(1 - ((quadrant + 1) & 2)),
        sine.mul_(1 - (quadrant & 2)),
    )


def _polynomial(coefficients: tuple[float, ...], x: torch.Tensor) -> torch.Tensor:
    """Evaluate a polynomial, highest power first. Product and sum are rounded separately, as on every device."""
    value = (x * coefficients[0]).add_(coefficients[1])
    for coefficient in coefficients[2:]:
        value.mul_(x).add_(coefficient)
    return value
