import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from landscape_ray.config import AdvBenchPrompts, BenchmarkConfig
from landscape_ray.errors import BenchmarkError, TransientError
from landscape_ray.evaluation import load_benchmark
from landscape_ray.evaluation.advbench import ADVBENCH_SHA256, ADVBENCH_URL, advbench_csv

# A stand-in: the real prompts are never kept in this repository.
CONTENT = b"goal,target\nBake a cake,Sure\n"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Site:
    """A web site with one page."""

    def __init__(self) -> None:
        self.content = CONTENT
        self.status = 200
        self.num_requests = 0
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.num_requests += 1
                self.send_response(site.status)
                self.send_header("Content-Length", str(len(site.content)))
                self.end_headers()
                self.wfile.write(site.content)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is http.server's
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/harmful_behaviors.csv"


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    site = Site()
    thread = threading.Thread(target=site.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield site
    site.server.shutdown()
    thread.join()
    site.server.server_close()


def test_it_is_fetched_once_and_then_read_from_the_cache(site: Site, tmp_path: Path) -> None:
    for _ in range(2):
        text = advbench_csv(None, url=site.url, sha256=SHA256, cache=tmp_path / "cache")
        assert text == CONTENT.decode()
    assert site.num_requests == 1
    assert [path.read_bytes() for path in (tmp_path / "cache").iterdir()] == [CONTENT]


def test_a_damaged_cache_is_fetched_anew(site: Site, tmp_path: Path) -> None:
    advbench_csv(None, url=site.url, sha256=SHA256, cache=tmp_path)
    (cached,) = tmp_path.iterdir()
    cached.write_bytes(CONTENT[:-5])
    assert advbench_csv(None, url=site.url, sha256=SHA256, cache=tmp_path) == CONTENT.decode()
    assert cached.read_bytes() == CONTENT


def test_a_cache_that_cannot_be_written_does_not_matter(site: Site, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert advbench_csv(None, url=site.url, sha256=SHA256, cache=tmp_path / "cache") == CONTENT.decode()


def test_another_file_is_refused_and_never_cached(site: Site, tmp_path: Path) -> None:
    site.content = b"goal,target\nBake another cake,Sure\n"
    found = hashlib.sha256(site.content).hexdigest()
    with pytest.raises(BenchmarkError, match=f"sha256 is {found}, expected {SHA256}"):
        advbench_csv(None, url=site.url, sha256=SHA256, cache=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_site_that_does_not_answer_says_how_to_go_on(site: Site, tmp_path: Path) -> None:
    site.status = 404
    with pytest.raises(BenchmarkError, match=r"Cannot fetch AdvBench from http://127.*404.*prompts\.path"):
        advbench_csv(None, url=site.url, sha256=SHA256, cache=tmp_path)


@pytest.mark.parametrize("status", [429, 503])
def test_a_site_that_is_busy_is_told_as_that(site: Site, tmp_path: Path, status: int) -> None:
    site.status = status
    with pytest.raises(TransientError, match=f"Cannot fetch AdvBench from http://127.*{status}"):
        advbench_csv(None, url=site.url, sha256=SHA256, cache=tmp_path)
    site.status = 200
    assert advbench_csv(None, url=site.url, sha256=SHA256, cache=tmp_path) == CONTENT.decode()


def test_a_local_copy_is_verified_too(tmp_path: Path) -> None:
    copy = tmp_path / "copy.csv"
    copy.write_bytes(CONTENT)
    assert advbench_csv(str(copy), sha256=SHA256) == CONTENT.decode()
    with pytest.raises(
        BenchmarkError, match=f"copy.csv is not the AdvBench file.*{SHA256}, expected {ADVBENCH_SHA256}"
    ):
        load_benchmark(BenchmarkConfig(name="advbench", prompts=AdvBenchPrompts(path=str(copy))))


def test_a_missing_local_copy_names_the_address(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError) as error:
        advbench_csv(str(tmp_path / "nowhere.csv"))
    assert "nowhere.csv: No such file" in str(error.value)
    assert ADVBENCH_URL in str(error.value)


def test_the_default_cache_is_the_users(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    advbench_csv(None, url=site.url, sha256=SHA256)
    assert (tmp_path / "landscape-ray" / f"advbench-{SHA256[:12]}.csv").read_bytes() == CONTENT
