"""`ResultStore`: the folder of one sweep's results, which many engines write and anybody reads.

::

    manifest.json                                what the results are about
    parts/<label>.<benchmark>.<key>.parquet      one visit to one point for one benchmark
    directions/<SHA-256>/tensors.safetensors     a direction that an engine computed, see `store.direction_files`
    failures/<key>.json                          a point that was given up, and why
    quarantine/<name of the part>.<8 digits>     what stood in a part's place without proving itself, or disagreed
    lease/[<shard>.]<epoch>.json                 the driver at work, see `store.lease`
    control/<time>-<8 digits>.json               what a driver was asked, see `store.requests`
    log/<start>-<8 digits>.jsonl                 what happened in one run; its last line says how far and how fast

Parts are created, never changed and never deleted.
"""

import contextlib
import secrets
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy.typing as npt
import pyarrow as pa
from pydantic import ValidationError

from landscape_ray.errors import OutputError, PartError
from landscape_ray.evaluation import PointRecord
from landscape_ray.store import failures, lease, manifest, parts, requests, run_log
from landscape_ray.store.failures import PointFailure
from landscape_ray.store.filesystem import Entry, explained, open_filesystem
from landscape_ray.store.lease import Lease, LeaseState
from landscape_ray.store.manifest import Manifest
from landscape_ray.store.parts import PartInfo
from landscape_ray.store.redaction import redacted
from landscape_ray.store.requests import RequestStore
from landscape_ray.store.run_log import RunSummary
from landscape_ray.store.schema import MEASURED, Layout, array_of
from landscape_ray.store.shard import Shard
from landscape_ray.store.validation import problems

__all__ = ["Quarantined", "ResultStore"]

Columns: TypeAlias = dict[str, npt.NDArray[Any]]

PARTS, FAILURES, QUARANTINE, LOG, MANIFEST = "parts", "failures", "quarantine", "log", "manifest.json"
PUBLISH_TRIES = 3
"""Each try but the last clears one unproved file out of the way; more than one means somebody keeps putting them."""


class Quarantined(NamedTuple):
    """A file that has no influence on any score, because it does not prove itself or contradicts another."""

    path: str
    """Path in the results folder."""
    reason: str
    """Why."""


class ResultStore:
    """Results at a path or URL. Any number of processes may write and read at once."""

    def __init__(self, location: str, layout: Layout = MEASURED) -> None:
        """Open a folder; nothing is read or written yet.

        Args:
            location: Path or URL.
            layout: What its parts hold.
        """
        self.location = redacted(location)
        self._layout = layout
        self._files = open_filesystem(location)
        # Why parts that do not prove themselves, and that could not be moved to quarantine, do not: by name.
        self._disproved: dict[str, str] = {}

    def probe(self) -> None:
        """Write, read back and delete a small file; then remove what writers that died left half-written.

        Call it where results will be written, before any engine starts.

        Raises:
            OutputError: Results cannot be written there.
        """
        name, content = f"probe-{secrets.token_hex(8)}", secrets.token_bytes(64)
        with explained(self.location, "write to"):
            self._files.create(name, content)
            found = self._read("", name, len(content))
            self._files.delete(name)
            for folder in (PARTS, FAILURES, QUARANTINE, LOG, lease.FOLDER, requests.FOLDER, ""):
                self._files.sweep(folder)
        if found != content:
            msg = f"{self.location} does not give back what was written to it. Choose another output folder (--out)."
            raise OutputError(msg)

    def publish(self, record: PointRecord, *, key: str, sweep_id: str) -> None:
        """Make the rows of one visit durable: when this returns they are there, whole, whatever dies next.

        The first part of a key stays. A later visit that agrees with it changes nothing; one that disagrees is put
        into quarantine, where it is reported.

        Raises:
            OutputError: The part cannot be written.
        """
        self.publish_part(*parts.encode(record, key=key, sweep_id=sweep_id))

    def publish_part(self, info: PartInfo, content: bytes) -> None:
        """Make an encoded part durable; see `publish`."""
        for _ in range(PUBLISH_TRIES):
            with explained(self.location, "write to"):
                if self._files.create(f"{PARTS}/{info.name}", content):
                    return
                present = self._read(PARTS, info.name, parts.MAX_PART_BYTES)
            try:
                first, _rows = parts.read_rows(info.name, present or b"", [], self._layout)
            except PartError:
                with explained(self.location, "write to"):
                    self._set_aside(info.name)
                continue
            if first.outcome_sha256 != info.outcome_sha256:
                with explained(self.location, "write to"):
                    self._files.create(f"{QUARANTINE}/{info.name}.{info.footer_sha256[:8]}", content)
            return
        msg = f"{self.location}/{PARTS}/{info.name} is taken, again and again, by a file that is no part."
        raise OutputError(msg)

    def parts(self) -> dict[str, PartInfo]:
        """Return the parts by key; their footers are proved, see `parts.read_info`, their rows not yet."""
        return self._scan()[0]

    def quarantined(self) -> list[Quarantined]:
        """Return the files that have no influence on any score."""
        valid, rejected = self._scan()
        with explained(self.location, "read"):
            for entry in self._files.files(QUARANTINE):
                reason = self._why_in_quarantine(entry, valid)
                rejected.append(Quarantined(f"{QUARANTINE}/{entry.name}", reason))
        for name, failure in self._failure_files():
            if isinstance(failure, PartError):
                rejected.append(Quarantined(f"{FAILURES}/{name}", str(failure)))
        return rejected

    def columns(self, keys: Collection[str], names: Sequence[str] | None = None) -> Columns:
        """Return the rows of parts, in the order of the keys, as one array per column.

        Every byte of every part is proved. A part that is not there or does not prove itself has no rows in the
        result. One whose footer is in order but whose rows are not is moved to quarantine, if the store may be
        written, so that it is no longer listed and is measured again.

        Args:
            keys: Keys of the parts.
            names: The columns wanted, by default all.

        Returns:
            Arrays of one length: numbers as numbers, null as NaN (true then is 1.0), text as objects, null as None.
        """
        rows = self.rows(keys, names)
        return {name: array_of(rows.column(name)) for name in (self._layout.schema.names if names is None else names)}

    def rows(self, keys: Collection[str], names: Sequence[str] | None = None) -> pa.Table:
        """Return the rows of parts, in the order of the keys, as one table; see `columns`."""
        tables = [table for _, table in self.tables(keys, names)]
        return pa.concat_tables(tables) if tables else self._layout.schema.empty_table()

    def columns_by_part(
        self, keys: Collection[str], names: Sequence[str] | None = None
    ) -> Iterator[tuple[str, Columns]]:
        """Yield the rows of each part with its key, as `columns` would return them; few parts are held at a time."""
        for key, table in self.tables(keys, names):
            yield key, {name: array_of(table.column(name)) for name in table.column_names}

    def tables(self, keys: Collection[str], names: Sequence[str] | None = None) -> Iterator[tuple[str, pa.Table]]:
        """Yield the rows of each part with its key, in the order of the keys; see `columns`."""
        order = {key: place for place, key in enumerate(dict.fromkeys(keys))}
        last: str | None = None
        with explained(self.location, "read"):
            found = ((parts.key_in_name(entry.name), entry) for entry in self._files.files(PARTS))
            wanted = sorted(
                ((key, entry) for key, entry in found if key in order and entry.num_bytes <= parts.MAX_PART_BYTES),
                key=lambda item: (order[item[0]], item[1].name),
            )
            contents = self._files.contents(PARTS, [entry for _, entry in wanted])
            for (key, entry), content in zip(wanted, contents, strict=True):
                if content is None or key == last:
                    continue
                if not _has_proved_footer(entry, content):
                    continue  # no part in the listing either, and perhaps one of a later version: let it lie
                try:
                    _, table = parts.read_rows(entry.name, content, names, self._layout)
                except PartError as error:
                    try:
                        self._set_aside(entry.name)
                    except OSError:
                        self._disproved[entry.name] = str(error)
                    continue
                last = key
                yield key, table

    def publish_failure(self, failure: PointFailure) -> None:
        """Record that a point was given up; a later record of the same key takes its place.

        Raises:
            OutputError: The record cannot be written.
        """
        with explained(self.location, "write to"):
            self._files.replace(f"{FAILURES}/{failure.key}.json", failures.encode(failure))

    def failures(self) -> dict[str, PointFailure]:
        """Return what was given up, by key; a part of that key supersedes it."""
        found = {failure.key: failure for _, failure in self._failure_files() if isinstance(failure, PointFailure)}
        done = self._scan(found)[0] if found else {}
        return {key: failure for key, failure in found.items() if key not in done}

    def write_manifest(self, new: Manifest) -> None:
        """Write the manifest; the begin and the benchmarks of earlier runs into the folder are kept.

        Raises:
            OutputError: It cannot be written, or the one that is there is damaged.
        """
        earlier = self.read_manifest()
        if earlier is None and self.create_file(MANIFEST, manifest.encode(new)):
            return
        if (earlier := earlier or self.read_manifest()) is not None:  # another driver may have begun the folder since
            new = manifest.continued(new, earlier)
        with explained(self.location, "write to"):
            self._files.replace(MANIFEST, manifest.encode(new))

    def read_manifest(self) -> Manifest | None:
        """Return the manifest, or None in a folder without one.

        Raises:
            OutputError: It is damaged.
        """
        content = self.read_file(MANIFEST, manifest.MAX_MANIFEST_BYTES)
        if content is None:
            return None
        try:
            return manifest.decode(content)
        except ValidationError as error:
            msg = (
                f"{self.location}/{MANIFEST} is damaged: {problems(error)}. Move it away and run the same command "
                "again: parts are found by their keys, so nothing is measured twice."
            )
            raise OutputError(msg) from error

    def require_manifest(self) -> Manifest:
        """Return what the results are about.

        Raises:
            OutputError: There are none, or the manifest is damaged.
        """
        found = self.read_manifest()
        if found is None:
            msg = f"{self.location} holds no sweep: it has no manifest. Give the output folder of `landscape-ray run`."
            raise OutputError(msg)
        return found

    @contextlib.contextmanager
    def lease(self, shard: Shard | None = None) -> Iterator[Lease]:
        """Hold the lease of the sweep, or of a shard, so that no other driver measures it at the same time.

        Raises:
            LeaseError: Another driver is at work.
            OutputError: The store cannot be written.
        """
        with explained(self.location, "write to"):
            held = Lease.acquire(self._files, shard.name if shard else lease.WHOLE)
        try:
            yield held
        finally:
            with contextlib.suppress(OSError):  # then the next driver has to wait for it to lapse
                held.release()

    @property
    def requests(self) -> RequestStore:
        """What the driver at work was asked by others."""
        return RequestStore(self._files, self.location)

    def drivers(self) -> dict[str, LeaseState]:
        """Return the drivers that are at work, or were killed, by name of the shard; empty: of the whole sweep."""
        with explained(self.location, "read"):
            found = lease.leases(self._files)
        return {name: state for name, (_, state) in found.items() if state and not state.released}

    def create_file(self, name: str, content: bytes) -> bool:
        """Write a small file of the folder itself; False, with nothing changed, if it is there already.

        Raises:
            OutputError: It cannot be written.
        """
        with explained(self.location, "write to"):
            return self._files.create(name, content)

    def read_file(self, name: str, max_bytes: int) -> bytes | None:
        """Return a small file of the folder itself; None if it is not there, or larger.

        Raises:
            OutputError: It cannot be read.
        """
        with explained(self.location, "read"):
            return self._read("", name, max_bytes)

    def write_log(self, name: str, content: bytes) -> None:
        """Put a file into the folder of logs, in the place of an earlier one of that name.

        Raises:
            OutputError: It cannot be written.
        """
        with explained(self.location, "write to"):
            self._files.replace(f"{LOG}/{name}", content)

    def latest_run(self) -> RunSummary | None:
        """Return how the run that was begun last stood when it wrote its log; None without a log that says so."""
        with explained(self.location, "read"):
            logs = [entry for entry in self._files.files(LOG) if entry.num_bytes <= run_log.MAX_LOG_BYTES]
            content = next(self._files.contents(LOG, logs[-1:]), None)
        return run_log.summary_of(content or b"")

    def _scan(self, keys: Collection[str] | None = None) -> tuple[dict[str, PartInfo], list[Quarantined]]:
        """Prove the footers of all parts, or of those with certain keys; return the proved by key, and the others."""
        valid: dict[str, PartInfo] = {}
        names: dict[str, str] = {}
        rejected: list[Quarantined] = []
        with explained(self.location, "read"):
            entries = self._files.files(PARTS)
            if keys is not None:
                entries = [entry for entry in entries if parts.key_in_name(entry.name) in keys]
            tails = self._files.contents(PARTS, entries, last=parts.TAIL_BYTES)
            for entry, tail in zip(entries, tails, strict=True):
                if tail is None:
                    continue
                try:
                    info = parts.read_info(entry.name, tail, entry.num_bytes)
                except PartError as error:
                    rejected.append(Quarantined(f"{PARTS}/{entry.name}", str(error)))
                    continue
                if entry.name in self._disproved:
                    rejected.append(Quarantined(f"{PARTS}/{entry.name}", self._disproved[entry.name]))
                elif info.key in valid:
                    reason = _second(info, valid[info.key], names[info.key])
                    rejected.append(Quarantined(f"{PARTS}/{entry.name}", reason))
                else:
                    valid[info.key], names[info.key] = info, f"{PARTS}/{entry.name}"
        return valid, rejected

    def _why_in_quarantine(self, entry: Entry, valid: dict[str, PartInfo]) -> str:
        """Return what is wrong with a file in quarantine."""
        content = self._read(QUARANTINE, entry.name, parts.MAX_PART_BYTES)
        try:
            info, _ = parts.read_rows(entry.name.rpartition(".")[0], content or b"", [], self._layout)
        except PartError as error:
            return str(error)
        if info.key in valid:
            return _second(info, valid[info.key], f"{PARTS}/{valid[info.key].name}")
        return (
            "nothing: it proves itself, and no part has its key. Move it to parts/, without its last suffix, to use it"
        )

    def _failure_files(self) -> Iterator[tuple[str, PointFailure | PartError]]:
        """Yield the name of each failure file with what it holds, or what is wrong with it."""
        with explained(self.location, "read"):
            for entry in self._files.files(FAILURES):
                content = self._read(FAILURES, entry.name, failures.MAX_FAILURE_BYTES)
                try:
                    yield entry.name, failures.decode(entry.name, content or b"")
                except PartError as error:
                    yield entry.name, error

    def _read(self, folder: str, name: str, max_bytes: int) -> bytes | None:
        """Return the content of a file; None if there is none, or if it is larger than anything written here."""
        entries = [e for e in self._files.files(folder) if e.name == name and e.num_bytes <= max_bytes]
        return next(self._files.contents(folder, entries), None)

    def _set_aside(self, name: str) -> None:
        """Move what stands in a part's place into quarantine."""
        with contextlib.suppress(FileNotFoundError):
            self._files.move(f"{PARTS}/{name}", f"{QUARANTINE}/{name}.{secrets.token_hex(4)}")
        self._disproved.pop(name, None)


def _has_proved_footer(entry: Entry, content: bytes) -> bool:
    try:
        parts.read_info(entry.name, content[-parts.TAIL_BYTES :], entry.num_bytes)
    except PartError:
        return False
    return True


def _second(info: PartInfo, first: PartInfo, where: str) -> str:
    """Return why a second part of one key is left out."""
    if info.outcome_sha256 == first.outcome_sha256:
        return f"a second part of the key of {where}, with the same outcomes"
    return (
        f"FINDING: a second visit to the same point, with other outcomes than {where}, which counts. The engine does "
        "not repeat itself there; compare the two"
    )
