"""The gradient of the likelihood of refusals, over all weights."""

import torch

from landscape_ray.config import GradientDirection
from landscape_ray.engine.hf.engine import TransformersEngine
from landscape_ray.engine.hf.refusal_direction import encoded_prompts
from landscape_ray.errors import CheckpointError, few_of
from landscape_ray.evaluation import Benchmark

__all__ = ["refusal_gradient"]


def refusal_gradient(
    engine: TransformersEngine, entry: GradientDirection, benchmark: Benchmark
) -> dict[str, torch.Tensor]:
    """Return minus the gradient of the log-likelihood of refusals, float32, tensor by tensor of the checkpoint.

    The log-likelihood is the sum over prompts and over the tokens of the refusal, each after the prompt as the chat
    template renders it and the tokens before. By backpropagation in float32, prompt by prompt; where tensors are
    shared, as embedding and head may be, their gradients are added.

    Raises:
        CheckpointError: A gradient is not finite.
        BenchmarkError: No prompt fits the context.
    """
    model = engine.model
    answer = engine.encoder.spell(entry.refusal)
    for ids in encoded_prompts(engine, benchmark):
        tokens = torch.tensor([[*ids, *answer]], device=model.device)
        logits_AV = model(input_ids=tokens, use_cache=False, logits_to_keep=len(answer) + 1).logits[0, :-1]
        each_A = logits_AV.float().log_softmax(-1).gather(-1, tokens[0, len(ids) :, None])
        (-each_A.sum()).backward()  # gradients are summed over prompts
    descent = {}
    live = dict(model.named_parameters())
    for name, place in engine.places.items():
        parameter = live.get(place.within)
        if parameter is not None and parameter.grad is not None:
            descent[name] = place.view(parameter.grad).cpu().contiguous()
    model.zero_grad(set_to_none=True)
    if infinite := [name for name, tensor in descent.items() if not tensor.isfinite().all()]:
        msg = (
            f"The gradient of the likelihood of {entry.refusal!r} is not finite on {few_of(infinite)}, so it is no "
            "direction. Leave it out, or give other prompts."
        )
        raise CheckpointError(msg)
    return descent
