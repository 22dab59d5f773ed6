"""Answers of a judge on parts that are not judged to their end: what a pass has received outlives it.

::

    judged/<judge>/received/<key of the part of verdicts>.<16 digits>.json

A file holds some answers. It is written whole, once, and its digits are the hash of its content, so a damaged one is
not believed, and what was asked is asked again. Files go when the part of verdicts is there.
"""

import hashlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from landscape_ray.evaluation import Verdict
from landscape_ray.evaluation.judging import MAX_ANSWER_CHARS, Exchange, Judgment
from landscape_ray.store.filesystem import explained, open_filesystem
from landscape_ray.store.redaction import redacted

__all__ = ["ReceivedAnswer", "ReceivedStore", "storable"]

FOLDER = "received"
MAX_FILE_BYTES = 1 << 28
NAME = re.compile(r"(?P<key>[0-9a-f]{32})\.(?P<content>[0-9a-f]{16})\.json", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedAnswer:
    """What a judge said of one row of a part."""

    judgment: Judgment
    """Verdict and words."""
    judged_with: str
    """What answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Content:
    """What a file holds."""

    questions: str
    """Hash of all exchanges of the part: a part that was measured again may hold other completions."""
    answers: list[tuple[Annotated[int, Field(ge=0)], Verdict, str | None, str]]
    """Row of the part, verdict, the judge's own words, and what answered."""


_CONTENT = TypeAdapter(_Content)


class ReceivedStore:
    """The answers that one judge gave on parts without verdicts. Any number of processes may write and read at once."""

    def __init__(self, location: str) -> None:
        """Open the folder of a judge; nothing is read or written yet."""
        self._location = redacted(location)
        self._files = open_filesystem(location)

    def read(self, key: str, exchanges: Sequence[Exchange]) -> tuple[dict[int, ReceivedAnswer], list[str]]:
        """Return what was received of a part, by row, and the names of all files about it, the damaged ones included.

        Args:
            key: Key of the part of verdicts.
            exchanges: The exchange of each row; answers to others are none to these.

        Raises:
            OutputError: The folder cannot be read.
        """
        found: dict[int, ReceivedAnswer] = {}
        with explained(self._location, "read"):
            entries = [
                entry
                for entry in self._files.files(FOLDER)
                if entry.num_bytes <= MAX_FILE_BYTES and _key_in(entry.name) == key
            ]
            contents = list(self._files.contents(FOLDER, entries))
        questions = _hash_of(exchanges) if entries else ""
        for entry, content in zip(entries, contents, strict=True):
            if content is None or _name(key, content) != entry.name:
                continue
            try:
                held = _CONTENT.validate_json(content, strict=True)
            except ValidationError:
                continue
            if held.questions == questions:
                for row, verdict, answer, judged_with in held.answers:
                    judgment = Judgment(verdict=verdict, answer=answer)
                    found[row] = ReceivedAnswer(judgment=judgment, judged_with=judged_with)
        return found, [entry.name for entry in entries]

    def write(self, key: str, exchanges: Sequence[Exchange], answers: Mapping[int, ReceivedAnswer]) -> str:
        """Make answers durable and return the name of their file.

        Args:
            key: Key of the part of verdicts.
            exchanges: The exchange of each row of the part.
            answers: Some of the answers, by row.

        Raises:
            OutputError: They cannot be written.
        """
        held = _Content(
            questions=_hash_of(exchanges),
            answers=[
                (row, answer.judgment.verdict, storable(answer.judgment.answer), answer.judged_with)
                for row, answer in answers.items()
            ],
        )
        content = _CONTENT.dump_json(held)
        name = _name(key, content)
        with explained(self._location, "write to"):
            self._files.create(f"{FOLDER}/{name}", content)
        return name

    def discard(self, names: Collection[str]) -> None:
        """Remove files; those that are gone are gone.

        Raises:
            OutputError: The folder cannot be written.
        """
        with explained(self._location, "write to"):
            for name in names:
                self._files.delete(f"{FOLDER}/{name}")

    def tidy(self, unfinished: Collection[str]) -> None:
        """Remove what passes left that died: half-written files, and those on other parts than the unfinished.

        Args:
            unfinished: Keys of the parts of verdicts that are still to come.

        Raises:
            OutputError: The folder cannot be read or written.
        """
        with explained(self._location, "read"):
            names = [entry.name for entry in self._files.files(FOLDER)]
            self._files.sweep(FOLDER)
        self.discard([name for name in names if _key_in(name) not in unfinished])


def storable(answer: str | None) -> str | None:
    """Return an answer bounded, and without halves of surrogate pairs, which no UTF-8 file can hold."""
    if answer is None:
        return None
    return answer[:MAX_ANSWER_CHARS].encode(errors="replace").decode()


def _name(key: str, content: bytes) -> str:
    return f"{key}.{hashlib.sha256(content).hexdigest()[:16]}.json"


def _key_in(name: str) -> str | None:
    match = NAME.fullmatch(name)
    return match["key"] if match else None


def _hash_of(exchanges: Sequence[Exchange]) -> str:
    asked = [(exchange.prompt, exchange.completion) for exchange in exchanges]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()
