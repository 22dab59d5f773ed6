"""What the commands print for people."""

import contextlib
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import typer

from landscape_ray.errors import LandscapeError
from landscape_ray.library import Fact

__all__ = ["Fact", "failure_told", "print_facts", "print_json"]


def print_facts(facts: Iterable[Fact]) -> None:
    """Print names and values in two columns. Lines are not wrapped, so that paths and commands can be copied."""
    facts = list(facts)
    width = max(len(name) for name, _ in facts)
    for name, value in facts:
        typer.echo(f"{typer.style(name.ljust(width), bold=True)}  {value}")


def print_json(data: Mapping[str, Any]) -> None:
    """Print one line of JSON, for scripts."""
    sys.stdout.write(json.dumps(data, allow_nan=False) + "\n")
    sys.stdout.flush()


@contextlib.contextmanager
def failure_told(*, as_json: bool) -> Iterator[None]:
    """Print the last of the JSON lines, if such are wanted, where what is done within fails."""
    try:
        yield
    except LandscapeError as error:
        if as_json:
            print_json({"event": "end", "exit_code": error.exit_code, "error": str(error)})
        raise
