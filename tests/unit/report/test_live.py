"""The report while a sweep runs: its page fills in, and its server answers whom it may and reads only."""

import http.client
import json
import re
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from landscape_ray.config import SweepConfig
from landscape_ray.errors import OutputError, ResourceError, TransientError
from landscape_ray.evaluation import Verdict
from landscape_ray.report import live as live_module
from landscape_ray.report.live import LiveReport
from landscape_ray.report.server import LiveServer
from landscape_ray.store import ResultStore, request_of

Publish = Callable[..., None]


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def add(tmp_path: Path, publish: Publish, make_config: Callable[..., SweepConfig]) -> Callable[[float], None]:
    """Publish all points up to a distance from the origin."""

    def there(distance: float) -> None:
        publish(
            tmp_path,
            make_config(5, names=("harmful",)),
            lambda _, point, __: Verdict.COMPLIED if point.distance > 0.3 else Verdict.REFUSED,
            there=lambda point: point.distance <= distance,
        )

    return there


@contextmanager
def served(report: Any, host: str = "127.0.0.1") -> Iterator[LiveServer]:
    with LiveServer(report, host, 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def ask(server: LiveServer, path: str = "/", method: str = "GET", **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    answer.text = answer.read().decode()  # type: ignore[attr-defined]
    connection.close()
    return answer


class Fixed:
    """A report that stays as it is."""

    @staticmethod
    def look() -> live_module.Shown:
        return live_module.Shown("v1", "running", b"<p>page</p>")


def counts(shown: live_module.Shown) -> list[str]:
    """Return of what each cell of a page's figure is."""
    data = shown.page.decode().partition('id="data">')[2].partition("</script>")[0]
    found: list[str] = json.loads(data)["benchmarks"][0]["counts"]
    return found


# --- what is shown -------------------------------------------------------------------------------------------------


def test_the_page_fills_in_and_the_store_is_looked_into_now_and_then(
    tmp_path: Path, add: Callable[[float], None]
) -> None:
    add(-1.0)  # a manifest, no part
    clock = Clock()
    report = LiveReport(str(tmp_path), clock)
    empty = report.look()
    assert empty.line == "no run is under way; the same command measures what is missing: harmful 0 of 10 points"
    assert f'data-version="{empty.version}"'.encode() in empty.page
    add(0.3)
    assert report.look() == empty  # not before it is time to
    clock.now_s = 100.0
    some = report.look()
    assert some.version != empty.version
    assert "harmful 6 of 10 points" in some.line
    assert counts(empty) == [""] * 10
    assert counts(some) == ["", *["0 of 4"] * 3, ""] * 2
    clock.now_s = 200.0
    assert report.look() is not some
    assert report.look() == some  # nothing new
    add(1.0)
    clock.now_s = 300.0
    assert (full := report.look()).line == "finished: harmful 10 of 10 points"
    assert counts(full) == ["4 of 4", *["0 of 4"] * 3, "4 of 4"] * 2


def test_the_line_says_who_is_at_work_who_paused_and_when_the_driver_is_silent(
    tmp_path: Path, add: Callable[[float], None]
) -> None:
    add(0.3)
    clock, store = Clock(), ResultStore(str(tmp_path))
    report = LiveReport(str(tmp_path), clock)

    def line(after_s: float) -> str:
        clock.now_s += after_s
        return report.look().line

    summary = {"at": "2026-01-02T03:04:05+00:00", "event": "running", "num_points": 10, "num_done": 5}
    rest = {"num_done_now": 4, "num_failed": 0, "num_starting": 0, "num_up": 3, "num_tokens": 9}
    log = json.dumps(summary | rest | {"start_s": 1.0, "work_s": 30.0})
    store.write_log("20260102T030405Z-0.jsonl", f"{log}\n".encode())
    with store.lease() as lease:
        assert line(10).startswith("running: harmful 6 of 10 points; 3 engines, driver on ")
        name = store.requests.ask(request_of(["pause"], why="too <hot>", epoch=lease.epoch))
        store.requests.answer(name)
        assert line(10).startswith("paused by ")
        assert "(too <hot>): harmful" in line(10)
        assert "the driver is silent, last heard of 20" in line(50)
        lease.renew()
        assert line(10).startswith("paused by ")
        path = next((tmp_path / "lease").iterdir())
        path.write_text(re.sub(r'"pid": \d+', '"pid": 99999999', path.read_text()))  # killed: told at once
        assert line(10).startswith("the driver is silent, last heard of 20")
    assert line(10).startswith("no run is under way")


def test_of_a_store_that_is_away_the_last_page_stays(
    tmp_path: Path, add: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    add(0.3)
    clock = Clock()
    report = LiveReport(str(tmp_path), clock)
    before = report.look()
    add(1.0)
    clock.now_s = 100.0
    with monkeypatch.context() as patch:

        def away(*_: object) -> None:
            msg = "Cannot read it at the moment."
            raise TransientError(msg)

        patch.setattr(live_module, "load_results", away)
        assert report.look() == before._replace(line="Cannot read it at the moment.")
    clock.now_s = 200.0
    assert "10 of 10 points" in report.look().line


def test_results_on_an_object_store_are_shown(publish: Publish, make_config: Callable[..., SweepConfig]) -> None:
    out = f"memory://{secrets.token_hex(8)}"
    publish(out, make_config(5, names=("harmful",)), lambda *_: Verdict.REFUSED, there=lambda point: point.draw != 1)
    clock = Clock()
    report = LiveReport(out, clock)
    assert "harmful 6 of 10 points" in report.look().line
    publish(out, make_config(5, names=("harmful",)), lambda *_: Verdict.REFUSED)
    clock.now_s = 100.0
    assert counts(report.look()) == ["0 of 4"] * 10


def test_a_folder_without_a_sweep_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="holds no sweep"):
        LiveReport(str(tmp_path))


# --- who is answered -----------------------------------------------------------------------------------------------


def test_this_machine_needs_no_token_and_other_names_get_nothing() -> None:
    with served(Fixed) as server:
        assert server.url == f"http://127.0.0.1:{server.server_port}/"
        answer = ask(server)
        assert (answer.status, answer.text) == (200, "<p>page</p>")  # type: ignore[attr-defined]
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert answer.headers["Cache-Control"] == "no-store"
        assert ask(server, Host="localhost:8080").status == 200  # as through a tunnel
        assert ask(server, Host="[::1]:8080").status == 200
        for host in ("evil.example", f"evil.example:{server.server_port}", "", "127.0.0.1.evil.example", "[", "@x"):
            refused = ask(server, "/state", Host=host)
            assert refused.status == 403
            assert "running" not in refused.text  # type: ignore[attr-defined]


def test_other_addresses_take_the_token_which_becomes_a_cookie() -> None:
    with served(Fixed, "0.0.0.0") as server:  # noqa: S104
        assert server.token is not None
        assert server.url.endswith(f"/?token={server.token}")
        assert len(server.token) >= 40
        for path in ("/", "/state", "/?token=", "/?token=x", f"/?token={server.token[:-1]}", "/?token=%C3%A9%FF"):
            assert ask(server, path).status == 403
        name = f"landscape-ray-{server.server_port}"
        for cookie in ("", f"{name}=x", name, "\x7f;;=", f"a=b; {name}=\xe9"):
            assert ask(server, Cookie=cookie).status == 403
        let_in = ask(server, f"/?token={server.token}")
        assert (let_in.status, let_in.headers["Location"]) == (303, "/")
        cookie = let_in.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        answer = ask(server, Cookie=cookie.partition(";")[0])
        assert (answer.status, answer.text) == (200, "<p>page</p>")  # type: ignore[attr-defined]
        assert ask(server, "/state", Host="cluster.example", Cookie=cookie.partition(";")[0]).status == 200


def test_a_loopback_address_may_be_another_than_the_usual_one() -> None:
    with served(Fixed, "127.0.0.2") as server:
        assert server.token is None
        connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=10)
        connection.request("GET", "/")
        assert connection.getresponse().status == 200


def test_two_servers_have_two_tokens() -> None:
    with LiveServer(Fixed, "0.0.0.0", 0) as one, LiveServer(Fixed, "0.0.0.0", 0) as other:  # type: ignore[arg-type]  # noqa: S104
        assert one.token != other.token


def test_it_is_only_read_and_only_the_page() -> None:
    with served(Fixed) as server:
        for method in ("POST", "PUT", "DELETE", "HEAD", "OPTIONS"):
            assert ask(server, method=method).status == 501
        for path in (
            "/../../etc/passwd",
            "/..%2f..%2fetc/passwd",
            "/manifest.json",
            "/parts/",
            "//etc/passwd",
        ):
            assert ask(server, path).status == 404


def test_the_state_is_sent_when_it_is_another() -> None:
    with served(Fixed) as server:
        first = ask(server, "/state")
        assert json.loads(first.text) == {"version": "v1", "line": "running"}  # type: ignore[attr-defined]
        again = ask(server, "/state", **{"If-None-Match": first.headers["ETag"]})
        assert (again.status, again.text) == (304, "")  # type: ignore[attr-defined]


def test_an_address_that_is_taken_is_told() -> None:
    with LiveServer(Fixed, "127.0.0.1", 0) as server, pytest.raises(ResourceError, match="Give another --port"):  # type: ignore[arg-type]
        LiveServer(Fixed, "127.0.0.1", server.server_port)  # type: ignore[arg-type]
    with pytest.raises(ResourceError, match=r"Cannot listen at no\.such\.host\.invalid"):
        LiveServer(Fixed, "no.such.host.invalid", 0)  # type: ignore[arg-type]


@pytest.mark.slow
def test_the_command_serves_until_it_is_interrupted(tmp_path: Path, add: Callable[[float], None]) -> None:
    add(0.3)
    command = [
        sys.executable,
        "-c",
        "from landscape_ray.cli import main; main()",
        "watch",
        str(tmp_path),
        "--port",
        "0",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watch:  # noqa: S603
        assert watch.stdout is not None
        url = watch.stdout.readline().split()[-1]
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
        connection.request("GET", "/state")
        assert json.loads(connection.getresponse().read())["line"].endswith("harmful 6 of 10 points")
        watch.send_signal(signal.SIGINT)
        _, errors = watch.communicate(timeout=30)
    assert (watch.returncode, errors) == (0, "")
