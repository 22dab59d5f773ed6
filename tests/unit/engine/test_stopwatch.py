"""Where the time of an engine goes, by a clock that only moves when something takes time."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from landscape_ray.engine.stopwatch import Stopwatch
from landscape_ray.engine.vllm.engine import VllmEngine


def test_phases_add_up_until_they_are_taken(clock: Any) -> None:
    watch = Stopwatch(clock)
    for seconds in (1.0, 2.0):
        with watch.phase("place"):
            clock.pass_s(seconds)
    clock.pass_s(10.0)

    def fail() -> None:
        with watch.phase("decode"):
            clock.pass_s(4.0)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert watch.take() == {"place": 3.0, "decode": 4.0}
    assert watch.take() == {}


class FakeVllm:
    """Reads so many prompts a step, each in one go, then gives each so many tokens, one a step."""

    def __init__(self, clock: Any, lengths: list[int], *, read_at_once: int) -> None:
        self._clock = clock
        self._left = {str(i): length for i, length in enumerate(lengths)}
        self._read_at_once = read_at_once
        self.output_processor = SimpleNamespace(
            request_states={i: SimpleNamespace(is_prefilling=True) for i in self._left}
        )

    def has_unfinished_requests(self) -> bool:
        return bool(self._left)

    def step(self) -> list[Any]:
        states = self.output_processor.request_states
        reading = [i for i, state in states.items() if state.is_prefilling][: self._read_at_once]
        for i in reading:
            states[i].is_prefilling = False
        going = [i for i, state in states.items() if not state.is_prefilling]
        self._clock.pass_s(1.0 * len(reading) + 0.01)
        return list(self._tokens(going))

    def _tokens(self, going: list[str]) -> Iterator[Any]:
        for i in going:
            self._left[i] -= 1
            finished = self._left[i] == 0
            if finished:
                del self._left[i], self.output_processor.request_states[i]
            yield SimpleNamespace(request_id=i, finished=finished)


def test_steps_that_read_prompts_are_told_from_those_that_only_write(clock: Any) -> None:
    engine = object.__new__(VllmEngine)
    engine.stopwatch = Stopwatch(clock)
    # The second pair is read while the first goes on, and one of the first ends in that very step.
    engine._llm = SimpleNamespace(llm_engine=FakeVllm(clock, [2, 9, 1, 5], read_at_once=2))
    assert [output.request_id for output in engine._until_answered()] == ["0", "1", "2", "3"]
    assert engine.stopwatch.take() == pytest.approx({"prefill": 4.02, "decode": 0.07})


def test_reading_a_prompt_in_pieces_is_reading(clock: Any) -> None:
    engine = object.__new__(VllmEngine)
    engine.stopwatch = Stopwatch(clock)
    vllm = FakeVllm(clock, [3], read_at_once=1)
    step, pieces = vllm.step, iter([0.5, 0.5])

    def in_pieces() -> list[Any]:
        if (seconds := next(pieces, None)) is None:
            return step()
        clock.pass_s(seconds)
        return []

    vllm.step = in_pieces  # type: ignore[method-assign]
    engine._llm = SimpleNamespace(llm_engine=vllm)
    engine._until_answered()
    assert engine.stopwatch.take() == pytest.approx({"prefill": 2.01, "decode": 0.02})
