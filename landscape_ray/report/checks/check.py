"""What a check is, and what it looks at."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from landscape_ray.analysis import Landscape
from landscape_ray.report.results import Results
from landscape_ray.report.status import FolderStatus
from landscape_ray.report.visits import Visits

__all__ = ["BASIN_PCT", "MOST", "Check", "State", "Sweep", "check_that"]

State: TypeAlias = Literal["pass", "attention", "unknown"]

BASIN_PCT = 50.0
"""A point belongs to the basin if its ASR is below this."""
MOST = 0.5
"""A share above this is most of the answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One question about a sweep, and what its results answer."""

    name: str
    """What should hold, as a short sentence."""
    state: State
    """`pass`: it holds; `attention`: look at it before you believe a number; `unknown`: the results cannot tell."""
    finding: str
    """What was found, with numbers, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """What the checks look at."""

    results: Results
    visits: Mapping[str, Visits]
    status: FolderStatus

    @property
    def attacks(self) -> Iterator[tuple[str, Landscape]]:
        """Benchmarks whose metric is the attack success rate, where anything of them was measured."""
        for name, landscape in self.results.landscapes.items():
            if landscape.metric.name == "asr" and not landscape.missing.all():
                yield name, landscape


def check_that(name: str, problems: list[str], fine: str, *, known: bool = True, unknown: str = "") -> Check:
    """Return a check that passes unless there are problems or nothing is known."""
    if problems:
        return Check(name=name, state="attention", finding=" ".join(problems))
    return Check(name=name, state="pass" if known else "unknown", finding=fine if known else unknown)
