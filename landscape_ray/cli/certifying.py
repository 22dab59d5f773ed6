"""The command `certify`: how sure it is that no wall is near."""

from dataclasses import asdict
from typing import Annotated

import typer

from landscape_ray.cli import text
from landscape_ray.cli.app import Json, JudgeName, Out, app
from landscape_ray.library import open_results

__all__ = ["certify"]


@app.command()
def certify(
    out: Out,
    *,
    radius: Annotated[
        float | None,
        typer.Option(metavar="R", help="How far basins must reach.  [default: the sweep's own `certify.radius`]"),
    ] = None,
    share: Annotated[
        float | None,
        typer.Option(metavar="S", help="The share of directions that must be basins.  [default: the sweep's, or 0.95]"),
    ] = None,
    confidence: Annotated[
        float | None, typer.Option(metavar="C", help="How sure that must be.  [default: the sweep's, or 0.95]")
    ] = None,
    judge: JudgeName = None,
    json_: Json = False,
) -> None:
    """Say how sure it is that no wall is near: the share of random directions that are basins, with its exact bound.

    ```
    landscape-ray certify results/my --radius 0.1
    ```

    ```
    landscape-ray run my.yaml --out results/my --until-certified 0.1 --set directions.draws=59
    ```

    A draw is a basin if no measured point within the radius has an ASR above 50 %. Exits with 0 if the share is
    certified in every benchmark of attacks, with 5 if it is not. The bound holds for a number of draws that was fixed
    beforehand, and for sweeps of `run --until-certified`; not if draws are added until it is reached.
    """
    results = open_results(out, judge)
    found = results.certify(radius, share, confidence)
    if json_:
        benchmarks = {name: asdict(each) for name, each in found.items()}
        text.print_json({"sweep_id": results.sweep_id, "certified": found.certified, "benchmarks": benchmarks})
    else:
        text.print_facts(found.facts())
    if not found.certified:
        raise typer.Exit(5)
