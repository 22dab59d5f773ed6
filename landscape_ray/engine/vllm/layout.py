"""Where a vLLM model keeps each part of each checkpoint tensor, found by watching its own loader at work.

vLLM fuses (q, k and v), slices (tensor parallelism), pads (vocabularies) and for some back ends packs what it loads.
Nothing of this is written down here: while a model loads, every copy of a rectangle of a checkpoint tensor is noted,
and followed from the memory it is first put in to the memory of the live model. What is not copied as it is (packed,
quantised, transposed) leaves no trace, and is then found missing.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from landscape_ray.weights import Region, WeightsDigest

__all__ = ["LoadingTrace", "model_state"]

# The key-value cache hangs on the modules of a model, and is no part of its weights.
KV_CACHE = "kv_cache"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Copy:
    """A rectangle of a checkpoint tensor in some storage; offsets and steps in elements."""

    name: str
    row: int
    column: int
    rows: int
    columns: int
    offset: int
    step: int


class LoadingTrace(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes, while it is active, what is copied where of the tensors that are fed through it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        # By the address of a storage. Addresses are used again once a tensor is gone, so the newest entry counts.
        self._fed: dict[int, tuple[str, torch.Size]] = {}
        self._copies: dict[int, list[_Copy]] = {}

    def feed(self, tensors: Iterable[tuple[str, torch.Tensor]]) -> Iterator[tuple[str, torch.Tensor]]:
        """Pass on checkpoint tensors, each the only one in its storage."""
        for name, tensor in tensors:
            self._fed[_address(tensor)] = name, tensor.shape
            self._copies.pop(_address(tensor), None)
            yield name, tensor

    def regions(self, model: torch.nn.Module) -> Mapping[str, list[Region]]:
        """Return where the live parameters and buffers of a model hold the tensors that were fed, by their names."""
        regions: defaultdict[str, list[Region]] = defaultdict(list)
        for live in {_address(tensor): tensor for _, tensor in _tensors(model)}.values():
            num_elements = live.untyped_storage().nbytes() // live.element_size()
            for copy in self._copies.get(_address(live), []):
                if copy.offset + (copy.rows - 1) * copy.step + copy.columns > num_elements:
                    continue  # of a tensor that is gone, whose address another has taken over
                target = live.detach().as_strided((copy.rows, copy.columns), (copy.step, 1), copy.offset)
                regions[copy.name].append(Region(name=copy.name, row=copy.row, column=copy.column, target=target))
        return regions

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """See every operation of torch."""
        result = func(*args, **(kwargs or {}))
        if func is torch.ops.aten.copy_.default:
            self._note(args[0], args[1])
        return result

    def _note(self, target: torch.Tensor, source: torch.Tensor) -> None:
        if target.is_meta or source.is_meta or target.shape != source.shape or target.numel() == 0:
            return
        to, at = _address(target), _address(source)
        if to == at:  # within one tensor nothing comes from elsewhere
            return
        if at in self._copies:
            # From where a layer was loaded to where it lives: all of it, as it is.
            whole = source.numel() * source.element_size() == source.untyped_storage().nbytes()
            if whole and source.stride() == target.stride():
                self._copies[to] = [
                    replace(copy, offset=copy.offset + int(target.storage_offset())) for copy in self._copies.pop(at)
                ]
        elif at in self._fed:
            self._fed.pop(to, None)
            name, shape = self._fed[at]
            if copy := _rectangle(name, shape, target, source):
                self._copies.setdefault(to, []).append(copy)


def model_state(model: torch.nn.Module) -> dict[str, str]:
    """Return a digest of every tensor that hangs on a model's modules, whether they call it a parameter or not."""
    state, known = {}, {}
    for name, tensor in _tensors(model):
        # Layers share what is large, such as work spaces of attention.
        identity = tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype
        if identity not in known:
            digest = WeightsDigest()
            digest.update("", tensor)
            known[identity] = digest.hexdigest()
        state[name] = known[identity]
    return state


def _tensors(model: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield parameters, buffers and other attributes that are tensors or hold some, such as a back end of attention."""
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            for inner, tensor in _held(value).items():
                if name != KV_CACHE and isinstance(tensor, torch.Tensor) and _has_memory(tensor):
                    yield f"{path or 'model'}: {name}.{inner}", tensor


def _has_memory(tensor: torch.Tensor) -> bool:
    return tensor.layout == torch.strided and not tensor.is_meta


def _held(value: Any) -> Mapping[Any, Any]:
    """Return what an attribute of a module holds, itself or by whatever names it."""
    if isinstance(value, torch.Tensor):
        return {"itself": value}
    if isinstance(value, torch.nn.Module):  # named_modules comes to it
        return {}
    if isinstance(value, list | tuple):
        return dict(enumerate(value))
    return value if isinstance(value, Mapping) else getattr(value, "__dict__", {})


def _rectangle(name: str, shape: torch.Size, target: torch.Tensor, source: torch.Tensor) -> _Copy | None:
    """Return what a copy of a view of a fed tensor is, if it is a rectangle that stays one."""
    if source.ndim != len(shape) or source.ndim == 0:
        return None
    width = shape[1:].numel() if len(shape) > 1 else shape.numel()
    row, column = divmod(int(source.storage_offset()), width)
    rows = source.shape[0] if len(shape) > 1 else 1
    columns = source.numel() // rows
    step, step_of_source = (_row_step(tensor, rows, columns) for tensor in (target, source))
    if step is None or step_of_source is None or column + columns > width or (rows > 1 and step_of_source != width):
        return None
    offset = int(target.storage_offset())
    return _Copy(name=name, row=row, column=column, rows=rows, columns=columns, offset=offset, step=step)


def _row_step(tensor: torch.Tensor, rows: int, columns: int) -> int | None:
    """Return how many elements lie from row to row, or None if the elements of a row do not lie side by side."""
    row = tensor if tensor.ndim < 2 else tensor[0]
    if not row.is_contiguous():
        return None
    return tensor.stride(0) if tensor.ndim > 1 and rows > 1 else columns


def _address(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
