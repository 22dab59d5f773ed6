"""First tokens at points against those at the origin of the same engine."""

import hashlib
import math
from collections.abc import Sequence

import pytest

from landscape_ray.config import SyntheticFaults
from landscape_ray.engine.synthetic import SyntheticEngine
from landscape_ray.errors import GenerationError
from landscape_ray.evaluation import Benchmark, FirstTokens, Prompt
from landscape_ray.planning import ORIGIN, Perturbation, PlannedPoint, RandomVector
from landscape_ray.sweep.first_tokens import OriginTokens

VECTOR = RandomVector(seed=11, normalization="layer", excluded=())
BENCHMARK = Benchmark(
    name="harmless",
    prompts=tuple(Prompt(id=f"p{i}", text=f"prompt {i}") for i in range(7)),
    system_prompt=None,
    chat_template=None,
    max_new_tokens=1,
    metric="first_token_kl",
    judge="keyword",
)


def uniform(text: str) -> float:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") / 2**64


def expected(prompt_id: str, coordinate: float) -> float:
    """The divergence of two coins, whose log-odds are `distance - threshold`."""
    threshold = 0.5 + uniform(f"threshold/{prompt_id}")
    p, q = (
        1 / (1 + math.exp(threshold - distance))
        for distance in (0.0, abs(coordinate) / (0.2 + 0.2 * uniform("wall/11")))
    )
    return p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))


def point_at(coordinate: float, repeat: int = 0) -> PlannedPoint:
    perturbation = Perturbation.of([(VECTOR, coordinate)]) if coordinate else ORIGIN
    draw = 0 if coordinate else None
    return PlannedPoint(draw=draw, repeat=repeat, coordinates=(coordinate,), perturbation=perturbation)


class Watched(SyntheticEngine):
    """Remembers how often it was asked at the origin, and is a little off from one time to the next, as GPUs are."""

    def __init__(self) -> None:
        super().__init__(SyntheticFaults())
        self.num_asked_for_likeliest = 0
        self.noise = 0.0

    def first_tokens(self, benchmark: Benchmark, wanted: Sequence[Sequence[int]] | None) -> list[FirstTokens | None]:
        self.num_asked_for_likeliest += wanted is None
        self._distance += self.noise
        return super().first_tokens(benchmark, wanted)


@pytest.mark.parametrize("num_batches", [1, 3, 7, 20])
def test_it_is_the_closed_form_in_any_number_of_batches(num_batches: int) -> None:
    engine, tokens = Watched(), OriginTokens()
    engine.place(point_at(0.4).perturbation)  # earlier visits asked for nothing of the kind
    for coordinate in (0.3, -0.1):
        tokens.ask(engine, [BENCHMARK], num_batches)
        engine.place(point_at(coordinate).perturbation)
        (found,) = tokens.divergences(engine, [BENCHMARK], point_at(coordinate), num_batches)
        assert found == pytest.approx([expected(f"p{i}", coordinate) for i in range(7)], abs=1e-7)
    assert engine.num_asked_for_likeliest == num_batches  # the origin once, and not again


def test_the_first_visit_to_the_origin_is_0_and_repeats_show_noise() -> None:
    engine, tokens = Watched(), OriginTokens()
    tokens.ask(engine, [BENCHMARK], 1)
    engine.noise = 0.01
    for repeat in range(2):
        engine.place(ORIGIN)
        (found,) = tokens.divergences(engine, [BENCHMARK], point_at(0.0, repeat), 1)
        assert all(value == 0 for value in found) is (repeat == 0)
        assert all(value is not None and 0 <= value < 1e-4 for value in found)


def test_points_of_a_line_are_as_points_alone() -> None:
    engine, tokens = SyntheticEngine(SyntheticFaults()), OriginTokens()
    tokens.ask(engine, [BENCHMARK], 1)
    engine.place_points([point_at(c).perturbation for c in (0.1, 0.2)])
    for coordinate, (found,) in zip((0.1, 0.2), tokens.divergences_points(engine, [BENCHMARK], 2), strict=True):
        assert found == pytest.approx([expected(f"p{i}", coordinate) for i in range(7)], abs=1e-7)


@pytest.mark.parametrize("num_batches", [1, 3])
def test_a_prompt_on_which_the_engine_fails_fails_nothing_else(num_batches: int) -> None:
    engine, tokens = SyntheticEngine(SyntheticFaults(poison_prompts=("p1", "p4"))), OriginTokens()
    tokens.ask(engine, [BENCHMARK], num_batches)
    for coordinate in (0.0, 0.3):
        engine.place(point_at(coordinate).perturbation)
        (found,) = tokens.divergences(engine, [BENCHMARK], point_at(coordinate), num_batches)
        assert [i for i, value in enumerate(found) if value is not None and math.isnan(value)] == [1, 4]
        others = [expected(f"p{i}", coordinate) for i in (0, 2, 3)]
        assert [found[i] for i in (0, 2, 3)] == pytest.approx(others, abs=1e-7)


def test_a_prompt_that_begins_to_fail_away_from_the_origin_is_left_out_there() -> None:
    class Fails(SyntheticEngine):
        def first_tokens(
            self, benchmark: Benchmark, wanted: Sequence[Sequence[int]] | None
        ) -> list[FirstTokens | None]:
            if wanted is not None and "p3" in {prompt.id for prompt in benchmark.prompts}:
                msg = "Fails on demand."
                raise GenerationError(msg)
            return super().first_tokens(benchmark, wanted)

    engine, tokens = Fails(SyntheticFaults()), OriginTokens()
    tokens.ask(engine, [BENCHMARK], 1)
    engine.place(point_at(0.3).perturbation)
    (found,) = tokens.divergences(engine, [BENCHMARK], point_at(0.3), 1)
    assert [i for i, value in enumerate(found) if value is not None and math.isnan(value)] == [3]


def test_an_engine_that_fails_on_all_fails() -> None:
    engine, tokens = SyntheticEngine(SyntheticFaults(poison_prompts=tuple(f"p{i}" for i in range(7)))), OriginTokens()
    with pytest.raises(GenerationError, match="Fails on demand"):
        tokens.ask(engine, [BENCHMARK], 1)


def test_a_prompt_that_does_not_fit_has_none() -> None:
    class Short(SyntheticEngine):
        def first_tokens(
            self, benchmark: Benchmark, wanted: Sequence[Sequence[int]] | None
        ) -> list[FirstTokens | None]:
            found = super().first_tokens(benchmark, wanted)
            return [None if prompt.id == "p2" else each for prompt, each in zip(benchmark.prompts, found, strict=True)]

    engine, tokens = Short(SyntheticFaults()), OriginTokens()
    tokens.ask(engine, [BENCHMARK], 1)
    engine.place(point_at(0.3).perturbation)
    (found,) = tokens.divergences(engine, [BENCHMARK], point_at(0.3), 1)
    assert [i for i, value in enumerate(found) if value is None] == [2]
