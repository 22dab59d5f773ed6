"""Several points of a line or plane in one batch: directions lie beside the weights, coefficients beside sequences.

A layer that is linear in its parameters gives, at `W + sum of c_k D_k`, the sum `f(x; W) + sum of c_k f(x; D_k)`. So
sequences of different points share a batch: each step reads the weights once and each direction once, however many
points there are. Linear layers and embeddings (a tied head is one more layer with the same parameter) are computed so;
norms get their `w + sum of c_k d_k` for each sequence. A model in which a moved parameter is used in any other way is
refused.

Nothing is rounded to the engine's type but the directions themselves, so outputs differ from those of cast weights in
the last bits; `docs/numerics.md` says by how much.

Shape suffixes: K directions, B sequences of a batch, C channels of a norm.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from transformers.pytorch_utils import Conv1D

from landscape_ray.engine.lines.twin import not_covered, with_parameters
from landscape_ray.errors import CheckpointError

__all__ = ["Line"]

LINEAR_IN_PARAMETERS = (torch.nn.Linear, torch.nn.Embedding, Conv1D)
# They pass their parameters to functions that take no other shape than their own.
RIGID_NORMS = (torch.nn.LayerNorm, torch.nn.RMSNorm)
Forward = Callable[[torch.Tensor], torch.Tensor]


class Line:
    """A model, and the directions along which each sequence of a batch stands at a place of its own."""

    def __init__(self, model: torch.nn.Module, directions: Sequence[Mapping[str, torch.Tensor]]) -> None:
        """Put directions beside the parameters of a model, which must hold the base weights.

        Args:
            model: A causal language model of transformers. It is left as it is outside `batch`.
            directions: K mappings from the names of parameters to float32 tensors in their shape, on their device.

        Raises:
            CheckpointError: The model uses a moved parameter in a way that is not covered.
        """
        self._model = model
        self._num_directions = len(directions)
        self._coefficients_KB = torch.zeros(len(directions), 0)
        self._forwards: dict[torch.nn.Module, Forward] = {}
        self._inside = False
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        cast: dict[tuple[int, str], torch.Tensor] = {}  # a tied head shares its direction, too
        for path, module in model.named_modules():
            own = {key: names[id(parameter)] for key, parameter in module.named_parameters(recurse=False)}
            moves = [(k, {key: d[name] for key, name in own.items() if name in d}) for k, d in enumerate(directions)]
            moves = [(k, moved) for k, moved in moves if moved]
            if not moves:
                continue
            if isinstance(module, LINEAR_IN_PARAMETERS):
                for k, moved in moves:
                    for key, tensor in moved.items():
                        moved[key] = cast.setdefault((k, own[key]), tensor.to(module.get_parameter(key).dtype))
                self._forwards[module] = self._linear(module, moves)
            elif type(module).__name__.endswith("Norm") and all(p.ndim == 1 for p in module.parameters()):
                self._forwards[module] = self._norm(module, moves)
                self._check_norm(path, module, moves)
            else:
                raise not_covered(path, type(module).__name__)
        if self._forwards:
            self._check_uses({key: name for key, name in names.items() if any(name in d for d in directions)})

    @contextlib.contextmanager
    def batch(self, coefficients_KB: torch.Tensor) -> Iterator[None]:
        """Let the model run a batch whose sequence `i` stands at the coefficients `[:, i]`."""
        self._coefficients_KB = coefficients_KB
        try:
            for module, forward in self._forwards.items():
                module.__dict__["forward"] = forward
            yield
        finally:
            for module in self._forwards:
                module.__dict__.pop("forward", None)

    def keep(self, rows: torch.Tensor) -> None:
        """Go on with these sequences of the batch only."""
        self._coefficients_KB = self._coefficients_KB[:, rows]

    def _linear(self, module: torch.nn.Module, moves: list[tuple[int, dict[str, torch.Tensor]]]) -> Forward:
        layers = []
        for k, moved in moves:
            rest = {key: torch.zeros_like(p) for key, p in module.named_parameters(recurse=False) if key not in moved}
            layers.append((k, with_parameters(module, moved | rest)))
        plain = module.forward

        def forward(inputs: torch.Tensor) -> torch.Tensor:
            self._check_batch(module, inputs)
            self._inside = True
            out: torch.Tensor = plain(inputs)
            sum_, ones = out.float(), [1] * (out.ndim - 1)
            for k, layer in layers:
                beside = self._coefficients_KB[k].view(-1, *ones)
                sum_ = torch.addcmul(sum_, beside, layer.forward(inputs).float())
            self._inside = False
            return sum_.to(out.dtype)

        return forward

    def _norm(self, module: torch.nn.Module, moves: list[tuple[int, dict[str, torch.Tensor]]]) -> Forward:
        parameters = dict(module.named_parameters(recurse=False))
        rigid = isinstance(module, RIGID_NORMS)

        def forward(inputs: torch.Tensor) -> torch.Tensor:
            self._check_batch(module, inputs)
            self._inside = True
            own = {}
            for key, parameter in parameters.items():
                sum_BC = parameter.float().expand(self._coefficients_KB.shape[1], -1)
                for k, moved in moves:
                    if key in moved:
                        sum_BC = torch.addcmul(sum_BC, self._coefficients_KB[k][:, None], moved[key])
                own[key] = sum_BC.to(parameter.dtype).view(len(sum_BC), *[1] * (inputs.ndim - 2), -1)
            out: torch.Tensor
            if rigid:
                out = with_parameters(module, {}).forward(inputs) * own["weight"]
                out = out + own["bias"] if "bias" in own else out
            else:
                out = with_parameters(module, own).forward(inputs)
            self._inside = False
            return out

        return forward

    def _check_batch(self, module: torch.nn.Module, inputs: torch.Tensor) -> None:
        """Raise unless the first dimension of a layer's input is that of the batch, or is the same for all of it."""
        num_sequences = self._coefficients_KB.shape[1]
        if inputs.ndim < 2 or inputs.shape[0] not in {1, num_sequences}:
            msg = (
                f"A layer of type {type(module).__name__} got an input of shape {tuple(inputs.shape)} in a batch of "
                f"{num_sequences} sequences, so it is not known which row is of which sequence. This model cannot be "
                "measured with several points in a batch; set batching: point."
            )
            raise CheckpointError(msg)

    @torch.inference_mode()
    def _check_norm(self, path: str, module: torch.nn.Module, moves: list[tuple[int, dict[str, torch.Tensor]]]) -> None:
        """Raise unless a norm treats parameters for each sequence as it does its own, one sequence after the other."""
        parameters = dict(module.named_parameters(recurse=False))
        some = next(iter(parameters.values()))
        inputs = torch.linspace(-2, 3, 6 * len(some), device=some.device, dtype=some.dtype).view(2, 3, -1)
        shares = (0.0, 0.5)
        self._coefficients_KB = torch.tensor([shares] * self._num_directions, device=some.device)
        together = self._forwards[module](inputs)
        for row, share in enumerate(shares):
            own = {
                key: (p.float() + share * sum(moved[key] for _, moved in moves if key in moved)).to(p.dtype)
                for key, p in parameters.items()
            }
            alone = with_parameters(module, own).forward(inputs[row : row + 1])
            tolerance = 4 * torch.finfo(some.dtype).eps
            if not torch.allclose(together[row : row + 1], alone, rtol=tolerance, atol=tolerance):
                raise not_covered(path, type(module).__name__)

    @torch.inference_mode()
    def _check_uses(self, moved: dict[int, str]) -> None:
        """Raise if a forward pass uses a moved parameter elsewhere than in the layers that were looked at."""
        found: set[str] = set()
        line = self

        class Watch(TorchFunctionMode):
            def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
                kwargs = kwargs or {}
                if not line._inside and func.__name__ != "__get__":  # reading a shape or a type is no use
                    flat = (x for a in (*args, *kwargs.values()) for x in (a if isinstance(a, list | tuple) else [a]))
                    found.update(moved[id(x)] for x in flat if id(x) in moved)
                return func(*args, **kwargs)

        device = next(self._model.parameters()).device
        with self.batch(torch.zeros(self._num_directions, 2, device=device)), Watch():
            self._model(input_ids=torch.zeros(2, 3, dtype=torch.long, device=device), use_cache=False)
        if found:
            raise not_covered(", ".join(sorted(found)[:8]), "which are used outside of their layers")
