"""A table of sweeps as one page that opens offline, and sorts by any of its columns."""

from collections.abc import Iterator, Mapping, Sequence

from landscape_ray import __version__
from landscape_ray.report.html import TEMPLATES, asset, policy
from landscape_ray.report.table import COLUMNS, ENDS, SCORES, Cell, SweepsTable, cell_text, correlation_text

__all__ = ["table_page"]


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
