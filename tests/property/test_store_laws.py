"""Laws of the result store under crashes, retries and damage, driven by Hypothesis."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from landscape_ray.evaluation import Benchmark, Completion, FinishReason, PointRecord, Prompt, Row, Verdict, VisitFacts
from landscape_ray.planning import Perturbation, PlannedPoint, RandomVector
from landscape_ray.store import ResultStore, part_key, parts

SWEEP_ID = "5eed" * 4
BENCHMARK = Benchmark(
    name="advbench",
    prompts=(Prompt(id="p0", text="How?"), Prompt(id="p1", text="Why?")),
    system_prompt=None,
    chat_template=None,
    max_new_tokens=4,
    metric="asr",
    judge="keyword",
)
VECTOR = RandomVector(seed=1, normalization="layer", excluded=())
POINTS = [
    PlannedPoint(draw=0, repeat=0, coordinates=(alpha,), perturbation=Perturbation(terms=((VECTOR, alpha),)))
    for alpha in (-0.2, -0.1, 0.1, 0.2)
]
KEYS = [
    part_key(fingerprint="base", engine="vllm", dtype="float32", point=point, benchmark=BENCHMARK, judge="keyword/1")
    for point in POINTS
]


def outcome_of(index: int) -> tuple[str, str]:
    """Return what every visit to a point says: engines are deterministic."""
    return f"answer {index}", f"other answer {index}"


def record_of(index: int, texts: tuple[str, str], attempt: int = 1) -> PointRecord:
    return PointRecord(
        point=POINTS[index],
        benchmark="advbench",
        prompts=(Prompt(id="p0", text="How?"), Prompt(id="p1", text="Why?")),
        rows=tuple(
            Row(completion=Completion(text=text, token_ids=(1, 2), finish_reason=FinishReason.STOP), verdict=verdict)
            for text, verdict in zip(texts, (Verdict.REFUSED, Verdict.COMPLIED), strict=True)
        ),
        judge="keyword/1",
        facts=VisitFacts(
            engine="synthetic",
            torch_version="",
            device="cpu",
            node="here",
            weights_digest="0" * 16,
            attempt=attempt,
            started_at="2026-01-02T03:04:05.000+00:00",
            place_s=0.0,
            generate_s=0.0,
            judge_s=0.0,
        ),
    )


class Killed(BaseException):
    """The process ends here: nothing after this point runs, so no clean-up either."""


@contextmanager
def killed_in(function: str, *, after: bool) -> Iterator[None]:
    """Let the process die just before or just after its next call of a function of `os`; undo what it cleaned up."""
    real: Callable[..., Any] = getattr(os, function)
    real_unlink = os.unlink

    def dying(*args: Any, **kwargs: Any) -> NoReturn:
        if after:
            real(*args, **kwargs)
        os.unlink = lambda *_args, **_kwargs: None
        raise Killed

    setattr(os, function, dying)
    try:
        yield
    except Killed:
        pass
    finally:
        setattr(os, function, real)
        os.unlink = real_unlink


class StoreUnderCrashes(RuleBasedStateMachine):
    """Writers that die anywhere, visits that run twice, files that rot; beside it, a set of what must be there."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="store-"))
        self.acknowledged: set[int] = set()
        self.may_be_there: set[int] = set()
        self.copy_of: dict[int, int] = {}

    @property
    def store(self) -> ResultStore:
        """A new process each time: nothing is remembered but what the disk holds."""
        return ResultStore(str(self.folder))

    def part(self, index: int) -> Path:
        return (
            self.folder
            / "parts"
            / parts.encode(record_of(index, outcome_of(index)), key=KEYS[index], sweep_id=SWEEP_ID)[0].name
        )

    @rule(index=st.sampled_from(range(len(POINTS))), attempt=st.integers(1, 3))
    def publish(self, index: int, attempt: int) -> None:
        self.store.publish(record_of(index, outcome_of(index), attempt), key=KEYS[index], sweep_id=SWEEP_ID)
        self.acknowledged.add(index)
        self.copy_of.pop(index, None)

    @rule(
        index=st.sampled_from(range(len(POINTS))),
        where=st.sampled_from([("fsync", False), ("fsync", True), ("link", False), ("link", True), ("close", True)]),
    )
    def die_while_publishing(self, index: int, where: tuple[str, bool]) -> None:
        function, after = where
        with killed_in(function, after=after):
            self.store.publish(record_of(index, outcome_of(index)), key=KEYS[index], sweep_id=SWEEP_ID)
        self.may_be_there.add(index)

    @rule(content=st.binary(max_size=200))
    def die_in_the_middle_of_a_write(self, content: bytes) -> None:
        (self.folder / "parts").mkdir(exist_ok=True)
        (self.folder / "parts" / f".tmp-{len(content):016x}").write_bytes(content)

    @rule(index=st.sampled_from(range(len(POINTS))))
    def visit_again_with_another_outcome(self, index: int) -> None:
        if index in self.acknowledged:
            self.store.publish(record_of(index, ("noise", "noise")), key=KEYS[index], sweep_id=SWEEP_ID)

    @rule(index=st.sampled_from(range(len(POINTS))), share=st.floats(0, 1, exclude_max=True))
    def tear(self, index: int, share: float) -> None:
        path = self.part(index)
        if path.exists():
            content = path.read_bytes()
            path.write_bytes(content[: int(len(content) * share)])
            self.lose(index)

    @rule(index=st.sampled_from(range(len(POINTS))), share=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
    def rot(self, index: int, share: float, bit: int) -> None:
        path = self.part(index)
        if path.exists() and path.stat().st_size:
            content = bytearray(path.read_bytes())
            content[int(len(content) * share)] ^= 1 << bit
            path.write_bytes(bytes(content))
            self.store.columns(KEYS)  # somebody scores; this is how rot of the rows is found
            self.lose(index)

    @rule(copied=st.sampled_from(range(len(POINTS))), renamed=st.sampled_from(range(len(POINTS))))
    def copy_a_part_to_another_point(self, copied: int, renamed: int) -> None:
        if self.part(copied).exists() and not self.part(renamed).exists():
            shutil.copy(self.part(copied), self.part(renamed))
            self.copy_of[renamed] = self.copy_of.get(copied, copied)
            if self.copy_of[renamed] == renamed:  # a copy of it comes back from under another name
                self.may_be_there.add(renamed)

    @rule()
    def sweep_up(self) -> None:
        self.store.probe()

    def lose(self, index: int) -> None:
        self.acknowledged.discard(index)
        self.may_be_there.discard(index)

    @invariant()
    def an_acknowledged_point_is_there_and_counts_once_with_its_own_rows(self) -> None:
        store = self.store
        listed = {KEYS.index(key) for key in store.parts()}
        assert self.acknowledged <= listed <= self.acknowledged | self.may_be_there
        columns = store.columns(KEYS, ["key", "alpha", "prompt_id", "completion"])
        rows = list(zip(columns["key"], columns["alpha"], columns["prompt_id"], columns["completion"], strict=True))
        assert rows == [
            (KEYS[index], POINTS[index].coordinates[0], f"p{place}", outcome_of(index)[place])
            for index in sorted(listed)
            for place in (0, 1)
        ]

    @invariant()
    def what_is_set_aside_is_named(self) -> None:
        named = {found.path for found in self.store.quarantined()}
        for path in (self.folder / "quarantine").glob("*"):
            assert f"quarantine/{path.name}" in named

    def teardown(self) -> None:
        shutil.rmtree(self.folder)


StoreUnderCrashes.TestCase.settings = settings(max_examples=20, stateful_step_count=25, deadline=None)
TestStoreUnderCrashes = StoreUnderCrashes.TestCase


def test_a_copy_comes_back_from_under_another_name() -> None:
    machine = StoreUnderCrashes()
    machine.publish(index=3, attempt=1)
    machine.copy_a_part_to_another_point(copied=3, renamed=0)
    machine.rot(index=3, share=0.0, bit=0)
    machine.copy_a_part_to_another_point(copied=0, renamed=3)
    machine.an_acknowledged_point_is_there_and_counts_once_with_its_own_rows()
    assert set(machine.store.parts()) == {KEYS[3]}
    machine.teardown()


any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(
    prompts=st.lists(st.tuples(any_text, any_text, st.sampled_from(Verdict)), min_size=1, max_size=5), data=st.data()
)
@settings(max_examples=50, deadline=None)
def test_any_text_comes_back(prompts: list[tuple[str, str, Verdict]], data: st.DataObject) -> None:
    tokens = data.draw(st.lists(st.integers(0, 2**17), max_size=5).map(tuple))
    record = PointRecord(
        point=POINTS[0],
        benchmark="advbench",
        prompts=tuple(Prompt(id=str(place), text=prompt) for place, (prompt, _, _) in enumerate(prompts)),
        rows=tuple(
            Row(completion=Completion(text=text, token_ids=tokens, finish_reason=FinishReason.LENGTH), verdict=verdict)
            for _, text, verdict in prompts
        ),
        judge="keyword/1",
        facts=record_of(0, ("", "")).facts,
    )
    info, content = parts.encode(record, key=KEYS[0], sweep_id=SWEEP_ID)
    rows = parts.read_rows(info.name, content)[1].to_pydict()
    assert list(zip(rows["prompt"], rows["completion"], rows["verdict"], strict=True)) == prompts
    assert rows["num_tokens"] == [len(tokens)] * len(prompts)


@given(alpha=st.floats(allow_nan=False, allow_infinity=False), beta=st.floats(allow_nan=False, allow_infinity=False))
@settings(deadline=None)
def test_coordinates_come_back_to_the_last_bit(alpha: float, beta: float) -> None:
    point = PlannedPoint(draw=0, repeat=0, coordinates=(alpha, beta), perturbation=POINTS[0].perturbation)
    info, content = parts.encode(replace(record_of(0, ("", "")), point=point), key=KEYS[0], sweep_id=SWEEP_ID)
    rows = parts.read_rows(info.name, content)[1].to_pydict()
    assert [value.hex() for value in (rows["alpha"][0], rows["beta"][0])] == [alpha.hex(), beta.hex()]


@given(
    first=st.lists(st.floats(-1, 1), min_size=1, max_size=2), second=st.lists(st.floats(-1, 1), min_size=1, max_size=2)
)
def test_keys_are_equal_if_and_only_if_coordinates_are(first: list[float], second: list[float]) -> None:
    def key(coordinates: list[float]) -> str:
        vectors = [RandomVector(seed=axis, normalization="layer", excluded=()) for axis in range(len(coordinates))]
        return part_key(
            fingerprint="base",
            engine="vllm",
            dtype="float32",
            point=PlannedPoint(
                draw=None,
                repeat=0,
                coordinates=tuple(coordinates),
                perturbation=Perturbation.of(zip(vectors, coordinates, strict=True)),
            ),
            benchmark=BENCHMARK,
            judge="keyword/1",
        )

    assert (key(first) == key(second)) == (first == second)
