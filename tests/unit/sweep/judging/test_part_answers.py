"""A judge's answers about one part: what is made durable when, and what is asked again after a death."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from landscape_ray.errors import GenerationError
from landscape_ray.evaluation import Verdict
from landscape_ray.evaluation.judging import Exchange, Judgment, Receive
from landscape_ray.store import ReceivedStore
from landscape_ray.sweep.judging.part_answers import PartAnswers

KEY = "a" * 32
EXCHANGES = [Exchange(prompt=f"p{i}", completion=f"c{i}") for i in range(6)]


class SlowJudge:
    """Answers in so many seconds of a clock of its own; counts what it is asked, and may fail at a question."""

    judged_with = "slow/1"

    def __init__(self, *, answer_s: float = 0.0, fails_at: str = "", refuses: str = "") -> None:
        self.now_s = 100.0
        self.asked: list[str] = []
        self._answer_s = answer_s
        self._fails_at = fails_at
        self._refuses = refuses

    def judge(self, exchanges: Sequence[Exchange], receive: Receive) -> None:
        for place, exchange in enumerate(exchanges):
            if exchange.prompt == self._fails_at:
                raise GenerationError(exchange.prompt)
            self.asked.append(exchange.prompt)
            self.now_s += self._answer_s
            refusal = "too long" if exchange.prompt == self._refuses else None
            receive(place, Judgment(verdict=Verdict.REFUSED, answer=exchange.completion, refusal=refusal))

    def close(self) -> None:
        pass


Open = Callable[[SlowJudge], PartAnswers]


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    """Open the answers about the part as a new process would."""
    return lambda judge: PartAnswers(ReceivedStore(str(tmp_path)), KEY, EXCHANGES, now_s=lambda: judge.now_s)


def num_files(tmp_path: Path) -> int:
    folder = tmp_path / "received"
    return len(list(folder.iterdir())) if folder.exists() else 0


@pytest.mark.parametrize(("answer_s", "num_kept"), [(0.0, 0), (0.4, 1), (1.0, 5), (30.0, 5)])
def test_answers_of_a_second_share_a_file(answer_s: float, num_kept: int, tmp_path: Path, opened: Open) -> None:
    judge = SlowJudge(answer_s=answer_s)
    answers = opened(judge)
    answers.ask(judge, range(5))
    assert num_files(tmp_path) == num_kept
    # A process that was killed now has lost the answers of its last second, and no others.
    survived = opened(judge).by_row
    assert sorted(survived) == list(range({0.0: 0, 0.4: 3}.get(answer_s, 5)))
    assert all(survived[row] == answers.by_row[row] for row in survived)
    assert [answers.by_row[row].judgment.answer for row in range(5)] == [f"c{row}" for row in range(5)]
    answers.discard()
    assert num_files(tmp_path) == 0


def test_what_a_judge_said_before_it_failed_is_not_asked_again(tmp_path: Path, opened: Open) -> None:
    failing, second = SlowJudge(fails_at="p3"), SlowJudge()
    with pytest.raises(GenerationError, match="p3"):
        opened(failing).ask(failing, range(6))
    answers = opened(second)
    answers.ask(second, [row for row in range(6) if row not in answers.by_row])
    assert (failing.asked, second.asked) == (["p0", "p1", "p2"], ["p3", "p4", "p5"])
    assert sorted(answers.by_row) == list(range(6))
    answers.discard()
    assert num_files(tmp_path) == 0


def test_a_question_that_was_not_taken_is_asked_again(opened: Open) -> None:
    judge = SlowJudge(answer_s=1.0, refuses="p1")
    answers = opened(judge)
    answers.ask(judge, [0, 1, 2])
    assert answers.by_row[1].judgment.refusal == "too long"
    assert sorted(opened(judge).by_row) == [0, 2]


def test_rows_keep_their_places_when_only_some_are_asked(opened: Open) -> None:
    judge = SlowJudge(answer_s=1.0)
    opened(judge).ask(judge, [4, 1])
    found = opened(judge).by_row
    assert {row: answer.judgment.answer for row, answer in found.items()} == {4: "c4", 1: "c1"}
    assert {answer.judged_with for answer in found.values()} == {"slow/1"}
