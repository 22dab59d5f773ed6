import asyncio
import http.server
import json
import subprocess
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import pytest
import yaml
from ray.job_submission import JobDetails, JobStatus, JobType

from landscape_ray.config import SweepConfig
from landscape_ray.errors import ConfigError, OutputError, ResourceError
from landscape_ray.sweep.cluster.submit import SubmittedJob, _entrypoint, forwarded, submit_sweep

TEMPLATE = "{{ bos }}\n'quoted' \"double\" \\ $HOME `id` \u2028 \u0085 \U0001f600 \x07 # : é\n\nEOF\n"
CONFIG = SweepConfig.model_validate(
    {
        "model": {"id": "demo:aligned"},
        "engine": "synthetic",
        "benchmarks": [{"name": "mine", "prompts": {"source": "demo"}, "chat_template": TEMPLATE}],
        "run": {"synthetic": {"delay_s": 1e-05}},
    }
)


def test_the_configuration_arrives_as_it_was_whatever_is_in_it(tmp_path: Path) -> None:
    """The shell is real; only `landscape-ray` is another program that shows what it gets."""
    program = tmp_path / "landscape-ray"
    program.write_text('#!/bin/sh\nprintf "%s|" "$@" > arguments\ncat "$2" > config\nexit 4\n')
    program.chmod(0o700)
    command = _entrypoint(CONFIG, Path("it is mine.yaml"), "/data/it's mine", retry_failed=True, shard="1/2")
    ran = subprocess.run(  # noqa: S602 - the shell is what is tested
        command, shell=True, check=False, cwd=tmp_path, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}
    )
    assert ran.returncode == 4
    assert (
        tmp_path / "arguments"
    ).read_text() == "run|/dev/stdin|--out|/data/it's mine|--submitted-as|it is mine.yaml|--retry-failed|--shard|1/2|"
    found = SweepConfig.model_validate(yaml.safe_load((tmp_path / "config").read_text(encoding="ascii")))
    assert found == CONFIG
    assert found.benchmarks[0].chat_template == TEMPLATE


@pytest.mark.parametrize("out", ["results", "./results", "~/results", "../results"])
def test_results_in_the_jobs_own_folder_are_refused(out: str) -> None:
    with pytest.raises(OutputError, match=r"is relative.*would lie in the job's temporary folder"):
        submit_sweep(CONFIG, path=Path("x.yaml"), out=out, address="http://127.0.0.1:9")


def test_a_password_in_the_address_of_results_is_refused_and_not_repeated() -> None:
    with pytest.raises(OutputError, match=r"^--out s3://\*\*\*@bucket/x holds credentials"):
        submit_sweep(CONFIG, path=Path("x.yaml"), out="s3://me:hidden@bucket/x", address="http://127.0.0.1:9")


def test_a_working_directory_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no-such-folder"):
        submit_sweep(
            CONFIG,
            path=Path("x.yaml"),
            out="/x",
            address="http://127.0.0.1:9",
            working_dir=str(tmp_path / "no-such-folder"),
        )


def test_a_cluster_that_does_not_answer() -> None:
    with pytest.raises(ResourceError, match=r"^Cannot submit to http://127\.0\.0\.1:9: .*Check that the cluster is up"):
        submit_sweep(CONFIG, path=Path("x.yaml"), out="/x", address="http://127.0.0.1:9")


class TokenCluster(http.server.BaseHTTPRequestHandler):
    """The job API of a cluster that wants a token, as far as a job is submitted to it."""

    submitted: ClassVar[list[dict[str, Any]]] = []

    def do_GET(self) -> None:
        self._answer({"version": "4", "ray_version": "2", "ray_commit": "c"})

    def do_POST(self) -> None:
        job = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self._answer({"job_id": "", "submission_id": "raysubmit_1"}):
            self.submitted.append(job)

    def _answer(self, document: dict[str, Any]) -> bool:
        knows = self.headers["Authorization"] == "Bearer of-this-machine"
        body = json.dumps(document).encode()
        self.send_response(200 if knows else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        return knows

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def test_a_cluster_that_asks_for_a_token_gets_that_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / ".ray" / "auth_token"
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(TokenCluster, "submitted", [])
    with http.server.HTTPServer(("127.0.0.1", 0), TokenCluster) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()

        def submit() -> SubmittedJob:
            return submit_sweep(
                CONFIG,
                path=Path("my.yaml"),
                out="/x",
                address=f"http://127.0.0.1:{server.server_port}",
                working_dir="s3://bucket/prompts.zip",
            )

        try:
            with pytest.raises(ResourceError, match=r"asks for a token, put that into ~/\.ray/auth_token"):
                submit()
            assert TokenCluster.submitted == []
            token.parent.mkdir()
            token.write_text("of-this-machine\n", encoding="utf-8")
            job = submit()
        finally:
            server.shutdown()
            thread.join()
    assert (job.submission_id, job.with_token) == ("raysubmit_1", True)
    (submitted,) = TokenCluster.submitted
    assert "--submitted-as my.yaml" in submitted["entrypoint"]
    assert "of-this-machine" not in json.dumps(submitted)


def test_only_what_is_asked_for_is_forwarded() -> None:
    here = {"HF_HOME": "/cache", "HF_TOKEN": "hidden", "OTHER": "1"}
    asked = ["HF_HOME", "VLLM_CACHE_ROOT=/mnt/a=b", "EMPTY=", "TOKENIZERS_PARALLELISM=false"]
    assert forwarded(asked, here) == {
        "HF_HOME": "/cache",
        "VLLM_CACHE_ROOT": "/mnt/a=b",
        "EMPTY": "",
        "TOKENIZERS_PARALLELISM": "false",
    }
    assert forwarded([], here) == {}
    with pytest.raises(ConfigError, match="--env NOT_THERE: there is no such variable"):
        forwarded(["NOT_THERE"], here)


@pytest.mark.parametrize(
    "variable",
    [
        "HF_TOKEN=hidden",
        "AWS_ACCESS_KEY_ID=hidden",
        "AWS_SECRET_ACCESS_KEY=hidden",
        "AZURE_STORAGE_CONNECTION_STRING=hidden",
        "HTTPS_PROXY=http://me:hidden@proxy",
    ],
)
def test_secrets_are_refused_and_not_repeated(variable: str) -> None:
    with pytest.raises(ConfigError, match="looks like a secret") as caught:
        forwarded([variable], {})
    assert "hidden" not in str(caught.value)


LOG = "".join(f"line {i}: \u00e9\n" for i in range(40))
HANG = "hang"
# What a connection does after so many characters of the log: end, hang, or raise. Any later one gives all there is.
Fate: TypeAlias = tuple[int, Exception | str | None]


class FakeClient:
    """Stands in for Ray's client: a job that prints LOG and ends once its output was followed to the end."""

    def __init__(self, fates: Sequence[Fate], *, exit_code: int = 4, num_away: int = 0) -> None:
        self._fates = list(fates)
        self._exit_code = exit_code
        self._num_away = num_away
        self.num_connections = 0
        self._ended = False

    def get_job_info(self, submission_id: str) -> JobDetails:
        if self._num_away:
            self._num_away -= 1
            raise ConnectionError("the dashboard restarts")  # noqa: EM101
        return JobDetails(
            type=JobType.SUBMISSION,
            submission_id=submission_id,
            entrypoint="x",
            status=JobStatus.FAILED if self._ended else JobStatus.RUNNING,
            driver_exit_code=self._exit_code if self._ended else None,
        )

    async def tail_job_logs(self, _: str) -> AsyncIterator[str]:
        self.num_connections += 1
        until, fate = self._fates.pop(0) if self._fates else (len(LOG), None)
        # Pieces are of another length each time, and so cut elsewhere.
        size = 7 + 3 * self.num_connections
        for first in range(0, until, size):
            yield LOG[first : min(first + size, until)]
        if fate == HANG:
            await asyncio.Event().wait()
        if isinstance(fate, Exception):
            raise fate
        self._ended = until == len(LOG)


@pytest.mark.parametrize(
    ("fates", "num_pauses"),
    [
        ([], 1),
        ([(100, None)], 2),
        ([(0, None), (0, None)], 3),
        ([(100, RuntimeError("WebSocket closed with code 1006"))], 2),
        ([(100, HANG), (250, RuntimeError("reset")), (180, None)], 4),
        ([(30 + i, RuntimeError("reset")) for i in range(100)], 101),
    ],
)
def test_output_that_breaks_off_goes_on_where_it_was_until_the_job_has_ended(
    fates: list[Fate], num_pauses: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("landscape_ray.sweep.cluster.submit.SILENT_S", 0.01)
    client, told, pauses = FakeClient(fates), list[str](), list[float]()
    job = SubmittedJob(submission_id="raysubmit_1", address="http://head", client=client, with_token=False)
    assert job.follow(told.append, sleep=pauses.append) == 4
    assert "".join(told) == LOG
    assert all(told)
    # The last connection is made when the job is known to have ended.
    assert client.num_connections == len(fates) + 2
    assert len(pauses) == num_pauses


def test_a_dashboard_that_comes_back_is_waited_for_and_one_that_does_not_is_told() -> None:
    pauses: list[float] = []
    job = SubmittedJob(
        submission_id="raysubmit_1", address="http://head", client=FakeClient([], num_away=3), with_token=False
    )
    assert job.follow(lambda _: None, sleep=pauses.append) == 4
    assert pauses[:3] == [0.5, 1.0, 2.0]
    job = SubmittedJob(
        submission_id="raysubmit_1", address="http://head", client=FakeClient([], num_away=99), with_token=False
    )
    with pytest.raises(ResourceError, match="Lost contact with http://head while following job raysubmit_1: the dash"):
        job.follow(lambda _: None, sleep=pauses.append)
    assert sum(pauses[4:]) >= 60
