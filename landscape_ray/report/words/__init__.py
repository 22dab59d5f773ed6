"""What there is to say of plans and results, as the command line prints it: names and values, a line each."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

__all__ = ["Fact", "Told", "columns"]

Fact: TypeAlias = tuple[str, str]
"""Name and value; a line that goes on has no name."""


class Told:
    """What can be told: `print` shows it in words, as the command line does."""

    __slots__ = ()

    def facts(self) -> Iterable[Fact]:
        """Return what there is to say, as names and values."""
        raise NotImplementedError

    def __str__(self) -> str:
        return "\n".join(columns(list(self.facts())))


def columns(lines: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield lines of cells as a table."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for cells in lines:
        yield "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
