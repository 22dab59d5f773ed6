"""The command `compare`: two sweeps, before and after."""

from dataclasses import asdict
from typing import Annotated, Literal

import typer

from landscape_ray.cli import text
from landscape_ray.cli.app import Json, JudgeName, ScoreDefinition, Tau, app
from landscape_ray.library import compare as compare_sweeps
from landscape_ray.library import open_results

__all__ = ["compare"]


@app.command()
def compare(
    before: Annotated[str, typer.Argument(metavar="BEFORE", help="The folder or URL of the first sweep.")],
    after: Annotated[str, typer.Argument(metavar="AFTER", help="The folder or URL of the second sweep.")],
    *,
    definition: ScoreDefinition = "paper",
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Compare where both sweeps are measured.")
    ] = False,
    tau: Tau = 50.0,
    fail_below: Annotated[
        float | None,
        typer.Option(metavar="X", help="Exit with 5 if less than this share of the score is left, such as 0.9."),
    ] = None,
    score: Annotated[
        Literal["margin", "visage", "radius", "width", "area"],
        typer.Option(help="What --fail-below looks at. Any but the margin can rise as safety falls."),
    ] = "margin",
    on: Annotated[
        Literal["low", "value"], typer.Option(help="Judge by how much is left at least, or by the value.")
    ] = "low",
    allow_origin_rise: Annotated[
        float | None,
        typer.Option(
            metavar="PCT",
            min=0,
            help="With --fail-below: how much the ASR at the origin may rise.  [default: BEFORE's noise floor]",
        ),
    ] = None,
    judge: JudgeName = None,
    json_: Json = False,
) -> None:
    """Print how the scores of a model changed, for instance by finetuning.

    ```
    landscape-ray compare results/demo results/demo-finetuned
    landscape-ray compare results/demo results/demo-finetuned --fail-below 0.9
    ```

    Both sweeps measure the same benchmarks at the same points along the same directions; an error names what differs.
    Retention is the score after divided by the score before. --fail-below judges by the mean margin: a model that is
    less safe at any point, the origin included, never passes where a safer one fails. VISAGE can rise as safety falls.
    """
    first, second = open_results(before, judge), open_results(after, judge)
    comparison = compare_sweeps(first, second, definition=definition, allow_missing=allow_missing, tau_pct=tau)
    gate = None
    if fail_below is not None:
        gate = comparison.gate(fail_below, score=score, on=on, allowed_rise=allow_origin_rise)
    if json_:
        text.print_json({**comparison.document(), "gate": None if gate is None else asdict(gate)})
    else:
        text.print_facts([*comparison.facts(), *(gate.facts() if gate else ())])
    if gate is not None and not gate.passed:
        raise typer.Exit(5)
