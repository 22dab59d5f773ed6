"""First tokens: the same from every engine that runs a model, and right."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import torch
from scipy.special import rel_entr
from transformers import AutoModelForCausalLM

from landscape_ray.config import RunConfig
from landscape_ray.engine import Engine, EngineSpec
from landscape_ray.engine.factory import create_engine
from landscape_ray.engine.tokens.encoding import PromptEncoder
from landscape_ray.evaluation import Benchmark, Prompt, divergence
from landscape_ray.planning import ORIGIN, Perturbation, RandomVector
from landscape_ray.weights import BaseWeights, Perturber

MakeEngine: TypeAlias = Callable[..., Engine]

VLLM = pytest.param("vllm", marks=pytest.mark.slow)
# Of divergences in nats, in float32 from float64: an answer that begins one token later is off by more than 0.1.
TOLERANCE = 1e-5
# Weights and directions apart are rounded in another order.
IN_LINES = 1e-4
FAR = Perturbation.of([(RandomVector(seed=1, normalization="layer", excluded=("norm",)), 0.25)])
PROMPTS = ("Hello", "Why?", "x" * 100, "One", "Tell:a", "Tell:b", "M" * 300, "y" * 450)
BENCHMARK = Benchmark(
    name="harmless",
    prompts=tuple(Prompt(id=str(i), text=text) for i, text in enumerate(PROMPTS)),
    system_prompt="Be",
    chat_template=None,
    max_new_tokens=1,
    metric="first_token_kl",
    judge="keyword",
)


def distributions(folder: Path, perturbation: Perturbation) -> list[Any]:
    """The whole distribution of each prompt's first token in float64, one prompt at a time."""
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    base = BaseWeights.load(folder, device=torch.device("cpu"), location="device", tied_head=True)
    perturber = Perturber(base, dtype=torch.float32, device=torch.device("cpu"), endpoints={})
    model.load_state_dict(dict(perturber.tensors(perturbation)), strict=False)
    model = model.double().eval()
    with torch.inference_mode():
        prompts = PromptEncoder(folder).encode(BENCHMARK)[:-1]
        return [model(torch.tensor([ids])).logits[0, -1].softmax(-1).numpy() for ids in prompts]


def found(engine: Engine) -> list[float]:
    engine.place(ORIGIN)
    then = engine.first_tokens(BENCHMARK, None)
    assert then.pop() is None  # fills the context
    assert all(
        each is not None and list(each.log_probabilities) == sorted(each.log_probabilities)[::-1] for each in then
    )
    engine.place(FAR)
    now = engine.first_tokens(BENCHMARK, [() if each is None else each.token_ids for each in [*then, None]])
    assert now.pop() is None
    return [divergence(a, b) for a, b in zip(then, now, strict=True) if a is not None and b is not None]


@pytest.mark.parametrize("name", ["transformers", VLLM])
def test_the_divergence_is_that_of_an_independent_computation_in_float64(
    name: str, make_engine: MakeEngine, tied_checkpoint: Path
) -> None:
    engine = make_engine(name, tied_checkpoint)
    pairs = zip(distributions(tied_checkpoint, ORIGIN), distributions(tied_checkpoint, FAR), strict=True)
    # The vocabulary is smaller than 128, so nothing is left out.
    expected = [float(rel_entr(p, q).sum()) for p, q in pairs]
    assert min(expected) > 0.1
    assert found(engine) == pytest.approx(expected, abs=TOLERANCE)


@pytest.mark.parametrize("name", ["transformers", VLLM])
def test_it_is_0_at_the_origin_and_what_was_generated_before_changes_nothing(
    name: str, make_engine: MakeEngine, tied_checkpoint: Path
) -> None:
    engine = make_engine(name, tied_checkpoint)
    first = found(engine)
    engine.generate([BENCHMARK])
    assert found(engine) == pytest.approx(first, abs=TOLERANCE)
    engine.place(ORIGIN)
    then = engine.first_tokens(BENCHMARK, None)
    engine.place(ORIGIN)
    now = engine.first_tokens(BENCHMARK, [() if each is None else each.token_ids for each in then])
    assert {divergence(a, b) for a, b in zip(then, now, strict=True) if a is not None and b is not None} == {0.0}


@pytest.mark.parametrize("name", ["transformers", VLLM])
def test_the_likeliest_token_is_the_one_that_is_generated(
    name: str, make_engine: MakeEngine, tied_checkpoint: Path
) -> None:
    engine = make_engine(name, tied_checkpoint)
    engine.place(FAR)
    (completions,) = engine.generate([BENCHMARK])
    tokens = engine.first_tokens(BENCHMARK, None)
    for completion, each in zip(completions, tokens, strict=True):
        if each is not None:
            assert completion.token_ids == each.token_ids[:1]
            assert math.fsum(map(math.exp, each.log_probabilities)) == pytest.approx(1, abs=1e-5)


# The last one: closing a vLLM engine takes away the groups of workers of all others.
@pytest.mark.parametrize("name", ["transformers", VLLM])
def test_points_of_a_line_are_those_of_cast_weights_but_for_rounding(name: Any, tied_checkpoint: Path) -> None:
    engine: Any = create_engine(
        EngineSpec(
            engine=name,
            model=str(tied_checkpoint),
            revision=None,
            dtype="float32",
            run=RunConfig(kv_cache_gib=0.0625, max_num_seqs=16),
            batching="line",
            num_directions=1,
        )
    )
    try:
        engine.place_points([ORIGIN])
        ((*then, _),) = engine.first_tokens_points(BENCHMARK, None)
        whole = distributions(tied_checkpoint, ORIGIN)
        points = [Perturbation.of([(vector, step)]) for vector, _ in FAR.terms for step in (0.25, -0.1)]
        engine.place_points(points)
        wanted = [*(each.token_ids for each in then), ()]
        for point, (*now, last) in zip(points, engine.first_tokens_points(BENCHMARK, wanted), strict=True):
            pairs = zip(whole, distributions(tied_checkpoint, point), strict=True)
            expected = [float(rel_entr(p, q).sum()) for p, q in pairs]
            assert [divergence(a, b) for a, b in zip(then, now, strict=True)] == pytest.approx(expected, abs=IN_LINES)
            assert last is None
    finally:
        engine.close()
