"""`landscape-ray ctl` and `watch`: what a person types, sees, and is told when it cannot be done."""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from landscape_ray.cli import live
from landscape_ray.store import ResultStore, Shard
from landscape_ray.sweep.requests import Requests

CLI = Callable[[str], Any]


@contextmanager
def driver(out: str, shard: Shard | None = None) -> Iterator[None]:
    """Hold the lease of a folder and answer what is asked, as a driver does."""
    store, ended = ResultStore(out), threading.Event()
    with store.lease(shard) as lease:
        requests = Requests(store.requests, lease.epoch, lease.name)

        def work() -> None:
            while not ended.wait(0.05):
                list(requests.events())

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


@pytest.mark.slow
def test_ask_and_list(cli: CLI) -> None:
    with driver("out"):
        paused = cli("ctl out pause --why 'too hot'")
        assert paused.code == 0
        assert re.match(r"pause +carried out at 20\d\d-", paused.out)
        assert cli("ctl out set run.engines=4 --why cooler").code == 0
    listed = cli("ctl out")
    assert listed.code == 0
    assert re.search(r"pause, by \S+@\S+: too hot; carried out at 20", listed.out)
    assert re.search(r"set run\.engines=4, by \S+: cooler; carried out", listed.out)
    assert "requests" in cli("ctl nothing").out


def test_every_driver_of_shards_is_asked(cli: CLI) -> None:
    with driver("out", Shard(1, 2)), driver("out", Shard(2, 2)):
        paused = cli("ctl out pause --why 'too hot'")
    assert paused.code == 0
    said = [line.split("  ")[0] for line in paused.out.splitlines()]
    assert said == ["pause (shard 1/2)", "pause (shard 2/2)"]
    assert len(re.findall(r"pause \(shard [12]/2\), by \S+: too hot; carried out at 20", cli("ctl out").out)) == 2


def test_watch_takes_a_folder_of_results(cli: CLI) -> None:
    shown = cli("watch nothing")
    assert shown.code == 2
    assert "nothing holds no sweep" in shown.err


def test_help_teaches(cli: CLI) -> None:
    assert "landscape-ray watch s3://bucket/my" in cli("watch --help").out
    shown = cli("ctl --help")
    assert "landscape-ray ctl s3://bucket/my pause --why" in shown.out


def test_without_a_driver_there_is_nobody_to_ask(cli: CLI, tmp_path: Path) -> None:
    shown = cli("ctl out pause --why x")
    assert shown.code == 2
    assert "There is no run at out to ask: none is under way. Start it with `landscape-ray run`" in shown.err
    with ResultStore("out").lease():
        path = next((tmp_path / "out" / "lease").iterdir())
        path.write_text(re.sub(r'"pid": \d+', '"pid": 99999999', path.read_text()))
        shown = cli("ctl out pause --why x")
    assert shown.code == 2
    assert "its driver has died (process 99999999 on " in shown.err
    assert not (tmp_path / "out" / "control").exists()


def test_a_driver_that_does_not_answer_is_told(cli: CLI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "ANSWER_WITHIN_S", 0.0)
    with ResultStore("out").lease():
        shown = cli("ctl out stop --why x")
    assert shown.code == 2
    assert "has not answered for 0 s (process " in shown.err
    assert "no driver has seen it" in cli("ctl out").out


@pytest.mark.parametrize("words", ["pause", "paws --why x", "set run.engines=many --why x"])
def test_what_cannot_be_asked_ends_with_2_and_leaves_no_request(cli: CLI, tmp_path: Path, words: str) -> None:
    with driver("out"):
        shown = cli(f"ctl out {words}")
    assert shown.code == 2
    assert shown.err.startswith("Error: Cannot ask a run for ")
    assert not (tmp_path / "out" / "control").exists()
