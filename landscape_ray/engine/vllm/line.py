"""Several points of a line or plane in one batch of vLLM: directions beside the weights, coefficients beside tokens.

A layer that is linear in its parameters gives, at `W + sum of c_k D_k`, the sum `f(x; W) + sum of c_k f(x; D_k)`, see
`line_batching`. Here directions get whatever form vLLM gives weights (fused, sliced, padded, packed), because they are
loaded as weights are, and then taken over into *twins*: modules that compute with the direction's tensors. Twins are
made when the model is loaded, before vLLM measures memory, compiles and captures graphs; so directions and coefficients
keep their addresses, and a step finds them filled.

Shape suffixes: K directions, P points, R requests of a step, N its tokens, C channels of a norm.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from vllm.config import ModelConfig, VllmConfig
from vllm.ir import ops
from vllm.model_executor.layers.layernorm import GemmaRMSNorm, LayerNorm, RMSNorm
from vllm.model_executor.layers.linear import LinearBase, UnquantizedLinearMethod
from vllm.model_executor.layers.vocab_parallel_embedding import UnquantizedEmbeddingMethod, VocabParallelEmbedding
from vllm.model_executor.model_loader import register_model_loader

from landscape_ray.engine.lines.twin import not_covered, with_parameters
from landscape_ray.engine.vllm.text import TextLoader

__all__ = ["LOAD_FORMAT", "NUM_DIRECTIONS", "POINT", "VllmLine"]

LOAD_FORMAT = "landscape_ray_line"
"""What vLLM calls the loader that puts directions beside the weights."""
NUM_DIRECTIONS = "landscape_ray_directions"
"""Where vLLM's configuration says how many there are. It is part of the key of vLLM's compile cache."""
POINT = "landscape_ray_point"
"""Where sampling parameters say at which point a request stands; without it, it stands where the weights are."""

LINEAR = (LinearBase, VocabParallelEmbedding)
PLAIN_METHODS = (UnquantizedLinearMethod, UnquantizedEmbeddingMethod)
RMS_NORMS = (RMSNorm, GemmaRMSNorm)
LAYER_NORMS = (LayerNorm, torch.nn.LayerNorm)


class VllmLine:
    """The directions beside the weights of a model, and where along them the requests of a step stand."""

    def __init__(self, model: torch.nn.Module, config: VllmConfig) -> None:
        """Put directions, all zero yet, beside every layer that they can be put beside.

        Args:
            model: A model of vLLM that has just been loaded.
            config: Its configuration.
        """
        self._hidden_size = config.model_config.get_hidden_size()
        self._device = next(model.parameters()).device
        self._num_directions: int = config.additional_config[NUM_DIRECTIONS]
        num_tokens = config.scheduler_config.max_num_batched_tokens
        # Compiled graphs read coefficients where they are now; logits are computed outside of graphs.
        self._of_tokens_KN = torch.zeros(self._num_directions, num_tokens, device=self._device)
        self._of_logits_KR = torch.zeros(self._num_directions, 1, device=self._device)
        self._points_KP = torch.zeros(self._num_directions, 1)  # the first is where the weights are
        self._twins: list[tuple[torch.nn.Module, list[torch.nn.Module]]] = []
        self.not_covered: list[tuple[str, str]] = []
        """Layers that directions cannot be put beside, and of what kind they are."""
        own: dict[tuple[int, int], torch.nn.Parameter] = {}  # a tied head shares its directions, too
        for path, module in model.named_modules():
            parameters = dict(module.named_parameters(recurse=False))
            if not parameters:
                continue
            put_beside = self._way(module, config.model_config)
            if put_beside is None:
                self.not_covered.append((path, type(module).__name__))
                continue
            twins = []
            for k in range(self._num_directions):
                zeros = {
                    name: own.setdefault((k, id(p)), torch.nn.Parameter(torch.zeros_like(p.data), requires_grad=False))
                    for name, p in parameters.items()
                }
                twins.append(with_parameters(module, zeros))
            self._twins.append((module, twins))
            put_beside(module, twins)

    def follow(self, runner: Any) -> None:
        """Have the coefficients of each step filled in before vLLM's model runner takes it."""
        # The one is there to be overridden, the other asks for logits of tokens that are not the last of their request.
        plain_forward, plain_logprobs = runner._model_forward, runner._get_prompt_logprobs_dict  # noqa: SLF001

        def forward(*args: Any, **kwargs: Any) -> Any:
            points = [_point(runner.requests[request]) for request in runner.input_batch.req_ids]
            lengths = torch.from_numpy(runner.query_start_loc.np[: len(points) + 1]).diff()
            of_requests_KR = self._points_KP[:, points]
            of_tokens_KN = of_requests_KR.repeat_interleave(lengths, dim=1)
            self._of_tokens_KN[:, : of_tokens_KN.shape[1]].copy_(of_tokens_KN)
            self._of_logits_KR = of_requests_KR.to(self._device)  # logits are those of each request's last token
            return plain_forward(*args, **kwargs)

        def logprobs_of_prompts(hidden_states: torch.Tensor, num_tokens: dict[str, int]) -> dict[str, Any]:
            wanted, found = runner.num_prompt_logprobs, dict[str, Any]()
            for request in list(wanted):  # each by itself: all its logits are at one point
                self._of_logits_KR = self._points_KP[:, [_point(runner.requests[request])]].to(self._device)
                runner.num_prompt_logprobs = {request: wanted.pop(request)}
                found |= plain_logprobs(hidden_states, num_tokens)
                wanted |= runner.num_prompt_logprobs  # unless it is done
            runner.num_prompt_logprobs = wanted
            return found

        runner._model_forward, runner._get_prompt_logprobs_dict = forward, logprobs_of_prompts  # noqa: SLF001

    def stand_at(self, coefficients_KP: Sequence[Sequence[float]]) -> None:
        """Let there be these points, with a coefficient for each direction."""
        self._points_KP = torch.nn.functional.pad(torch.tensor(coefficients_KP), (1, 0))

    def take(self, k: int) -> None:
        """Take what the model has in place of its weights as direction `k`."""
        for module, twins in self._twins:
            for name, parameter in module.named_parameters(recurse=False):
                twins[k].get_parameter(name).data.copy_(parameter)
            if hasattr(module, "cpu_linear"):  # holds a packed copy, and is made anew on the next loading
                twins[k].cpu_linear = module.cpu_linear

    def _way(self, module: torch.nn.Module, config: ModelConfig) -> Callable[[Any, list[torch.nn.Module]], None] | None:
        """Return how to put directions beside a layer, or None."""
        if config.use_mla or config.head_dtype != config.dtype:  # then weights are used outside of their layers
            return None
        if isinstance(module, LINEAR) and isinstance(module.quant_method, PLAIN_METHODS):
            is_bias_elsewhere = getattr(module, "skip_bias_add", False) and module.bias is not None
            return None if is_bias_elsewhere else self._beside_linear
        if isinstance(module, RMS_NORMS):
            return self._beside_rms_norm
        return self._beside_layer_norm if isinstance(module, LAYER_NORMS) else None

    def _beside_linear(self, module: Any, twins: list[torch.nn.Module]) -> None:
        plain, kind = module.quant_method, type(module).__name__
        is_head = isinstance(module, VocabParallelEmbedding)

        def apply(layer: torch.nn.Module, x: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
            out = plain.apply(layer, x, bias)
            moved = [plain.apply(twin, x, None if bias is None else twin.bias) for twin in twins]
            return _sum(kind, out, moved, self._of_logits_KR if is_head else self._of_tokens_KN[:, : len(out)])

        def embedding(layer: torch.nn.Module, ids: torch.Tensor) -> torch.Tensor:
            out = plain.embedding(layer, ids)
            return _sum(kind, out, [plain.embedding(twin, ids) for twin in twins], self._of_tokens_KN[:, : len(out)])

        module.quant_method = copy.copy(plain)  # still of the class that vLLM asks for in places
        module.quant_method.apply = apply
        if is_head:
            module.quant_method.embedding = embedding

    def _beside_rms_norm(self, module: Any, twins: list[torch.nn.Module]) -> None:
        offset = 1.0 if isinstance(module, GemmaRMSNorm) else 0.0
        variance_size = getattr(module, "variance_size_override", None)

        def forward(x: torch.Tensor, residual: torch.Tensor | None = None) -> Any:
            scale = self._of_tokens("weight", module, twins, x) + offset
            if residual is None:
                return (ops.rms_norm(x, None, module.variance_epsilon, variance_size).float() * scale).to(x.dtype)
            normed, residual = ops.fused_add_rms_norm(x, residual, None, module.variance_epsilon, variance_size)
            return (normed.float() * scale).to(x.dtype), residual

        module._forward_method = forward  # noqa: SLF001  (what vLLM has chosen for this device)

    def _beside_layer_norm(self, module: Any, twins: list[torch.nn.Module]) -> None:
        size = tuple(module.normalized_shape)

        def forward(x: torch.Tensor) -> torch.Tensor:
            out = torch.nn.functional.layer_norm(x.float(), size, eps=module.eps)
            out = out * self._of_tokens("weight", module, twins, x)
            return (out if module.bias is None else out + self._of_tokens("bias", module, twins, x)).to(x.dtype)

        module.forward = forward

    def _of_tokens(self, name: str, module: Any, twins: list[torch.nn.Module], x: torch.Tensor) -> torch.Tensor:
        """Return a norm's parameter for each token, for its input [N, ..., C]: float32 [N, ..., C]."""
        own: torch.Tensor = getattr(module, name)
        if x.ndim == 2 and len(own) != self._hidden_size:
            raise not_covered(type(module).__name__, "whose input may not be a row per token")
        sum_NC = own.float().expand(len(x), -1)
        for k, twin in enumerate(twins):
            sum_NC = torch.addcmul(sum_NC, self._of_tokens_KN[k, : len(x), None], getattr(twin, name).float())
        return sum_NC.view(len(x), *[1] * (x.ndim - 2), -1)


def _sum(kind: str, out: torch.Tensor, moved: list[torch.Tensor], coefficients_KN: torch.Tensor) -> torch.Tensor:
    """Return `out + sum of coefficient * moved`, added in float32, row by row."""
    if out.ndim != 2:
        raise not_covered(kind, "whose output is not a row per token")
    sum_ = out.float()
    for k, each in enumerate(moved):
        sum_ = torch.addcmul(sum_, coefficients_KN[k, :, None], each.float())
    return sum_.to(out.dtype)


def _point(request: Any) -> int:
    """Return the column of a request's coefficients."""
    extra: Mapping[str, int] = request.sampling_params.extra_args or {}
    return extra[POINT] + 1 if POINT in extra else 0


@register_model_loader(LOAD_FORMAT)
class _LineLoader(TextLoader):
    """vLLM's loader, which then puts directions beside the weights."""

    def load_model(self, vllm_config: VllmConfig, model_config: ModelConfig, prefix: str = "") -> torch.nn.Module:
        model: torch.nn.Module = super().load_model(vllm_config=vllm_config, model_config=model_config, prefix=prefix)
        model.line = VllmLine(model, vllm_config)  # type: ignore[assignment]
        return model
