"""Requests to a run that is under way, and the driver's answers: how people steer a sweep through its folder.

::

    control/<time>-<8 digits>.json          what is asked, by whom and why; see `Request`
    control/<time>-<8 digits>.answer.json   when the driver saw it, and why it refused, if it did; see `Answer`

Both are created and never changed. A request names the lease of the driver that it is for, so none is carried out by a
later run, and no clocks are compared. Whoever may write to the folder may ask; what they ask is checked before it is
believed.
"""

import getpass
import os
import re
import secrets
import socket
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from landscape_ray.errors import ConfigError
from landscape_ray.store.filesystem import Filesystem, explained
from landscape_ray.store.lease import LeaseState
from landscape_ray.store.redaction import redacted
from landscape_ray.store.validation import problems

__all__ = ["Answer", "Asked", "Request", "RequestStore", "pause_among", "request_of"]

FOLDER = "control"
NAME = re.compile(r"(?P<request>[0-9]{8}T[0-9]{12}Z-[0-9a-f]{8})(?P<answer>\.answer)?\.json", re.ASCII)
MAX_FILE_BYTES = 8192
"""Larger files are neither requests nor answers."""
MAX_CHARS = 500


def _printable(text: str) -> str:
    if not text.isprintable():
        msg = "has characters that cannot be shown"
        raise ValueError(msg)
    return text


Text = Annotated[str, Field(min_length=1, max_length=MAX_CHARS), AfterValidator(_printable)]
Time = Annotated[str, Field(pattern=r"^[0-9T:.+Z-]{1,40}$")]


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)


class Request(_Document):
    """What somebody asks of the driver at work."""

    action: Literal["pause", "resume", "stop", "set"]
    """What to do."""
    engines: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """With `set`: engines at the same time."""
    why: Text
    """Their reason."""
    by: Text
    """Who asks, as they say."""
    at: Time
    """When, by their clock, ISO 8601, UTC."""
    epoch: Annotated[int, Field(ge=1)]
    """Lease of the driver that is asked."""
    shard: Annotated[str, Field(pattern=r"^([0-9]{1,9}-of-[0-9]{1,9})?$")] = ""
    """Name of its shard; empty: it measures the whole sweep."""

    @model_validator(mode="after")
    def _check_engines(self) -> Self:
        if (self.action == "set") != (self.engines is not None):
            msg = "engines are for `set`, and `set` is for engines"
            raise ValueError(msg)
        return self

    @property
    def wish(self) -> str:
        """What is asked, as it is typed."""
        return self.action if self.engines is None else f"set run.engines={self.engines}"


class Answer(_Document):
    """What became of a request."""

    at: Time
    """When the driver saw it, by its clock, ISO 8601, UTC."""
    refused: Text | None = None
    """Why it was not carried out; None if it was."""


Document = TypeVar("Document", Request, Answer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A file of a request, and what became of it."""

    name: str
    """Name of the request; names sort by time."""
    request: Request | str
    """What it asks, or what is wrong with it."""
    answer: Answer | None
    """None: no driver has seen it yet."""


class RequestStore:
    """The requests to the runs of one results folder. Any number of processes may ask and read at once."""

    def __init__(self, files: Filesystem, location: str) -> None:
        """Use a folder; nothing is read or written yet.

        Args:
            files: The results folder.
            location: Where it is, as it may be shown.
        """
        self._files = files
        self._location = location

    def ask(self, request: Request) -> str:
        """Put a request into the folder; return its name.

        Raises:
            OutputError: It cannot be written.
        """
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}Z-{secrets.token_hex(4)}"
        with explained(self._location, "write to"):
            self._files.create(f"{FOLDER}/{name}.json", request.model_dump_json(indent=1).encode())
        return name

    def answer(self, name: str, refused: str | None = None) -> None:
        """Say that a request was seen; the first answer stays.

        Args:
            name: Name of the request.
            refused: Why it is not carried out; None if it is.

        Raises:
            OutputError: It cannot be written.
        """
        answer = Answer(at=_now(), refused=refused and _shown(refused))
        with explained(self._location, "write to"):
            self._files.create(f"{FOLDER}/{name}.answer.json", answer.model_dump_json(indent=1).encode())

    def asked(self, *, but: Collection[str] = ()) -> list[Asked]:
        """Return the requests by name, with their answers.

        Args:
            but: Names to leave out; their files are not read.

        Raises:
            OutputError: The folder cannot be read.
        """
        with explained(self._location, "read"):
            listed = ((NAME.fullmatch(entry.name), entry) for entry in self._files.files(FOLDER))
            found = [
                (name["request"], name["answer"], entry)
                for name, entry in listed
                if name and name["request"] not in but and entry.num_bytes <= MAX_FILE_BYTES
            ]
            contents = list(self._files.contents(FOLDER, [entry for *_, entry in found]))
        answers = {
            name: answer
            for (name, is_answer, _), content in zip(found, contents, strict=True)
            if is_answer and isinstance(answer := _decoded(Answer, content), Answer)
        }
        return [
            Asked(name=name, request=_decoded(Request, content), answer=answers.get(name))
            for (name, is_answer, _), content in zip(found, contents, strict=True)
            if not is_answer
        ]

    def pause(self, drivers: Mapping[str, LeaseState]) -> Request | None:
        """Return the request by which a driver is in a pause, the first of several; None if none is.

        Args:
            drivers: Those at work, by name of the shard, see `ResultStore.drivers`.

        Raises:
            OutputError: The folder cannot be read.
        """
        asked = self.asked() if drivers else []
        pauses = (pause_among(asked, driver.epoch, shard) for shard, driver in drivers.items())
        return next(filter(None, pauses), None)


def pause_among(asked: Iterable[Asked], epoch: int, shard: str = "") -> Request | None:
    """Return the request for the pause that the driver of a lease is in; None if it is in none."""
    carried_out = [
        (each.answer.at, each.request)
        for each in asked
        if isinstance(each.request, Request)
        and (each.request.shard, each.request.epoch) == (shard, epoch)
        and each.answer
        and not each.answer.refused
    ]
    carried_out.sort(key=lambda item: item[0])
    last = next((request for _, request in reversed(carried_out) if request.action in {"pause", "resume"}), None)
    return last if last is not None and last.action == "pause" else None


def request_of(words: Sequence[str], *, why: str, epoch: int, shard: str = "") -> Request:
    """Make a request of this user's.

    Args:
        words: What is asked, as it is typed: `pause`, `resume`, `stop`, or `set` and `run.engines=N`.
        why: Their reason.
        epoch: Lease of the driver that is asked.
        shard: Name of its shard.

    Raises:
        ConfigError: It is no request.
    """
    action, *settings = words
    engines = " ".join(settings).removeprefix("run.engines=")
    asked = {"action": action, "engines": int(engines) if engines.isdecimal() else engines or None}
    says = {"why": " ".join(redacted(why).split()), "by": _this_user(), "at": _now(), "epoch": epoch, "shard": shard}
    try:
        return Request.model_validate(asked | says)
    except ValidationError as error:
        msg = (
            f"Cannot ask a run for {' '.join(words)!r}: {problems(error)}. Ask for pause, resume, stop or "
            "`set run.engines=N`, and say why."
        )
        raise ConfigError(msg) from error


def _decoded(kind: type[Document], content: bytes | None) -> Document | str:
    """Return what a file holds, or what is wrong with it."""
    try:
        return kind.model_validate_json(content or b"")
    except ValidationError as error:
        return _shown(problems(error))


def _shown(text: str) -> str:
    """Return a text as it may be stored and shown: a file may name its keys as it likes."""
    return "".join(c if c.isprintable() else " " for c in text)[:MAX_CHARS]


def _this_user() -> str:
    """Return who this is, for people: anybody may claim another name."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container whose user has no name
        user = f"user {os.getuid()}"
    return _shown(f"{user}@{socket.gethostname()}")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
