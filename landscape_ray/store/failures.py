"""Points that were given up: one small JSON file each, so that a poison point fails alone and says why."""

from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from landscape_ray.errors import PartError
from landscape_ray.store.redaction import redacted
from landscape_ray.store.validation import problems

__all__ = ["MAX_FAILURE_BYTES", "PointFailure", "decode", "encode"]

MAX_ERROR_CHARS = 4000
MAX_FAILURE_BYTES = 64 << 10
"""Larger files are no failure files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PointFailure:
    """One benchmark at one point that was given up after all its attempts."""

    key: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    """Key of the part that is missing for it."""
    label: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.+-]{1,100}$")]
    """Short readable name of the point."""
    benchmark: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,47}$")]
    """Name of the benchmark."""
    error: Annotated[str, Field(max_length=MAX_ERROR_CHARS)]
    """Error of the last attempt; stored shortened, and without credentials and control characters."""
    attempts: Annotated[int, Field(ge=1)]
    """Number of attempts made."""
    at: Annotated[str, Field(max_length=40, pattern=r"^[0-9T:.+Z-]+$")]
    """When it was given up, ISO 8601, UTC."""


_FAILURE = TypeAdapter(PointFailure)


def encode(failure: PointFailure) -> bytes:
    """Return a failure as JSON.

    Raises:
        ValueError: A field is malformed.
    """
    printable = "".join(c if c.isprintable() or c == "\n" else " " for c in redacted(failure.error))
    shortened = printable if len(printable) <= MAX_ERROR_CHARS else f"{printable[: MAX_ERROR_CHARS - 4]} ..."
    content = _FAILURE.dump_json(replace(failure, error=shortened), indent=1)
    _FAILURE.validate_json(content, strict=True)
    return content


def decode(name: str, content: bytes) -> PointFailure:
    """Return the failure that a file holds.

    Raises:
        PartError: The file holds no failure; the message says why.
    """
    try:
        failure = _FAILURE.validate_json(content, strict=True)
    except ValidationError as error:
        msg = f"it is not a failure file: {problems(error)}"
        raise PartError(msg) from error
    if name != f"{failure.key}.json":
        msg = f"its name is not that of its key, {failure.key}.json"
        raise PartError(msg)
    return failure
