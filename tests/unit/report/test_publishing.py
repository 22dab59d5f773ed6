"""`publish` against a Hub of this process: what is uploaded, and above all what is not."""

import base64
import http.server
import io
import json
import re
import threading
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from huggingface_hub import DatasetCard, SpaceCard

from landscape_ray.config import load_config
from landscape_ray.evaluation import Completion, FinishReason, PointRecord, Row, Verdict, VisitFacts
from landscape_ray.planning import PlannedPoint
from landscape_ray.sweep import PreparedSweep, prepare

TOKEN = "hf_t0ken"  # noqa: S105 - of no Hub
MARKS = {"prompt": "Zebra17", "completion": "Walrus23", "thinking": "Ocelot31", "node": "gpu-host-7"}
FACTS = VisitFacts(
    engine="synthetic 1",
    torch_version="",
    device="none",
    node=MARKS["node"],
    weights_digest="0" * 16,
    attempt=1,
    started_at="2026-01-01T00:00:00+00:00",
    place_s=0.0,
    generate_s=0.0,
    judge_s=0.0,
)


@dataclass
class FakeHub:
    """What a Hub was sent."""

    url: str = ""
    private: dict[str, bool] = field(default_factory=dict)
    """Whether a repository is, by its path such as `datasets/me/x`."""
    commits: dict[str, list[dict[str, bytes]]] = field(default_factory=dict)
    sent: list[bytes] = field(default_factory=list)
    """All bodies of requests."""
    refuses: int | None = None
    """Status that every commit is answered with."""

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        """Act as the Hub does, as far as an upload takes it."""
        self.sent.append(body)
        if path == "/api/repos/create":
            asked = json.loads(body)
            repo = f"{asked['type']}s/{asked['organization']}/{asked['name']}"
            there = repo in self.private
            self.private.setdefault(repo, asked["visibility"] == "private")
            return 409 if there else 200, {"url": f"{self.url}/{repo}"}
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        kind, owner, name, *action = path.removeprefix("/api/").split("?")[0].split("/")
        repo = f"{kind}/{owner}/{name}"
        match method, *action:
            case "GET", *_:
                return 200, {"id": f"{owner}/{name}", "private": self.private[repo], "tags": [], "downloads": 0}
            case "POST", "preupload", _:
                files = [file["path"] for file in json.loads(body)["files"]]
                modes = [{"path": file, "uploadMode": "regular", "shouldIgnore": False} for file in files]
                return 200, {"files": modes}
            case "POST", "commit", _ if self.refuses is None:
                lines = [json.loads(line) for line in body.splitlines()]
                values = [line["value"] for line in lines if line["key"] == "file"]
                contents = {value["path"]: base64.b64decode(value["content"]) for value in values}
                self.commits.setdefault(repo, []).append(contents)
                url = f"{self.url}/{repo}"
                asked = {"pullRequestUrl": f"{url}/discussions/1"} if "create_pr=1" in path else {}
                return 200, {"commitUrl": f"{url}/commit/0", "commitOid": "0", **asked}
        return self.refuses or 404, {"error": f"refused {path}"}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    fake = FakeHub()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            if self.headers.get("Transfer-Encoding") == "chunked":
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
            else:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, answer = 401, {"error": "no token"}
            if "/commit/" not in self.path or self.headers["Authorization"] == f"Bearer {TOKEN}":
                status, answer = fake.answer(self.command, self.path, body)
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST  # noqa: N815 - http.server calls it so

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    fake.url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", fake.url)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    yield fake
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    prompts = tmp_path / "prompts.csv"
    prompts.write_text("prompt\n" + "".join(f"{MARKS['prompt']} {i}\n" for i in range(10)))
    path = tmp_path / "small.yaml"
    benchmark = {"name": "mine", "prompts": {"source": "file", "path": str(prompts)}}
    document = {"model": {"id": "some/where"}, "engine": "synthetic", "benchmarks": [benchmark]}
    path.write_text(yaml.safe_dump(document | {"landscape": {"axes": [{"num": 3}]}, "directions": {"draws": 2}}))
    return path


def measure(config: Path, there: Callable[[PlannedPoint], bool] = lambda _: True) -> PreparedSweep:
    """Publish answers of which two in ten comply beside the origin."""
    sweep = prepare(load_config(config), "out")
    sweep.store.write_manifest(sweep.manifest)
    (benchmark,) = sweep.spec.benchmarks
    said = Completion(text="I cannot", token_ids=(1,), finish_reason=FinishReason.STOP)
    said = replace(said, text=f"{MARKS['completion']} says", thinking=MARKS["thinking"], num_thinking_tokens=1)
    for point in filter(there, sweep.plan.points):
        num = 0 if point.draw is None else 2
        verdicts = [Verdict.COMPLIED if i < num else Verdict.REFUSED for i in range(10)]
        record = PointRecord(
            point=point,
            benchmark="mine",
            prompts=benchmark.prompts,
            rows=tuple(Row(completion=said, verdict=verdict) for verdict in verdicts),
            judge="keyword/1",
            facts=FACTS,
        )
        sweep.store.publish(record, key=sweep.keys[point.label]["mine"], sweep_id=sweep.config.sweep_id)
    return sweep


@pytest.fixture
def publish(cli: Callable[[str], Any], config: Path) -> Callable[[str], Any]:
    """Publish a finished sweep."""
    measure(config)
    return lambda options: cli(f"publish out --to hf://datasets/me/x {options}")


def readable(name: str, content: bytes) -> str:
    """Return all text of a file: of its columns, and of what a page holds compressed."""
    if name.endswith(".parquet"):
        return json.dumps(pq.read_table(io.BytesIO(content)).to_pylist())
    text = content.decode("latin-1")
    for block in re.findall(r"[A-Za-z0-9+/]{40,}={0,2}", text) if name.endswith(".html") else ():
        try:
            text += zlib.decompress(base64.b64decode(block)).decode()
        except (ValueError, zlib.error):
            continue
    return text


def found(files: dict[str, bytes]) -> set[tuple[str, str]]:
    """Return which marks are in which files."""
    texts = {name: readable(name, content) for name, content in files.items()}
    return {(name, what) for name, text in texts.items() for what, mark in MARKS.items() if mark in text}


def header(card: Any) -> dict[str, Any]:
    """Return the header of a card, as the Hub's own client reads it."""
    read: dict[str, Any] = card.data.to_dict()
    return read


@pytest.mark.slow
def test_no_text_and_no_name_of_a_machine_leaves_unless_asked_for(publish: Callable[[str], Any], hub: FakeHub) -> None:
    ran = publish("--space hf://spaces/me/y")
    assert ran.code == 0, ran.err
    assert f"published  {hub.url}/datasets/me/x\n" in ran.out
    assert hub.private == {"datasets/me/x": True, "spaces/me/y": True}
    (dataset,), (page,) = hub.commits["datasets/me/x"], hub.commits["spaces/me/y"]
    assert set(dataset) == {
        *("README.md", "points.parquet", "rows.parquet", "scores.json"),
        *("mine.pdf", "mine.png", "mine.svg"),
    }
    assert set(page) == {"README.md", "index.html"}
    assert found({**dataset, **page}) == set()
    assert TOKEN not in ran.out + ran.err
    rows = pq.read_table(io.BytesIO(dataset["rows.parquet"]))
    assert rows.num_rows == 6 * 10
    # A new column of texts is published only once somebody has thought of it here.
    assert {column.name for column in rows.schema if column.type == pa.string()} == {
        *("sweep_id", "key", "benchmark", "prompt_id", "finish_reason", "verdict", "judge", "engine", "torch_version"),
        *("device", "weights_digest", "started_at"),
    }


@pytest.mark.slow
def test_texts_go_where_they_are_asked_for_and_the_card_warns(publish: Callable[[str], Any], hub: FakeHub) -> None:
    assert publish("--space hf://spaces/me/y --with-answers --public").code == 0
    assert hub.private == {"datasets/me/x": False, "spaces/me/y": False}
    (dataset,), (page,) = hub.commits["datasets/me/x"], hub.commits["spaces/me/y"]
    texts = {"prompt", "completion", "thinking"}
    assert found(dataset) == {("rows.parquet", text) for text in texts}
    assert found(page) == {("index.html", text) for text in texts}
    card = DatasetCard(dataset["README.md"].decode())
    assert "not-for-all-audiences" in header(card)["tags"]
    assert "unfiltered" in card.text


@pytest.mark.slow
def test_the_card_says_what_was_scored_and_where_its_tables_are(publish: Callable[[str], Any], hub: FakeHub) -> None:
    assert publish("--space hf://spaces/me/y --license cc-by-4.0").code == 0
    dataset = hub.commits["datasets/me/x"][0]
    card = DatasetCard(dataset["README.md"].decode())
    assert header(card)["license"] == "cc-by-4.0"
    files = {each["config_name"]: each["data_files"] for each in header(card)["configs"]}
    assert files == {"points": "points.parquet", "rows": "rows.parquet"}
    assert set(files.values()) <= set(dataset)
    # Margins of 80 at both ends and 100 at the origin: VISAGE 260 / 3, and 10 % ASR by trapezoids.
    (line,) = (line for line in card.text.splitlines() if line.startswith("| mine |"))
    assert re.fullmatch(r"\| mine \| ASR \| 86\.67 \(\S+ to \S+\) \| 10 \(\S+ to \S+\) \| 10 \| 2 \|", line), line
    assert "![mine.png](mine.png)" in card.text
    assert "`completion`" not in card.text
    assert header(SpaceCard(hub.commits["spaces/me/y"][0]["README.md"].decode()))["sdk"] == "static"


def test_a_dry_run_tells_files_and_sends_nothing(
    publish: Callable[[str], Any], hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "https://user:s3cret@hub.invalid")
    ran = publish("--dry-run --space hf://spaces/me/y")
    assert ran.code == 0
    assert re.search(r"^ +[\d,]+ B  rows\.parquet$", ran.out, re.MULTILINE)
    assert "would be at  https://***@hub.invalid/spaces/me/y" in ran.out
    assert hub.sent == []


def test_a_repository_that_is_public_takes_nothing_unless_that_is_wanted(
    publish: Callable[[str], Any], hub: FakeHub
) -> None:
    hub.private["datasets/me/x"] = False
    ran = publish("")
    assert (ran.code, hub.commits) == (2, {})
    assert "is public already" in ran.err


@pytest.mark.slow
def test_evaluation_results_are_read_by_the_hubs_own_client(publish: Callable[[str], Any], hub: FakeHub) -> None:
    from huggingface_hub import parse_eval_result_entries  # noqa: PLC0415

    ran = publish("--eval-results safety/bench:visage --model-repo some/where")
    assert ran.code == 0, ran.err
    assert f"offered  {hub.url}/models/some/where/discussions/1" in ran.out
    (offered,) = hub.commits["models/some/where"]
    content = hub.commits["datasets/me/x"][0]["eval_results.yaml"]
    assert offered == {".eval_results/visage.yaml": content}
    (entry,) = parse_eval_result_entries(yaml.safe_load(content))
    assert (entry.dataset_id, entry.task_id, entry.source_url) == (
        "safety/bench",
        "visage",
        f"{hub.url}/datasets/me/x",
    )
    assert entry.value == pytest.approx(260 / 3)
    assert entry.notes is not None
    assert entry.notes.startswith("VISAGE 86.67 (")
    assert "10 prompts, 2 draws on [-0.5, 0.5], judge keyword/1" in entry.notes


@pytest.mark.slow
def test_an_unfinished_sweep_is_published_only_if_that_is_wanted(
    cli: Callable[[str], Any], config: Path, hub: FakeHub
) -> None:
    measure(config, there=lambda point: point.draw != 1)
    ran = cli("publish out --to hf://datasets/me/x")
    assert (ran.code, hub.sent) == (3, [])
    assert "missing" in ran.err
    assert cli("publish out --to hf://datasets/me/x --allow-missing").code == 0
    assert len(hub.commits["datasets/me/x"]) == 1


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ("--to me/x", "Error: 'me/x' is the address of no dataset; give it as hf://datasets/OWNER/NAME."),
        ("--to hf://datasets/me/x --space hf://datasets/me/y", "is the address of no space"),
        ("--to hf://datasets/me/x --eval-results bench", "is no benchmark of the Hub"),
        ("--to hf://datasets/me/x --model-repo a/b", "--eval-results only"),
    ],
)
def test_bad_addresses_are_refused_before_anything_is_sent(
    options: str, why: str, cli: Callable[[str], Any], config: Path, hub: FakeHub
) -> None:
    measure(config)
    ran = cli(f"publish out {options}")
    assert (ran.code, hub.sent) == (2, [])
    assert why in re.sub(r"[\s│]+", " ", ran.err)


def test_without_a_token_it_says_what_to_do(
    publish: Callable[[str], Any], hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("landscape_ray.report.publishing.get_token", lambda: None)
    ran = publish("")
    assert (ran.code, hub.sent) == (2, [])
    assert "hf auth login" in ran.err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("status", "code", "why"),
    [(403, 2, "The Hub refuses "), (503, 1, "The Hub did not take ")],
)
def test_a_hub_that_refuses_is_told_in_one_paragraph(
    status: int, code: int, why: str, publish: Callable[[str], Any], hub: FakeHub
) -> None:
    hub.refuses = status
    ran = publish("")
    assert ran.code == code
    (said,) = (line for line in ran.err.splitlines() if line.startswith("Error: "))
    assert said.startswith(f"Error: {why}{hub.url}/datasets/me/x: ")
    assert TOKEN not in ran.err
