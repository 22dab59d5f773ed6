"""Several points in one batch of vLLM, against the same points with placed weights, one after the other."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from transformers import Gemma2Config, GPT2Config, GPTNeoXConfig, Qwen3Config, StableLmConfig

from landscape_ray.config import CheckpointConfig, RunConfig
from landscape_ray.engine import EngineSpec
from landscape_ray.engine.checkpoints.resolution import resolve_delta
from landscape_ray.engine.factory import create_engine
from landscape_ray.errors import CheckpointError, ResourceError
from landscape_ray.evaluation import Benchmark, FinishReason, LogLikelihood, ScoredText
from landscape_ray.planning import ORIGIN, CheckpointDelta, ComputedVector, Perturbation, RandomVector

MakeBenchmark: TypeAlias = Callable[..., Benchmark]

pytestmark = pytest.mark.slow

A = RandomVector(seed=1, normalization="layer", excluded=("norm",))
B = RandomVector(seed=2, normalization="filter", excluded=())  # norms, too
C = RandomVector(seed=3, normalization="layer", excluded=())
LINE = [Perturbation.of([(A, step / 10)]) for step in range(-3, 4)]
PLANE = [Perturbation.of([(A, a), (B, b)]) for a in (-0.2, 0.0, 0.2) for b in (-0.3, 0.1)]
# Float32 has 1e-7; products are summed in another order, and rounding errors grow through the layers.
NATS = 5e-5

# A text that is read, one of a single token after a context, and two that share theirs.
TEXTS = [
    ScoredText(context=context, text=text)
    for context, text in (("abc", "defg"), ("", "hello"), ("x" * 40, "yz" * 10), ("Which?", "A"), ("Which?", "B"))
]


def build(folder: Path, *, num_directions: int, deltas: tuple[CheckpointDelta, ...] = (), **settings: Any) -> Any:
    return create_engine(
        EngineSpec(
            engine="vllm",
            model=str(folder),
            revision=None,
            dtype=settings.get("dtype", "float32"),
            run=RunConfig(kv_cache_gib=0.0625, max_num_seqs=64),
            deltas=deltas,
            batching="line",
            num_directions=num_directions,
        )
    )


@pytest.fixture(scope="module")
def delta(tied_checkpoint: Path, make_sibling: Callable[..., Path]) -> CheckpointDelta:
    return resolve_delta(CheckpointConfig(id=str(make_sibling(tied_checkpoint, seed=7))))


@pytest.fixture(scope="module")
def other(tied_checkpoint: Path, make_sibling: Callable[..., Path]) -> CheckpointDelta:
    return resolve_delta(CheckpointConfig(id=str(make_sibling(tied_checkpoint, seed=8))))


@pytest.fixture(scope="module")
def stored(tied_checkpoint: Path, store_tensors: Callable[..., tuple[CheckpointDelta, ...]]) -> Any:
    return store_tensors(tied_checkpoint)


@pytest.fixture(scope="module")
def engine(tied_checkpoint: Path, delta: CheckpointDelta, other: CheckpointDelta, stored: Any) -> Iterator[Any]:
    engine = build(tied_checkpoint, num_directions=2, deltas=(delta, other, *stored))
    yield engine
    engine.close()


def nats_apart(found: Sequence[LogLikelihood | None], others: Sequence[LogLikelihood | None]) -> float:
    """Return by how much the log-likelihoods of texts differ at most, per token."""
    pairs = [(a, b) for a, b in zip(found, others, strict=True) if a is not None and b is not None]
    assert len(pairs) == len(TEXTS)
    assert all(a.token_ids == b.token_ids for a, b in pairs)
    return max(abs(a.total - b.total) / len(a.token_ids) for a, b in pairs)


def largest_difference(engine: Any, points: Sequence[Perturbation]) -> float:
    """Return by how much a token's log-likelihood differs between both ways; the points themselves differ by more."""
    engine.place_points(points)
    together = engine.log_likelihoods_points(TEXTS)
    alone = []
    for point in points:
        engine.place(point)
        alone.append(engine.log_likelihoods(TEXTS))
    assert len(together) == len(points)
    assert min(nats_apart(one, other) for i, one in enumerate(alone) for other in alone[:i]) > 1000 * NATS
    return max(nats_apart(a, b) for a, b in zip(together, alone, strict=True))


@pytest.mark.parametrize("points", [LINE, PLANE, [*LINE, *PLANE]], ids=["line", "plane", "both"])
def test_log_likelihoods_are_those_of_placed_weights(engine: Any, points: list[Perturbation]) -> None:
    assert largest_difference(engine, list(dict.fromkeys(points))) < NATS


def test_a_difference_of_checkpoints_is_a_direction(engine: Any, delta: CheckpointDelta) -> None:
    points = [Perturbation.of([(delta, a), (A, b)]) for a in (0.0, 0.5, 1.0) for b in (0.0, 0.1)]
    assert largest_difference(engine, points) < NATS


def test_each_kind_of_direction_is_one(  # noqa: PLR0917  (by name)
    kind: str,
    engine: Any,
    delta: CheckpointDelta,
    other: CheckpointDelta,
    stored: Any,
    computed_vectors: Callable[..., dict[str, ComputedVector]],
) -> None:
    vector = computed_vectors(delta, other, *stored)[kind]
    points = [Perturbation.of([(vector, a), (A, b)]) for a in (0.0, 0.5, 1.0) for b in (0.0, 0.1)]
    assert largest_difference(engine, points) < NATS


@pytest.mark.parametrize("points", [LINE, PLANE], ids=["line", "plane"])
def test_greedy_tokens_are_those_of_placed_weights(
    engine: Any, make_benchmark: MakeBenchmark, monkeypatch: pytest.MonkeyPatch, points: list[Perturbation]
) -> None:
    # Other lengths of prompts, two limits of new tokens, sequences that end before the others, in three ways.
    monkeypatch.setattr("landscape_ray.evaluation.judge.DECISIVE_KEYWORDS", ("A", "Z"))
    early = replace(make_benchmark("early", num=5), early_verdict=True)
    long = make_benchmark("long", num=1, system_prompt="x" * 500)
    benchmarks = [make_benchmark(), make_benchmark("other", shift=40, num=3, max_new_tokens=3), early, long]
    engine.place_points(points)
    together = engine.generate_points(benchmarks)
    for point, found in zip(points, together, strict=True):
        engine.place(point)
        assert found == engine.generate(benchmarks)
    assert len({tuple(map(tuple, found)) for found in together}) == len(points)
    reasons = [{completion.finish_reason for found in together for completion in found[i]} for i in range(4)]
    assert reasons[0] == {FinishReason.STOP, FinishReason.LENGTH}
    assert FinishReason.VERDICT in reasons[2]
    assert reasons[3] == {FinishReason.PROMPT_TOO_LONG}


def test_digests_are_those_of_the_other_engine(  # noqa: PLR0917  (by name)
    engine: Any,
    make_engine: Callable[..., Any],
    tied_checkpoint: Path,
    delta: CheckpointDelta,
    stored: Any,
    computed_vectors: Callable[..., dict[str, ComputedVector]],
) -> None:
    oracle = make_engine("transformers", tied_checkpoint)
    digests = engine.place_points([*LINE, *PLANE])
    assert len(set(digests)) == len({*LINE, *PLANE})
    assert digests[LINE.index(ORIGIN)] == engine.place(ORIGIN) == oracle.place(ORIGIN)
    assert digests == oracle.place_points([*LINE, *PLANE])
    for vector in computed_vectors(delta, delta, *stored).values():
        if not vector.checkpoints:  # which the oracle was not given
            points = [Perturbation.of([(vector, share)]) for share in (0.5, 1.0)]
            assert engine.place_points(points) == oracle.place_points(points)


def test_directions_are_exchanged(engine: Any) -> None:
    """Those that are needed again stay, others make room, and results depend on nothing but the points."""
    seen: dict[tuple[Perturbation, ...], Any] = {}
    tail = [Perturbation.of([(C, c), (B, 0.1)]) for c in (-0.1, 0.1)]
    alone = [Perturbation.of([(B, 0.1)])]
    for points in (LINE[:2], PLANE, tail, [ORIGIN], alone, LINE[:2], tail[::-1], alone, PLANE, alone, tail):
        digests = engine.place_points(points)
        found = digests, engine.log_likelihoods_points(TEXTS)
        assert seen.setdefault(tuple(points), found) == found
    assert seen[tuple(tail)][0] == seen[tuple(tail[::-1])][0][::-1]
    with pytest.raises(ResourceError, match="built for points along 2 directions, not 3"):
        engine.place_points([*PLANE, *tail])


def test_weights_and_single_visits_are_as_if_there_had_been_no_line(engine: Any, make_benchmark: MakeBenchmark) -> None:
    benchmark = make_benchmark()
    digest, before = engine.place(LINE[1]), engine.generate([benchmark])
    engine.place_points(PLANE)
    assert engine.generate_points([benchmark])
    assert (engine.place(LINE[1]), engine.generate([benchmark])) == (digest, before)
    # Where single weights are in place, they are the only point.
    assert engine.generate_points([benchmark]) == [before]


SIZES = {"vocab_size": 93, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 2}
SPECIAL = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": None}


@pytest.mark.parametrize(
    "config",
    [
        Qwen3Config(**SIZES, **SPECIAL, num_key_value_heads=1, head_dim=32),  # norms of heads
        # Norms of 1 + w, scaled embeddings.
        Gemma2Config(**SIZES, **SPECIAL, num_key_value_heads=1, head_dim=32),
        # Layer norms, biases everywhere.
        pytest.param(
            StableLmConfig(**SIZES, **SPECIAL, num_key_value_heads=1, use_qkv_bias=True), marks=pytest.mark.long
        ),
    ],
    ids=lambda config: config.model_type,
)
def test_other_families_agree(config: Any, make_random_model: Callable[[Any], Path]) -> None:
    engine = build(make_random_model(config), num_directions=1)
    assert largest_difference(engine, [Perturbation.of([(C, c)]) for c in (-0.4, 0.0, 0.4)]) < NATS
    engine.close()


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        # Positions are looked up in a table of torch's own.
        (
            GPT2Config(vocab_size=93, n_embd=64, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=1),
            r"would move transformer\.wpe, Embedding, and only",
        ),
        # vLLM runs the code of transformers.
        pytest.param(
            GPTNeoXConfig(**SIZES, **SPECIAL),
            "would move VocabParallelEmbedding, whose output is not a row per token, and only",
            marks=pytest.mark.long,
        ),
    ],
)
def test_layers_of_other_kinds_are_refused(config: Any, problem: str, make_random_model: Callable[[Any], Path]) -> None:
    with pytest.raises(CheckpointError, match=rf"{problem} .*batching: point"):
        build(make_random_model(config), num_directions=1)


def test_uses_of_weights_that_are_not_covered_are_found(
    untied_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from landscape_ray.engine.vllm.line import VllmLine  # noqa: PLC0415

    # As if norms took their weights past their directions.
    monkeypatch.setattr(VllmLine, "_beside_rms_norm", lambda *_: None)
    with pytest.raises(CheckpointError, match=r"differ by up to [\d.]+ nats a token .* batching: point"):
        build(untied_checkpoint, num_directions=1)
