"""The fused pass on a CPU: `kernel.c`, compiled for this machine when it is first asked for.

torch's own compiler was tried instead: it took tens of seconds, and drew normals two to five times slower than these
loops, which compile in a second.
"""

import ctypes
import itertools
import logging
import os
import shlex
import subprocess
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import torch

from landscape_ray.weights.kernels.write import Write

__all__ = ["CpuKernel", "compiled_kernel"]

# Floats are added and multiplied as written, or the numbers would not be those of philox.py.
FLAGS = ("-O3", "-march=native", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC")
COMPILE_TIMEOUT_S = 120
TYPES = {torch.float32: 0, torch.bfloat16: 1, torch.float16: 2}
# Elements that a thread writes at a time.
TASK = 1 << 18
# Writes that threads may go on to before one is done. Where starts have to be built, they are held as long.
AHEAD = 4

logger = logging.getLogger(__name__)


@cache
def compiled_kernel() -> "CpuKernel | None":
    """Return the kernel, or None where it cannot be compiled; then the log says why."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    source = resources.files("landscape_ray.weights.kernels").joinpath("kernel.c").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="landscape-ray-") as folder:
        library = Path(folder) / "kernel.so"
        command = [*compiler, *FLAGS, "-x", "c", "-", "-o", str(library), "-lm"]
        try:
            subprocess.run(  # noqa: S603  (the compiler of the machine, on a source of the package)
                command, input=source, text=True, check=True, capture_output=True, timeout=COMPILE_TIMEOUT_S
            )
            return CpuKernel(ctypes.CDLL(str(library)))
        except (OSError, subprocess.SubprocessError) as error:
            said = getattr(error, "stderr", None) or error
            logger.warning("Weights are placed by torch, which is slower: no C compiler made the kernel (%s).", said)
            return None


class CpuKernel:
    """Carries out writes into the memory of the host; see `Kernel`."""

    def __init__(self, library: ctypes.CDLL) -> None:
        library.normals.restype = None
        library.normals.argtypes = [ctypes.c_uint64, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p]
        library.place.restype = ctypes.c_uint64
        matrix: tuple[Any, ...] = (ctypes.c_void_p, ctypes.c_int64, ctypes.c_int)
        library.place.argtypes = (*matrix, *matrix, *[ctypes.c_int64] * 5, *[ctypes.c_void_p] * 3)
        self._library = library
        # ctypes lets go of the interpreter's lock while it calls.
        num_threads = torch.get_num_threads()
        self._map: Any = ThreadPoolExecutor(num_threads, "place").map if num_threads > 1 else map

    def normals(self, key: int, start: int, stop: int, *, device: torch.device) -> torch.Tensor:
        """Return what `standard_normals` does."""
        out = torch.empty(stop - start, dtype=torch.float32, device=device)

        def draw(first: int) -> None:
            self._library.normals(key, first, min(first + TASK, stop), out.data_ptr() + 4 * (first - start))

        list(self._map(draw, range(start, stop, TASK)))
        return out

    def run(self, writes: Iterable[Write]) -> list[int]:
        """Carry out writes in parts, shared out among threads; see `Kernel.run`."""
        totals, under_way = [], deque[Iterable[int]]()
        try:
            for write in writes:
                under_way.append(self._map(self._run, _tasks(write)))
                if len(under_way) > AHEAD:
                    totals.append(sum(under_way.popleft()))
        finally:  # an error is not raised while threads write on
            totals += map(sum, under_way)
        return [total % (1 << 64) for total in totals]

    def _run(self, write: Write) -> int:
        out, start, terms = write.out, write.start, write.terms
        if any(tensor.device.type != "cpu" for tensor in (out, start, *(term.factor for term in terms))):
            msg = f"The kernel of the CPU was asked to write from {start.device} to {out.device}."
            raise ValueError(msg)
        added: int = self._library.place(
            *(out.data_ptr(), out.stride(0), TYPES[out.dtype]),
            *(start.data_ptr(), start.stride(0), TYPES[start.dtype]),
            *(*out.shape, write.index, write.index_step, len(terms)),
            (ctypes.c_uint64 * len(terms))(*(term.key for term in terms)),
            (ctypes.c_void_p * len(terms))(*(term.factor.data_ptr() for term in terms)),
            (ctypes.c_int64 * len(terms))(*(min(term.factor.ndim, 1) for term in terms)),
        )
        return added


def _tasks(write: Write) -> Iterator[Write]:
    """Cut a write into parts for threads."""
    write = write.flattened()
    rows, columns = write.out.shape
    row_step, column_step = max(1, TASK // columns), min(columns, TASK)
    for row, column in itertools.product(range(0, rows, row_step), range(0, columns, column_step)):
        part = slice(row, row + row_step), slice(column, column + column_step)
        yield Write(
            out=write.out[part],
            start=write.start[part],
            index=write.index + row * write.index_step + column,
            index_step=write.index_step,
            terms=tuple(
                replace(term, factor=term.factor[part[0]].contiguous()) if term.factor.ndim else term
                for term in write.terms
            ),
        )
