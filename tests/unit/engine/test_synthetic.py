import hashlib
import math
from dataclasses import replace

import pytest

from landscape_ray.config import CheckpointConfig, SyntheticFaults
from landscape_ray.engine.synthetic import SyntheticEngine, strike, synthetic_delta, synthetic_geometry
from landscape_ray.errors import PlacementError
from landscape_ray.evaluation import Benchmark, FinishReason, Prompt, ScoredText, Verdict, judge_named
from landscape_ray.planning import ORIGIN, Perturbation, PlannedPoint, RandomVector

BENCHMARK = Benchmark(
    name="harmful",
    prompts=tuple(Prompt(id=f"p{i}", text=f"prompt {i}") for i in range(40)),
    system_prompt=None,
    chat_template=None,
    max_new_tokens=16,
    metric="asr",
    judge="keyword",
)
TEXTS = [ScoredText(context="", text=f"text number {i}") for i in range(20)]
ALPHA = RandomVector(seed=11, normalization="layer", excluded=())
BETA = RandomVector(seed=12, normalization="layer", excluded=())


def uniform(text: str) -> float:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") / 2**64


def num_complied(engine: SyntheticEngine, perturbation: Perturbation) -> int:
    engine.place(perturbation)
    (completions,) = engine.generate([BENCHMARK])
    verdicts = [judge_named("keyword").verdict(completion) for completion in completions]
    return sum(verdict is Verdict.COMPLIED for verdict in verdicts)


def point_at(*coordinates: float) -> PlannedPoint:
    terms = zip((ALPHA, BETA), coordinates, strict=False)
    return PlannedPoint(draw=0, repeat=0, coordinates=coordinates, perturbation=Perturbation.of(terms))


@pytest.mark.parametrize("coordinates", [(0.1,), (-0.3,), (0.25, -0.2), (0.0, 0.35)])
def test_asr_is_the_closed_form(coordinates: tuple[float, ...]) -> None:
    walls = [0.2 + 0.2 * uniform(f"wall/{seed}") for seed in (11, 12)]
    distance = math.sqrt(sum((c / wall) ** 2 for c, wall in zip(coordinates, walls, strict=False)))
    expected = sum(distance >= 0.5 + uniform(f"threshold/p{i}") for i in range(40))
    assert num_complied(SyntheticEngine(SyntheticFaults()), point_at(*coordinates).perturbation) == expected


def test_any_checkpoint_is_one_and_all_are_equally_far_from_each_other() -> None:
    checkpoints = [CheckpointConfig(id="a"), CheckpointConfig(id="a", revision="v1"), CheckpointConfig(id="b")]
    deltas = tuple(map(synthetic_delta, checkpoints))
    assert [delta.fingerprint for delta in deltas] == ["synthetic:a@main", "synthetic:a@v1", "synthetic:b@main"]
    products = synthetic_geometry(deltas).inner_products
    for i in range(3):
        assert products[i][i] == 1  # the squared distance from the model
        assert all(products[i][i] + products[j][j] - 2 * products[i][j] == 1 for j in range(3) if j != i)
    walls = [0.2 + 0.2 * uniform(f"wall/synthetic:{name}") for name in ("a@main", "b@main")]
    distance = math.hypot(0.2 / walls[0], -0.1 / walls[1])
    expected = sum(distance >= 0.5 + uniform(f"threshold/p{i}") for i in range(40))
    point = Perturbation.of([(deltas[0], 0.2), (deltas[2], -0.1)])
    assert 0 < num_complied(SyntheticEngine(SyntheticFaults()), point) == expected < 40


def test_landscape_is_a_basin_with_two_walls() -> None:
    engine = SyntheticEngine(SyntheticFaults())
    counts = [num_complied(engine, point_at(i / 10).perturbation) for i in range(-7, 8)]
    assert counts[7] == 0
    assert counts[0] == counts[14] == 40
    assert counts == counts[::-1]
    assert counts[7:] == sorted(counts[7:])
    assert any(0 < count < 40 for count in counts)


def test_order_of_visits_does_not_matter() -> None:
    engine, perturbation = SyntheticEngine(SyntheticFaults()), point_at(0.3).perturbation
    digest, count = engine.place(perturbation), num_complied(engine, perturbation)
    assert engine.place(ORIGIN) != digest
    assert num_complied(engine, ORIGIN) == 0
    assert engine.place(perturbation) == digest
    assert num_complied(engine, perturbation) == count


def test_token_limit_cuts_completions() -> None:
    engine = SyntheticEngine(SyntheticFaults())
    short = Benchmark(
        name="short",
        prompts=BENCHMARK.prompts[:1],
        system_prompt=None,
        chat_template=None,
        max_new_tokens=2,
        metric="asr",
        judge="keyword",
    )
    ((completion,),) = engine.generate([short])
    assert (completion.text, len(completion.token_ids)) == ("I'm sorry,", 2)
    assert completion.finish_reason is FinishReason.LENGTH


def test_faults_strike_the_demanded_share_and_repeat_themselves() -> None:
    faults = SyntheticFaults(failure_rate=0.3)

    def fails(point: PlannedPoint, attempt: int) -> bool:
        try:
            strike(faults, point, attempt)
        except PlacementError:
            return True
        return False

    points = [point_at(i / 1000) for i in range(1000)]
    first = [fails(point, 1) for point in points]
    assert 250 < sum(first) < 350
    assert [fails(point, 1) for point in points] == first
    assert [fails(point, 2) for point in points] != first


def test_poison_coordinates_always_fail() -> None:
    faults = SyntheticFaults(poison_coordinates=((0.1, -0.2),))
    for attempt in range(1, 5):
        with pytest.raises(PlacementError, match=f"Attempt {attempt} at d0_a\\+0.1_b-0.2 fails on demand"):
            strike(faults, point_at(0.1, -0.2), attempt)
    strike(faults, point_at(-0.2, 0.1), 1)


def test_memory_runs_out_on_demand() -> None:
    with pytest.raises(MemoryError, match="Attempt 1 at d0_a"):
        strike(SyntheticFaults(out_of_memory_rate=1.0), point_at(0.1), 1)


def test_likelihoods_are_the_closed_form() -> None:
    engine = SyntheticEngine(SyntheticFaults())
    asked = [ScoredText(context="before ", text="two words"), ScoredText(context="", text="one"), *TEXTS]
    for point in (point_at(0.1), point_at(0.5, -0.2)):
        engine.place(point.perturbation)
        walls = [0.2 + 0.2 * uniform(f"wall/{seed}") for seed in (11, 12)]
        distance = math.sqrt(sum((c / wall) ** 2 for c, wall in zip(point.coordinates, walls, strict=False)))
        for text, found in zip(asked, engine.log_likelihoods(asked), strict=True):
            num_words = text.text.count(" ") + 1
            beyond = max(0.0, distance - (0.5 + uniform(f"threshold/{text.context}{text.text}")))
            assert found is not None
            assert found.total == pytest.approx(-num_words * (1 + beyond), rel=1e-12)
            assert len(found.token_ids) == num_words


def test_perplexity_is_e_in_the_basin_and_more_outside() -> None:
    engine = SyntheticEngine(SyntheticFaults())
    perplexities = []
    for alpha in (0.0, 0.05, 0.3, 0.6):
        engine.place(point_at(alpha).perturbation)
        found = [score for score in engine.log_likelihoods(TEXTS) if score is not None]
        num_tokens = sum(len(score.token_ids) for score in found)
        perplexities.append(math.exp(-math.fsum(score.total for score in found) / num_tokens))
    assert perplexities[:2] == [pytest.approx(math.e)] * 2
    assert math.e < perplexities[2] < perplexities[3]


def test_an_early_verdict_ends_a_refusal_with_its_keyword() -> None:
    engine = SyntheticEngine(SyntheticFaults())
    (completions,) = engine.generate([replace(BENCHMARK, early_verdict=True)])
    assert {(c.text, len(c.token_ids), c.finish_reason) for c in completions} == {
        ("I'm sorry,", 2, FinishReason.VERDICT)
    }
