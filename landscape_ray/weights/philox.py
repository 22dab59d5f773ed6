"""Counter-based standard normals: element `i` of a vector is a function of (key, i) and of nothing else.

Philox4x32-10 turns a 128-bit counter and a 64-bit key into four 32-bit words. Element `i` uses counter `i // 4`;
the words (w0, w1) and (w2, w3) give two normals each by the Box-Muller transform. So a vector does not depend on
device, thread count, chunking, tensor-parallel degree or visiting order, and any slice of it can be drawn alone.
The words are equal to the bit everywhere, and the normals to within one unit in the last place of float32.

Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3" (Philox, constants of Random123).
"""

import hashlib
import math

import torch

__all__ = ["philox_words", "standard_normals", "tensor_key"]

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL_STEPS = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10
WORD = 0xFFFFFFFF
# Counters drawn at a time: on a CPU the int64 temporaries should stay in cache; on a GPU larger launches pay.
CHUNK_CPU, CHUNK_GPU = 1 << 16, 1 << 20


def tensor_key(seed: int, name: str) -> int:
    """Return the 64-bit Philox key of one checkpoint tensor of one vector.

    Args:
        seed: The vector's seed, see `landscape_ray.plan.direction_seed`.
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

    In float64, rounded once: libraries differ in the last bits of `log` and `cos`, and float32 would show that.
    """
    w0, w1, w2, w3 = words
    normals = []
    for radius_word, angle_word in ((w0, w1), (w2, w3)):
        radius = torch.sqrt(-2.0 * torch.log((radius_word.to(torch.float64) + 0.5) * 2.0**-32))
        angle = (angle_word.to(torch.float64) + 0.5) * (2.0 * math.pi * 2.0**-32)
        normals += [radius * torch.cos(angle), radius * torch.sin(angle)]
    return torch.stack(normals, dim=1).flatten().to(torch.float32)
