"""What is wrong with a configuration, in words."""

from datetime import date
from typing import Any

from pydantic import ValidationError

__all__ = ["problems_of"]


def problems_of(error: ValidationError, *, with_values: bool = True) -> str:
    """Return what is wrong with a configuration, one line for each key: ours first, then what pydantic says.

    Args:
        error: What pydantic found.
        with_values: Repeat values; not where there may be a secret among them.
    """
    errors = error.errors()
    # A list whose items are all invalid is reported as too short as well; that says nothing more.
    causes = [e for e in errors if not any(_is_inside(other["loc"], e["loc"]) for other in errors)]
    return "\n".join(f"  {_where(e['loc'])}: {_what(e, with_values=with_values)}" for e in causes)


def _is_inside(loc: tuple[int | str, ...], outer: tuple[int | str, ...]) -> bool:
    return len(loc) > len(outer) and loc[: len(outer)] == outer


def _where(loc: tuple[int | str, ...]) -> str:
    if loc[:1] == ("landscape",):
        loc = ("landscape", *loc[2:])  # without the kind, which is no key: what is left can be given to --set
    if loc[:1] == ("directions",):
        loc = ("directions", *loc[2:3], *(loc[4:] if loc[1:2] == ("kinds",) else loc[3:]))
    return ".".join(str(part) for part in loc) or "(top level)"


def _what(error: Any, *, with_values: bool) -> str:
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "value_error":  # a message of our own
        return message
    if error["type"] == "missing":
        return "is needed, and is not there"
    value, quoted = f"{error['input']!r:.80}" if with_values else "what it is", ""
    if error["type"] == "string_type" and isinstance(value := error["input"], bool | int | float | date):
        quoted = f", which YAML takes for a {type(value).__name__}; write text that looks like one in quotes"
    return f"cannot be {value}{quoted}: {message[0].lower()}{message[1:]}"
