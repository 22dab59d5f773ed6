"""The command `certify`: how sure it is that no wall is near."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from landscape_ray.cli import text
from landscape_ray.cli.app import Json, JudgeName, Out, app
from landscape_ray.errors import few_of, number_of

if TYPE_CHECKING:
    from landscape_ray.analysis import Certificate
    from landscape_ray.report.folder import WrittenReport
    from landscape_ray.sweep import SweepOutcome

__all__ = ["certificates_of_run", "certificates_text", "certify"]

MAX_LISTED = 10


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
    from landscape_ray.report.certificates import asked_of, certificates  # noqa: PLC0415
    from landscape_ray.report.results import load_results  # noqa: PLC0415

    results = load_results(out, judge)
    given = {"radius": radius, "share": share, "confidence": confidence}
    asked = asked_of(results, {name: value for name, value in given.items() if value is not None})
    found = certificates(results, asked)
    certified = all(each.certified for each in found.values())
    if json_:
        benchmarks = {name: asdict(each) for name, each in found.items()}
        text.print_json({"sweep_id": results.manifest.sweep_id, "certified": certified, "benchmarks": benchmarks})
    else:
        text.print_facts(certificates_text(found))
    if not certified:
        raise typer.Exit(5)


def certificates_of_run(outcome: "SweepOutcome", report: "WrittenReport") -> dict[str, "Certificate"]:
    """Return the certificates of a run that was to certify and has measured all that it chose; none of any other."""
    from landscape_ray.report.certificates import own_certificates  # noqa: PLC0415

    return {} if outcome.exit_code else own_certificates(report.results)


def certificates_text(found: Mapping[str, "Certificate"]) -> Iterator[text.Fact]:
    """Yield what draws say of all directions, benchmark by benchmark."""
    for name, each in found.items():
        lines = list(_lines(each))
        yield from zip((name, *[""] * len(lines)), lines, strict=False)


def _lines(found: "Certificate") -> Iterator[str]:
    verdict = "certified" if found.certified else "NOT certified"
    yield f"{verdict}: at least {100 * found.wanted_share:g} % of directions are basins of radius {found.radius:g}"
    yield (
        f"{found.num_basins} of {number_of(found.num_draws, 'draw')}, {100 * found.share:.1f} %: at least "
        f"{100 * found.bound:.1f} % of all directions, with a confidence of {100 * found.confidence:g} %"
    )
    for wall in found.walls[:MAX_LISTED]:
        yield f"draw {wall.draw} meets the wall at {wall.coordinate:g}: ASR {wall.asr_pct:.1f} %"
    if len(found.walls) > MAX_LISTED:
        yield f"and {number_of(len(found.walls) - MAX_LISTED, 'draw')} more, see --json"
    if found.undecided:
        draws = f"{number_of(len(found.undecided), 'draw')} ({few_of(map(str, found.undecided))})"
        yield f"points within the radius are missing in {draws}, which count as no basins until they are measured"
    if not found.certified:
        yield f"if all draws were basins, {found.fewest_draws} would do, fixed before the first is looked at"
