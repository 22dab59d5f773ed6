"""Directions that an engine computes before a sweep: their tensors, as files."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from safetensors.torch import save

from landscape_ray.config import EngineDirection, RefusalAblationDirection
from landscape_ray.engine.hf.engine import TransformersEngine
from landscape_ray.engine.hf.refusal_direction import refusal_direction
from landscape_ray.engine.hf.refusal_gradient import refusal_gradient
from landscape_ray.engine.protocol import EngineSpec

__all__ = ["computed_directions"]


def computed_directions(spec: EngineSpec, entries: Sequence[EngineDirection]) -> Iterator[bytes]:
    """Yield for each entry the content of a safetensors file with its tensors, by their checkpoint names.

    One engine of transformers computes them all in float32, whichever engine the sweep has.

    Args:
        spec: What engines of the sweep are built from, with the benchmarks whose prompts entries name.
        entries: What to compute.

    Raises:
        CheckpointError: A direction is not defined for this model; the message says why.
        BenchmarkError: No prompt fits the context.
    """
    plain = replace(spec, engine="transformers", dtype="float32", batching="point", num_directions=0, deltas=())
    benchmarks = {benchmark.name: benchmark for benchmark in spec.benchmarks}
    engine = TransformersEngine(plain)
    try:
        for entry in entries:
            tensors: dict[str, torch.Tensor]
            if isinstance(entry, RefusalAblationDirection):
                tensors = refusal_direction(engine, entry, benchmarks)
            else:
                tensors = refusal_gradient(engine, entry, benchmarks[entry.prompts])
            yield save(tensors)
    finally:
        engine.close()
