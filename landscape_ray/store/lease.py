"""A lease: one driver at a time measures a sweep, and each driver has a number, its epoch.

Two drivers could not corrupt a sweep, because parts are created and never overwritten, but they would do everything
twice. So a driver first creates `lease/<epoch>.json`, one above the highest epoch that is there. Only one driver can
create a file, so no epoch has two holders. The holder renews its file; whoever finds a higher epoch than its own has
been taken for dead, and stops.

Clocks of machines are not compared. A driver that finds a lease held watches it: if the file changes, its holder is at
work, and the newcomer gives way. If it does not change for `LAPSE_S`, or its holder was a process of this machine that
is no more, the newcomer takes the next epoch.

Drivers of shards hold a lease each, `lease/<shard>.<epoch>.json`. Leases that exclude each other (that of the whole
sweep and any shard's; shards of different numbers) have files of different names, so a newcomer looks for them before
and after it creates its own: of two newcomers at least one sees the other and gives way. One that has lapsed gets a
next epoch that is released at once, so that its holder, should it wake, stops.

On a store without create-only writes two drivers that start in the same instant may both go on. They then waste work
and corrupt nothing.
"""

import contextlib
import hashlib
import json
import os
import re
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from landscape_ray.errors import LeaseError
from landscape_ray.store.filesystem import Entry, Filesystem

__all__ = ["LAPSE_S", "RENEW_EVERY_S", "Lease", "LeaseState", "latest", "leases"]

RENEW_EVERY_S = 10.0
"""How often a holder renews its lease."""
LAPSE_S = 45.0
"""A lease that has not changed for so long has lapsed: four renewals were missed."""
WATCH_EVERY_S = 1.0
ACQUIRE_TRIES = 10
"""A try is lost to another newcomer that was quicker and has ended since, or to a store that does not read back."""

FOLDER = "lease"
MAX_LEASE_BYTES = 4096
DIGITS = 8
WHOLE = ""
"""Name of the lease of a whole sweep; a shard's bears the shard's name."""
NAME = re.compile(rf"(?:([0-9]+-of-[0-9]+)\.)?([0-9]{{{DIGITS}}})\.json", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseState:
    """Who holds a lease: the content of its file."""

    epoch: Annotated[int, Field(ge=1)]
    """Number of the lease; each driver's is higher than that of the driver before it."""
    token: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    """Tells this holder from all others."""
    host: Annotated[str, Field(max_length=255, pattern=r"^[A-Za-z0-9_.:-]*$")]
    """Name of the driver's machine."""
    pid: Annotated[int, Field(ge=1)]
    """The driver's process there."""
    machine: Annotated[str, Field(pattern=r"^([0-9a-f]{16})?$")]
    """Tells that machine, since its start, and its process numbers from others; empty where that cannot be told."""
    begun_at: Annotated[str, Field(pattern=r"^[0-9T:.+Z-]{1,40}$")]
    """When the driver took the lease, ISO 8601, UTC."""
    renewed_at: Annotated[str, Field(pattern=r"^[0-9T:.+Z-]{1,40}$")]
    """When it was renewed last, by the driver's clock."""
    released: bool
    """Whether the driver has ended and said so."""

    @property
    def holder(self) -> str:
        """The holder, for people."""
        return f"process {self.pid} on {self.host or 'an unnamed machine'}, since {self.begun_at}"

    @property
    def has_died(self) -> bool:
        """Whether the holder was a process of this machine that is no more; of other machines nobody knows."""
        return bool(self.machine) and self.machine == _machine() and not Path(f"/proc/{self.pid}").exists()


_STATE = TypeAdapter(LeaseState)


class Lease:
    """The right to measure a sweep, held until `release` or until another driver had reason to take it."""

    def __init__(self, files: Filesystem, state: LeaseState, name: str = WHOLE) -> None:
        self._files = files
        self._state = state
        self.name = name
        """Name of the shard; empty for the whole sweep."""

    @property
    def epoch(self) -> int:
        """Its number."""
        return self._state.epoch

    @classmethod
    def acquire(cls, files: Filesystem, name: str = WHOLE, *, pause: Callable[[float], None] = time.sleep) -> "Lease":
        """Take the lease, waiting where its last holder, or that of one which excludes it, may be dead.

        Args:
            files: The results folder.
            name: Name of the shard; empty for the whole sweep.
            pause: Waits so many seconds.

        Raises:
            LeaseError: Another driver is at work; the message says which.
            OSError: The store cannot be read or written.
        """
        for _ in range(ACQUIRE_TRIES):
            found = leases(files)
            epoch, _ = found.get(name, (0, None))
            held = _excluding(name, found)
            _watch(files, name, held, pause)
            for other, (its_epoch, _) in held.items():
                if other != name:
                    buried = replace(_state_of_this_process(its_epoch + 1), released=True)
                    files.create(_path(its_epoch + 1, other), _encode(buried))
            lease = cls(files, _state_of_this_process(epoch + 1), name)
            # Who reads its own token back has the lease: the answer to a write may be lost and the write repeated, and
            # a slow newcomer may create a number that others have used and cleared away.
            files.create(_path(epoch + 1, name), _encode(lease._state))
            found = leases(files)
            state = found.get(name, (0, None))[1]
            if state and state.token == lease._state.token:
                if epoch:
                    files.delete(_path(epoch, name))
                rivals = [(other, of[1]) for other, of in _excluding(name, found).items() if other != name]
                if rivals:
                    lease.release()
                    raise _refusal(name, *rivals[0])
                return lease
        msg = f"{_path(epoch + 1, name)} is taken by others, again and again, or does not read back as it was written"
        raise OSError(msg)

    def renew(self) -> None:
        """Show that the holder is at work.

        Raises:
            LeaseError: Another driver has taken the sweep over.
            OSError: The store cannot be read or written.
        """
        epoch, held = latest(self._files, self.name)
        if epoch > self._state.epoch:
            by = f" ({held.holder})" if held else ""
            msg = (
                f"Another run has taken this sweep over{by}, because this one had not been heard of for {LAPSE_S:g} s. "
                "What was measured is kept; let the other run finish."
            )
            raise LeaseError(msg)
        self._state = replace(self._state, renewed_at=_now())
        self._files.replace(_path(self._state.epoch, self.name), _encode(self._state))

    def release(self) -> None:
        """Say that the driver has ended, so that the next one need not wait.

        Raises:
            OSError: The store cannot be written.
        """
        self._files.replace(_path(self._state.epoch, self.name), _encode(replace(self._state, released=True)))


def leases(
    files: Filesystem, wanted: Callable[[str], object] = lambda _: True
) -> dict[str, tuple[int, LeaseState | None]]:
    """Return the highest epoch of each lease, by name, and its holder; None if its file says nothing sensible.

    Raises:
        OSError: The store cannot be read.
    """
    newest: dict[str, tuple[int, Entry]] = {}
    for entry in files.files(FOLDER):  # by name, so that the highest epoch of each comes last
        named = NAME.fullmatch(entry.name)
        if named and wanted(named[1] or WHOLE):
            newest[named[1] or WHOLE] = int(named[2]), entry
    sound = [entry for _, entry in newest.values() if entry.num_bytes <= MAX_LEASE_BYTES]
    contents = dict(zip((entry.name for entry in sound), files.contents(FOLDER, sound), strict=True))
    return {name: (epoch, _decoded(contents.get(entry.name))) for name, (epoch, entry) in newest.items()}


def latest(files: Filesystem, name: str = WHOLE) -> tuple[int, LeaseState | None]:
    """Return the highest epoch of one lease, 0 if there is none, and its holder; see `leases`."""
    return leases(files, name.__eq__).get(name, (0, None))


def _decoded(content: bytes | None) -> LeaseState | None:
    with contextlib.suppress(ValidationError):
        return _STATE.validate_json(content or b"", strict=True)
    return None


def _excluding(
    name: str, found: Mapping[str, tuple[int, LeaseState | None]]
) -> dict[str, tuple[int, LeaseState | None]]:
    """Return the leases that may be held, and exclude that of a name: itself, and all but shards of the same number."""
    num = name.rpartition("-")[2]
    return {
        other: (epoch, state)
        for other, (epoch, state) in found.items()
        if (other == name or other.rpartition("-")[2] != num) and not (state and (state.released or state.has_died))
    }


def _watch(
    files: Filesystem,
    name: str,
    held: Mapping[str, tuple[int, LeaseState | None]],
    pause: Callable[[float], None],
) -> None:
    """Return when leases have been released, or have not changed for `LAPSE_S`.

    Raises:
        LeaseError: One has, so its holder is at work.
    """
    waited_s = 0.0
    held = dict(held)
    while held and waited_s < LAPSE_S:
        pause(WATCH_EVERY_S)
        waited_s += WATCH_EVERY_S
        for other, found in leases(files, held.__contains__).items():
            if found[1] and found[1].released:
                del held[other]
            elif found != held[other]:
                raise _refusal(name, other, found[1])


def _refusal(name: str, other: str, state: LeaseState | None) -> LeaseError:
    what = f"shard {other.replace('-of-', '/')} of this sweep" if other else "this sweep"
    by = f" ({state.holder})" if state else ""
    if other == name:
        why = "Two would do everything twice: wait for it, follow it with `landscape-ray status`, or stop it"
    else:
        why = "All drivers of a folder take shards of the same number, or one driver takes all: wait for it, or stop it"
    return LeaseError(f"Another run is measuring {what}{by}. {why} and run the same command again.")


def _machine() -> str:
    """Return what tells this start of this machine, and the space of process numbers here, from others."""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        space = Path("/proc/self/ns/pid").stat().st_ino
        return hashlib.blake2b(f"{boot}{space}".encode(), digest_size=8).hexdigest()
    return ""


def _state_of_this_process(epoch: int) -> LeaseState:
    now = _now()
    return LeaseState(
        epoch=epoch,
        token=secrets.token_hex(16),
        host=re.sub(r"[^A-Za-z0-9_.:-]", "-", socket.gethostname()),
        pid=os.getpid(),
        machine=_machine(),
        begun_at=now,
        renewed_at=now,
        released=False,
    )


def _encode(state: LeaseState) -> bytes:
    return json.dumps(asdict(state)).encode()


def _path(epoch: int, name: str) -> str:
    return f"{FOLDER}/{name}{'.' if name else ''}{epoch:0{DIGITS}}.json"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
