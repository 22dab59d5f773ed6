"""Questions are put as lm-evaluation-harness puts MMLU: to the last character."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from landscape_ray.config import BenchmarkConfig
from landscape_ray.errors import BenchmarkError
from landscape_ray.evaluation import Benchmark, load_benchmark, scored_texts

QUESTIONS: list[dict[str, Any]] = [
    {"question": " Which is even?\n", "subject": "sums", "choices": ["1", "2", "3", "5"], "answer": 1},
    {"question": "Which is largest?", "subject": "sums", "choices": ["9", "8", "7", "6"], "answer": 0},
    {"question": "Which is a word?", "subject": "words", "choices": ["x1", "yes", "q", "z"], "answer": 1},
]
SOLVED = [
    {"question": "Which is odd?", "subject": "sums", "choices": ["2", "4", "6", "7"], "answer": 3},
    {"question": "Which is prime?", "subject": "sums", "choices": ["4", "6", "7", "8"], "answer": 2},
    {"question": "Unused", "subject": "sums", "choices": ["4", "6", "7", "8"], "answer": 2},
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    pq.write_table(pa.Table.from_pylist(QUESTIONS), "test.parquet")
    Path("test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in QUESTIONS))
    lines = [f'"{row["question"]}","{json.dumps(row["choices"]).replace(chr(34), chr(34) * 2)}",' for row in QUESTIONS]
    letters = [line + "ABCD"[row["answer"]] for line, row in zip(lines, QUESTIONS, strict=True)]
    Path("test.csv").write_text("\n".join(["question,choices,answer", *letters]) + "\n")
    pq.write_table(pa.Table.from_pylist(SOLVED), "dev.parquet")
    return tmp_path


def load(file: str = "test.parquet", *, where: dict[str, str] | None = None, **how: Any) -> Benchmark:
    return load_benchmark(
        BenchmarkConfig.model_validate(
            {
                "name": "sums",
                "metric": "accuracy",
                "prompts": {"source": "file", "path": file, "column": "question", "where": where or {}},
                "multiple_choice": how,
            }
        )
    )


FEW_SHOT: dict[str, Any] = {
    "description": "The following are multiple choice questions (with answers) about sums.",
    "examples": {"source": "file", "path": "dev.parquet", "column": "question"},
    "num_examples": 2,
}

# Written out by hand after lm-evaluation-harness: description, examples with their answers, question; the letter is
# what is scored, with the space before it.
BY_HAND = """\
The following are multiple choice questions (with answers) about sums.

Which is odd?
A. 2
B. 4
C. 6
D. 7
Answer: D

Which is prime?
A. 4
B. 6
C. 7
D. 8
Answer: C

Which is even?
A. 1
B. 2
C. 3
D. 5
Answer:"""


@pytest.mark.usefixtures("folder")
def test_a_question_is_put_character_for_character_as_written_out_by_hand() -> None:
    texts = scored_texts(load(**FEW_SHOT))
    assert [(text.context, text.text) for text in texts[:4]] == [(BY_HAND, f" {letter}") for letter in "ABCD"]


@pytest.mark.usefixtures("folder")
def test_questions_do_not_pile_up() -> None:
    first, second, _ = load(**FEW_SHOT).prompts
    assert second.context == first.context
    assert second.text == "Which is largest?\nA. 9\nB. 8\nC. 7\nD. 6\nAnswer:"
    contexts = {text.context for text in scored_texts(load(**FEW_SHOT))}
    assert all(context.count("Answer:") == 3 for context in contexts)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("file", ["test.parquet", "test.jsonl", "test.csv"])
def test_each_format_holds_the_same_questions(file: str) -> None:
    (first, *_) = load(file).prompts
    assert first.text == "Which is even?\nA. 1\nB. 2\nC. 3\nD. 5\nAnswer:"
    assert first.context == ""
    assert first.choices == (" A", " B", " C", " D")
    assert [prompt.answer for prompt in load(file).prompts] == [1, 0, 1]


@pytest.mark.usefixtures("folder")
def test_answers_as_texts_continue_the_question_as_it_stands() -> None:
    texts = scored_texts(load(answers="texts", **FEW_SHOT))
    solved = "Which is odd? 7\n\nWhich is prime? 7\n\n"
    assert [text.text for text in texts[:4]] == [" 1", " 2", " 3", " 5"]
    assert texts[4].context == f"{FEW_SHOT['description']}\n\n{solved}Which is largest?"


@pytest.mark.usefixtures("folder")
def test_rows_can_be_chosen_by_their_columns() -> None:
    assert [prompt.id for prompt in load(where={"subject": "words"}).prompts] == ["2"]
    assert [prompt.id for prompt in load(where={"subject": "sums", "answer": "0"}).prompts] == ["1"]
    with pytest.raises(BenchmarkError, match="no column 'topic' in row 0; the columns are 'question', 'subject'"):
        load(where={"topic": "x"})
    with pytest.raises(BenchmarkError, match="holds no prompts"):
        load(where={"subject": "none"})


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"choices": "one or two"},
            "column 'choices' holds no list of non-empty texts; in a CSV file write a JSON list",
        ),
        ({"choices": ["one", ""]}, "no list of non-empty texts"),
        ({"choices": [1, 2]}, "no list of non-empty texts"),
        ({"choices": ["one"]}, "holds 1 answers; give 2 to 26"),
        ({"choices": ["x"] * 27}, "holds 27 answers; give 2 to 26"),
        ({"answer": 2}, "column 'answer' holds 2; give a number from 0 to 1, or its letter"),
        ({"answer": -1}, "column 'answer' holds -1"),
        ({"answer": "C"}, "column 'answer' holds 'C'"),
        ({"answer": "AB"}, "column 'answer' holds 'AB'"),
        ({"answer": ""}, "column 'answer' holds ''"),
        ({"answer": None}, "column 'answer' holds None"),
        ({"answer": 1.5}, "column 'answer' holds 1.5"),
        ({"choices": ["a", "\ud800"]}, "is half a character; remove it"),
    ],
)
def test_a_question_that_is_none_is_refused_by_its_row(
    row: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sound = {"question": "Which?", "choices": ["a", "b"], "answer": "B"}
    Path("q.jsonl").write_text(f"{json.dumps(sound)}\n{json.dumps(sound | row)}\n")
    with pytest.raises(BenchmarkError, match=rf"Benchmark 'sums': row 1 \(counted from 0.*{message}"):
        load("q.jsonl")


SOUND: dict[str, Any] = {"question": "Which?", "choices": ["a", "b", "c", "d"], "answer": "A"}


def answers_of(tmp_path: Path, rows: list[dict[str, Any]], **how: Any) -> list[int | None]:
    path = tmp_path / "q.jsonl"
    path.write_text("".join(json.dumps(SOUND | row) + "\n" for row in rows))
    return [prompt.answer for prompt in load(str(path), **how).prompts]


def test_letters_among_numbers_are_refused_either_way(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"row 1 .* '2', a number, after a letter .*labels_column"):
        answers_of(tmp_path, [{"answer": "A"}, {"answer": "2"}, {"answer": "3"}])
    with pytest.raises(BenchmarkError, match=r"row 2 .* 'D', a letter, after a number"):
        answers_of(tmp_path, [{"answer": 2}, {"answer": "3"}, {"answer": "D"}])
    assert answers_of(tmp_path, [{"answer": "A"}, {"answer": "D"}]) == [0, 3]
    assert answers_of(tmp_path, [{"answer": 0}, {"answer": "3"}]) == [0, 3]


@pytest.mark.usefixtures("folder")
def test_letters_of_examples_among_numbers_of_questions_are_refused() -> None:
    Path("dev.jsonl").write_text("".join(json.dumps(SOUND) + "\n" for _ in range(2)))
    examples = {"source": "file", "path": "dev.jsonl", "column": "question"}
    with pytest.raises(BenchmarkError, match=r"row 0 .* 1, a number, after a letter in an earlier row"):
        load(examples=examples, num_examples=2)


def test_numbers_count_from_one_only_where_that_is_said(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"answer": 1}, {"answer": "4"}]
    assert answers_of(tmp_path, rows, first_number=1) == [0, 3]
    with pytest.raises(BenchmarkError, match=r"row 1 .* holds '4'; give a number from 0 to 3, .*first_number"):
        answers_of(tmp_path, rows)
    with pytest.raises(BenchmarkError, match="holds 0; give a number from 1 to 4"):
        answers_of(tmp_path, [{"answer": 0}], first_number=1)


def test_labels_say_which_answer_is_meant(tmp_path: Path) -> None:
    """As in ARC, where most questions have letters, and some have numbers from 1."""
    texts = SOUND["choices"]
    letters, numbers = {"text": texts, "label": list("ABCD")}, {"label": ["1", "2", "3", "4"], "text": texts}
    rows: list[dict[str, Any]] = [
        {"choices": letters, "answer": "A"},
        {"choices": numbers, "answer": "2"},
        {"choices": numbers, "answer": 3},
    ]
    assert answers_of(tmp_path, rows) == [0, 1, 2]
    apart: list[dict[str, Any]] = [
        {"labels": list("ABCD"), "answer": "D"},
        {"labels": [1, 2, 3, 4], "answer": "4"},
        {"labels": list("DCBA")},
    ]
    assert answers_of(tmp_path, apart, labels_column="labels") == [3, 3, 3]


def test_arc_is_read_from_parquet_and_csv_as_from_json(tmp_path: Path) -> None:
    choices = {"text": ["one", "two", "three"], "label": ["A", "B", "C"]}
    pq.write_table(
        pa.Table.from_pylist([{"question": "Which?", "choices": choices, "answer": "B"}]), tmp_path / "a.parquet"
    )
    cell = json.dumps(choices).replace('"', '""')
    (tmp_path / "a.csv").write_text(f'question,choices,answer\nWhich?,"{cell}",B\n')
    for name in ("a.parquet", "a.csv"):
        (prompt,) = load(str(tmp_path / name)).prompts
        assert (prompt.text, prompt.answer) == ("Which?\nA. one\nB. two\nC. three\nAnswer:", 1)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"answer": "E"}, "column 'answer' holds 'E', which is none of the labels A, B, C, D"),
        ({"answer": 0}, "holds 0, which is none of the labels"),
        ({"labels": ["A", "B", "C"]}, "column 'labels' holds no label of its own for each of the 4 answers"),
        ({"labels": ["A", "B", "C", "C"]}, "no label of its own"),
        ({"labels": None}, "no label of its own"),
        ({"labels": "ABCD"}, "no label of its own"),
    ],
)
def test_labels_that_do_not_fit_are_refused(row: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=rf"row 0 .*{message}"):
        answers_of(tmp_path, [{"labels": list("ABCD")} | row], labels_column="labels")


@pytest.mark.usefixtures("folder")
def test_too_few_examples_are_refused() -> None:
    with pytest.raises(BenchmarkError, match="num_examples is 4, but there are only 3"):
        load(**{**FEW_SHOT, "num_examples": 4})
    of_words = {**FEW_SHOT["examples"], "where": {"subject": "words"}}
    with pytest.raises(BenchmarkError, match=r"only 0.* subject: 'words'; the column holds 'sums' \(3\)"):
        load(**{**FEW_SHOT, "examples": of_words})


@pytest.mark.usefixtures("folder")
def test_a_missing_column_is_named() -> None:
    with pytest.raises(BenchmarkError, match="no column 'options' in row 0"):
        load(choices_column="options")
