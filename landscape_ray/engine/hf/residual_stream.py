"""The residual stream of a model of transformers: what it is after each layer, and which tensors write to it."""

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from transformers.pytorch_utils import Conv1D

from landscape_ray.engine.checkpoints.model_config import text_config
from landscape_ray.engine.hf.layout import Place
from landscape_ray.errors import CheckpointError

__all__ = ["decoder_layers", "stream_of", "writing_tensors"]

# Embeddings of tokens and of positions: rows are added to the stream.
EMBEDDINGS = re.compile(
    r"(^|\.)(embed_tokens|wte|word_embeddings|embed_in|tok_embeddings|wpe|embed_positions)\.weight$"
)
# The last matrix of attention, of an MLP and of each expert, and its bias, in the names of the common families.
OUTPUTS = re.compile(
    r"\.(o_proj|out_proj|c_proj|down_proj|fc2|fc_out|dense_4h_to_h|w2|wo"
    r"|(attention|self_attention|self_attn)\.dense)((\.|_)(weight|bias))?$"
)


def decoder_layers(model: Any) -> Sequence[Any]:
    """Return the layers of a model, in order.

    Raises:
        CheckpointError: It has no list of so many modules as its configuration says, or several.
    """
    num_layers = text_config(model.config).num_hidden_layers
    lists = [each for each in model.modules() if isinstance(each, torch.nn.ModuleList) and len(each) == num_layers]
    if len(lists) != 1:
        msg = (
            f"The architecture {type(model).__name__} has {len(lists)} lists of {num_layers} modules, so it is not "
            "known which are the layers of its language model. Leave out the direction of kind refusal_ablation."
        )
        raise CheckpointError(msg)
    return list(lists[0])


@torch.no_grad()
def stream_of(model: Any, token_ids: Sequence[int]) -> list[torch.Tensor]:
    """Return the residual stream over a text: after the embedding, and after each of L layers; L + 1 of shape [T, H].

    The last one is that before the final norm.
    """
    layers = decoder_layers(model)
    found: list[torch.Tensor] = []

    def before(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        found.append((args[0] if args else kwargs["hidden_states"])[0])

    def after(_module: Any, _args: Any, output: Any) -> None:
        found.append((output[0] if isinstance(output, tuple) else output)[0])

    with contextlib.ExitStack() as hooks:
        for handle in (
            layers[0].register_forward_pre_hook(before, with_kwargs=True),
            *(layer.register_forward_hook(after) for layer in layers),
        ):
            hooks.callback(handle.remove)
        model(input_ids=torch.tensor([list(token_ids)], device=model.device), use_cache=False, logits_to_keep=1)
    return found


def writing_tensors(model: Any, places: Mapping[str, Place]) -> Iterator[tuple[str, int]]:
    """Yield the tensors that write to the residual stream, by checkpoint name, with the dimension that is the stream.

    They are told by name. Rows of an embedding are added to the stream, and so are the outputs of a matrix: its rows
    (outputs, inputs), or, where it is stored transposed, its columns.

    Args:
        model: The model.
        places: Its checkpoint's tensors.
    """
    hidden_size = text_config(model.config).hidden_size
    modules = dict(model.named_modules())
    for name, place in places.items():
        is_embedding = EMBEDDINGS.search(name) is not None
        if not is_embedding and not OUTPUTS.search(name):
            continue
        is_transposed = isinstance(modules.get(place.within.rpartition(".")[0]), Conv1D)
        dims = [dim for dim, size in enumerate(place.shape) if size == hidden_size]
        if dims:
            yield name, dims[-1] if is_embedding or is_transposed else dims[0]
