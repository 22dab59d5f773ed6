"""Requests come from whoever may write to the folder: they are believed only as far as they are in order."""

import json
from pathlib import Path
from typing import Any

import pytest

from landscape_ray.errors import ConfigError
from landscape_ray.store import Request, ResultStore, pause_among, request_of

GOOD: dict[str, Any] = {"action": "pause", "why": "w", "by": "a@b", "at": "2026-01-02T03:04:05+00:00", "epoch": 3}
NAME = "20260102T030405000000Z-00000000"


def asked_of_file(folder: Path, content: bytes) -> Request | str:
    (folder / "control").mkdir(exist_ok=True)
    (folder / "control" / f"{NAME}.json").write_bytes(content)
    (asked,) = ResultStore(str(folder)).requests.asked()
    return asked.request


def test_what_was_asked_is_read_back_with_its_answer(tmp_path: Path) -> None:
    store = ResultStore(str(tmp_path)).requests
    first = store.ask(request_of(["set", "run.engines=4"], why="room", epoch=2))
    second = store.ask(request_of(["stop"], why="enough s3://key:secret@host/", epoch=2))
    assert first < second
    store.answer(first)
    store.answer(first, "too late")  # the first answer stays
    asked = store.asked()
    assert [each.name for each in asked] == [first, second]
    assert [each.answer and each.answer.refused for each in asked] == [None, None]
    assert [each.answer is None for each in asked] == [False, True]
    assert isinstance(asked[0].request, Request)
    assert isinstance(asked[1].request, Request)
    assert (asked[0].request.wish, asked[0].request.epoch) == ("set run.engines=4", 2)
    assert "@" in asked[0].request.by
    assert asked[1].request.why == "enough s3://***@host/"
    assert [each.name for each in store.asked(but={first})] == [second]


@pytest.mark.parametrize(
    ("words", "why", "told"),
    [
        (["pasue"], "w", r"'pasue'.*'pause', 'resume', 'stop' or 'set'"),
        (["pause"], "  ", r"why: String should have at least 1 character.*say why"),
        (["pause"], "w" * 501, "why: String should have at most 500"),
        (["set"], "w", "engines are for `set`"),
        (["set", "run.engines=0"], "w", "greater than or equal to 1"),
        (["set", "run.engines=x"], "w", r"engines: Input should be a valid integer \(got 'x'\)"),
        (["set", "run.max_attempts=3"], "w", r"got 'run\.max_attempts=3'"),
        (["stop", "run.engines=3"], "w", "engines are for `set`"),
    ],
)
def test_what_cannot_be_asked_is_told(words: list[str], why: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        request_of(words, why=why, epoch=1)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"action": "explode"}, "action"),
        ({"engines": 2}, "engines are for `set`"),
        ({"action": "set", "engines": True}, "engines"),
        ({"why": "a\x1b[31m"}, "characters that cannot be shown"),
        ({"by": "a\u202eb"}, "characters that cannot be shown"),
        ({"at": "yesterday"}, "at"),
        ({"epoch": "3"}, "epoch"),
        ({"\x1b]0;\n": 1}, "Extra inputs are not permitted"),
    ],
)
def test_a_file_that_is_no_request_is_told_in_words_that_can_be_shown(
    tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    assert isinstance(asked_of_file(tmp_path, json.dumps(GOOD).encode()), Request)
    found = asked_of_file(tmp_path, json.dumps(GOOD | change).encode())
    assert isinstance(found, str)
    assert told in found
    assert found.isprintable()
    ResultStore(str(tmp_path)).requests.answer(NAME, f"it is no request: {found}")
    (asked,) = ResultStore(str(tmp_path)).requests.asked()
    assert asked.answer is not None


def test_files_that_are_torn_large_or_of_other_names_do_no_harm(tmp_path: Path) -> None:
    assert isinstance(asked_of_file(tmp_path, b"\xff{"), str)
    assert isinstance(asked_of_file(tmp_path, b"[" * 8000), str)
    folder = tmp_path / "control"
    (folder / f"{NAME}.answer.json").write_bytes(b"no answer")
    (folder / "notes.txt").write_text("mine", encoding="utf-8")
    (folder / f"{NAME[:-1]}1.json").write_bytes(b" " * 9000)
    (asked,) = ResultStore(str(tmp_path)).requests.asked()
    assert asked.answer is None


def test_a_pause_is_that_of_one_driver_and_lasts_until_it_goes_on(tmp_path: Path) -> None:
    store = ResultStore(str(tmp_path)).requests
    names = [store.ask(request_of([word], why=word, epoch=2)) for word in ("pause", "resume", "stop")]
    assert pause_among(store.asked(), 2) is None  # not seen yet
    store.answer(names[0])
    store.answer(names[2])
    assert (found := pause_among(store.asked(), 2)) is not None
    assert found.action == "pause"
    assert pause_among(store.asked(), 3) is None
    store.answer(names[1])
    assert pause_among(store.asked(), 2) is None
    refused = store.ask(request_of(["pause"], why="again", epoch=2))
    store.answer(refused, "because")
    assert pause_among(store.asked(), 2) is None
