"""Likelihoods of given texts: the same from every engine that runs a model, and right."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
import torch
from safetensors.torch import load_file, save_file

from landscape_ray.engine import Engine
from landscape_ray.evaluation import LogLikelihood, ScoredText
from landscape_ray.planning import ORIGIN, Perturbation, RandomVector

MakeEngine: TypeAlias = Callable[[str, Path], Engine]

VLLM = pytest.param("vllm", marks=pytest.mark.slow)
CONTEXT = 448
# Agreement in float32, in nats per token; a head of stale weights or a shift by one token is off by more than 0.1.
TOLERANCE = 1e-4

FAR = Perturbation.of([(RandomVector(seed=1, normalization="layer", excluded=("norm",)), 0.25)])


def texts() -> list[ScoredText]:
    """Contexts and texts of many lengths: longer than the engines' blocks, without context, letters after one."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    pairs = [
        ("abc", "defg"),
        ("", "hello"),
        ("x" * 100, "yz" * 60),
        ("", "M" * 300),
        *((f"{i}={letters}" * 3, letters[(i + 3) % 26]) for i in range(4)),
        *(("Which?Answer:", letter) for letter in "ABCD"),
        *(("Which?Answer:", word) for word in ("EF", "G", "HIJ")),
        *(("Many", letters[i % 26] + letters[i // 26]) for i in range(70)),
        *(("One", letter) for letter in letters),
    ]
    return [ScoredText(context=context, text=text) for context, text in pairs]


def totals(found: list[LogLikelihood | None]) -> list[float]:
    return [score.total for score in found if score is not None]


@pytest.fixture(params=["synthetic", "transformers", VLLM])
def engine(request: pytest.FixtureRequest, make_engine: MakeEngine, tied_checkpoint: Path) -> Engine:
    return make_engine(request.param, tied_checkpoint)


@pytest.fixture(params=["transformers", VLLM])
def model_engine(request: pytest.FixtureRequest, make_engine: MakeEngine, tied_checkpoint: Path) -> Engine:
    return make_engine(request.param, tied_checkpoint)


def test_one_item_per_text_in_their_order_whatever_the_order_of_visits(engine: Engine) -> None:
    asked = texts()
    engine.place(ORIGIN)
    origin = engine.log_likelihoods(asked)
    engine.place(FAR)
    far, back = engine.log_likelihoods(asked), engine.log_likelihoods(asked[::-1])
    engine.place(ORIGIN)
    again = engine.log_likelihoods(asked)
    assert len(origin) == len(asked)
    assert totals(again) == pytest.approx(totals(origin), rel=1e-6)
    assert totals(back)[::-1] == pytest.approx(totals(far), rel=1e-5)
    assert len(set(totals(far))) > 40
    if engine.facts.engine.startswith("synthetic"):
        return  # so near to the origin most of its likelihoods are as there
    assert all(abs(a - b) > 1e-3 for a, b in zip(totals(origin), totals(far), strict=True))
    assert [len(score.token_ids) for score in far if score is not None] == [len(text.text) for text in asked]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tied", "untied"])
def test_engines_agree(kind: str, make_engine: MakeEngine, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(f"{kind}_checkpoint")
    vllm, oracle = make_engine("vllm", folder), make_engine("transformers", folder)
    for point in (ORIGIN, FAR):
        assert vllm.place(point) == oracle.place(point)
        for got, expected in zip(vllm.log_likelihoods(texts()), oracle.log_likelihoods(texts()), strict=True):
            assert got is not None
            assert expected is not None
            assert got.token_ids == expected.token_ids
            assert got.total == pytest.approx(expected.total, abs=TOLERANCE * len(got.token_ids))


def test_probabilities_multiply_along_a_text_and_add_up_to_one(model_engine: Engine) -> None:
    model_engine.place(FAR)
    pairs = [("ab", "c"), ("abc", "defg"), ("abcdefg", "h"), ("ab", "cdefgh")]
    one, four, last, all_of = totals(model_engine.log_likelihoods([ScoredText(context=c, text=t) for c, t in pairs]))
    assert one + four + last == pytest.approx(all_of, abs=1e-3)
    # The letters of the vocabulary; the three other tokens cannot be spelled.
    every = [ScoredText(context="ab", text=chr(ord("!") + i)) for i in range(90)]
    total = math.fsum(map(math.exp, totals(model_engine.log_likelihoods(every))))
    assert 0.9 < total < 1 + 1e-5


def test_a_text_that_fills_the_context_is_not_scored_and_fails_nothing(model_engine: Engine) -> None:
    model_engine.place(ORIGIN)
    short = ScoredText(context="ab", text="cd")
    # A token is left for the engine; the text without a context has a token before it.
    asked = [short, ScoredText(context="a", text="b" * (CONTEXT - 2)), short, ScoredText(context="", text="b" * 447)]
    found = model_engine.log_likelihoods([*asked, ScoredText(context="a" * 500, text="b")])
    assert [score is None for score in found] == [False, False, False, True, True]
    assert totals(found)[0] == pytest.approx(totals(model_engine.log_likelihoods([short]))[0], abs=1e-4)


@pytest.fixture(scope="session")
def known_checkpoint(untied_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model without memory: after anything, token i of 93 has probability (i + 1) / (1 + ... + 93)."""
    folder = tmp_path_factory.mktemp("known")
    for file in untied_checkpoint.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    weights = load_file(folder / "model.safetensors")
    for name, tensor in weights.items():
        if "o_proj" in name or "down_proj" in name:
            tensor.zero_()  # the layers add nothing
    weights["model.embed_tokens.weight"].fill_(1.0)
    weights["model.norm.weight"].fill_(1.0)
    # The last state is (1, ..., 1), so a logit is the sum of its row.
    weights["lm_head.weight"].zero_()
    weights["lm_head.weight"][:, 0] = torch.log(torch.arange(1, 94).float())
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize("name", ["transformers", VLLM])
def test_a_known_distribution_gives_the_sums_computed_by_hand(
    name: str, make_engine: MakeEngine, known_checkpoint: Path
) -> None:
    vocabulary = json.loads((known_checkpoint / "tokenizer.json").read_text())["model"]["vocab"]
    assert (vocabulary["!"], vocabulary['"'], vocabulary["#"]) == (3, 4, 5)
    engine = make_engine(name, known_checkpoint)
    whole = 93 * 94 / 2
    asked = [("", "!"), ("", '!"#'), ("#", '"'), ("###", '"!')]
    found = engine.log_likelihoods([ScoredText(context=context, text=text) for context, text in asked])
    assert [score and score.token_ids for score in found] == [(3,), (3, 4, 5), (4,), (4, 3)]
    by_hand = [math.log(4 / whole), math.log(4 * 5 * 6 / whole**3), math.log(5 / whole), math.log(5 * 4 / whole**2)]
    assert totals(found) == pytest.approx(by_hand, abs=1e-5)
