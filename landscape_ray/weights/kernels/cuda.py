"""The fused pass on a GPU, in Triton: the formulas of `philox.py`, operation by operation.

Shape suffixes: G counters of one program, of four normals each; E elements of it, 4 G.
"""

from collections.abc import Iterable
from typing import Any

import torch
import triton
import triton.language as tl

from landscape_ray.weights.kernels.write import Term, Write

__all__ = ["CudaKernel"]

COUNTERS = 256
MOST_TERMS = 2
# Sums of digests that are fetched from the device at once.
SUMS = 1024


class CudaKernel:
    """Carries out writes into the memory of a GPU; see `Kernel`."""

    def normals(self, key: int, start: int, stop: int, *, device: torch.device) -> torch.Tensor:
        """Return what `standard_normals` does."""
        out = torch.zeros(1, stop - start, dtype=torch.float32, device=device)
        term = Term(key=key, factor=torch.ones((), device=device))
        if out.numel():
            self.run([Write(out=out, start=out, index=start, index_step=0, terms=(term,))])
        return out.view(-1)

    def run(self, writes: Iterable[Write]) -> list[int]:
        """Launch writes one after the other, and wait for the last; see `Kernel.run`."""
        sums: list[torch.Tensor] = []
        for i, write in enumerate(writes):
            if i % SUMS == 0:
                sums.append(torch.zeros(SUMS, dtype=torch.int64, device=write.out.device))
            _launch(write.flattened(), sums[-1][i % SUMS :])
        count = i + 1 if sums else 0
        return [total for some in sums for total in some.tolist()][:count]


def _launch(write: Write, digest: torch.Tensor) -> None:
    if len(write.terms) > MOST_TERMS:
        msg = f"The kernel of the GPU adds up to {MOST_TERMS} random vectors at a time, not {len(write.terms)}."
        raise ValueError(msg)
    rows, columns = write.out.shape
    blocks = triton.cdiv(columns + 3, 4 * COUNTERS)  # a row may start within a counter's four
    terms: list[Any] = []
    for term in (*write.terms, *write.terms[:1] * MOST_TERMS)[:MOST_TERMS] or [None] * MOST_TERMS:
        low, high = (term.key & 0xFFFFFFFF, term.key >> 32) if term else (0, 0)
        factor = term.factor if term else digest
        terms += [_signed(low), _signed(high), factor, min(factor.ndim, 1)]
    _write[(rows * blocks,)](
        *(write.out, write.out.stride(0), write.start, write.start.stride(0)),
        *(columns, write.index, write.index_step, blocks, digest, *terms),
        NUM_TERMS=len(write.terms),
        ALIGNED=write.index % 4 == 0 and (rows == 1 or write.index_step % 4 == 0),
        PER_WORD=8 // write.out.element_size(),
        COUNTERS=COUNTERS,
        enable_fp_fusion=False,  # products and sums are rounded separately
    )


def _signed(word: int) -> int:
    """Return a 32-bit word as Triton takes it whatever its value: as a signed number."""
    return word - (1 << 32) if word >> 31 else word


# One compiled kernel serves all values of these, wherever they lie in memory.
_GENERAL = (
    *("index", "index_step", "blocks", "digest"),
    *("key_a_low", "key_a_high", "factor_a", "factor_a_step"),
    *("key_b_low", "key_b_high", "factor_b", "factor_b_step"),
)


@triton.jit(do_not_specialize=_GENERAL)
def _write(
    out,
    out_step,
    start,
    start_step,
    columns,
    index,
    index_step,
    blocks,
    digest,
    key_a_low,
    key_a_high,
    factor_a,
    factor_a_step,
    key_b_low,
    key_b_high,
    factor_b,
    factor_b_step,
    NUM_TERMS: tl.constexpr,
    ALIGNED: tl.constexpr,
    PER_WORD: tl.constexpr,
    COUNTERS: tl.constexpr,
):
    program = tl.program_id(0)
    row = (program // blocks).to(tl.int64)
    first = index + row * index_step
    column = (program % blocks).to(tl.int64) * (4 * COUNTERS)
    if not ALIGNED:
        column -= first % 4  # so that it begins with a counter
    element_E = tl.arange(0, 4 * COUNTERS)
    inside_E = (element_E < columns - column) & (element_E >= -column)
    sum_E = tl.load(start + (row * start_step + column) + element_E, mask=inside_E, other=0).to(tl.float32)
    counter = (first + column) // 4
    counter_G = counter + tl.arange(0, COUNTERS)
    if NUM_TERMS > 0:
        sum_E += _normals(counter_G, key_a_low, key_a_high) * tl.load(factor_a + row * factor_a_step)
    if NUM_TERMS > 1:
        sum_E += _normals(counter_G, key_b_low, key_b_high) * tl.load(factor_b + row * factor_b_step)
    if out.dtype.element_ty == tl.bfloat16:
        # Half to even, as the hardware does; Triton's interpreter, which tests run, would cut off.
        bits_E = sum_E.to(tl.uint32, bitcast=True)
        rounded_E = (bits_E + 0x7FFF + ((bits_E >> 16) & 1)) >> 16
        rounded_E = tl.where((bits_E & 0x7FFFFFFF) > 0x7F800000, 0x7FC0, rounded_E)
        cast_E = rounded_E.to(tl.uint16).to(tl.bfloat16, bitcast=True)
    else:
        cast_E = sum_E.to(out.dtype.element_ty)
    tl.store(out + (row * out_step + column) + element_E, cast_E, mask=inside_E)

    # What WeightsDigest adds up: words of 8 bytes, in a tensor whose element 0 begins a word, as every counter does.
    if PER_WORD == 4:
        content_E = cast_E.to(tl.uint16, bitcast=True).to(tl.int64)
    else:
        content_E = cast_E.to(tl.uint32, bitcast=True).to(tl.int64)
    content_E = tl.where(inside_E, content_E << (element_E % PER_WORD * (64 // PER_WORD)).to(tl.int64), 0)
    words = tl.sum(tl.reshape(content_E, (4 * COUNTERS // PER_WORD, PER_WORD)), axis=1)
    number = counter * (4 // PER_WORD) + tl.arange(0, 4 * COUNTERS // PER_WORD)
    tl.atomic_add(digest, tl.sum(words * (2 * number + 1), axis=0))


@triton.jit
def _normals(counter_G, key_low, key_high):
    c0 = counter_G.to(tl.uint32)
    c1 = (counter_G >> 32).to(tl.uint32)
    c2 = tl.zeros_like(c0)
    c3 = tl.zeros_like(c0)
    k0 = key_low.to(tl.uint32)
    k1 = key_high.to(tl.uint32)
    for _ in tl.static_range(10):
        p0 = c0.to(tl.uint64) * 0xD2511F53
        p1 = c2.to(tl.uint64) * 0xCD9E8D57
        c0 = (p1 >> 32).to(tl.uint32) ^ c1 ^ k0
        c1 = p1.to(tl.uint32)
        c2 = (p0 >> 32).to(tl.uint32) ^ c3 ^ k1
        c3 = p0.to(tl.uint32)
        k0 += 0x9E3779B9
        k1 += 0xBB67AE85
    z0, z1 = _box_muller(c0, c1)
    z2, z3 = _box_muller(c2, c3)
    return tl.interleave(tl.interleave(z0, z2), tl.interleave(z1, z3))


@triton.jit
def _box_muller(radius_word, angle_word):
    uniform = (radius_word.to(tl.float64) + 0.5) * 2.3283064365386963e-10  # 2**-32
    bits = uniform.to(tl.int64, bitcast=True) - 0x3FE6A09E667F3BCD
    mantissa = ((bits & 0xFFFFFFFFFFFFF) + 0x3FE6A09E667F3BCD).to(tl.float64, bitcast=True)
    s = (mantissa - 1.0) / (mantissa + 1.0)
    s2 = s * s
    p = s2 * -0.3921619127950611 + -0.4434849982015498
    p = p * s2 + -0.5714433229175145
    p = p * s2 + -0.7999998978366476
    p = p * s2 + -1.3333333335915851
    p = p * s2 + -3.9999999999998943
    radius = tl.sqrt(p * s + (bits >> 52).to(tl.float64) * -1.3862943611198906)

    quadrant = (angle_word + 0x20000000) >> 30  # a wrap makes 0 of 4
    x = ((angle_word - (quadrant << 30)).to(tl.int32, bitcast=True).to(tl.float64) + 0.5) * 1.4629180792671596e-09
    x2 = x * x
    c = x2 * -2.717342984102282e-07 + 2.4798928755323667e-05
    c = c * x2 + -0.0013888880393776424
    c = c * x2 + 0.04166666654391119
    c = c * x2 + -0.49999999999351113
    c = c * x2 + 0.9999999999999444
    t = x2 * -2.475655877198039e-08 + 2.7555271893389817e-06
    t = t * x2 + -0.0001984126329839051
    t = t * x2 + 0.00833333332387815
    t = t * x2 + -0.16666666666616686
    t = (t * x2 + 0.9999999999999957) * x
    odd = (quadrant & 1) != 0
    cosine = tl.where(odd, t, c)
    sine = tl.where(odd, c, t)
    cosine = tl.where(((quadrant + 1) & 2) != 0, -cosine, cosine)
    sine = tl.where((quadrant & 2) != 0, -sine, sine)
    return (radius * cosine).to(tl.float32), (radius * sine).to(tl.float32)
