"""Which rows of a prompt file are wanted: those whose columns have the configured values."""

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

__all__ = ["RowFilter", "means"]

MAX_LISTED = 3
MAX_CHARS = 40


class RowFilter:
    """Tells wanted rows, and remembers what it has seen, so that an empty result can be explained."""

    def __init__(self, where: Mapping[str, str | float | bool]) -> None:
        self.where = where
        self._seen: dict[str, Counter[str]] = {name: Counter() for name in where}

    def wants(self, row: Mapping[str, Any]) -> bool:
        """Tell whether each column has its value; the row has these columns."""
        for name, seen in self._seen.items():
            seen[repr(row[name])[:MAX_CHARS]] += 1
        return all(means(row[name], value) for name, value in self.where.items())

    def explanation(self) -> str:
        """Return what was asked for and which values the columns have, as a sentence with a space before it."""
        return "".join(self._sentences())

    def _sentences(self) -> Iterator[str]:
        for name, value in self.where.items():
            seen = self._seen[name].most_common()
            listed = ", ".join(f"{text} ({num:,})" for text, num in seen[:MAX_LISTED])
            more = f" and {len(seen) - MAX_LISTED:,} more" if len(seen) > MAX_LISTED else ""
            if seen:
                yield f" `where` asks for {name}: {value!r}; the column holds {listed}{more}."


def means(cell: object, value: str | float | bool) -> bool:  # noqa: FBT001 - a value, no switch
    """Tell whether what stands in a file is the configured value.

    A text is equal to itself only. A truth value or a number is equal to each of its spellings in a file of texts,
    `true` to `True` and `yes`, 1 to `1` and `1.0`; but a truth value is no number.
    """
    if str(cell) == str(value):
        return True
    if isinstance(value, str):
        return False
    if isinstance(cell, str):
        cell = _read(cell.strip().lower(), type(value))
    return isinstance(cell, bool) == isinstance(value, bool) and cell == value


def _read(text: str, kind: type) -> object:
    """Return what a text spells: a truth value in YAML's words, or a number; None where it spells none."""
    if kind is bool:
        return yaml.SafeLoader.bool_values.get(text)
    for number in (int, float):  # whole numbers beyond 2^53 are not rounded
        with contextlib.suppress(ValueError):
            return number(text)
    return None
