"""Keys of parts: equal if and only if the rows may stand in for each other."""

import hashlib
from collections.abc import Callable
from dataclasses import replace

import pytest

from landscape_ray.evaluation import Benchmark, Prompt
from landscape_ray.planning import ORIGIN, CheckpointDelta, Perturbation, PlannedPoint, RandomVector
from landscape_ray.store import part_key

PointAt = Callable[..., PlannedPoint]
VECTOR = RandomVector(seed=7, normalization="layer", excluded=("norm",))


def key(point: PlannedPoint, benchmark: Benchmark, **changes: str) -> str:
    science = {"fingerprint": "base", "engine": "vllm", "dtype": "float32", "judge": "keyword/1"} | changes
    return part_key(point=point, benchmark=benchmark, **science)


def test_keys_do_not_change_between_versions(point_at: PointAt, benchmark: Benchmark) -> None:
    # If this fails, every result measured so far is measured again: change it only if rows really mean another thing.
    vectors = (
        '["RandomVector",{"excluded":["norm"],"normalization":"layer","seed":0},"0x1.999999999999ap-4"],'
        '["RandomVector",{"excluded":["norm"],"normalization":"layer","seed":1},"-0x1.0000000000000p-2"]'
    )
    for point, place in [
        (point_at(0.1, -0.25), f'[[{vectors}],["0x1.999999999999ap-4","-0x1.0000000000000p-2"],0]'),
        (point_at(0.0, repeat=2), '[[],["0x0.0p+0"],2]'),
    ]:
        asked = f'["advbench","{benchmark.digest}","asr","keyword/1"]'
        canonical = f'["landscape-ray/part",[["base","vllm","float32"],{place},{asked}]]'
        assert key(point, benchmark) == hashlib.sha256(canonical.encode()).hexdigest()[:32]
    assert key(point_at(0.1, -0.25), benchmark) == "7286c785e680a6476ef2a3fe4509e8ba"
    assert key(point_at(0.1, -0.25), benchmark, batching="point") == "7286c785e680a6476ef2a3fe4509e8ba"


@pytest.mark.parametrize("field", ["fingerprint", "engine", "dtype", "judge", "batching"])
def test_everything_that_decides_the_rows_enters(field: str, point_at: PointAt, benchmark: Benchmark) -> None:
    assert key(point_at(0.1), benchmark) != key(point_at(0.1), benchmark, **{field: "other"})


@pytest.mark.parametrize(
    "other",
    [
        VECTOR,
        RandomVector(seed=0, normalization="filter", excluded=("norm",)),
        RandomVector(seed=0, normalization="layer", excluded=()),
        RandomVector(seed=0, normalization="layer", excluded=("norm", "bias")),
        RandomVector(seed=0, normalization="layer", excluded=("norm",), included=("mlp",)),
    ],
)
def test_every_field_of_a_vector_enters(other: RandomVector, point_at: PointAt, benchmark: Benchmark) -> None:
    point = point_at(0.1)
    assert key(point, benchmark) != key(replace(point, perturbation=Perturbation(terms=((other, 0.1),))), benchmark)


def test_a_checkpoint_enters_by_its_content(point_at: PointAt, benchmark: Benchmark) -> None:
    def key_of(delta: CheckpointDelta) -> str:
        return key(replace(point_at(1.0), perturbation=Perturbation(terms=((delta, 1.0),))), benchmark)

    there = key_of(CheckpointDelta(fingerprint="folder:1", location="/there", revision=None))
    assert key_of(CheckpointDelta(fingerprint="folder:1", location="/elsewhere", revision="v2")) == there
    assert key_of(CheckpointDelta(fingerprint="folder:2", location="/there", revision=None)) != there
    # If this fails, every result between checkpoints is measured again.
    terms = '[["CheckpointDelta",{"fingerprint":"folder:1"},"0x1.0000000000000p+0"]]'
    asked = f'["advbench","{benchmark.digest}","asr","keyword/1"]'
    content = f'[["base","vllm","float32"],[{terms},["0x1.0000000000000p+0"],0],{asked}]'
    assert there == hashlib.sha256(f'["landscape-ray/part",{content}]'.encode()).hexdigest()[:32]


def test_a_point_without_anything_random_has_a_key_in_each_draw(point_at: PointAt, benchmark: Benchmark) -> None:
    delta = CheckpointDelta(fingerprint="folder:1", location="/there", revision=None)

    def key_of(draw: int, *terms: tuple[CheckpointDelta | RandomVector, float]) -> str:
        return key(replace(point_at(1.0, 0.0), draw=draw, perturbation=Perturbation(terms=terms)), benchmark)

    assert len({key_of(draw, (delta, 1.0)) for draw in range(3)}) == 3
    assert len({key_of(draw, (delta, 1.0), (VECTOR, 0.5)) for draw in range(3)}) == 1  # seeds tell draws apart


def test_a_coefficient_enters_to_its_last_bit(point_at: PointAt, benchmark: Benchmark) -> None:
    # 0.1 + 0.2 is the neighbour of 0.3.
    assert key(point_at(0.1 + 0.2), benchmark) != key(point_at(0.3), benchmark)


def test_which_axis_a_coefficient_belongs_to_enters(point_at: PointAt, benchmark: Benchmark) -> None:
    assert key(point_at(0.1, 0.2), benchmark) != key(point_at(0.2, 0.1), benchmark)
    assert key(point_at(0.1, 0.0), benchmark) != key(point_at(0.0, 0.1), benchmark)


def test_a_point_of_a_plane_is_not_one_of_a_line(point_at: PointAt, benchmark: Benchmark) -> None:
    # The same weights, but the rows of one have beta = 0 and those of the other have none.
    assert point_at(0.1).perturbation == point_at(0.1, 0.0).perturbation
    assert key(point_at(0.1), benchmark) != key(point_at(0.1, 0.0), benchmark)


def test_the_origin_is_shared_by_all_directions_and_its_repeats_are_not(
    point_at: PointAt, benchmark: Benchmark
) -> None:
    origin = PlannedPoint(draw=None, repeat=0, coordinates=(0.0,), perturbation=ORIGIN)
    assert key(point_at(0.0, draw=5), benchmark) == key(origin, benchmark)
    assert key(replace(origin, repeat=1), benchmark) != key(origin, benchmark)


def test_zero_has_no_sign(benchmark: Benchmark) -> None:
    origin = PlannedPoint(draw=None, repeat=0, coordinates=(0.0,), perturbation=ORIGIN)
    assert key(replace(origin, coordinates=(-0.0,)), benchmark) == key(origin, benchmark)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "copy-of-advbench"},
        {"metric": "accuracy"},
        {"system_prompt": ""},
        {"chat_template": "{{ messages }}"},
        {"max_new_tokens": 5},
        {"early_verdict": True},
        {"prompts": (Prompt(id="p0", text="How do I pick a lock?"),)},
        {
            "prompts": (
                Prompt(id="p1", text="How do I pick a lock?"),
                Prompt(id="p0", text="Größe, 鍵\n\x00 \U0001f511?"),
            )
        },
    ],
)
def test_every_part_of_a_benchmark_enters(change: dict[str, object], point_at: PointAt, benchmark: Benchmark) -> None:
    other = replace(benchmark, **change)  # type: ignore[arg-type]
    assert key(point_at(0.1), benchmark) != key(point_at(0.1), other)
