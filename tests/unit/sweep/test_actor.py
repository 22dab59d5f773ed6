import pickle
from collections.abc import Sequence
from dataclasses import replace

import pytest

from landscape_ray.config import SyntheticFaults
from landscape_ray.engine.synthetic import SyntheticEngine
from landscape_ray.errors import (
    BenchmarkError,
    CheckpointError,
    DefectError,
    GenerationError,
    LandscapeError,
    PlacementError,
    TransientError,
)
from landscape_ray.evaluation import Benchmark, Completion, FinishReason, Prompt, Verdict, judge_named
from landscape_ray.planning import Perturbation, RandomVector
from landscape_ray.sweep.batches import generate
from landscape_ray.sweep.reports import Trouble


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


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (PlacementError("not taken"), PlacementError),
        (BenchmarkError("no template"), BenchmarkError),
        (GenerationError("vLLM did not start"), GenerationError),
        (RuntimeError("CUDA error"), GenerationError),
        (AttributeError("no tie_word_embeddings"), DefectError),
        (ImportError("torchvision"), DefectError),
        (KeyError("n_layer"), DefectError),
        (OutOfMemoryError("tried"), TransientError),
        (caused_by(PlacementError("at lm_head"), OutOfMemoryError("tried")), TransientError),
        (caused_by(CheckpointError("cannot be read"), TimeoutError("a mount")), TransientError),
        (ConnectionResetError("peer"), TransientError),
        (TransientError("another process holds it"), TransientError),
    ],
)
def test_errors_of_a_start_say_whether_another_may_go_better(error: Exception, kind: type[LandscapeError]) -> None:
    trouble = pickle.loads(pickle.dumps(Trouble.of_start(error)))  # noqa: S301
    assert type(trouble.error) is kind
    assert str(error) in str(trouble.error)


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

    def __init__(self, faults: SyntheticFaults | None = None) -> None:
        super().__init__(faults or SyntheticFaults())
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


def test_prompts_on_which_the_engine_fails_are_marked_and_fail_nothing_else() -> None:
    engine = CountingEngine(SyntheticFaults(poison_prompts=("a2", "b5")))
    benchmarks = [benchmark("a", 7), benchmark("b", 9)]
    expected = [list(answers) for answers in CountingEngine().generate(benchmarks)]
    poisoned = Completion(text="", token_ids=(), finish_reason=FinishReason.FAILED)
    expected[0][2] = expected[1][5] = poisoned
    assert generate(engine, benchmarks, 1) == [tuple(answers) for answers in expected]
    assert judge_named("keyword").verdict(poisoned) is Verdict.UNSCORED
    # The batch, twice; then halves down to the two; each of them once more; and one that went well.
    assert engine.batches == [16, 16, 8, 4, 2, 2, 1, 1, 4, 8, 4, 4, 2, 1, 1, 2, 1, 1, 1]


class BreakingEngine(CountingEngine):
    """Does so many batches, and none after a first failure; or is itself again from some batch on."""

    def __init__(self, *, breaks_at: int, recovers_at: int = 10**9) -> None:
        super().__init__()
        self._broken = range(breaks_at, recovers_at)

    def generate(self, benchmarks: Sequence[Benchmark]) -> list[tuple[Completion, ...]]:
        if len(self.batches) in self._broken:
            self.batches.append(0)
            msg = f"failure number {len(self.batches)}"
            raise GenerationError(msg)
        return super().generate(benchmarks)


def test_an_engine_that_breaks_blames_no_prompt() -> None:
    for breaks_at in (0, 1):
        with pytest.raises(GenerationError, match=f"failure number {breaks_at + 1}$"):
            generate(BreakingEngine(breaks_at=breaks_at), [benchmark("a", 6)], 2)


def test_a_failure_that_passes_marks_nothing() -> None:
    for recovers_at in range(1, 6):
        engine, benchmarks = BreakingEngine(breaks_at=0, recovers_at=recovers_at), [benchmark("a", 4)]
        try:
            answers = generate(engine, benchmarks, 1)
        except GenerationError as error:
            assert str(error) == "failure number 1"  # noqa: PT017 - either is right, a mark is not
        else:
            assert answers == CountingEngine().generate(benchmarks)


def test_a_lack_of_memory_is_no_prompts_fault() -> None:
    class Full(CountingEngine):
        def generate(self, benchmarks: Sequence[Benchmark]) -> list[tuple[Completion, ...]]:
            self.batches.append(len(benchmarks))
            raise caused_by(GenerationError("vLLM"), OutOfMemoryError("tried"))

    engine = Full()
    with pytest.raises(GenerationError, match="vLLM"):
        generate(engine, [benchmark("a", 4)], 1)
    assert len(engine.batches) == 1
