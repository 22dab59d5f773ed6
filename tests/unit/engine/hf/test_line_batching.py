"""Several points in one batch, against the same points with placed weights, one after the other."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import torch
from transformers import AutoModelForCausalLM, Gemma2Config, GPT2Config, MixtralConfig, Phi3Config, Qwen3Config

from landscape_ray.config import BenchmarkConfig, CheckpointConfig, ModelConfig, RunConfig
from landscape_ray.engine import EngineSpec
from landscape_ray.engine.checkpoints.resolution import resolve, resolve_delta
from landscape_ray.engine.hf.engine import TransformersEngine
from landscape_ray.engine.hf.line_batching import Line
from landscape_ray.errors import CheckpointError, GenerationError
from landscape_ray.evaluation import Benchmark, FinishReason, LogLikelihood, ScoredText, load_benchmark
from landscape_ray.planning import ORIGIN, CheckpointDelta, Perturbation, RandomVector, direction_seed

MakeBenchmark: TypeAlias = Callable[..., Benchmark]

pytestmark = pytest.mark.slow

A = RandomVector(seed=1, normalization="layer", excluded=("norm",))
B = RandomVector(seed=2, normalization="filter", excluded=())  # norms, too
LINE = [Perturbation.of([(A, step / 10)]) for step in range(-3, 4)]
PLANE = [Perturbation.of([(A, a), (B, b)]) for a in (-0.2, 0.0, 0.2) for b in (-0.3, 0.1)]
# Float32 has 1e-7; products are summed in another order, and rounding errors grow through the layers.
NATS = 5e-5

TEXTS = [
    ScoredText(context=context, text=text)
    for context, text in (("abc", "defg"), ("", "hello"), ("x" * 40, "yz" * 10), ("Which?", "A"), ("Which?", "B"))
]


def build(folder: Path, *, max_num_seqs: int = 64, deltas: tuple[CheckpointDelta, ...] = ()) -> TransformersEngine:
    run = RunConfig(max_num_seqs=max_num_seqs)
    return TransformersEngine(
        EngineSpec(engine="transformers", model=str(folder), revision=None, dtype="float32", run=run, deltas=deltas)
    )


@pytest.fixture(params=["tied", "untied"])
def engine(request: pytest.FixtureRequest) -> Iterator[TransformersEngine]:
    engine = build(request.getfixturevalue(f"{request.param}_checkpoint"))
    yield engine
    engine.close()


def nats_per_token(found: Sequence[LogLikelihood | None]) -> torch.Tensor:
    return torch.tensor([score.total / len(score.token_ids) for score in found if score is not None])


def largest_difference(engine: TransformersEngine, points: Sequence[Perturbation]) -> float:
    """Return by how much a token's log-likelihood differs between both ways; the points themselves differ by more."""
    engine.place_points(points)
    together = [nats_per_token(found) for found in engine.log_likelihoods_points(TEXTS)]
    assert len(together) == len(points)
    alone = []
    for point in points:
        engine.place(point)
        alone.append(nats_per_token(engine.log_likelihoods(TEXTS)))
    for i, one in enumerate(alone):
        for other in alone[:i]:
            assert float((one - other).abs().max()) > 1000 * NATS
    return max(float((a - b).abs().max()) for a, b in zip(together, alone, strict=True))


@pytest.mark.parametrize("points", [LINE, PLANE, [*LINE, *PLANE]], ids=["line", "plane", "both"])
def test_log_likelihoods_are_those_of_placed_weights(engine: TransformersEngine, points: list[Perturbation]) -> None:
    points = list(dict.fromkeys(points))
    assert largest_difference(engine, points) < NATS


@pytest.mark.parametrize("points", [LINE, PLANE], ids=["line", "plane"])
@pytest.mark.parametrize("max_num_seqs", [5, 1000])
def test_greedy_tokens_are_those_of_placed_weights(
    tied_checkpoint: Path,
    make_benchmark: MakeBenchmark,
    monkeypatch: pytest.MonkeyPatch,
    points: list[Perturbation],
    max_num_seqs: int,
) -> None:
    # Other lengths of prompts, two limits of new tokens, sequences that end before the others, in three ways.
    monkeypatch.setattr("landscape_ray.evaluation.judge.DECISIVE_KEYWORDS", ("A", "Z"))
    early = replace(make_benchmark("early", num=5), early_verdict=True)
    benchmarks = [make_benchmark(num=7), make_benchmark("other", shift=40, num=3, max_new_tokens=3), early]
    engine = build(tied_checkpoint, max_num_seqs=max_num_seqs)
    engine.place_points(points)
    together = engine.generate_points(benchmarks)
    for point, found in zip(points, together, strict=True):
        engine.place(point)
        assert found == engine.generate(benchmarks)
    reasons = {completion.finish_reason for found in together for completion in found[0]}
    assert reasons == {FinishReason.STOP, FinishReason.LENGTH}
    assert FinishReason.VERDICT in {completion.finish_reason for found in together for completion in found[2]}


SIZES = {"vocab_size": 93, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
SPECIAL = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": None}


@pytest.mark.parametrize(
    "config",
    [
        Phi3Config(**SIZES, **SPECIAL),  # fused projections
        Gemma2Config(**SIZES, **SPECIAL, num_key_value_heads=2, head_dim=16),  # norms of 1 + w, scaled embeddings
        GPT2Config(vocab_size=93, n_embd=64, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=1),  # biases everywhere
        Qwen3Config(**SIZES, **SPECIAL, num_key_value_heads=2, head_dim=16),  # norms of heads
    ],
    ids=["phi3", "gemma2", "gpt2", "qwen3"],
)
def test_other_families_agree(config: Any, make_random_model: Callable[[Any], Path]) -> None:
    everything = RandomVector(seed=3, normalization="layer", excluded=())
    assert (
        largest_difference(
            build(make_random_model(config)), [Perturbation.of([(everything, c)]) for c in (-0.4, 0.0, 0.4)]
        )
        < NATS
    )


def test_a_difference_of_checkpoints_is_a_direction(untied_checkpoint: Path, make_sibling: Callable[..., Path]) -> None:
    delta = resolve_delta(CheckpointConfig(id=str(make_sibling(untied_checkpoint, seed=7))))
    points = [Perturbation.of([(delta, a), (A, b)]) for a in (0.0, 0.5, 1.0) for b in (0.0, 0.1)]
    assert largest_difference(build(untied_checkpoint, deltas=(delta,)), points) < NATS


def test_a_point_does_not_depend_on_those_it_shares_a_batch_with(
    engine: TransformersEngine, make_benchmark: MakeBenchmark
) -> None:
    engine.place_points(PLANE)
    texts, likelihoods = engine.generate_points([make_benchmark()]), engine.log_likelihoods_points(TEXTS)
    for among in (PLANE[2:3], PLANE[1:4], [*LINE, *PLANE]):
        engine.place_points(among)
        place = among.index(PLANE[2])
        assert engine.generate_points([make_benchmark()])[place] == texts[2]
        difference = nats_per_token(engine.log_likelihoods_points(TEXTS)[place]) - nats_per_token(likelihoods[2])
        assert float(difference.abs().max()) < NATS


def test_the_embedded_model_says_the_same_inside_and_outside_of_its_basin() -> None:
    model = resolve(ModelConfig(id="demo:aligned"))
    benchmark = load_benchmark(
        BenchmarkConfig.model_validate(
            {"name": "harmful", "prompts": {"source": "demo"}, "limit": 6, "decoding": {"max_new_tokens": 32}}
        )
    )
    vector = RandomVector(seed=direction_seed(0, 0, 0), normalization="layer", excluded=("norm",))
    points = [Perturbation.of([(vector, c)]) for c in (-0.5, -0.1, 0.0, 0.1, 0.3, 0.5)]
    engine = build(Path(model.location))
    engine.place_points(points)
    for point, found in zip(points, engine.generate_points([benchmark]), strict=True):
        engine.place(point)
        assert found == engine.generate([benchmark])


def test_weights_and_single_visits_are_as_if_there_had_been_no_line(
    engine: TransformersEngine, make_benchmark: MakeBenchmark
) -> None:
    benchmark = make_benchmark()
    digest, before = engine.place(LINE[1]), engine.generate([benchmark])
    engine.place_points(PLANE)
    assert engine.generate_points([benchmark])
    assert (engine.place(LINE[1]), engine.generate([benchmark])) == (digest, before)
    # Where single weights are in place, they are the only point.
    assert engine.generate_points([benchmark]) == [before]


def test_digests_tell_points_apart(engine: TransformersEngine) -> None:
    origin = engine.place(ORIGIN)
    digests = engine.place_points([*LINE, *PLANE])
    assert digests[3] == origin
    assert len(set(digests)) == len({*LINE, *PLANE})
    assert engine.place_points(LINE[::-1]) == digests[: len(LINE)][::-1]


def test_a_prompt_too_long_fails_no_other(engine: TransformersEngine, make_benchmark: MakeBenchmark) -> None:
    long = make_benchmark("long", num=1, system_prompt="x" * 500)
    engine.place_points(LINE)
    together = engine.generate_points([long, make_benchmark(num=2)])
    assert all(found[0][0].finish_reason is FinishReason.PROMPT_TOO_LONG for found in together)
    assert all(len(completion.token_ids) > 0 for found in together for completion in found[1])


def test_a_failure_is_reported_as_one(untied_checkpoint: Path, make_benchmark: MakeBenchmark) -> None:
    engine = build(untied_checkpoint)
    engine.place_points(LINE)
    engine.model.model.layers[0].mlp.forward = lambda inputs: inputs[:, :, :3]
    with pytest.raises(GenerationError, match="transformers failed while generating 64 completions: RuntimeError"):
        engine.generate_points([make_benchmark()])


def ones(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: torch.ones_like(parameter) for name, parameter in model.named_parameters()}


def test_layers_of_other_kinds_are_refused() -> None:
    config = MixtralConfig(**SIZES, **SPECIAL, num_key_value_heads=2, num_local_experts=4)
    model = AutoModelForCausalLM.from_config(config)
    with pytest.raises(CheckpointError, match=r"would move model\.layers\.0\.mlp\S*, Mixtral\w+, and only"):
        Line(model, [ones(model)])
    name = "model.layers.1.self_attn.o_proj.weight"  # no expert is moved
    Line(model, [{name: ones(model)[name]}])


def test_uses_of_weights_outside_of_their_layer_are_refused(untied_checkpoint: Path) -> None:
    model: Any = AutoModelForCausalLM.from_pretrained(untied_checkpoint)
    Line(model, [ones(model)])
    layer = model.model.layers[1].mlp
    plain = layer.forward
    layer.forward = lambda x: plain(x) + torch.nn.functional.linear(x, layer.up_proj.weight)[..., :64]
    with pytest.raises(
        CheckpointError, match=r"move model\.layers\.1\.mlp\.up_proj\.weight, which are used outside.*excluded"
    ):
        Line(model, [ones(model)])
    assert "forward" not in vars(layer.up_proj)


def test_a_norm_that_is_none_is_refused(untied_checkpoint: Path) -> None:
    model: Any = AutoModelForCausalLM.from_pretrained(untied_checkpoint)

    class OddNorm(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(64))

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return inputs * self.weight.softmax(dim=0).cumsum(dim=0) * self.weight.sum()

    model.model.norm = OddNorm()
    with pytest.raises(CheckpointError, match=r"move model\.norm, OddNorm,"):
        Line(model, [ones(model)])


def test_layers_that_mix_sequences_are_refused(untied_checkpoint: Path, make_benchmark: MakeBenchmark) -> None:
    engine = build(untied_checkpoint)
    engine.place_points(LINE)
    layer = engine.model.model.layers[0].mlp
    plain = layer.forward
    layer.forward = lambda x: plain(x.flatten(0, 1)).view(x.shape)
    with pytest.raises(CheckpointError, match=r"got an input of shape \(\d+, 64\) in a batch of 64 sequences"):
        engine.generate_points([make_benchmark()])
