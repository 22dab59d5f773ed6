"""The commands. Each imports what it needs when it runs, so that none of them waits for what it does not need."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console

import landscape_ray
from landscape_ray.cli import text
from landscape_ray.config import SweepConfig, load_config
from landscape_ray.errors import BenchmarkError, LandscapeError

__all__ = ["app", "main"]

EXIT_CODES = """
Exit codes: 0 done, 1 error, 2 wrong usage or configuration, 3 incomplete but resumable, 4 finished with failed points,
5 score below the threshold.
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


@app.command()
def plan(config: ConfigFile, *, set_: Overrides = None, json_: Json = False) -> None:
    """Print what a sweep will measure and cost. Starts nothing.

    Checks the configuration and the prompts. Give it the same --set as the run:

    ```
    landscape-ray plan jobs/configs/llama-3-8b-instruct-2d.yaml --set directions.draws=1
    ```
    """
    from landscape_ray.plan import SweepPlan, estimate  # noqa: PLC0415

    sweep = load_config(config, set_ or ())
    num_prompts, problems = _num_prompts(sweep)
    size = estimate(sweep, SweepPlan.from_config(sweep), num_prompts)
    if json_:
        _print_json({"sweep_id": sweep.sweep_id, "num_prompts": num_prompts, **asdict(size), "problems": problems})
    else:
        text.print_facts(Console(), text.plan_text(sweep, size, num_prompts))
    if problems:
        raise BenchmarkError("\n".join([*problems, "Counted with `limit` instead; `run` would stop here."]))


def _num_prompts(config: SweepConfig) -> tuple[dict[str, int], list[str]]:
    """Return the number of prompts by benchmark, and why prompts that will be needed cannot be had now."""
    from landscape_ray.evaluation import load_benchmark  # noqa: PLC0415

    num_prompts, problems = {}, []
    for benchmark in config.benchmarks:
        try:
            num_prompts[benchmark.name] = len(load_benchmark(benchmark).prompts)
        except BenchmarkError as error:
            if benchmark.limit is None:
                raise
            num_prompts[benchmark.name] = benchmark.limit
            problems.append(str(error))
    return num_prompts, problems


@config_app.command("schema")
def config_schema() -> None:
    """Print the JSON Schema of configurations, for completion and checks in an editor.

    For the YAML extension of an editor, write it beside your files and start them with a line that names it:

    ```
    landscape-ray config schema > sweep.schema.json
    # yaml-language-server: $schema=sweep.schema.json
    ```
    """
    sys.stdout.write(json.dumps(SweepConfig.model_json_schema(), indent=2) + "\n")


@config_app.command("show")
def config_show(config: ConfigFile, *, set_: Overrides = None) -> None:
    """Print a configuration with every default, variable and --set in it. The output is a configuration, too."""
    sweep = load_config(config, set_ or ())
    shown = yaml.safe_dump(sweep.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120)
    sys.stdout.write(f"# sweep {sweep.sweep_id}\n{shown}")


def _print_json(data: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(data, allow_nan=False) + "\n")
    sys.stdout.flush()
