"""The refusal direction of a model: in which direction its activations tell harmful prompts from harmless ones."""

from collections.abc import Mapping, Sequence

import torch

from landscape_ray.config import RefusalAblationDirection
from landscape_ray.engine.hf.engine import TransformersEngine
from landscape_ray.engine.hf.residual_stream import decoder_layers, stream_of, writing_tensors
from landscape_ray.errors import BenchmarkError, CheckpointError, few_of
from landscape_ray.evaluation import Benchmark
from landscape_ray.planning import ORIGIN, CheckpointDelta, RefusalAblation, StoredTensors
from landscape_ray.weights import BaseWeights, TensorSource
from landscape_ray.weights.kinds import computed

__all__ = ["encoded_prompts", "refusal_direction"]

# Of the length of mean activations; what is less is rounding.
LEAST_DIFFERENCE = 1e-6
# Of the length of an activation. Float32 leaves 1e-6; one matrix that still writes leaves 1e-2.
TOLERANCE = 1e-4
NUM_PROVED = 4  # prompts of each kind


def refusal_direction(
    engine: TransformersEngine, entry: RefusalAblationDirection, benchmarks: Mapping[str, Benchmark]
) -> dict[str, torch.Tensor]:
    """Return the unit direction r, float32, for each tensor that writes to the residual stream, by checkpoint name.

    `r = unit(mean over harmful prompts of x - mean over harmless prompts of x)`, where x is the residual stream after
    the given layer at the last token of the prompt, which the chat template has rendered up to the model's answer. It
    is shaped [H, 1], [1, H] or [H], so that it lies along the dimension of the tensor that is the stream.

    That these tensors are all that write along r is proven: with the ablated weights in place nothing of the stream
    of some prompts lies along r, neither after the embedding nor after any layer.

    Source: Arditi et al. 2024, "Refusal in Language Models Is Mediated by a Single Direction", Sections 2.3 and 4.1.

    Raises:
        CheckpointError: The layer is not there, the means are equal, or the model writes along r with other tensors.
        BenchmarkError: No prompt fits the context.
    """
    num_layers = len(decoder_layers(engine.model))
    if entry.layer > num_layers:
        msg = (
            f"The refusal direction was asked for after layer {entry.layer}, and the model has {num_layers} layers. "
            f"Give a layer from 1 to {num_layers}; best are often those in the middle."
        )
        raise CheckpointError(msg)
    prompts = {name: encoded_prompts(engine, benchmarks[name]) for name in entry.benchmarks}
    harmful, harmless = (_mean(engine, prompts[name], entry.layer) for name in entry.benchmarks)
    difference = harmful - harmless
    length = difference.norm()
    if not length > LEAST_DIFFERENCE * (harmful.norm() + harmless.norm()):
        msg = (
            f"The mean activations of the benchmarks {entry.harmful!r} and {entry.harmless!r} after layer "
            f"{entry.layer} are equal (they differ by {float(length):g}), so there is no refusal direction. Give other "
            "prompts; or, where every prompt ends with the same tokens and little else is seen there, a later layer."
        )
        raise CheckpointError(msg)
    r = (difference / length).to(torch.float32).cpu()
    along = {}
    for name, dim in writing_tensors(engine.model, engine.places):
        shape = [1] * len(engine.places[name].shape)
        shape[dim] = len(r)
        along[name] = r.view(shape).clone()
    _prove(engine, r, along, [ids for of_kind in prompts.values() for ids in of_kind[:NUM_PROVED]])
    return along


def encoded_prompts(engine: TransformersEngine, benchmark: Benchmark) -> list[list[int]]:
    """Return the tokens of the prompts that leave room in the context.

    Raises:
        BenchmarkError: None does.
    """
    fitting = [ids for ids in engine.encoder.encode(benchmark) if len(ids) < engine.encoder.context_length]
    if not fitting:
        msg = (
            f"Each prompt of the benchmark {benchmark.name!r} fills the model's context of "
            f"{engine.encoder.context_length} tokens, so no direction can be computed from them. Give shorter ones."
        )
        raise BenchmarkError(msg)
    return fitting


def _mean(engine: TransformersEngine, prompts: Sequence[Sequence[int]], layer: int) -> torch.Tensor:
    """Return the mean of the stream at the last token, float64, [H]; prompts are read one by one, so unpadded."""
    streams = (stream_of(engine.model, ids)[layer][-1] for ids in prompts)
    return torch.stack([stream.to(torch.float64) for stream in streams]).mean(dim=0)


@torch.no_grad()
def _prove(
    engine: TransformersEngine,
    r: torch.Tensor,
    along: Mapping[str, torch.Tensor],
    prompts: Sequence[Sequence[int]],
) -> None:
    """Refuse a model that writes along r with tensors that are not known to write.

    Raises:
        CheckpointError: It does.
    """
    vector = RefusalAblation(along=StoredTensors.of("this one"))
    stored: dict[CheckpointDelta, TensorSource] = {vector.along: BaseWeights(tensors=along)}
    live = dict(engine.model.named_parameters())
    for name in along:
        parameter = engine.places[name].view(live[engine.places[name].within])
        step = computed(vector, name, parameter, stored)
        if step is not None:
            parameter.add_(step.to(parameter.device))
    shares = torch.stack([_shares(engine, r, ids) for ids in prompts]).amax(dim=0)
    engine.place(ORIGIN)
    if not (shares <= TOLERANCE).all():
        first = int((~(shares <= TOLERANCE)).nonzero()[0])
        where = f"after layer {first}" if first else "after its embedding"
        msg = (
            f"Taking the refusal direction out of the {len(along)} tensors that are known to write to the residual "
            f"stream ({few_of(sorted(along))}) leaves {float(shares[first]):.2g} of the stream's length along it "
            f"{where}, so the model {type(engine.model).__name__} writes there in another way, too: with tensors of "
            "other names, or through a norm. Its ablation would not be what it says; leave this direction out."
        )
        raise CheckpointError(msg)


def _shares(engine: TransformersEngine, r: torch.Tensor, ids: Sequence[int]) -> torch.Tensor:
    """Return which share of the stream lies along r, that of the token with the most: after each layer, [L + 1]."""
    streams = stream_of(engine.model, ids)
    return torch.stack([((x_TH @ r.to(x_TH)).abs() / x_TH.norm(dim=1)).amax() for x_TH in streams])
