import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, TypeAlias

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, Gemma2Config, GPT2Config, Phi3Config

from landscape_ray.config import RunConfig
from landscape_ray.engine import EngineSpec
from landscape_ray.engine.hf.engine import TransformersEngine, _check_values
from landscape_ray.engine.tokens.encoding import PromptEncoder
from landscape_ray.errors import CheckpointError, GenerationError, PlacementError
from landscape_ray.evaluation import Benchmark, FinishReason, ScoredText
from landscape_ray.planning import ORIGIN, Perturbation, RandomVector
from landscape_ray.weights import BaseWeights, direction

MakeBenchmark: TypeAlias = Callable[..., Benchmark]
Weights: TypeAlias = dict[str, torch.Tensor]

pytestmark = pytest.mark.slow

A = RandomVector(seed=1, normalization="layer", excluded=("norm",))
B = RandomVector(seed=2, normalization="filter", excluded=("norm", "mlp"))
POINT = Perturbation.of([(A, 0.2), (B, -0.1)])


def build(
    folder: Path, *, dtype: Literal["float32", "bfloat16"] = "float32", max_num_seqs: int = 16
) -> TransformersEngine:
    run = RunConfig(max_num_seqs=max_num_seqs)
    return TransformersEngine(EngineSpec(engine="transformers", model=str(folder), revision=None, dtype=dtype, run=run))


@pytest.fixture(params=["tied", "untied"])
def folder(request: pytest.FixtureRequest) -> Path:
    folder: Path = request.getfixturevalue(f"{request.param}_checkpoint")
    return folder


@pytest.fixture
def engine(folder: Path) -> Iterator[TransformersEngine]:
    engine = build(folder)
    yield engine
    engine.close()


@pytest.fixture
def copy(untied_checkpoint: Path, tmp_path: Path) -> Path:
    """A checkpoint to break."""
    return shutil.copytree(untied_checkpoint, tmp_path / "copy")


def file_weights(folder: Path) -> Weights:
    weights: Weights = load_file(folder / "model.safetensors")
    return weights


def moved(folder: Path, perturbation: Perturbation) -> Weights:
    """Return the weights of a point by the formula, in float64 and rounded once."""
    weights = file_weights(folder)
    for name, base in weights.items():
        total = base.double()
        for vector, coefficient in perturbation.terms:
            assert isinstance(vector, RandomVector)
            total = total + coefficient * direction(vector, name, base).double()
        weights[name] = total.float()
    return weights


def greedy(folder: Path, weights: Weights, prompt: list[int], num_tokens: int) -> list[int]:
    """Decode in float64, one prompt at a time, without padding, mask or cache."""
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()
    model.load_state_dict(weights, strict=False)
    ids = list(prompt)
    with torch.no_grad():
        for _ in range(num_tokens):
            ids.append(int(model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
    return ids[len(prompt) :]


def test_outputs_are_those_of_plain_greedy_decoding(
    engine: TransformersEngine, folder: Path, make_benchmark: MakeBenchmark
) -> None:
    # Prompts of seven lengths in one batch; the checkpoint asks for sampling with a repetition penalty.
    benchmark = make_benchmark(num=7, max_new_tokens=12)
    for perturbation in (ORIGIN, POINT):
        engine.place(perturbation)
        (completions,) = engine.generate([benchmark])
        weights = moved(folder, perturbation)
        for prompt, completion in zip(PromptEncoder(folder).encode(benchmark), completions, strict=True):
            expected = greedy(folder, weights, prompt, 12)
            if 1 in expected:  # </s>
                expected = expected[: expected.index(1) + 1]
            assert list(completion.token_ids) == expected
        assert len(set(completions)) == 7


def test_live_weights_are_those_of_the_formula(engine: TransformersEngine, folder: Path) -> None:
    engine.place(POINT)
    live, base = engine.model.state_dict(), file_weights(folder)
    for name, expected in moved(folder, POINT).items():
        torch.testing.assert_close(live[name], expected, rtol=1e-6, atol=1e-7)
        assert torch.equal(live[name], base[name]) == ("norm" in name)


def test_weights_are_written_where_they_were(engine: TransformersEngine) -> None:
    before = {name: tensor.data_ptr() for name, tensor in engine.model.state_dict().items()}
    engine.place(POINT)
    assert {name: tensor.data_ptr() for name, tensor in engine.model.state_dict().items()} == before


def test_a_tied_head_moves_with_the_embedding(tied_checkpoint: Path) -> None:
    assert "lm_head.weight" not in file_weights(tied_checkpoint)
    engine = build(tied_checkpoint)
    engine.place(POINT)
    model = engine.model
    assert model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()
    assert torch.equal(model.lm_head.weight, engine._parameters["model.embed_tokens.weight"])


def test_a_redundant_tensor_of_a_tied_head_changes_nothing(tied_checkpoint: Path, tmp_path: Path) -> None:
    redundant = shutil.copytree(tied_checkpoint, tmp_path / "redundant")
    weights = file_weights(tied_checkpoint)
    save_file(
        weights | {"lm_head.weight": weights["model.embed_tokens.weight"].clone()},
        redundant / "model.safetensors",
        metadata={"format": "pt"},
    )
    assert build(redundant).place(POINT) == build(tied_checkpoint).place(POINT)


def test_weights_are_rounded_once_to_the_engines_type(untied_checkpoint: Path) -> None:
    engine = build(untied_checkpoint, dtype="bfloat16")
    engine.place(POINT)
    base = BaseWeights.load(untied_checkpoint, device=torch.device("cpu"), location="device", tied_head=False)
    differences = 0
    for name, expected in moved(untied_checkpoint, POINT).items():
        live = engine._parameters[name]
        assert live.dtype is torch.bfloat16
        assert base.tensor(name).dtype is torch.float32
        # A float32 sum may fall on the other side of a rounding boundary than the float64 sum, but rarely.
        differences += int((live != expected.bfloat16()).sum())
    assert differences <= 5


@pytest.mark.parametrize("max_num_seqs", [1, 5, 24, 100])
def test_the_size_of_a_batch_does_not_matter(
    untied_checkpoint: Path, make_benchmark: MakeBenchmark, max_num_seqs: int
) -> None:
    benchmarks = [make_benchmark(), make_benchmark("other", shift=40, num=3, max_new_tokens=3)]
    engine, expected = build(untied_checkpoint, max_num_seqs=max_num_seqs), build(untied_checkpoint)
    assert engine.generate(benchmarks) == expected.generate(benchmarks)


def test_a_completion_ends_with_the_first_token_that_ends_a_turn(copy: Path, make_benchmark: MakeBenchmark) -> None:
    benchmark = make_benchmark(num=5)
    (free,) = build(copy).generate([benchmark])
    stop = free[3].token_ids[4]
    settings = json.loads((copy / "generation_config.json").read_text())
    (copy / "generation_config.json").write_text(json.dumps(settings | {"eos_token_id": [1, stop]}))
    (completions,) = build(copy).generate([benchmark])
    first = free[3].token_ids.index(stop)
    assert completions[3].token_ids == free[3].token_ids[: first + 1]
    assert completions[3].finish_reason is FinishReason.STOP
    for before, after in zip(free, completions, strict=True):
        if stop not in before.token_ids:
            assert after == before
    assert any(after == before for before, after in zip(free, completions, strict=True))


def test_a_missing_tensor_is_named(copy: Path) -> None:
    weights = file_weights(copy)
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        CheckpointError,
        match=r"1 parameters that the checkpoint does not hold \(model\.layers\.1\.mlp\.up_proj\.weight\)",
    ):
        build(copy)


def test_a_tensor_that_the_model_does_not_take_is_named(copy: Path) -> None:
    weights = file_weights(copy) | {"model.layers.2.mlp.up_proj.weight": torch.ones(3)}
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        CheckpointError, match=r"1 tensors that the model does not take \(model\.layers\.2\.mlp\.up_proj\.weight\)"
    ):
        build(copy)


def test_a_tensor_of_another_shape_is_named(copy: Path) -> None:
    weights = file_weights(copy)
    weights["model.norm.weight"] = torch.ones(32)
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        CheckpointError, match=r"1 different shapes \(model\.norm\.weight of shape \(32,\) in the file, \(64,\) in"
    ):
        build(copy)


def test_a_tensor_that_loading_converts_is_named(untied_checkpoint: Path) -> None:
    base = BaseWeights.load(untied_checkpoint, device=torch.device("cpu"), location="device", tied_head=False)
    loaded = {name: torch.nn.Parameter(tensor.clone()) for name, tensor in base.tensors.items()}
    _check_values(base, loaded)
    name = "model.layers.0.self_attn.q_proj.weight"
    loaded[name] = torch.nn.Parameter(base.tensor(name).roll(1, dims=0))
    with pytest.raises(CheckpointError, match=rf"1 tensors that loading converts \({name}\).* need the vllm engine"):
        _check_values(base, loaded)


def save_family(config: Any, folder: Path, tokenizer_of: Path) -> Path:
    """Write a random checkpoint of another family of models."""
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    for file in (*tokenizer_of.glob("token*"), tokenizer_of / "chat_template.jinja"):
        shutil.copy(file, folder)
    return folder


SIZES = {"vocab_size": 93, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
SPECIAL = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": None}


@pytest.mark.parametrize(
    "config",
    [
        Phi3Config(**SIZES, **SPECIAL),  # fused projections in the file
        Gemma2Config(**SIZES, **SPECIAL, num_key_value_heads=2, head_dim=16),  # tied
        GPT2Config(vocab_size=93, n_embd=64, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=1),  # transposed, biases
    ],
    ids=["phi3", "gemma2", "gpt2"],
)
def test_other_families_take_every_tensor(config: Any, untied_checkpoint: Path, tmp_path: Path) -> None:
    engine = build(save_family(config, tmp_path, tokenizer_of=untied_checkpoint))
    engine.place(Perturbation.of([(RandomVector(seed=3, normalization="layer", excluded=()), 0.3)]))
    live, base = dict(engine.model.named_parameters()), file_weights(tmp_path)
    assert live.keys() == base.keys()
    # Biases begin at 0, and so does what a layer-normalised direction adds to them.
    assert all(torch.equal(live[name], tensor) == (not tensor.any()) for name, tensor in base.items())
    engine.place(ORIGIN)
    assert all(torch.equal(live[name], tensor) for name, tensor in base.items())


def test_attention_is_capped_where_the_model_says_so(untied_checkpoint: Path, tmp_path: Path) -> None:
    sizes = SIZES | SPECIAL | {"num_key_value_heads": 2, "head_dim": 16}
    capped = save_family(Gemma2Config(**sizes, attn_logit_softcapping=0.05), tmp_path, tokenizer_of=untied_checkpoint)
    # Fresh weights attend to all tokens alike, whatever cap there is.
    sharp = {name: tensor * (500 if "q_proj" in name else 1) for name, tensor in file_weights(capped).items()}
    save_file(sharp, capped / "model.safetensors", metadata={"format": "pt"})
    engine, text = build(capped), ScoredText(context="Which?", text="None of them")
    engine.place(ORIGIN)
    (found,) = engine.log_likelihoods([text])
    tokens, num_unscored = engine.encoder.encode_scored(text)

    def expected(**settings: Any) -> float:
        model: Any = AutoModelForCausalLM.from_pretrained(
            capped, dtype=torch.float64, attn_implementation="eager", **settings
        )
        with torch.no_grad():
            logs = model(input_ids=torch.tensor([tokens])).logits[0].log_softmax(dim=-1)
        return sum(float(logs[place - 1, tokens[place]]) for place in range(num_unscored, len(tokens)))

    assert found is not None
    assert found.total == pytest.approx(expected(), abs=1e-4)
    assert abs(found.total - expected(attn_logit_softcapping=None)) > 0.01


def test_tensors_that_the_model_has_no_place_for_are_refused(copy: Path) -> None:
    weights = file_weights(copy)
    extra = {f"model.layers.{i}.adapter.weight": torch.ones(3) for i in range(12)}
    save_file(weights | extra, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        CheckpointError, match=r"12 tensors that the model does not take .* and 9 more\).* need the vllm engine"
    ):
        build(copy)


def test_pickled_weights_are_not_loaded(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    torch.save({}, copy / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"transformers cannot load .*no file named model\.safetensors"):
        build(copy)


def test_a_weight_that_does_not_take_its_value_is_noticed(untied_checkpoint: Path) -> None:
    engine = build(untied_checkpoint)
    name = "model.layers.1.self_attn.k_proj.weight"
    engine._parameters[name].data = engine._parameters[name].data.bfloat16()
    with pytest.raises(PlacementError, match=name):
        engine.place(POINT)


def test_a_failure_while_generating_is_reported_as_one(untied_checkpoint: Path, make_benchmark: MakeBenchmark) -> None:
    engine = build(untied_checkpoint)
    engine.model.get_parameter("model.norm.weight").data = torch.ones(3)
    with pytest.raises(GenerationError, match="transformers failed while generating 16 completions: RuntimeError"):
        engine.generate([make_benchmark()])
