"""The application that commands register with, the options that several of them share, and how it is run."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

import landscape_ray
from landscape_ray.errors import LandscapeError

__all__ = [
    "Adaptive",
    "ConfigFile",
    "ConfigFiles",
    "Json",
    "JsonLines",
    "JudgeName",
    "Out",
    "Overrides",
    "ScoreDefinition",
    "ShardText",
    "Tau",
    "UntilCertified",
    "app",
    "config_app",
    "main",
]

EXIT_CODES = """
Exit codes: 0 done, 1 error, 2 wrong usage or configuration, 3 incomplete but resumable, 4 finished with failed points,
5 score below the threshold, or nothing certified.
"""

app = typer.Typer(
    name="landscape-ray",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    epilog=EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"]},
)
config_app = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown", help="Look at configurations.")
app.add_typer(config_app, name="config")

ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML file, such as jobs/configs/demo.yaml.")]
ConfigFiles = Annotated[
    list[Path],
    typer.Argument(metavar="CONFIG...", help="YAML files, such as jobs/configs/demo.yaml; each may list `models`."),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change one key, such as `directions.draws=8` or `benchmarks.0.limit=20`. Repeatable.",
    ),
]
Out = Annotated[str, typer.Argument(metavar="OUT", help="The folder or URL that a run wrote to.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Adaptive = Annotated[
    bool,
    typer.Option(
        "--adaptive", help="Measure a part of the grid, where it matters, and estimate the score. See `adaptive`."
    ),
]
UntilCertified = Annotated[
    float | None,
    typer.Option(
        metavar="R",
        help="Measure draws until it is settled whether basins reach this radius. Short for `--set certify.radius=R`.",
    ),
]
JsonLines = Annotated[bool, typer.Option("--json", help="Print one JSON line at the start and one at the end.")]
JudgeName = Annotated[
    str | None,
    typer.Option("--judge", metavar="NAME", help="Count the verdicts of this judge, see `landscape-ray judge`."),
]
ScoreDefinition = Annotated[Literal["paper", "reference"], typer.Option(help="Which VISAGE.")]
ShardText = Annotated[
    str | None,
    typer.Option(
        "--shard", metavar="i/n", help="Measure the i-th of n shares of the points, beside n - 1 other drivers."
    ),
]
Tau = Annotated[float, typer.Option(metavar="PCT", min=0, max=100, help="The basin is where the ASR is at most this.")]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; what goes wrong becomes one paragraph on stderr and an exit code."""
    try:
        app(args=None if arguments is None else list(arguments), prog_name="landscape-ray")
    except LandscapeError as error:
        sys.stderr.write(f"Error: {error}\n")
        sys.exit(error.exit_code)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - Typer calls it so
    if wanted:
        sys.stdout.write(f"landscape-ray {landscape_ray.__version__}\n")
        raise typer.Exit


@app.callback()
def about(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Measure how robust the safety of a language model is in weight space.

    A sweep moves a model's weights along random directions and measures at each point how many harmful requests are
    not refused. VISAGE is the mean depth of the safety basin that this shows.

    Try it, without a GPU and without a download:

    ```
    landscape-ray run jobs/configs/demo.yaml --out results/demo
    ```

    Then a model of yours: copy a file of jobs/configs, and look before you pay:

    ```
    landscape-ray plan my.yaml
    landscape-ray run my.yaml
    ```
    """
