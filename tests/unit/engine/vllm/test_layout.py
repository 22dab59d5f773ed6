"""Copies of rectangles are followed from checkpoint tensors to live memory, without vLLM."""

import pytest
import torch

from landscape_ray.engine.vllm.layout import LoadingTrace, model_state


class Model(torch.nn.Module):
    """A module with a parameter of 6 x 4, and what else modules hold."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(6, 4), requires_grad=False)
        self.register_buffer("scale", torch.zeros(3))
        self.kv_cache = [torch.zeros(2)]
        self.derived = {"a": torch.zeros(2)}


def found(trace: LoadingTrace, model: Model) -> dict[str, list[tuple[int, int, tuple[int, ...], tuple[int, ...], int]]]:
    """Row, column, shape, strides and offset of each region."""
    return {
        name: [
            (r.row, r.column, tuple(r.target.shape), r.target.stride(), int(r.target.storage_offset())) for r in regions
        ]
        for name, regions in trace.regions(model).items()
    }


def test_fused_and_sliced_and_padded_parameters_are_found() -> None:
    model, trace = Model(), LoadingTrace()
    q, k = torch.arange(32.0).view(4, 8), torch.arange(16.0).view(2, 8)
    with trace:
        for _, tensor in trace.feed([("q", q), ("k", k), ("bias", torch.ones(5))]):
            if tensor is q:  # rows 1 .. 3 of the last four columns, first in other memory, as vLLM loads
                loading = torch.zeros(6, 4)
                loading[:3].copy_(q.narrow(0, 1, 3).narrow(1, 4, 4))
            elif tensor is k:  # the first four columns; a row of padding remains
                loading[3:5].copy_(k[:, :4])
                loading[5:].zero_()
                model.weight.data.copy_(loading)
            else:
                model.get_buffer("scale").copy_(tensor[2:])
    assert found(trace, model) == {
        "q": [(1, 4, (3, 4), (4, 1), 0)],
        "k": [(0, 0, (2, 4), (4, 1), 12)],
        "bias": [(0, 2, (1, 3), (3, 1), 0)],
    }
    for regions, whole in ((trace.regions(model)["q"], q), (trace.regions(model)["k"], k)):
        for region in regions:
            rows, columns = region.target.shape
            expected = whole[region.row : region.row + rows, region.column : region.column + columns]
            assert torch.equal(region.target, expected)
            assert region.target.data_ptr() >= model.weight.data_ptr()


@pytest.mark.parametrize(
    "load",
    [
        lambda live, fed: live.copy_(fed.t()),  # transposed
        lambda live, fed: live.copy_(fed.t().contiguous()),  # and packed
        lambda live, fed: live.copy_(fed.view(6, 4) * 2),  # changed
        lambda live, fed: live.copy_(fed.view(-1)[:4]),  # spread over rows
        lambda live, fed: live.view(-1)[::2].copy_(fed.view(-1)[:12]),  # with gaps
    ],
)
def test_what_is_not_copied_as_it_is_leaves_no_trace(load: object) -> None:
    model, trace = Model(), LoadingTrace()
    with trace:
        for _, tensor in trace.feed([("w", torch.arange(24.0).view(4, 6))]):
            load(model.weight.data, tensor)  # type: ignore[operator]
    assert found(trace, model) == {}


def test_state_holds_what_hangs_on_modules_but_not_the_cache() -> None:
    model = Model()
    before = model_state(model)
    assert sorted(before) == ["model: _buffers.scale", "model: _parameters.weight", "model: derived.a"]
    model.kv_cache[0] += 1
    assert model_state(model) == before
    model.derived["a"][1] = 1
    changed = {name for name, digest in model_state(model).items() if digest != before[name]}
    assert changed == {"model: derived.a"}
