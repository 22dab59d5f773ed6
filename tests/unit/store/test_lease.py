"""A lease has one holder for each epoch, whoever dies, pauses, or comes at the same time."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from landscape_ray.errors import LeaseError
from landscape_ray.store.filesystem import Filesystem, open_filesystem
from landscape_ray.store.lease import LAPSE_S, RENEW_EVERY_S, Lease, latest, leases


@pytest.fixture
def files(tmp_path: Path) -> Filesystem:
    return open_filesystem(str(tmp_path))


def never(_seconds: float) -> None:
    pytest.fail("waited for a lease that is free")


def epochs(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "lease").iterdir())


def claim_to_be_elsewhere(folder: Path, epoch: int = 1, **changes: Any) -> None:
    path = folder / "lease" / f"{epoch:08}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "machine": "0" * 16, **changes}))


def test_a_released_lease_is_taken_at_once_under_the_next_epoch(files: Filesystem, tmp_path: Path) -> None:
    first = Lease.acquire(files, pause=never)
    assert latest(files)[0] == 1
    first.release()
    second = Lease.acquire(files, pause=never)
    epoch, held = latest(files)
    assert (epoch, held and held.pid, held and held.released) == (2, os.getpid(), False)
    assert epochs(tmp_path) == ["00000002.json"]
    second.renew()


def test_a_lease_at_work_is_refused_as_soon_as_it_is_renewed_and_its_holder_is_named(files: Filesystem) -> None:
    holder = Lease.acquire(files, pause=never)
    waited: list[float] = []

    def pause(seconds: float) -> None:
        waited.append(seconds)
        if sum(waited) == RENEW_EVERY_S:
            holder.renew()

    with pytest.raises(LeaseError, match=rf"Another run is measuring this sweep \(process {os.getpid()} on .+ since "):
        Lease.acquire(files, pause=pause)
    assert sum(waited) == RENEW_EVERY_S
    assert latest(files)[0] == 1


def test_a_holder_elsewhere_that_falls_silent_is_replaced_and_stops_when_it_wakes(
    files: Filesystem, tmp_path: Path
) -> None:
    silent = Lease.acquire(files, pause=never)
    waited: list[float] = []
    claim_to_be_elsewhere(tmp_path, host="far-away")
    successor = Lease.acquire(files, pause=waited.append)
    assert sum(waited) == LAPSE_S
    with pytest.raises(LeaseError, match=r"Another run has taken this sweep over \(process "):
        silent.renew()
    successor.renew()
    silent.release()  # on its way out; its successor is not disturbed
    successor.renew()
    assert latest(files)[0] == 2


def test_a_process_of_this_machine_that_was_killed_is_not_waited_for(files: Filesystem, tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from landscape_ray.store.filesystem import open_filesystem\n"
        "from landscape_ray.store.lease import Lease\n"
        "Lease.acquire(open_filesystem(sys.argv[1])); os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)  # noqa: S603
    assert killed.returncode == -9
    Lease.acquire(files, pause=never)
    assert latest(files)[0] == 2


def test_a_process_of_the_same_number_on_another_machine_is_waited_for(files: Filesystem, tmp_path: Path) -> None:
    Lease.acquire(files, pause=never)
    claim_to_be_elsewhere(tmp_path, pid=2**22 + 1)  # no process has this number
    waited: list[float] = []
    Lease.acquire(files, pause=waited.append)
    assert sum(waited) == LAPSE_S


def test_of_two_that_wait_for_the_same_dead_holder_one_wins(files: Filesystem, tmp_path: Path) -> None:
    Lease.acquire(files, pause=never)
    claim_to_be_elsewhere(tmp_path)
    rival: list[Lease] = []
    waited: list[float] = []

    def pause(seconds: float) -> None:
        waited.append(seconds)
        if sum(waited) == LAPSE_S:  # the rival is quicker by a hair
            rival.append(Lease.acquire(files, pause=lambda _: None))

    with pytest.raises(LeaseError, match="Another run is measuring this sweep"):
        Lease.acquire(files, pause=pause)
    rival[0].renew()
    assert latest(files)[0] == 2


class Slow(Filesystem):
    """Does something just before a file is created."""

    def __init__(self, files: Filesystem, before: Callable[[], None]) -> None:
        self._files, self._before = files, before

    def __getattribute__(self, name: str) -> Any:
        if name in {"_files", "_before", "create"}:
            return object.__getattribute__(self, name)
        return getattr(self._files, name)

    def create(self, path: str, content: bytes) -> bool:
        before, self._before = self._before, lambda: None
        before()
        return self._files.create(path, content)


def test_a_newcomer_that_was_overtaken_twice_does_not_take_an_old_number_for_its_own(
    files: Filesystem, tmp_path: Path
) -> None:
    def two_come_and_one_stays() -> None:
        Lease.acquire(files, pause=never).release()
        current.append(Lease.acquire(files, pause=never))
        assert epochs(tmp_path) == ["00000002.json"], "number 1 is free again"

    current: list[Lease] = []
    with pytest.raises(LeaseError, match="Another run is measuring"):
        Lease.acquire(Slow(files, two_come_and_one_stays), pause=lambda _: current[0].renew())
    current[0].renew()
    assert latest(files)[0] == 2


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"epoch": 1}', b"x" * 5000])
def test_a_damaged_lease_lapses_like_one_whose_holder_is_silent(
    files: Filesystem, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "lease").mkdir()
    (tmp_path / "lease" / "00000007.json").write_bytes(content)
    (tmp_path / "lease" / "notes.txt").write_text("not a lease")
    waited: list[float] = []
    Lease.acquire(files, pause=waited.append)
    assert (sum(waited), latest(files)[0]) == (LAPSE_S, 8)


# --- shards ----------------------------------------------------------------------------------------------------------


def at_work(holder: Lease) -> Callable[[float], None]:
    """Return a pause in which a holder renews its lease."""
    return lambda _: holder.renew()


def test_shards_of_one_number_are_held_side_by_side_and_by_one_driver_each(files: Filesystem, tmp_path: Path) -> None:
    first, second = (Lease.acquire(files, name, pause=never) for name in ("1-of-2", "2-of-2"))
    assert epochs(tmp_path) == ["1-of-2.00000001.json", "2-of-2.00000001.json"]
    with pytest.raises(LeaseError, match=r"Another run is measuring shard 2/2 of this sweep \(process .* Two would do"):
        Lease.acquire(files, "2-of-2", pause=at_work(second))
    first.renew()
    first.release()
    Lease.acquire(files, "1-of-2", pause=never).renew()
    second.renew()


@pytest.mark.parametrize(
    ("held", "wanted"), [("", "1-of-2"), ("1-of-2", ""), ("2-of-2", "1-of-3"), ("1-of-2", "1-of-3")]
)
def test_what_excludes_each_other_gives_way_until_it_is_released(files: Filesystem, held: str, wanted: str) -> None:
    holder = Lease.acquire(files, held, pause=never)
    what = f"shard {held.replace('-of-', '/')} of this sweep" if held else "this sweep"
    with pytest.raises(LeaseError, match=rf"Another run is measuring {what} \(process .* All drivers of a folder take"):
        Lease.acquire(files, wanted, pause=at_work(holder))
    assert set(leases(files)) == {held}
    holder.release()
    Lease.acquire(files, wanted, pause=never).renew()


def test_a_lapsed_lease_that_excludes_another_goes_and_its_holder_stops_when_it_wakes(
    files: Filesystem, tmp_path: Path
) -> None:
    silent = [Lease.acquire(files, name, pause=never) for name in ("1-of-2", "2-of-2")]
    for path in (tmp_path / "lease").iterdir():
        path.write_text(json.dumps({**json.loads(path.read_text()), "machine": "0" * 16}))
    waited: list[float] = []
    whole = Lease.acquire(files, pause=waited.append)
    assert sum(waited) == LAPSE_S  # for both together
    for each in silent:
        with pytest.raises(LeaseError, match="Another run has taken this sweep over"):
            each.renew()
    whole.renew()
    whole.release()
    Lease.acquire(files, "2-of-2", pause=never).renew()


def test_of_two_that_begin_in_the_same_instant_and_exclude_each_other_none_goes_on(files: Filesystem) -> None:
    class Slow:
        """A store on which another driver takes the whole sweep after this one has looked."""

        def __getattr__(self, name: str) -> Any:
            return getattr(files, name)

        def create(self, path: str, content: bytes) -> bool:
            Lease.acquire(files, pause=never)
            return files.create(path, content)

    slow: Any = Slow()
    with pytest.raises(LeaseError, match="Another run is measuring this sweep"):
        Lease.acquire(slow, "1-of-2", pause=never)
    _, state = leases(files)["1-of-2"]
    assert state
    assert state.released
