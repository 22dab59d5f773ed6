"""Directions that an engine computes, against transformers in float64, where nothing of ours but the text is used."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, Gemma2Config, GPT2Config
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from landscape_ray.config import GradientDirection, RefusalAblationDirection, RunConfig
from landscape_ray.engine import EngineSpec
from landscape_ray.engine.hf.computed_directions import computed_directions
from landscape_ray.engine.hf.residual_stream import writing_tensors
from landscape_ray.errors import BenchmarkError, CheckpointError
from landscape_ray.evaluation import Benchmark
from landscape_ray.planning import CheckpointDelta, Gradient, Perturbation, RefusalAblation, StoredTensors
from landscape_ray.weights import BaseWeights, CheckpointFiles, Perturber, TensorSource

Tensors = dict[str, torch.Tensor]
MakeBenchmark = Callable[..., Benchmark]

REFUSAL = "NO!"
ALONG, OF = StoredTensors.of("0" * 64), StoredTensors.of("1" * 64)
# By hand, of a Llama of two layers.
WRITING = {
    "model.embed_tokens.weight": (1, -1),
    **{f"model.layers.{i}.{part}.weight": (-1, 1) for i in (0, 1) for part in ("self_attn.o_proj", "mlp.down_proj")},
}


@pytest.fixture(params=["tied", "untied"])
def folder(request: pytest.FixtureRequest) -> Path:
    folder: Path = request.getfixturevalue(f"{request.param}_checkpoint")
    return folder


@pytest.fixture
def benchmarks(make_benchmark: MakeBenchmark) -> tuple[Benchmark, Benchmark]:
    return make_benchmark("harmful", num=5), make_benchmark("harmless", num=4, shift=41)


def ablation(layer: int) -> RefusalAblationDirection:
    return RefusalAblationDirection(kind="refusal_ablation", harmful="harmful", harmless="harmless", layer=layer)


GRADIENT = GradientDirection(kind="gradient", prompts="harmful", refusal=REFUSAL)


def tensors_of(folder: Path, entry: Any, benchmarks: tuple[Benchmark, ...]) -> Tensors:
    spec = EngineSpec(
        engine="vllm", model=str(folder), revision=None, dtype="bfloat16", run=RunConfig(), benchmarks=benchmarks
    )
    (content,) = computed_directions(spec, [entry])
    tensors: Tensors = load(content)
    return tensors


@pytest.fixture(autouse=True)
def _norms_of_any_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let norms of Llama compute in the precision of the model; transformers has them in float32."""

    def forward(norm: Any, x: torch.Tensor) -> torch.Tensor:
        normed: torch.Tensor = norm.weight * (
            x / (x.square().mean(dim=-1, keepdim=True) + norm.variance_epsilon).sqrt()
        )
        return normed

    monkeypatch.setattr(LlamaRMSNorm, "forward", forward)


def in_float64(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64, attn_implementation="sdpa").eval()


def chats(folder: Path, benchmark: Benchmark) -> Iterator[torch.Tensor]:
    """Yield the tokens of each prompt, by the tokenizer's own chat template."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for prompt in benchmark.prompts:
        yield tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt.text}],
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        )["input_ids"]


@torch.no_grad()
def streams(model: Any, ids: torch.Tensor) -> list[torch.Tensor]:
    """Return what transformers calls hidden states; in place of the last one, which is normed, what the norm reads."""
    before_norm: list[torch.Tensor] = []
    norm = getattr(model, "transformer", model.base_model)
    norm = getattr(norm, "norm", None) or norm.ln_f
    handle = norm.register_forward_pre_hook(lambda _, args: before_norm.append(args[0]))
    states = model(ids, output_hidden_states=True).hidden_states
    handle.remove()
    return [state[0] for state in (*states[:-1], *before_norm)]


def expected_direction(folder: Path, benchmarks: tuple[Benchmark, Benchmark], layer: int) -> torch.Tensor:
    model = in_float64(folder)
    harmful, harmless = (
        torch.stack([streams(model, ids)[layer][-1] for ids in chats(folder, each)]).mean(dim=0) for each in benchmarks
    )
    unit: torch.Tensor = (harmful - harmless) / (harmful - harmless).norm()
    return unit


def point(folder: Path, vector: RefusalAblation | Gradient, stored: Tensors, coefficient: float) -> Tensors:
    """Return the weights at a point, by the definition of points."""
    base = CheckpointFiles.open(folder, tied_head=False)
    sources: dict[CheckpointDelta, TensorSource] = {vector.checkpoints[0]: BaseWeights(tensors=stored)}
    perturber = Perturber(base, dtype=torch.float32, device=torch.device("cpu"), endpoints=sources)
    return dict(perturber.tensors(Perturbation.of([(vector, coefficient)])))


@pytest.mark.parametrize("layer", [1, 2])
def test_the_refusal_direction_is_that_of_hidden_states(
    layer: int, folder: Path, benchmarks: tuple[Benchmark, Benchmark]
) -> None:
    along = tensors_of(folder, ablation(layer), benchmarks)
    r = expected_direction(folder, benchmarks, layer)
    shapes = load_file(folder / "model.safetensors")
    assert along.keys() == WRITING.keys()
    for name, shape in WRITING.items():
        assert along[name].shape == torch.Size(len(r) if size == -1 else 1 for size in shape)
        assert shapes[name].shape[shape.index(-1)] == len(r)
        torch.testing.assert_close(along[name].flatten().double(), r, rtol=0, atol=1e-5)
    other = expected_direction(folder, benchmarks, 3 - layer)
    assert abs(float(r @ other)) < 0.9  # another layer would have been another direction
    swapped = (replace(benchmarks[1], name="harmful"), replace(benchmarks[0], name="harmless"))
    assert torch.equal(
        tensors_of(folder, ablation(layer), swapped)["model.embed_tokens.weight"], -along["model.embed_tokens.weight"]
    )


def test_coordinate_1_is_the_model_that_writes_nothing_along_it(
    folder: Path, benchmarks: tuple[Benchmark, Benchmark]
) -> None:
    along = tensors_of(folder, ablation(1), benchmarks)
    r = expected_direction(folder, benchmarks, 1)
    base, found = load_file(folder / "model.safetensors"), point(folder, RefusalAblation(along=ALONG), along, 1.0)
    projector = torch.eye(len(r), dtype=torch.float64) - torch.outer(r, r)
    for name, tensor in found.items():
        expected = base[name].double()
        if name in WRITING:
            expected = expected @ projector if "embed" in name else projector @ expected
            assert not torch.equal(tensor, base[name])
        torch.testing.assert_close(tensor.double(), expected, rtol=0, atol=2e-5)
    # What the model does with these weights, beyond what they are.
    model = in_float64(folder)
    ids = next(chats(folder, benchmarks[0]))
    assert max(along_r(r, x) for x in streams(model, ids)) > 0.05
    model.load_state_dict({name: tensor.double() for name, tensor in found.items()}, strict=False)
    assert max(along_r(r, x) for x in streams(model, ids)) < 1e-5
    half = point(folder, RefusalAblation(along=ALONG), along, 0.5)
    name = "model.layers.1.mlp.down_proj.weight"
    torch.testing.assert_close(half[name], (base[name] + found[name]) / 2)


def along_r(r: torch.Tensor, stream: torch.Tensor) -> float:
    return float(((stream @ r).abs() / stream.norm(dim=1)).max())


def test_a_model_that_stores_its_matrices_transposed_is_ablated_along_their_columns(
    make_random_model: Callable[..., Path], benchmarks: tuple[Benchmark, Benchmark]
) -> None:
    # Attention's output is square, so that its shape does not tell which way it is stored.
    folder = make_random_model(GPT2Config(vocab_size=93, n_positions=64, n_embd=32, n_layer=2, n_head=2))
    along = tensors_of(folder, ablation(1), benchmarks)
    kinds = {name.replace("h.0.", "h.1.").removeprefix("transformer."): r.shape for name, r in along.items()}
    assert kinds == {
        **{f"h.1.{part}.c_proj.weight": (1, 32) for part in ("attn", "mlp")},
        **{f"h.1.{part}.c_proj.bias": (32,) for part in ("attn", "mlp")},
        **dict.fromkeys(("wte.weight", "wpe.weight"), (1, 32)),
    }
    model = in_float64(folder)
    r, ids = expected_direction(folder, benchmarks, 1), next(chats(folder, benchmarks[0]))
    found = point(folder, RefusalAblation(along=ALONG), along, 1.0)
    prefix = "" if "transformer.wte.weight" in found else "transformer."
    model.load_state_dict({f"{prefix}{name}": tensor.double() for name, tensor in found.items()}, strict=False)
    assert max(along_r(r, x) for x in streams(model, ids)) < 1e-5


def test_a_model_that_writes_to_its_stream_through_norms_is_refused(
    make_random_model: Callable[..., Path], benchmarks: tuple[Benchmark, Benchmark]
) -> None:
    folder = make_random_model(
        Gemma2Config(
            vocab_size=93,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            head_dim=16,
            num_attention_heads=2,
            num_key_value_heads=2,
            max_position_embeddings=64,
        )
    )
    with pytest.raises(CheckpointError, match=r"after layer 1, so the model Gemma2ForCausalLM writes there .* a norm"):
        tensors_of(folder, ablation(1), benchmarks)


@pytest.mark.parametrize("lost", ["o_proj", "embed_tokens"])
def test_tensors_that_are_not_known_to_write_are_found_out(
    lost: str, untied_checkpoint: Path, benchmarks: tuple[Benchmark, Benchmark], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "landscape_ray.engine.hf.refusal_direction.writing_tensors",
        lambda *args: (each for each in writing_tensors(*args) if lost not in each[0]),
    )
    where = "after its embedding" if lost == "embed_tokens" else "after layer 1"
    with pytest.raises(CheckpointError, match=f"leaves 0.* along it {where}.* in another way, too"):
        tensors_of(untied_checkpoint, ablation(1), benchmarks)


@pytest.mark.parametrize(
    ("layer", "shift", "message"),
    [
        (3, 41, "asked for after layer 3, and the model has 2 layers. Give a layer from 1 to 2"),
        (1, 0, "'harmful' and 'harmless' after layer 1 are equal .* so there is no refusal direction"),
    ],
)
def test_what_is_no_refusal_direction_is_refused(
    layer: int, shift: int, message: str, tied_checkpoint: Path, make_benchmark: MakeBenchmark
) -> None:
    benchmarks = make_benchmark("harmful", num=3), make_benchmark("harmless", num=3, shift=shift)
    with pytest.raises(CheckpointError, match=message):
        tensors_of(tied_checkpoint, ablation(layer), benchmarks)


def test_prompts_that_fill_the_context_are_left_out_and_nothing_but_these_is_refused(
    tied_checkpoint: Path, make_benchmark: MakeBenchmark
) -> None:
    whole = make_benchmark("harmful", num=3)
    long = replace(whole.prompts[0], id="long", text="a" * 500)
    assert torch.equal(
        *(
            tensors_of(tied_checkpoint, GRADIENT, (replace(whole, prompts=prompts),))["model.norm.weight"]
            for prompts in (whole.prompts, (long, *whole.prompts))
        )
    )
    with pytest.raises(BenchmarkError, match="Each prompt of the benchmark 'harmful' fills the model's context of 448"):
        tensors_of(tied_checkpoint, GRADIENT, (replace(whole, prompts=(long,)),))


def log_likelihood(model: Any, folder: Path, benchmark: Benchmark) -> float:
    refusal = AutoTokenizer.from_pretrained(folder)(REFUSAL, add_special_tokens=False)["input_ids"]
    total = 0.0
    with torch.no_grad():
        for ids in chats(folder, benchmark):
            whole = torch.cat([ids, torch.tensor([refusal])], dim=1)
            predicted = model(whole).logits[0].log_softmax(-1)
            total += sum(float(predicted[ids.shape[1] + i - 1, token]) for i, token in enumerate(refusal))
    return total


@pytest.mark.slow
def test_the_gradient_is_that_of_finite_differences(folder: Path, benchmarks: tuple[Benchmark, Benchmark]) -> None:
    descent = tensors_of(folder, GRADIENT, benchmarks)
    model = in_float64(folder)
    origin = {name: tensor.clone() for name, tensor in model.state_dict().items() if name in descent}
    assert descent.keys() == load_file(folder / "model.safetensors").keys() == origin.keys()

    def rise(direction: Tensors, step: float = 1e-7) -> float:
        ends = []
        for sign in (1, -1):
            moved = {name: origin[name] + sign * step * direction[name] for name in direction}
            model.load_state_dict({**origin, **moved}, strict=False)
            ends.append(log_likelihood(model, folder, benchmarks[0]))
        return (ends[0] - ends[1]) / (2 * step)

    def inner(direction: Tensors) -> float:
        return sum(float((descent[name].double() * tensor).sum()) for name, tensor in direction.items())

    generator = torch.Generator().manual_seed(4)
    drawn = [
        {name: torch.randn(origin[name].shape, generator=generator, dtype=torch.float64) for name in sorted(descent)}
        for _ in range(3)
    ]
    # Along random directions, along each tensor by itself, and along the gradient. It is of float32: its rounding is
    # small beside the norms, and not beside an inner product that happens to be near 0.
    for direction in (*drawn, *({name: tensor} for name, tensor in drawn[0].items())):
        norms = inner_norm({name: descent[name] for name in direction}) * inner_norm(direction)
        assert rise(direction) == pytest.approx(-inner(direction), rel=1e-6, abs=1e-5 * norms)
        assert abs(inner(direction)) > 1e-4 * norms, "a gradient of 0 would pass"
    unit = {name: tensor.double() / inner_norm(descent) for name, tensor in descent.items()}
    assert rise(unit) == pytest.approx(-inner_norm(descent), rel=1e-4)


def inner_norm(tensors: Tensors) -> float:
    return float(sum(tensor.double().square().sum() for tensor in tensors.values()) ** 0.5)


def test_no_other_direction_of_its_norms_descends_faster(
    untied_checkpoint: Path, benchmarks: tuple[Benchmark, Benchmark]
) -> None:
    descent = tensors_of(untied_checkpoint, GRADIENT, benchmarks)
    vector = Gradient(of=OF, normalization="layer", excluded=("norm",))
    base, moved = load_file(untied_checkpoint / "model.safetensors"), point(untied_checkpoint, vector, descent, 1.0)
    for name, tensor in base.items():
        step = (moved[name] - tensor).double()
        if "norm" in name:
            assert not step.any()
            continue
        assert float(step.norm()) == pytest.approx(float(tensor.norm()), rel=1e-5)
        cosine = float((step * descent[name].double()).sum() / (step.norm() * descent[name].double().norm()))
        assert cosine == pytest.approx(1, abs=1e-6)  # Cauchy and Schwarz: no other is further down
