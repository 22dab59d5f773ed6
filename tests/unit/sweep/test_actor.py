import pickle
from collections.abc import Sequence
from dataclasses import replace

import pytest

from landscape_ray.config import SyntheticFaults
from landscape_ray.engine.synthetic import SyntheticEngine
from landscape_ray.errors import BenchmarkError, GenerationError, LandscapeError, PlacementError
from landscape_ray.evaluation import Benchmark, Completion, Prompt
from landscape_ray.plan import Perturbation, RandomVector
from landscape_ray.sweep.actor import Trouble, generate


class OutOfMemoryError(RuntimeError):
    """Named like torch's."""


def caused_by(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "expected", "out_of_memory", "engine_usable"),
    [
        (PlacementError("not taken"), PlacementError("not taken"), False, True),
        (BenchmarkError("no template"), BenchmarkError("no template"), False, True),
        (GenerationError("vLLM failed"), GenerationError("vLLM failed"), False, False),
        (RuntimeError("CUDA error"), GenerationError("RuntimeError: CUDA error"), False, False),
        (OutOfMemoryError("tried"), GenerationError("OutOfMemoryError: tried"), True, False),
        (MemoryError("host"), GenerationError("MemoryError: host"), True, False),
        (caused_by(GenerationError("vLLM"), OutOfMemoryError("tried")), GenerationError("vLLM"), True, False),
    ],
)
def test_errors_are_classified_and_survive_the_way_to_the_driver(
    error: Exception, expected: LandscapeError, *, out_of_memory: bool, engine_usable: bool
) -> None:
    trouble = pickle.loads(pickle.dumps(Trouble.of(error)))  # noqa: S301  (what Ray does between processes)
    assert type(trouble.error) is type(expected)
    assert str(trouble.error) == str(expected)
    assert (trouble.out_of_memory, trouble.engine_usable) == (out_of_memory, engine_usable)


def test_long_messages_are_shortened() -> None:
    assert len(str(Trouble.of(RuntimeError("x" * 10_000)).error)) == 2000


def benchmark(name: str, num: int) -> Benchmark:
    return Benchmark(
        name=name,
        prompts=tuple(Prompt(id=f"{name}{i}", text=f"{name} {i}") for i in range(num)),
        system_prompt=None,
        chat_template=None,
        max_new_tokens=16,
        metric="asr",
        judge="keyword",
    )


class CountingEngine(SyntheticEngine):
    """Notes how many prompts it was given at once."""

    def __init__(self) -> None:
        super().__init__(SyntheticFaults())
        self.batches: list[int] = []

    def generate(self, benchmarks: Sequence[Benchmark]) -> list[tuple[Completion, ...]]:
        self.batches.append(sum(len(b.prompts) for b in benchmarks))
        return super().generate(benchmarks)


@pytest.mark.parametrize(
    ("num_batches", "batches"), [(1, [10]), (2, [4, 6]), (4, [1, 3, 3, 3]), (8, [0, 1, 2, 1, 1, 2, 1, 2])]
)
def test_smaller_batches_change_no_completion(num_batches: int, batches: list[int]) -> None:
    engine, benchmarks = CountingEngine(), [benchmark("a", 7), benchmark("b", 3)]
    vector = RandomVector(seed=1, normalization="layer", excluded=())
    engine.place(Perturbation.of([(vector, 0.33)]))
    whole = engine.generate(benchmarks)
    engine.batches.clear()
    assert generate(engine, benchmarks, num_batches) == whole
    assert engine.batches == batches
    assert whole[0] != whole[0][::-1], "the order of completions would not be noticed"


def test_an_empty_benchmark_stays_empty() -> None:
    empty = replace(benchmark("a", 1), prompts=())
    assert generate(CountingEngine(), [empty, benchmark("b", 2)], 2)[0] == ()
