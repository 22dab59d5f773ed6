"""Layers that a model's loader writes itself, past vLLM's account of what a reload has brought.

While it reloads, vLLM keeps parameters without memory, notes what comes through their own loaders, and builds a layer
when all of it has come. A model whose loader copies into parameters itself (gpt-oss: experts, and the sinks of
attention) copies into nothing then: the layer keeps its old weights, though the loader says that it filled them. So
layers that nothing came for are given memory, and the model is loaded again.
"""

from collections.abc import Collection, Iterator

import torch
from vllm.model_executor.layers.attention import MMEncoderAttention
from vllm.model_executor.layers.attention_layer_base import AttentionLayerBase
from vllm.model_executor.model_loader.reload.layerwise import get_layerwise_info
from vllm.model_executor.model_loader.reload.meta import materialize_layer

from landscape_ray.errors import PlacementError

__all__ = ["DirectWrites"]


class DirectWrites:
    """The layers of a model that its loader writes itself, as far as they are known."""

    def __init__(self, tied: Collection[str]) -> None:
        """Know none yet.

        Args:
            tied: Names of parameters that are another's: nothing comes for those, rightly.
        """
        self._tied = tied
        self._layers: dict[str, torch.nn.Module] = {}

    def prepare(self) -> None:
        """Give memory to these layers, once vLLM has begun to reload; what is not written will be NaN."""
        for layer in self._layers.values():
            materialize_layer(layer, get_layerwise_info(layer))
            for parameter in layer.parameters(recurse=False):
                parameter.data.fill_(torch.nan)

    def settle(self, model: torch.nn.Module) -> bool:
        """Have vLLM process these layers, before it ends a reload; tell whether there are more than were known.

        Raises:
            PlacementError: A layer was written in part.
        """
        for name, layer in self._layers.items():
            written = [not parameter.isnan().any() for parameter in layer.parameters(recurse=False)]
            if all(written):
                get_layerwise_info(layer).load_numel = 0.5  # some, and not all: then it is processed in the end
            elif any(written):
                msg = f"vLLM filled some parameters of {name}, and others not; the point cannot be measured."
                raise PlacementError(msg)
        found = {name: layer for name, layer in self._without_news(model) if name not in self._layers}
        self._layers |= found
        return bool(found)

    def _without_news(self, model: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Module]]:
        """Yield the layers with parameters of their own that nothing has come for."""
        for name, layer in model.named_modules():
            info = get_layerwise_info(layer)
            own = [key for key, _ in layer.named_parameters(recurse=False) if f"{name}.{key}" not in self._tied]
            if own and info.can_load() and not info.load_numel and not _is_deferred(layer):
                yield name, layer


def _is_deferred(layer: torch.nn.Module) -> bool:
    """Tell whether vLLM processes a layer after all others: of attention, whose scales no checkpoint need have."""
    is_attention = isinstance(layer, AttentionLayerBase | MMEncoderAttention)
    return is_attention and callable(getattr(layer, "process_weights_after_loading", None))
