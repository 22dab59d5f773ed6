"""The live page in a real browser: a part is published, and the page shows it without being touched."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Error, Page, expect

from landscape_ray.config import SweepConfig
from landscape_ray.evaluation import Verdict
from landscape_ray.report import live
from landscape_ray.report.live import LiveReport
from landscape_ray.report.server import LiveServer

pytestmark = pytest.mark.slow

Add = Callable[[float], None]
HOSTILE = "</script><script>window.pwned = 1</script>"


@pytest.fixture
def add(
    tmp_path: Path, publish: Callable[..., None], make_config: Callable[..., SweepConfig]
) -> Callable[[float], None]:
    """Publish all points up to a distance from the origin."""

    def there(distance: float) -> None:
        publish(
            tmp_path,
            make_config(5, names=("harmful",), model=HOSTILE),
            lambda _, point, __: Verdict.COMPLIED if point.distance > 0.3 else Verdict.REFUSED,
            there=lambda point: point.distance <= distance,
            answer=lambda *_: HOSTILE,
        )

    return there


@pytest.fixture(params=["127.0.0.1", "0.0.0.0"])  # noqa: S104  (with its token)
def server(
    request: pytest.FixtureRequest, tmp_path: Path, add: Add, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LiveServer]:
    monkeypatch.setattr(live, "EVERY_S", 0.2)
    add(0.3)
    with LiveServer(LiveReport(str(tmp_path)), request.param, 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def measured(page: Page) -> int:
    """Return how many points of the first draw the figure shows."""
    read = "JSON.parse(document.getElementById('data').textContent).benchmarks[0].counts.slice(0, 5)"
    return len([count for count in page.evaluate(read) if count])


def until(page: Page, expression: str) -> None:
    """Wait until something holds; the page's policy lets nobody evaluate strings but a debugger."""
    for _ in range(200):
        with contextlib.suppress(Error):  # the page is being taken anew
            if page.evaluate(expression):
                return
        page.wait_for_timeout(100)
    pytest.fail(f"{expression}: it never came")


def test_it_fills_in_by_itself_where_the_reader_is(browser: Browser, server: LiveServer, add: Add) -> None:
    page = browser.new_context(viewport={"width": 1000, "height": 500}, reduced_motion="reduce").new_page()
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text) if message.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    address = f"http://127.0.0.1:{server.server_port}/"
    page.goto(address if server.token is None else f"{address}?token={server.token}")
    assert page.url == address  # the token is not in the address bar
    expect(page.locator("#live")).to_contain_text("harmful 6 of 10 points")
    assert measured(page) == 3

    page.click("nav a[href='#setup']")
    until(page, "scrollY > 300")
    page.evaluate("scrollBy(0, -800)")
    before = page.evaluate("scrollY")
    page.evaluate("window.untouched = true")
    add(1.0)
    expect(page.locator("#live")).to_contain_text("harmful 10 of 10 points", timeout=20_000)
    until(page, "window.untouched === undefined")
    assert measured(page) == 5
    assert page.url == f"{address}#setup"
    until(page, f"Math.abs(scrollY - {before}) < 100")

    # A reader at answers is left alone until the box is closed.
    page.click("#chooser button")
    page.evaluate("window.untouched = true")
    (Path(server.report._out) / "failures").mkdir()
    (Path(server.report._out) / "failures" / "x.json").write_text("{}")
    page.wait_for_timeout(2500)
    assert page.evaluate("window.untouched") is True
    page.keyboard.press("Escape")
    until(page, "window.untouched === undefined")

    assert page.evaluate("window.pwned") is None
    assert wrong == []
    page.context.close()
