"""Publishing, listing, reading, and what becomes of files that do not prove themselves."""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import fsspec
import numpy as np
import pytest

from landscape_ray.errors import OutputError
from landscape_ray.evaluation import PointRecord
from landscape_ray.planning import PlannedPoint
from landscape_ray.store import PointFailure, ResultStore
from landscape_ray.store.schema import SCHEMA

PointAt = Callable[..., PlannedPoint]
Publish = Callable[..., str]


def only_part(folder: Path) -> Path:
    (path,) = (folder / "parts").iterdir()
    return path


def flip(path: Path, place: int) -> None:
    """Change one bit of a file, as a bad disk does."""
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def test_what_is_published_is_listed_and_read(
    store: ResultStore, folder: Path, publish: Publish, point_at: PointAt
) -> None:
    keys = [publish(point_at(0.0)), publish(point_at(-0.05, draw=1))]
    found = store.parts()
    assert found.keys() == set(keys)
    assert {info.label: info.num_rows for info in found.values()} == {"origin-r0": 2, "d1_a-0.05": 2}
    assert sorted(path.name for path in (folder / "parts").iterdir()) == sorted(info.name for info in found.values())
    columns = store.columns(keys)
    assert list(columns) == SCHEMA.names
    assert columns["alpha"].tolist() == [0.0, 0.0, -0.05, -0.05]
    np.testing.assert_array_equal(columns["draw"], [np.nan, np.nan, 1, 1])
    assert np.isnan(columns["beta"]).all()
    assert columns["verdict"].tolist() == ["refused", "complied"] * 2
    assert columns["key"].tolist() == [keys[0]] * 2 + [keys[1]] * 2
    assert columns["num_tokens"].tolist() == [3, 4] * 2
    assert store.quarantined() == []


def test_rows_come_in_the_order_of_the_keys(store: ResultStore, publish: Publish, point_at: PointAt) -> None:
    keys = [publish(point_at(alpha)) for alpha in (0.1, 0.2, 0.3)]
    assert store.columns(keys[::-1], ["alpha"])["alpha"].tolist() == [0.3, 0.3, 0.2, 0.2, 0.1, 0.1]
    assert store.columns([keys[1], keys[1]], ["alpha"])["alpha"].tolist() == [0.2, 0.2]


def test_an_empty_store_has_no_parts_and_no_rows(store: ResultStore, folder: Path) -> None:
    assert store.parts() == {}
    assert store.quarantined() == []
    assert store.failures() == {}
    assert store.read_manifest() is None
    columns = store.columns(["ab" * 16])
    assert {name: len(values) for name, values in columns.items()} == dict.fromkeys(SCHEMA.names, 0)
    assert not folder.exists()  # looking changes nothing


def test_a_second_visit_that_agrees_changes_nothing(
    store: ResultStore, folder: Path, publish: Publish, point_at: PointAt
) -> None:
    publish(point_at(0.1))
    before = only_part(folder).read_bytes()
    publish(point_at(0.1), attempt=2)
    assert only_part(folder).read_bytes() == before
    assert store.quarantined() == []


def test_a_second_visit_that_disagrees_is_a_finding_and_does_not_count(
    store: ResultStore, folder: Path, publish: Publish, point_at: PointAt
) -> None:
    key = publish(point_at(0.1), texts=("first", "visit"))
    for _ in range(2):  # the second visit may be retried
        publish(point_at(0.1), texts=("second", "visit"))
    assert store.columns([key], ["completion"])["completion"].tolist() == ["first", "visit"]
    (finding,) = store.quarantined()
    name = only_part(folder).name
    assert finding.path.startswith(f"quarantine/{name}.")
    assert "FINDING" in finding.reason
    assert f"other outcomes than parts/{name}" in finding.reason


def test_a_torn_part_is_not_listed_and_is_measured_again(
    store: ResultStore, folder: Path, publish: Publish, point_at: PointAt
) -> None:
    key = publish(point_at(0.1))
    path = only_part(folder)
    torn = path.read_bytes()[:-20]
    path.write_bytes(torn)
    assert store.parts() == {}
    assert len(store.columns([key])["alpha"]) == 0
    assert publish(point_at(0.1)) == key
    assert store.parts().keys() == {key}
    assert store.columns([key], ["verdict"])["verdict"].tolist() == ["refused", "complied"]
    (found,) = store.quarantined()
    assert "not written to its end" in found.reason
    assert (folder / found.path).read_bytes() == torn  # kept


def test_a_changed_byte_in_the_rows_is_found_when_they_are_read(
    store: ResultStore, folder: Path, publish: Publish, point_at: PointAt
) -> None:
    keys = [publish(point_at(0.1)), publish(point_at(0.2))]
    path = folder / "parts" / store.parts()[keys[0]].name
    flip(path, 100)
    assert store.parts().keys() == set(keys)  # footers are whole
    assert store.columns(keys, ["alpha"])["alpha"].tolist() == [0.2, 0.2]
    assert store.parts().keys() == {keys[1]}
    (found,) = store.quarantined()
    assert found.path.startswith(f"quarantine/{path.name}.")
    assert "rows have changed" in found.reason
    assert publish(point_at(0.1)) == keys[0]
    assert store.columns(keys, ["alpha"])["alpha"].tolist() == [0.1, 0.1, 0.2, 0.2]


def test_reading_leaves_parts_of_another_version_where_they_are(
    store: ResultStore, folder: Path, publish: Publish, point_at: PointAt
) -> None:
    key = publish(point_at(0.1))
    path = only_part(folder)
    later = path.read_bytes().replace(b'{"schema_version":5,', b'{"schema_version":6,')
    path.write_bytes(later)
    assert len(store.columns([key], ["alpha"])["alpha"]) == 0
    assert only_part(folder).read_bytes() == later
    (found,) = store.quarantined()
    assert found.path == f"parts/{path.name}"
    assert "of another version of landscape-ray: schema_version" in found.reason


def test_a_reader_without_the_right_to_write_leaves_a_damaged_part_out_too(
    store: ResultStore, folder: Path, publish: Publish, point_at: PointAt
) -> None:
    key = publish(point_at(0.1))
    flip(only_part(folder), 100)
    (folder / "quarantine").write_text("in the way, so that nothing can be moved there")
    assert len(store.columns([key], ["alpha"])["alpha"]) == 0
    assert store.parts() == {}
    assert only_part(folder).exists()


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1\xff\xff\xff\xffPAR1", b"not a part" * 1000])
def test_foreign_content_under_the_name_of_a_part_gives_way(
    content: bytes, store: ResultStore, folder: Path, publish: Publish, point_at: PointAt
) -> None:
    key = publish(point_at(0.1))
    path = only_part(folder)
    path.write_bytes(content)
    assert store.parts() == {}
    publish(point_at(0.1))
    assert store.parts().keys() == {key}
    assert [(folder / found.path).read_bytes() for found in store.quarantined()] == [content]


def test_a_folder_or_a_pipe_in_the_place_of_a_part_gives_way(
    store: ResultStore, folder: Path, publish: Publish, point_at: PointAt
) -> None:
    for make in (Path.mkdir, os.mkfifo):
        key = publish(point_at(0.1))
        path = only_part(folder)
        path.unlink()
        make(path)
        assert store.parts() == {}
        publish(point_at(0.1))
        assert store.parts().keys() == {key}


def test_files_that_are_no_parts_are_named_and_left_alone(
    store: ResultStore, folder: Path, publish: Publish, point_at: PointAt
) -> None:
    publish(point_at(0.1))
    for name in ("notes.txt", "export.parquet"):
        (folder / "parts" / name).write_text("mine")
    assert len(store.parts()) == 1
    assert [(found.path, found.reason) for found in store.quarantined()] == [
        (f"parts/{name}", "its name is not that of a part, <label>.<benchmark>.<key>.parquet")
        for name in ("export.parquet", "notes.txt")
    ]
    assert (folder / "parts" / "notes.txt").read_text() == "mine"


def test_two_parts_of_one_key_count_once(store: ResultStore, folder: Path, publish: Publish, point_at: PointAt) -> None:
    key = publish(point_at(0.1))
    path = only_part(folder)
    shutil.copy(path, path.with_name(f"a-copy.advbench.{key}.parquet"))
    assert list(store.parts()) == [key]
    assert store.columns([key], ["alpha"])["alpha"].tolist() == [0.1, 0.1]
    (found,) = store.quarantined()
    assert found.path == f"parts/{path.name}"
    assert "a second part of the key" in found.reason
    assert "with the same outcomes" in found.reason


def test_two_parts_of_one_key_that_disagree_are_a_finding(
    store: ResultStore, folder: Path, publish: Publish, point_at: PointAt
) -> None:
    key = publish(point_at(0.1))
    first = only_part(folder)
    first.rename(folder / first.name)
    publish(point_at(0.1), texts=("other", "text"))
    only_part(folder).rename(folder / "parts" / f"z.advbench.{key}.parquet")
    (folder / first.name).rename(first)
    (found,) = store.quarantined()
    assert found.path == f"parts/z.advbench.{key}.parquet"
    assert found.reason.startswith("FINDING")
    assert store.columns([key], ["completion"])["completion"].tolist() == ["I cannot help.", "Sure."]


def test_a_good_part_in_quarantine_says_how_to_bring_it_back(
    store: ResultStore, folder: Path, publish: Publish, point_at: PointAt
) -> None:
    publish(point_at(0.1))
    path = only_part(folder)
    (folder / "quarantine").mkdir()
    path.rename(folder / "quarantine" / f"{path.name}.01234567")
    (found,) = store.quarantined()
    assert "Move it to parts/" in found.reason


def test_what_a_dead_writer_left_is_ignored_and_swept_when_old(
    store: ResultStore, folder: Path, publish: Publish, point_at: PointAt
) -> None:
    publish(point_at(0.1))
    old, new = folder / "parts" / f".tmp-{'0' * 16}", folder / "parts" / f".tmp-{'1' * 16}"
    for path in (old, new):
        path.write_bytes(b"half a part")
    os.utime(old, (0, 0))
    assert len(store.parts()) == 1
    assert store.quarantined() == []
    store.probe()
    assert not old.exists()
    assert new.exists()  # its writer may live


def test_a_file_that_goes_while_its_folder_is_listed_hides_no_other(
    store: ResultStore, publish: Publish, point_at: PointAt, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Engines probe a folder at once, a driver clears old leases away, and damaged parts move into quarantine."""
    publish(point_at(0.1))
    publish(point_at(0.2))
    scandir = os.scandir

    @contextlib.contextmanager
    def listed_late(path: Path | str) -> Iterator[Iterator[os.DirEntry[str]]]:
        gone, stale = Path(path, "0-gone.parquet"), Path(path, f".tmp-{'0' * 16}")
        for file in (gone, stale):
            file.write_bytes(b"removed by another process")
        with scandir(path) as found:
            entries = list(found)
        for file in (gone, stale):
            file.unlink()
        yield iter(sorted(entries, key=lambda entry: entry.name))  # those that have gone come first

    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", listed_late)
        assert len(store.parts()) == 2
        store.probe()


def test_the_probe_leaves_nothing_behind(store: ResultStore, folder: Path) -> None:
    store.probe()
    assert list(folder.iterdir()) == []


def test_a_place_that_cannot_be_written_is_told_before_any_engine_starts(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"Cannot write to .*file/results: Not a directory.*--out"):
        ResultStore(str(tmp_path / "file" / "results")).probe()


def test_an_address_of_no_known_kind_is_explained() -> None:
    with pytest.raises(OutputError, match=r"Cannot use 'nosuch://\*\*\*@host/x'.*s3://bucket/prefix"):
        ResultStore("nosuch://user:secret@host/x")


@pytest.mark.parametrize("address", ["hf://buckets/me/x", "hf://datasets/me/x"])
def test_the_hub_is_for_sharing_results_not_for_measuring(address: str) -> None:
    with pytest.raises(OutputError, match=rf"Cannot use '{address}' for results.*`landscape-ray publish`"):
        ResultStore(address)


def test_a_failed_write_leaves_no_trace(
    monkeypatch: pytest.MonkeyPatch, store: ResultStore, folder: Path, publish: Publish, point_at: PointAt
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    store.probe()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left on device"):
        publish(point_at(0.1))
    assert list((folder / "parts").iterdir()) == []


def test_a_file_system_without_hard_links_works(
    monkeypatch: pytest.MonkeyPatch, store: ResultStore, folder: Path, publish: Publish, point_at: PointAt
) -> None:
    def no_links(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    key = publish(point_at(0.1), texts=("first", "visit"))
    publish(point_at(0.1), texts=("second", "visit"))
    assert store.columns([key], ["completion"])["completion"].tolist() == ["first", "visit"]
    assert [path.suffix for path in (folder / "parts").iterdir()] == [".parquet"]


def test_a_half_read_is_an_error_and_not_a_torn_part(
    monkeypatch: pytest.MonkeyPatch, store: ResultStore, publish: Publish, point_at: PointAt
) -> None:
    key = publish(point_at(0.1))
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, length, offset: pread(fd, length // 2, offset))
    with pytest.raises(OutputError, match="asked for"):
        store.parts()
    with pytest.raises(OutputError, match="asked for"):
        store.columns([key])
    monkeypatch.undo()
    assert store.parts().keys() == {key}


def failure_of(key: str, **changes: object) -> PointFailure:
    failure = PointFailure(
        key=key,
        label="d0_a+0.1",
        benchmark="advbench",
        error="out of memory",
        attempts=3,
        at="2026-01-02T03:04:05+00:00",
    )
    return replace(failure, **changes)  # type: ignore[arg-type]


def test_failures_are_kept_until_a_success_supersedes_them(
    store: ResultStore, publish: Publish, point_at: PointAt, key_of: Callable[[PlannedPoint], str]
) -> None:
    first, second = (failure_of(key_of(point_at(alpha))) for alpha in (0.1, 0.2))
    store.publish_failure(first)
    store.publish_failure(second)
    store.publish_failure(replace(second, attempts=6))
    assert store.failures() == {first.key: first, second.key: replace(second, attempts=6)}
    publish(point_at(0.1))
    assert store.failures().keys() == {second.key}


def test_a_torn_part_does_not_hide_a_failure(
    store: ResultStore, folder: Path, publish: Publish, point_at: PointAt
) -> None:
    key = publish(point_at(0.1))
    store.publish_failure(failure_of(key))
    assert store.failures() == {}
    only_part(folder).write_bytes(b"torn")
    assert store.failures().keys() == {key}


def test_foreign_failure_files_are_quarantined(store: ResultStore, folder: Path) -> None:
    store.publish_failure(failure_of("ab" * 16))
    (folder / "failures" / "x.json").write_text("{}")
    (folder / "failures" / f"{'cd' * 16}.json").write_bytes((folder / "failures" / f"{'ab' * 16}.json").read_bytes())
    (folder / "failures" / "big.json").write_bytes(b" " * (1 << 17))
    assert store.failures().keys() == {"ab" * 16}
    reasons = {found.path: found.reason for found in store.quarantined()}
    assert reasons.keys() == {"failures/x.json", f"failures/{'cd' * 16}.json", "failures/big.json"}
    assert "not that of its key" in reasons[f"failures/{'cd' * 16}.json"]


def test_any_fsspec_address_works(record_at: Callable[..., PointRecord], point_at: PointAt) -> None:
    files = fsspec.filesystem("memory")
    try:
        store = ResultStore("memory://bucket/sweep")
        store.probe()
        assert files.find("/bucket") == []
        key = "ab" * 16
        store.publish(record_at(point_at(0.1)), key=key, sweep_id="5eed" * 4)
        store.publish(record_at(point_at(0.1), texts=("other", "text")), key=key, sweep_id="5eed" * 4)
        assert store.columns([key], ["completion"])["completion"][0] == "I cannot help."
        (finding,) = store.quarantined()
        assert finding.reason.startswith("FINDING")
        path = f"/bucket/sweep/parts/{store.parts()[key].name}"
        files.pipe_file(path, files.cat_file(path)[:-9])
        assert store.parts() == {}
        store.publish(record_at(point_at(0.1)), key=key, sweep_id="5eed" * 4)
        assert store.parts().keys() == {key}
        assert len(store.quarantined()) == 2
        store.publish_failure(failure_of("cd" * 16))
        assert ResultStore("memory://bucket/sweep/").failures().keys() == {"cd" * 16}
    finally:
        files.rm("/bucket", recursive=True)
