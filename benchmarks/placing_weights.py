"""Placing weights: the fused pass against the path to trust, and the floor; prints tables of docs/performance.md.

    python benchmarks/placing_weights.py                  # about five minutes on two cores

First without an engine: the tensors of a point, built step by step and by the fused pass, and what parts of the work
cost alone. The floor is the time to read the base and to write the weights, at the bandwidth that a copy reaches in the
same run. Then within vLLM, to the last copy. Ways take turns in every round; ratios are taken round by round.
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from model_135m import write_model
from timing import spread, timed

from landscape_ray.config import ModelConfig, RunConfig
from landscape_ray.engine import EngineSpec
from landscape_ray.engine.checkpoints.resolution import resolve
from landscape_ray.engine.factory import create_engine
from landscape_ray.errors import ResourceError
from landscape_ray.planning import Perturbation, RandomVector, direction_seed
from landscape_ray.weights import (
    BaseWeights,
    FusedPass,
    Perturber,
    Region,
    WeightsDigest,
    as_matrix,
    digest_of,
    kernel_for,
    standard_normals,
    tensor_key,
)

__all__ = ["DIRECTIONS", "Times", "measure_passes"]

VECTORS = tuple(
    RandomVector(seed=direction_seed(0, 0, axis), normalization="layer", excluded=("norm",)) for axis in (0, 1)
)
POINTS = (Perturbation.of([(VECTORS[0], 0.1)]), Perturbation.of([(VECTORS[0], 0.1), (VECTORS[1], -0.2)]))
DIRECTIONS = ("one direction", "two directions")
PASSES_HEADER = (
    "| weights | step by step (ms) | of it normals | of it digest | fused (ms) | ratio | floor (ms) | fused / floor |\n"
    "|---|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """How long several ways of doing the same took, in turns."""

    seconds: Mapping[str, Sequence[float]]
    """By way, one per round."""

    @classmethod
    def measured(cls, ways: Mapping[str, Callable[[], object]], *, rounds: int) -> "Times":
        """Let each way run once unmeasured, and then all in turns. Each ends with what it did done."""
        for way in ways.values():
            way()
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, way in ways.items():
                seconds[name].append(timed(way)[0])
        return cls(seconds=seconds)

    def median(self, name: str) -> float:
        """Return the median of one way, in seconds."""
        return statistics.median(self.seconds[name])

    def ratio(self, slow: str, fast: str) -> str:
        """Return how many times longer one way took than another: the median of all rounds, and the ends."""
        return spread([a / b for a, b in zip(self.seconds[slow], self.seconds[fast], strict=True)])


class Passes:
    """The passes over all weights of a model, without an engine. Each ends when the device is done."""

    def __init__(self, base: BaseWeights, *, dtype: torch.dtype, device: torch.device) -> None:
        """Make memory for the weights to be placed in.

        Raises:
            ResourceError: There is no kernel for this device.
        """
        kernel = kernel_for(base, dtype=dtype, device=device)
        if kernel is None:
            msg = f"The fused pass does not run on {device}: the log says why."
            raise ResourceError(msg)
        self._base, self._device = base, device
        self._perturber = Perturber(base, dtype=dtype, device=device, normals=kernel.normals)
        self._fused = FusedPass(self._perturber, kernel)
        self._live = {name: torch.empty_like(base.tensor(name), dtype=dtype, device=device) for name in base.names}
        self._regions = {
            name: [Region(name=name, row=0, column=0, target=as_matrix(live))] for name, live in self._live.items()
        }

    def step_by_step(self, point: Perturbation, *, with_digest: bool = True) -> str:
        """Build every tensor as the path to trust does."""
        digest = WeightsDigest()
        for name, tensor in self._perturber.tensors(point):
            if with_digest:
                digest.update(name, tensor)
        self._wait()
        return digest.hexdigest()

    def fused(self, point: Perturbation) -> str:
        """Write every tensor to its place."""
        totals = self._fused.write(point, self._regions)
        return digest_of(totals, {name: live.shape for name, live in self._live.items()}, self._perturber.dtype)

    def normals(self, num_vectors: int) -> None:
        """Draw the vectors only, as step by step."""
        for vector in VECTORS[:num_vectors]:
            for name in self._base.names:
                standard_normals(tensor_key(vector.seed, name), 0, self._base.tensor(name).numel(), device=self._device)
        self._wait()

    def copy(self) -> None:
        """Read the base and write the weights, and nothing else."""
        for name, live in self._live.items():
            live.copy_(self._base.tensor(name))
        self._wait()

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


def measure_passes(base: BaseWeights, *, dtype: torch.dtype, device: torch.device, rounds: int) -> list[Times]:
    """Measure the passes for one direction and for two.

    Raises:
        ResourceError: There is no kernel for this device.
        RuntimeError: The fused pass gave other weights.
    """
    passes, measured = Passes(base, dtype=dtype, device=device), []
    for point in POINTS:
        if passes.step_by_step(point) != passes.fused(point):
            msg = "the fused pass gave other weights than the path to trust"
            raise RuntimeError(msg)
        ways: dict[str, Callable[[], object]] = {
            "step by step": partial(passes.step_by_step, point),
            "step by step, no digest": partial(passes.step_by_step, point, with_digest=False),
            "normals": partial(passes.normals, len(point.terms)),
            "fused": partial(passes.fused, point),
            "floor": passes.copy,
        }
        measured.append(Times.measured(ways, rounds=rounds))
    return measured


def print_passes(name: str, times: Sequence[Times]) -> None:
    """Print the rows of one model in the table of passes."""
    for directions, measured in zip(DIRECTIONS, times, strict=True):
        whole, fused = measured.median("step by step"), measured.median("fused")
        digest = 1 - measured.median("step by step, no digest") / whole
        cells = (
            f"{name}, {directions}",
            f"{whole * 1000:,.1f}",
            f"{measured.median('normals') / whole:.0%}",
            f"{max(digest, 0):.0%}",
            f"{fused * 1000:,.1f}",
            measured.ratio("step by step", "fused"),
            f"{measured.median('floor') * 1000:,.1f}",
            measured.ratio("fused", "floor"),
        )
        print(f"| {' | '.join(cells)} |", flush=True)


def measure_in_vllm(folder: str, packed: bool, rounds: int) -> list[Times]:  # noqa: FBT001  (sent to a process)
    """Measure placing in a live vLLM engine on a CPU, for one direction and for two."""
    import vllm._custom_ops  # noqa: PLC0415

    if not packed:
        vllm._custom_ops._supports_onednn = False  # noqa: SLF001  (computes with the weights as they are, as GPUs do)
    run = RunConfig(kv_cache_gib=0.25, max_num_seqs=16)
    engine: Any = create_engine(EngineSpec(engine="vllm", model=folder, revision=None, dtype="float32", run=run))
    worker = engine._llm.llm_engine.model_executor.driver_worker.worker  # noqa: SLF001
    fused = worker._fused_pass  # noqa: SLF001

    def place(point: Perturbation, fused_pass: object) -> str:
        worker._fused_pass = fused_pass  # noqa: SLF001
        return str(engine.place(point))

    return [
        Times.measured({"trusted": partial(place, point, None), "fused": partial(place, point, fused)}, rounds=rounds)
        for point in POINTS
    ]


def main() -> None:
    """Measure the embedded model and one of the 135M class, and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    cpu = torch.device("cpu")
    with tempfile.TemporaryDirectory() as scratch:
        large = Path(scratch) / "135m"
        write_model(large)
        models = {"embedded model": resolve(ModelConfig(id="demo:aligned")).location, "135M class": str(large)}
        print(PASSES_HEADER)
        for name, folder in models.items():
            base = BaseWeights.load(Path(folder), device=cpu, location="device", tied_head=True)
            print_passes(name, measure_passes(base, dtype=torch.float32, device=cpu, rounds=rounds))
        print("\n| in vLLM | trusted (ms) | fused (ms) | ratio |\n|---|---|---|---|")
        for name, folder in models.items():
            for packed in (True, False):
                # An engine per process.
                with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
                    times = process.submit(measure_in_vllm, folder, packed, rounds).result()
                how = "packed weights, reloaded" if packed else "plain weights, in place"
                for directions, measured in zip(DIRECTIONS, times, strict=True):
                    trusted, fused = (f"{measured.median(way) * 1000:,.0f}" for way in ("trusted", "fused"))
                    row = f"| {name}, {how}, {directions} | {trusted} | {fused} "
                    print(f"{row}| {measured.ratio('trusted', 'fused')} |", flush=True)


if __name__ == "__main__":
    main()
