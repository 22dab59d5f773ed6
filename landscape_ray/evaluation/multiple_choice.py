"""Multiple choice: questions with their answers as lm-evaluation-harness puts them to a model."""

import json
import string
from collections.abc import Iterable, Mapping
from typing import Any

from landscape_ray.config import MultipleChoiceConfig
from landscape_ray.errors import BenchmarkError
from landscape_ray.evaluation.benchmark import Prompt

__all__ = ["QuestionReader", "context_of"]

LETTERS = string.ascii_uppercase


class QuestionReader:
    """Reads the questions of one benchmark, whose right answers are all given in the same way."""

    def __init__(self, how: MultipleChoiceConfig) -> None:
        self._how = how
        self._kind: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that a row must have."""
        labels = () if self._how.labels_column is None else (self._how.labels_column,)
        return (self._how.choices_column, *labels, self._how.answer_column)

    def question(self, row: Mapping[str, Any], *, prompt_id: str, text: str, context: str) -> Prompt:
        """Return a question of a row.

        With letters, the question is followed by lines `A. ...`, `B. ...` and `Answer:`, and the answers are ` A`, ` B`
        and so on. With texts, it stands as it is, and each answer is a space and its text.

        Raises:
            BenchmarkError: The row has no list of at least two answers, or no right one among them; or the right one
                is given as a number, and in an earlier row as a letter, or the other way round.
        """
        how = self._how
        choices, labels = _choices_and_labels(row, how)
        if labels is None:
            answer = self._place(row[how.answer_column], len(choices))
        else:
            answer = _place_of_label(row[how.answer_column], labels, how.answer_column)
        if how.answers == "letters":
            listed = [f"{letter}. {choice}" for letter, choice in zip(LETTERS, choices, strict=False)]
            text = "\n".join([text.strip(), *listed, "Answer:"])
            choices = list(LETTERS[: len(choices)])
        return Prompt(
            id=prompt_id, text=text, context=context, choices=tuple(f" {choice}" for choice in choices), answer=answer
        )

    def _place(self, value: object, num_choices: int) -> int:
        """Return the index of the right answer, given as a number or as a letter."""
        column, first = self._how.answer_column, self._how.first_number
        text = str(value).strip()
        is_number = text.isdecimal()
        index = int(text) - first if is_number else LETTERS.find(text) if len(text) == 1 else -1
        if not 0 <= index < num_choices:
            other = f"; where they count from {1 - first}, set multiple_choice.first_number to it" if is_number else ""
            msg = (
                f"column {column!r} holds {value!r}; give a number from {first} to {first + num_choices - 1}, or its "
                f"letter{other}"
            )
            raise BenchmarkError(msg)
        kind = "number" if is_number else "letter"
        if self._kind not in {None, kind}:
            msg = (
                f"column {column!r} holds {value!r}, a {kind}, after a {self._kind} in an earlier row. Give all in one "
                "way, or name the column of the answers' labels as multiple_choice.labels_column"
            )
            raise BenchmarkError(msg)
        self._kind = kind
        return index


def context_of(description: str, examples: Iterable[Prompt]) -> str:
    """Return what stands before every question: the description and solved examples, an empty line after each."""
    solved = (example.text + example.choices[example.answer or 0] for example in examples)
    return "".join(f"{block}\n\n" for block in (description.strip(), *solved) if block)


def _choices_and_labels(row: Mapping[str, Any], how: MultipleChoiceConfig) -> tuple[list[str], list[str] | None]:
    """Return a row's answers and their labels, None where there are none."""
    column, labels = how.choices_column, None
    choices = _parsed(row[column])
    if isinstance(choices, Mapping) and {"text", "label"} <= choices.keys():
        choices, labels = choices["text"], choices["label"]
    if not isinstance(choices, list) or not all(isinstance(choice, str) and choice.strip() for choice in choices):
        msg = f"column {column!r} holds no list of non-empty texts; in a CSV file write a JSON list"
        raise BenchmarkError(msg)
    if not 2 <= len(choices) <= len(LETTERS):
        msg = f"column {column!r} holds {len(choices)} answers; give 2 to {len(LETTERS)}"
        raise BenchmarkError(msg)
    if how.labels_column is not None:
        column = how.labels_column
        labels = _parsed(row[column])
    elif labels is None:
        return choices, None
    texts = [str(label).strip() for label in labels] if isinstance(labels, list) else []
    if not len(texts) == len(set(texts)) == len(choices):
        msg = f"column {column!r} holds no label of its own for each of the {len(choices)} answers"
        raise BenchmarkError(msg)
    return choices, texts


def _place_of_label(value: object, labels: list[str], column: str) -> int:
    text = str(value).strip()
    if text not in labels:
        msg = f"column {column!r} holds {value!r}, which is none of the labels {', '.join(labels)}"
        raise BenchmarkError(msg)
    return labels.index(text)


def _parsed(value: object) -> object:
    """Return what a cell holds; a text is JSON."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return None
