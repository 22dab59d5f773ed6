"""The commands that turn results into files: `report` and `export`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from landscape_ray import library
from landscape_ray.cli import text
from landscape_ray.cli.app import JudgeName, Out, app
from landscape_ray.errors import OutputError

__all__ = ["export", "report"]


@app.command()
def report(
    out: Out,
    *,
    into: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Where to.  [default: OUT/report]")] = None,
    judge: JudgeName = None,
) -> None:
    """Write report.html, which opens offline, with figures (PNG, SVG, PDF) and scores.json beside it.

    The page shows scores, interactive figures, checks of the landscape, and the prompts and answers of each point. An
    unfinished sweep is shown as far as it is; points that are missing are marked.

    ```
    landscape-ray report results/demo
    landscape-ray report s3://bucket/results/llama --into figures
    ```
    """
    written = library.write_report(out, beside(out, into, "report" if judge is None else f"report-{judge}"), judge)
    text.print_facts(written.facts())


@app.command()
def export(
    out: Out,
    *,
    file_format: Annotated[
        Literal["csv", "parquet", "jsonl", "inspect"], typer.Option("--format", help="Of what is written.")
    ] = "parquet",
    points: Annotated[
        bool, typer.Option("--points", help="One row per grid point of each draw, not per prompt and point.")
    ] = False,
    into: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Where to.  [default: OUT/report/rows.FORMAT or .../inspect]"),
    ] = None,
    judge: JudgeName = None,
) -> None:
    """Write results as one table, for other programs.

    One row per prompt and point with all columns of docs/results.md; with --points one row per grid point of each draw
    with counts, the value and its Wilson interval. In CSV, texts that a spreadsheet would run as a formula begin with
    an apostrophe; the other formats hold them as they are.

    `inspect` writes a folder of eval logs for Inspect, one for each benchmark and point (docs/inspect.md).

    ```
    landscape-ray export results/demo --format csv --points
    landscape-ray export s3://bucket/results/llama --into rows.parquet
    landscape-ray export results/demo --format inspect
    ```
    """
    folder = "report" if judge is None else f"report-{judge}"
    if file_format == "inspect":
        _export_logs(out, beside(out, into, f"{folder}/inspect"), points=points, judge=judge)
        return
    path = beside(out, into, f"{folder}/{'points' if points else 'rows'}.{file_format}")
    num_rows = library.export(out, path, file_format, points=points, judge=judge)
    text.print_facts([("rows", f"{num_rows:,}"), ("written", str(path))])


def _export_logs(out: str, folder: Path, *, points: bool, judge: str | None) -> None:
    if points:
        raise typer.BadParameter("--points makes one table; --format inspect has a log for each point anyway.")  # noqa: EM101
    library.require_inspect()
    text.print_facts([("logs", f"{library.export_logs(out, folder, judge):,}"), ("written", str(folder))])


def beside(out: str, into: Path | None, name: str) -> Path:
    """Return where something derived from results is written: where it was asked for, or else into their folder.

    Raises:
        OutputError: The results are behind a URL, and no place was given.
    """
    if into is None and "://" in out:
        msg = f"{out} is no local folder, so nothing can be written beside the results. Say where to with --into."
        raise OutputError(msg)
    return into or Path(out, name)
