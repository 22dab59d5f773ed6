"""The command `compare`: two sweeps, before and after."""

from typing import Annotated, Literal

import typer

from landscape_ray.cli import text
from landscape_ray.cli.commands import Json, JudgeName, ScoreDefinition, Tau, app
from landscape_ray.errors import UserError

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
    by: Annotated[Literal["visage", "mean-margin"], typer.Option(help="Which score --fail-below looks at.")] = "visage",
    fail_below: Annotated[
        float | None,
        typer.Option(metavar="X", help="Exit with 5 if less than this share of the score is left, such as 0.9."),
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
    Retention is the score after divided by the score before. VISAGE does not see how wide a basin is: look at the mean
    margin, too, or judge by it with `--by mean-margin`.
    """
    from landscape_ray.cli.comparison_text import comparison_text  # noqa: PLC0415
    from landscape_ray.report.comparison import compare_results, comparison_document  # noqa: PLC0415
    from landscape_ray.report.results import load_results  # noqa: PLC0415

    first, second = load_results(before, judge), load_results(after, judge)
    comparison = compare_results(first, second, definition=definition, allow_missing=allow_missing, tau_pct=tau)
    retained = [
        changes[name].retention
        for changes in comparison.benchmarks.values()
        if (name := by.replace("-", "_")) in changes
    ]
    if fail_below is not None and not retained:
        msg = f"No benchmark of {before} has the score {by!r} that --fail-below is to look at. Try another --by."
        raise UserError(msg)
    if json_:
        text.print_json(comparison_document(first, second, comparison))
    else:
        text.print_facts(comparison_text(first, second, comparison))
    # What is undefined is no proof of safety.
    shares = [None if each is None else each.value for each in retained]
    if fail_below is not None and any(share is None or share < fail_below for share in shares):
        raise typer.Exit(5)
