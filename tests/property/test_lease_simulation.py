"""The lease under a seeded simulator: drivers that come, die and sleep, in any order of their single file operations.

Each driver is a thread, and one thread runs at a time: before every operation on a file it waits for its turn, which a
seeded generator gives. So a driver may sleep for as long as it takes the others to believe it dead, between any two
operations. One seed is one history; a failing seed replays exactly.

Drivers take the lease of the whole sweep, or of shards.
"""

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from landscape_ray.errors import LeaseError
from landscape_ray.store import lease
from landscape_ray.store.filesystem import Entry
from landscape_ray.store.lease import Lease

SEEDS = range(400)
LONG = (pytest.mark.long, pytest.mark.timeout(1800))


class Killed(BaseException):
    """The driver's process ends here."""


class Turns:
    """Lets one of several threads run at a time."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)  # noqa: S311  (a history, not a secret)
        self._changed = threading.Condition()
        self._waiting: set[int] = set()
        self._current: int | None = None
        self.patience = self._rng.choice((1, 5, 50))
        """How often a driver goes on before another has its turn."""

    def take(self, driver: int) -> None:
        with self._changed:
            self._waiting.add(driver)
            self._current = None if self._current == driver else self._current
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._current == driver)
            self._waiting.discard(driver)

    def give(self, drivers: Sequence[threading.Thread]) -> None:
        """Give turns until all threads have ended."""
        last = 0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._current is None or not drivers[self._current].is_alive(), 0.001)
                alive = {number for number, thread in enumerate(drivers) if thread.is_alive()}
                if not alive:
                    return
                if self._current in alive or alive - self._waiting:
                    continue
                if last not in alive or self._rng.random() < 1 / self.patience:
                    last = self._rng.choice(sorted(alive))
                self._current = last
                self._changed.notify_all()


class Files:
    """A folder in memory as one driver sees it; each operation waits for its turn, and may be its last."""

    def __init__(self, content: dict[str, bytes], driver: int, turns: Turns, dies_at: int) -> None:
        self._content = content
        self._driver = driver
        self._turns = turns
        self._left = dies_at

    def turn(self, _seconds: float = 0.0) -> None:
        self._turns.take(self._driver)
        self._left -= 1
        if not self._left:
            raise Killed

    def files(self, folder: str) -> list[Entry]:
        self.turn()
        found = {path.rpartition("/")[2]: c for path, c in self._content.items() if path.startswith(f"{folder}/")}
        return [Entry(name=name, num_bytes=len(found[name])) for name in sorted(found)]

    def contents(self, folder: str, entries: Sequence[Entry]) -> Iterator[bytes | None]:
        self.turn()
        return iter([self._content.get(f"{folder}/{entry.name}") for entry in entries])

    def create(self, path: str, content: bytes) -> bool:
        self.turn()
        return self._content.setdefault(path, content) is content

    def replace(self, path: str, content: bytes) -> None:
        self.turn()
        self._content[path] = content

    def delete(self, path: str) -> None:
        self.turn()
        self._content.pop(path, None)


def exclude(one: str, other: str) -> bool:
    """Tell whether only one of two leases may be held: all do but those of two shards of the same number."""
    return one == other or "" in {one, other} or one.split("-of-")[1] != other.split("-of-")[1]


class History:
    """What some drivers did on one folder, each with a lease of one of some names."""

    def __init__(self, seed: int, names: Sequence[str] = ("",), *, once_each: bool = False) -> None:
        rng = random.Random(f"drivers {seed}")  # noqa: S311
        self.content: dict[str, bytes] = {}
        self.acquired: list[tuple[str, int]] = []
        self.holding: set[str] = set()
        self.num_beside = self.num_taken_over = 0
        self.ends: Counter[str] = Counter()
        self.broken: list[str] = []
        turns = Turns(seed)
        self._threads = []
        for number in range(len(names) if once_each else rng.randint(2, 4)):
            files: Any = Files(self.content, number, turns, rng.choice((0, 0, 0, rng.randint(1, 40))))
            num_renewals = rng.randint(0, 4)
            name = names[number] if once_each else rng.choice(names)
            drive = self._driver(files, name, num_renewals)
            self._threads.append(threading.Thread(target=drive, daemon=True))
        for thread in self._threads:
            thread.start()
        turns.give(self._threads)

    def _driver(self, files: Any, name: str, num_renewals: int) -> Callable[[], None]:
        def drive() -> None:
            try:
                held = Lease.acquire(files, name, pause=files.turn)
                mine = name, held._state.epoch
                # One that slept as it cleared up behind it may have been taken for dead by now: it takes nothing over.
                overtaken = [(name, other) for other in self.epochs(name) if other > mine[1]]
                since = len(self.acquired) + (not overtaken)
                self.acquired += [] if overtaken else [mine]
                self.num_beside += any(not exclude(name, other) for other in self.holding)
                self.num_taken_over += any(exclude(name, other) for other in self.holding - {name})
                self.holding.add(name)
                for _ in range(num_renewals):
                    files.turn()
                    overtaken = overtaken or [other for other in self.acquired[since:] if exclude(name, other[0])]
                    held.renew()
                    if overtaken:
                        self.broken.append(f"{mine} was renewed although {overtaken} had been acquired")
                self.holding.discard(name)
                held.release()
                self.ends["released"] += 1
            except LeaseError:
                self.ends["gave way"] += 1
            except Killed:
                self.ends["killed"] += 1
            except BaseException as error:  # noqa: BLE001 - whatever else it is, the test must fail
                self.broken.append(repr(error))

        return drive

    def epochs(self, name: str) -> list[int]:
        """Return the epochs of a lease that are there."""
        found = (path.removeprefix("lease/").removesuffix(".json").rpartition(".") for path in self.content)
        return [int(epoch) for of, _, epoch in found if of == name]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "LAPSE_S", 4.0)
    monkeypatch.setattr(lease.LeaseState, "has_died", False)  # they are all this one process


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [SEEDS, pytest.param(range(400, 20_000), marks=LONG)], ids=len)
def test_no_epoch_has_two_holders_and_whoever_was_overtaken_learns_it(seeds: range) -> None:
    ends: Counter[str] = Counter()
    most = 0
    for seed in seeds:
        history = History(seed)
        assert history.broken == [], seed
        assert len(set(history.acquired)) == len(history.acquired), f"seed {seed}: {history.acquired}"
        ends += history.ends
        most = max(most, len(history.acquired))
    assert min(ends[end] for end in ("released", "gave way", "killed")) > len(seeds) / 10, ends
    assert most > 2


SHARDS = ("", "1-of-2", "2-of-2", "1-of-3")


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [SEEDS, pytest.param(range(400, 20_000), marks=LONG)], ids=len)
def test_leases_that_exclude_each_other_are_not_held_at_the_same_time(seeds: range) -> None:
    ends: Counter[str] = Counter()
    num_beside = num_taken_over = 0
    for seed in seeds:
        history = History(seed, SHARDS)
        assert history.broken == [], seed
        assert len(set(history.acquired)) == len(history.acquired), f"seed {seed}: {history.acquired}"
        ends += history.ends
        num_beside += history.num_beside
        num_taken_over += history.num_taken_over
    assert min(ends[end] for end in ("released", "gave way", "killed")) > len(seeds) / 10, ends
    assert min(num_beside, num_taken_over) > len(seeds) / 20, (num_beside, num_taken_over)


@pytest.mark.slow
def test_shards_of_the_same_number_never_give_way_to_each_other() -> None:
    ends: Counter[str] = Counter()
    for seed in SEEDS[::2]:
        history = History(seed, ("1-of-3", "2-of-3", "3-of-3"), once_each=True)
        assert history.broken == [], seed
        ends += history.ends
    assert ends["gave way"] == 0
    assert ends["released"] > len(SEEDS)


@pytest.mark.slow
@pytest.mark.parametrize("guard", ["creating only", "looking before renewing", "looking after creating"])
def test_a_lease_without_one_of_its_guards_is_noticed(guard: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if guard == "creating only":
        monkeypatch.setattr(Files, "create", Files.replace)
    elif guard == "looking before renewing":
        monkeypatch.setattr(Lease, "renew", lambda held: held._files.files("lease"))
    else:
        excluding, drivers = lease._excluding, threading.local()

        def at_first(name: str, found: Any) -> Any:
            seen, drivers.has_looked = getattr(drivers, "has_looked", False), True
            return {} if seen else excluding(name, found)

        monkeypatch.setattr(lease, "_excluding", at_first)
    histories = [History(seed, SHARDS) for seed in SEEDS]
    assert any(history.broken or len(set(history.acquired)) < len(history.acquired) for history in histories)
