"""The commands about judges: `judge` and `agreement`."""

import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from landscape_ray import library
from landscape_ray.cli import text
from landscape_ray.cli.app import Json, JsonLines, Out, app
from landscape_ray.cli.text import print_json
from landscape_ray.errors import ConfigError, number_of

__all__ = ["agreement", "judge"]


@app.command()
def judge(
    out: Out,
    *,
    judge: Annotated[
        str,
        typer.Option("--judge", metavar="NAME|FILE", help="A judge's short name, or a YAML file that describes one."),
    ],
    json_: JsonLines = False,
) -> None:
    """Judge stored answers once more, with another judge. Nothing is generated again.

    Names are `keyword`, `llama-guard-3`, `wildguard`, `wildguard-refusal` and `harmbench`; docs/judges.md shows files
    for endpoints and functions. Run the same command again after an interruption: only what has no verdict is judged.

    ```
    landscape-ray judge results/demo --judge keyword
    landscape-ray judge results/llama --judge my-judge.yaml
    landscape-ray score results/llama --judge my-judge
    ```

    Exits with 0 when all is judged, 3 when points are left or not measured yet, 4 when some were given up.
    """
    if _is_inside(judge, out):
        msg = f"{judge} lies in the results folder {out}, whose files may be anybody's. Read it, and copy it elsewhere."
        raise ConfigError(msg)
    config = library.load_judge(judge)
    if json_:
        print_json({"event": "start", "judge": config.name, "out": out})
    with text.failure_told(as_json=json_):
        outcome = library.run_judge(config, out, progress=library.progress_for(sys.stderr))
    points = outcome.points
    if json_:
        end = {"event": "end", "exit_code": outcome.exit_code, **asdict(outcome), "num_missing": points.num_missing}
        print_json(end)
    else:
        done = f"{points.num_done:,} of {number_of(points.num_points, 'point')}"
        facts = [("judge", outcome.judge), ("judged", f"{done}: {', '.join(outcome.benchmarks)}")]
        if points.num_missing:
            facts.append(("missing", f"{number_of(points.num_missing, 'point')}; the same command goes on"))
        if points.num_failed:
            facts.append(("given up", f"{number_of(points.num_failed, 'point')}; log/ beside the verdicts says why"))
        if outcome.num_unmeasured:
            facts.append(("unmeasured", f"{number_of(outcome.num_unmeasured, 'point')} of the sweep"))
        facts.append(("rows", f"{out}/judged/{config.name}/parts/*.parquet"))
        facts.append(("next", shlex.join(["landscape-ray", "score", out, "--judge", config.name])))
        text.print_facts(facts)
    raise typer.Exit(outcome.exit_code)


@app.command()
def agreement(
    out: Out,
    *,
    judges: Annotated[str, typer.Option(metavar="A,B", help="Judges to compare, by name, separated by commas.")],
    labels: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Labels by people: .csv, .jsonl or .parquet; docs/judges.md.")
    ] = None,
    json_: Json = False,
) -> None:
    """Print how far judges agree with each other, and with labels of people.

    ```
    landscape-ray agreement results/llama --judges keyword,wildguard
    landscape-ray agreement results/llama --judges wildguard --labels labels.csv
    ```

    Confusion table, raw agreement and Cohen's kappa, by benchmark, on the completions that all of them judged.
    """
    names = tuple(name for name in judges.split(",") if name)
    if len(set(names)) != len(names) or len(names) < (2 if labels is None else 1):
        msg = f"--judges {judges!r}: give two or more different judges, or one and --labels."
        raise ConfigError(msg)
    found = library.compare_judges(out, names, labels)
    if json_:
        print_json(found.document())
    else:
        text.print_facts(found.facts())


def _is_inside(judge: str, out: str) -> bool:
    """Tell whether a judge's file lies in the results folder, whose files are not ours to trust."""
    return "://" not in out and Path(judge).is_file() and Path(judge).resolve().is_relative_to(Path(out).resolve())
