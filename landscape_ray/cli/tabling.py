"""The command `table`: many sweeps side by side."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from landscape_ray import library
from landscape_ray.cli import text
from landscape_ray.cli.app import Json, app
from landscape_ray.errors import OutputError, UserError

__all__ = ["table"]


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
    if csv and json_:
        msg = "Give --csv or --json, not both."
        raise UserError(msg)
    found = library.sweeps_table(outs, None if outcome is None else library.read_outcomes(outcome))
    if html is not None:
        try:
            html.write_text(library.table_page(found), encoding="utf-8")
        except OSError as error:
            msg = f"Cannot write {html}: {error.strerror or error}. Choose another file with --html."
            raise OutputError(msg) from error
    if json_:
        text.print_json(found.document())
    elif csv:
        sys.stdout.write(library.csv_text(found))
    else:
        typer.echo(str(found))
