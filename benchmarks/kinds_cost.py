"""What each kind of direction costs: the constants in `planning/kind_costs.py`.

    python benchmarks/kinds_cost.py                       # a minute on one core

One matrix of 1,024 x 1,024 numbers in bfloat16, seconds of one core, so that other load hardly counts. *Computing*
happens once per engine and once as the sweep begins; *placing* is the fused pass that writes a point. Both are given
as multiples of the same for a random direction, round by round in turns: the median.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial

import torch

from landscape_ray.planning import (
    CheckpointDelta,
    Complement,
    LowRank,
    Perturbation,
    Pruning,
    QuantizationError,
    RandomVector,
    SingularPart,
    TaskVector,
    VectorSpec,
)
from landscape_ray.weights import (
    BaseWeights,
    FusedPass,
    Perturber,
    Region,
    as_matrix,
    kernel_for,
    standard_normals,
    vector_tensors,
)
from landscape_ray.weights.kinds import ComputedTensors

WIDTH, NAME, ROUNDS = 1024, "model.layers.0.mlp.up_proj.weight", 7
CPU = torch.device("cpu")
ONE, TWO = (CheckpointDelta(fingerprint=name, location=name, revision=None) for name in ("one", "two"))
RANDOM = RandomVector(seed=1, normalization="layer", excluded=())
VECTORS: Mapping[str, VectorSpec] = {
    "random": RANDOM,
    "low_rank (4)": LowRank(seed=1, rank=4, normalization="layer"),
    "complement": Complement(seed=1, to=ONE, normalization="layer"),
    "task_vector": TaskVector(minus=ONE, plus=TWO),
    "svd (4)": SingularPart(to=ONE, rank=4, part="top"),
    "quantization_error (int4)": QuantizationError(format="int4", by="channel", group_size=None),
    "quantization_error (nf4)": QuantizationError(format="nf4", by="group", group_size=64),
    "pruning": Pruning(share=0.5),
}


def matrix(seed: int) -> torch.Tensor:
    """Return weights."""
    drawn = standard_normals(seed, 0, WIDTH * WIDTH, device=CPU)
    return (drawn.view(WIDTH, WIDTH) * 0.02).to(torch.bfloat16)


def core_seconds(call: Callable[[], object]) -> float:
    """Return the seconds that this process computes for a call."""
    began = time.process_time()
    call()
    return time.process_time() - began


def medians(ways: Mapping[str, Callable[[], object]]) -> dict[str, tuple[float, float]]:
    """Return seconds of each way, and how many times longer it takes than the first."""
    seconds: dict[str, list[float]] = {name: [core_seconds(way)] for name, way in ways.items()}
    for taken in seconds.values():
        taken.clear()
    for _ in range(ROUNDS):
        for name, way in ways.items():
            seconds[name].append(core_seconds(way))
    first = next(iter(seconds.values()))
    return {
        name: (statistics.median(taken), statistics.median(a / b for a, b in zip(taken, first, strict=True)))
        for name, taken in seconds.items()
    }


def main() -> None:
    """Measure and print the table."""
    torch.set_num_threads(1)
    base = BaseWeights(tensors={NAME: matrix(0)})
    endpoints = {delta: BaseWeights(tensors={NAME: matrix(seed)}) for seed, delta in enumerate((ONE, TWO), start=1)}
    kernel = kernel_for(base, dtype=torch.bfloat16, device=CPU)
    if kernel is None:
        msg = "The fused pass does not run here: the log says why."
        raise SystemExit(msg)
    perturber = Perturber(base, dtype=torch.bfloat16, device=CPU, endpoints=endpoints, normals=kernel.normals)
    fused = FusedPass(perturber, kernel)
    regions = {NAME: [Region(name=NAME, row=0, column=0, target=as_matrix(torch.empty_like(base.tensor(NAME))))]}

    def compute(vector: VectorSpec) -> None:
        # New each time, because tensors are kept.
        list(vector_tensors(vector, base, ComputedTensors(endpoints), device=CPU, normals=kernel.normals))

    def place(vector: VectorSpec) -> None:
        fused.write(Perturbation.of([(vector, 0.5)]), regions)

    computing = medians({name: partial(compute, vector) for name, vector in VECTORS.items()})
    placing = medians({name: partial(place, vector) for name, vector in VECTORS.items()})
    print(
        "| kind | computing, s a billion weights | times a random one | placing, times a random one | bytes a weight |"
    )
    print("|---|---|---|---|---|")
    for name, vector in VECTORS.items():
        seconds, ratio = computing[name]
        kept = "0"
        if vector is not RANDOM:
            tensor = perturber.computed.tensor(vector, NAME, base.tensor(NAME))  # type: ignore[arg-type]
            kept = "0" if tensor is None else str(tensor.element_size())
        billion = seconds * 1e9 / WIDTH**2
        print(f"| {name} | {billion:,.0f} | {ratio:.1f} | {placing[name][1]:.2f} | {kept} |", flush=True)


if __name__ == "__main__":
    main()
