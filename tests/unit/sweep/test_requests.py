"""From the files of a folder to events of the scheduler."""

from pathlib import Path

import pytest

from landscape_ray.errors import TransientError
from landscape_ray.store import ResultStore, pause_among, request_of
from landscape_ray.sweep.events import Requested, StopRequested
from landscape_ray.sweep.requests import Requests


def test_each_request_is_carried_out_and_answered_once(tmp_path: Path) -> None:
    store = ResultStore(str(tmp_path)).requests
    requests = Requests(store, epoch=2)
    assert list(requests.events()) == []
    by = request_of(["pause"], why="x", epoch=2).by
    for words in (["pause"], ["set", "run.engines=3"], ["stop"]):
        store.ask(request_of(words, why="why not", epoch=2))
    assert list(requests.events()) == [
        Requested(action="pause", by=by, why="why not"),
        Requested(action="set", num_engines=3, by=by, why="why not"),
        Requested(action="stop", by=by, why="why not"),
        StopRequested(),
    ]
    assert list(requests.events()) == []
    answers = [each.answer for each in store.asked()]
    assert [answer and (answer.at > "2026", answer.refused) for answer in answers] == [(True, None)] * 3
    assert list(Requests(store, epoch=2).events()) == []  # answered, so not carried out by a second look either


def test_what_is_not_for_this_driver_or_no_request_is_refused(tmp_path: Path) -> None:
    store = ResultStore(str(tmp_path)).requests
    store.ask(request_of(["stop"], why="late", epoch=1))
    (tmp_path / "control" / "20260102T030405000000Z-00000000.json").write_bytes(b"{}")
    assert list(Requests(store, epoch=2).events()) == []
    no_request, late = store.asked()
    assert no_request.answer is not None
    assert (no_request.answer.refused or "").startswith("it is no request: action: Field required")
    assert late.answer is not None
    assert late.answer.refused == "the run that it was for had ended"


def test_what_the_driver_of_another_shard_is_asked_is_left_to_it(tmp_path: Path) -> None:
    store = ResultStore(str(tmp_path)).requests
    store.ask(request_of(["pause"], why="x", epoch=1, shard="1-of-2"))
    store.ask(request_of(["pause"], why="x", epoch=1, shard="2-of-2"))
    store.ask(request_of(["pause"], why="x", epoch=1))
    assert len(list(Requests(store, epoch=1, shard="2-of-2").events())) == 1
    first, second, whole = store.asked()
    assert (first.answer, second.answer is None, whole.answer) == (None, False, None)
    assert pause_among(store.asked(), 1, "2-of-2") == second.request
    assert pause_among(store.asked(), 1, "1-of-2") is None


def test_a_store_that_is_away_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ResultStore(str(tmp_path)).requests
    store.ask(request_of(["resume"], why="up", epoch=1))
    requests = Requests(store, epoch=1)
    with monkeypatch.context() as patch:

        def away(*_: object, **__: object) -> list[object]:
            msg = "away"
            raise TransientError(msg)

        patch.setattr(store, "asked", away)
        assert list(requests.events()) == []
    with monkeypatch.context() as patch:
        patch.setattr(store, "answer", away)  # it is carried out though it cannot be answered
        assert len(list(requests.events())) == 1
    assert list(requests.events()) == []
