"""The command `table`: many sweeps side by side."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from landscape_ray.cli import text
from landscape_ray.cli.app import Json, app
from landscape_ray.errors import OutputError, UserError, number_of

if TYPE_CHECKING:
    from landscape_ray.report.table import SweepsTable

__all__ = ["lines", "table"]

SHOWN = ("sweep", "origin_pct", "visage", "visage_reference", "mean_margin", "radius", "broken_pct", "gpu_seconds")


@app.command()
def table(
    outs: Annotated[list[str], typer.Argument(metavar="OUT...", help="Folders or URLs that runs wrote to.")],
    *,
    outcome: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="CSV of what was measured of the models elsewhere, such as harm."),
    ] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write one page that opens offline.")] = None,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    json_: Json = False,
) -> None:
    """Put the scores of many sweeps side by side, a row each, with intervals and what they cost.

    ```
    landscape-ray table results/* --html table.html
    landscape-ray table results/* --outcome harm.csv
    ```

    Each row is a sweep's headline benchmark. The outcomes are a CSV file with a column `sweep` (name of the folder) or
    `model`, and columns of numbers; each score is correlated with each of them (Spearman). GPU-seconds are those of the
    visits, without the start of engines.
    """
    from landscape_ray.report.table import csv_text, read_outcomes, sweeps_table  # noqa: PLC0415
    from landscape_ray.report.table_page import table_page  # noqa: PLC0415

    if csv and json_:
        msg = "Give --csv or --json, not both."
        raise UserError(msg)
    found = sweeps_table(outs, None if outcome is None else read_outcomes(outcome))
    if html is not None:
        try:
            html.write_text(table_page(found), encoding="utf-8")
        except OSError as error:
            msg = f"Cannot write {html}: {error.strerror or error}. Choose another file with --html."
            raise OutputError(msg) from error
    if json_:
        text.print_json(found.document())
    elif csv:
        sys.stdout.write(csv_text(found))
    else:
        for line in lines(found):
            typer.echo(line)


def lines(table: "SweepsTable") -> Iterator[str]:
    """Yield the table in columns, then correlations and notes."""
    from landscape_ray.report.table import COLUMNS, SCORES  # noqa: PLC0415
    from landscape_ray.report.table_page import cell_text, correlation_text  # noqa: PLC0415

    grid = [[COLUMNS[name] for name in SHOWN], *([cell_text(row, name) for name in SHOWN] for row in table.rows)]
    yield from text.columns(grid)
    for name, by_score in table.outcomes.items():
        yield ""
        yield f"Spearman's correlation with {name}"
        for score, found in by_score.items():
            yield f"  {SCORES[score]}: {correlation_text(found)}, {number_of(found.num_models, 'model')}"
    for note in table.notes:
        yield f"note: {note}"
