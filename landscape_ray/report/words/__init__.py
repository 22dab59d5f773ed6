"""What there is to say of plans and results, as the command line prints it: names and values, a line each."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from landscape_ray.analysis import Estimate, VisageScore

__all__ = ["Fact", "Told", "brief_text", "columns"]

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


def brief_text(estimate: "Estimate | VisageScore", form: str = ".1f") -> str:
    """Return a value with the ends of its interval, such as `70.0 (61.2 to 78.8)`, its numbers in a form."""
    if estimate.value is None:
        return "undefined"
    interval = estimate.interval
    ends = "" if interval is None else f" ({interval.low:{form}} to {interval.high:{form}})"
    return f"{estimate.value:{form}}{ends}"


def columns(lines: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield lines of cells as a table."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for cells in lines:
        yield "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
