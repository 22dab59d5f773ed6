"""A table of sweeps as one page that opens offline, and sorts by any of its columns."""

from collections.abc import Iterator, Mapping, Sequence

from landscape_ray import __version__
from landscape_ray.analysis import RankCorrelation
from landscape_ray.report.html import TEMPLATES, asset, policy
from landscape_ray.report.table import COLUMNS, SCORES, Cell, SweepsTable

__all__ = ["cell_text", "correlation_text", "table_page"]

ENDS = ("_low", "_high")


def table_page(table: SweepsTable) -> str:
    """Return the page. All text is escaped; nothing runs but the script that sorts."""
    script = asset("table.js")
    shown = [name for name in COLUMNS if not name.endswith(ENDS)]
    return TEMPLATES.get_template("table.html.jinja").render(
        policy=policy(script),
        titles=[COLUMNS[name] for name in shown],
        rows=[list(_cells(row, shown)) for row in table.rows],
        outcomes=[
            {
                "name": name,
                "rows": [(SCORES[score], found.num_models, correlation_text(found)) for score, found in of.items()],
            }
            for name, of in table.outcomes.items()
        ],
        notes=table.notes,
        version=__version__,
        script=script,
        style=asset("page.css"),
    )


def _cells(row: Mapping[str, Cell], shown: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield what each cell sorts by, and what it says."""
    for name in shown:
        value = row[name]
        yield ("" if value is None else str(value)), cell_text(row, name)


def cell_text(row: Mapping[str, Cell], name: str) -> str:
    """Return what a cell says, a number with its interval."""
    value = row[name]
    if value is None:
        return "–"
    if not isinstance(value, float):
        return str(value)
    digits = 3 if name == "radius" else 1
    low, high = (row.get(f"{name}{end}") for end in ENDS)
    ends = "" if low is None or high is None else f" ({low:.{digits}f} to {high:.{digits}f})"
    return f"{value:.{digits}f}{ends}"


def correlation_text(found: RankCorrelation) -> str:
    """Return a correlation with its interval."""
    if found.value is None:
        return "–"
    if found.low is None or found.high is None:
        return f"{found.value:.2f} (too few models for an interval)"
    return f"{found.value:.2f} (95 % interval {found.low:.2f} to {found.high:.2f})"
