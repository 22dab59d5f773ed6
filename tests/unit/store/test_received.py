"""Answers that a judge gave before its pass was killed: proved, found by what was asked, and removed in the end."""

from collections.abc import Callable
from pathlib import Path

import pytest

from landscape_ray.evaluation import Verdict
from landscape_ray.evaluation.judging import MAX_ANSWER_CHARS, Exchange, Judgment
from landscape_ray.store import ReceivedAnswer, ReceivedStore

KEY, OTHER_KEY = "a" * 32, "b" * 32
EXCHANGES = [Exchange(prompt=f"p{i}", completion=f"c{i}") for i in range(4)]


def answer(verdict: Verdict, words: str | None = None, judged_with: str = "model-1") -> ReceivedAnswer:
    return ReceivedAnswer(judgment=Judgment(verdict=verdict, answer=words), judged_with=judged_with)


COMPLIED, UNSCORED = answer(Verdict.COMPLIED, "unsafe\nS1\u2028\x00"), answer(Verdict.UNSCORED, judged_with="model-2")


@pytest.fixture
def received(tmp_path: Path) -> ReceivedStore:
    return ReceivedStore(str(tmp_path))


def files(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "received").iterdir())


def test_answers_come_back_as_they_were(tmp_path: Path, received: ReceivedStore) -> None:
    assert received.read(KEY, EXCHANGES) == ({}, [])
    names = [received.write(KEY, EXCHANGES, {3: COMPLIED}), received.write(KEY, EXCHANGES, {0: UNSCORED, 1: COMPLIED})]
    elsewhere = ReceivedStore(str(tmp_path))
    assert elsewhere.read(KEY, EXCHANGES) == ({3: COMPLIED, 0: UNSCORED, 1: COMPLIED}, sorted(names))
    assert elsewhere.read(OTHER_KEY, EXCHANGES) == ({}, [])
    # The same answers again, as a worker may write that was taken for dead: one file.
    assert received.write(KEY, EXCHANGES, {3: COMPLIED}) == names[0]
    elsewhere.discard([*names, names[0]])
    assert files(tmp_path) == []


def test_answers_to_other_questions_are_none_to_these(received: ReceivedStore) -> None:
    """A part that rotted is measured again under its key, and may hold other completions then."""
    name = received.write(KEY, EXCHANGES, {0: COMPLIED})
    others = [*EXCHANGES[:3], Exchange(prompt="p3", completion="another")]
    assert received.read(KEY, others) == ({}, [name])


@pytest.mark.parametrize(
    "damage",
    [lambda content: content[:-1], lambda content: content.replace(b"complied", b"refused"), lambda _: b""],
)
def test_a_damaged_file_is_not_believed_but_removed_in_the_end(
    damage: Callable[[bytes], bytes], tmp_path: Path, received: ReceivedStore
) -> None:
    damaged, sound = (received.write(KEY, EXCHANGES, {row: COMPLIED}) for row in (0, 1))
    path = tmp_path / "received" / damaged
    path.write_bytes(damage(path.read_bytes()))
    found, names = received.read(KEY, EXCHANGES)
    assert found == {1: COMPLIED}
    assert names == sorted([damaged, sound])


@pytest.mark.parametrize("answers", ['[[-1, "complied", null, "m"]]', '[[0, "harmful", null, "m"]]', "[[0]]", "7"])
def test_a_file_that_proves_itself_and_holds_something_else_is_not_believed(
    answers: str, tmp_path: Path, received: ReceivedStore
) -> None:
    import hashlib  # noqa: PLC0415

    (name,) = [received.write(KEY, EXCHANGES, {0: COMPLIED})]
    content = (tmp_path / "received" / name).read_bytes()
    forged = content[: content.index(b"[")] + answers.encode() + b"}"
    forged_name = f"{KEY}.{hashlib.sha256(forged).hexdigest()[:16]}.json"
    (tmp_path / "received" / forged_name).write_bytes(forged)
    assert received.read(KEY, EXCHANGES) == ({0: COMPLIED}, sorted([name, forged_name]))


def test_answers_are_kept_as_they_will_be_published(received: ReceivedStore) -> None:
    long = answer(Verdict.UNSCORED, "x" * MAX_ANSWER_CHARS + "y")
    received.write(KEY, EXCHANGES, {0: long, 1: answer(Verdict.REFUSED, "\ud800")})
    found, _ = received.read(KEY, EXCHANGES)
    assert found == {0: answer(Verdict.UNSCORED, "x" * MAX_ANSWER_CHARS), 1: answer(Verdict.REFUSED, "?")}


def test_only_unfinished_parts_keep_theirs(tmp_path: Path, received: ReceivedStore) -> None:
    received.tidy({KEY})
    kept = received.write(KEY, EXCHANGES, {0: COMPLIED})
    received.write(OTHER_KEY, EXCHANGES, {0: COMPLIED})
    (tmp_path / "received" / "notes.txt").write_text("not ours")
    received.tidy({KEY})
    assert files(tmp_path) == [kept]
