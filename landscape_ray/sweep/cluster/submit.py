"""A sweep as a job on a remote cluster, through Ray's job API.

The job runs `landscape-ray run` on the head. Its configuration, read and checked here, is written into the job's
command itself: so it travels from wherever it lies, with `--set` and the environment of the submitter in it, touches no
file of the job's folder (which jobs share), and can be read in the dashboard.
"""

import asyncio
import contextlib
import re
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from ray.exceptions import AuthenticationError
from ray.job_submission import JobStatus, JobSubmissionClient

from landscape_ray import __version__
from landscape_ray.config import SweepConfig
from landscape_ray.errors import ConfigError, GenerationError, OutputError, ResourceError
from landscape_ray.store.redaction import redacted
from landscape_ray.sweep.cluster.tokens import token_of_this_machine

__all__ = ["SubmittedJob", "forwarded", "submit_sweep"]

SECRET_NAME = re.compile(
    r"(^|_)(TOKEN|KEY|SECRET|PASSWORD|PASSWD|CREDENTIALS?|SAS|CONNECTION_STRING)(_|$)", re.IGNORECASE
)
MAX_REASON_CHARS = 500
POLL_S = 0.5
SILENT_S = 120.0
RECONNECT_PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0)
"""Pauses after attempts at a cluster that does not answer, a minute in all."""
NOT_READY, READY_WITHIN_S = "No available agent", 60.0
STOPPED_EXIT_CODE = 3
"""Of a job that was stopped before it could say: incomplete but resumable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmittedJob:
    """A job on a cluster."""

    submission_id: str
    """Ray's id of it."""
    address: str
    """Address of the cluster's job API."""
    client: Any
    """The connection to it."""
    with_token: bool
    """Whether the cluster asked for a token, and got that of this machine."""

    def follow(self, write: Callable[[str], object], *, sleep: Callable[[float], object] = time.sleep) -> int:
        """Pass on what the job prints until it ends; a connection that breaks off is made again.

        Args:
            write: Gets the job's output, piece by piece, each piece once.
            sleep: Waits for so many seconds.

        Returns:
            The exit code of the job's command; 128 + number if a signal ended it.

        Raises:
            ResourceError: The cluster cannot be reached any more; the job may well go on.
            GenerationError: The job's command was never run, or was lost with its node.
        """
        output = _Output(write)
        pauses_s = iter(RECONNECT_PAUSES_S)
        while True:
            num_before = output.num_written
            try:
                # Asked before the output is read: after the end of a job, one reading gives all of it.
                info = self.client.get_job_info(self.submission_id)
                asyncio.run(self._pass_on(output))
            except Exception as error:  # the client raises classes of several libraries
                if output.num_written > num_before:
                    pauses_s = iter(RECONNECT_PAUSES_S)
                pause_s = next(pauses_s, None)
                if pause_s is None:
                    msg = (
                        f"Lost contact with {redacted(self.address)} while following job {self.submission_id}: "
                        f"{_reason(error)}. The job may well go on; look with `ray job status`."
                    )
                    raise ResourceError(msg) from error
                sleep(pause_s)
                continue
            if info.status.is_terminal():
                break
            pauses_s = iter(RECONNECT_PAUSES_S)
            sleep(POLL_S)
        code: int | None = info.driver_exit_code
        if code is None and info.status == JobStatus.STOPPED:
            return STOPPED_EXIT_CODE
        if code is None:
            msg = f"Job {self.submission_id} ended without an exit code: {_reason(info.message)}"
            raise GenerationError(msg)
        return code if code >= 0 else 128 - code

    async def _pass_on(self, output: "_Output") -> None:
        """Read until the stream ends; one that is silent for long may have lost its other end without knowing."""
        output.rewind()
        async with contextlib.aclosing(self.client.tail_job_logs(self.submission_id)) as stream:
            with contextlib.suppress(StopAsyncIteration, TimeoutError):
                while True:
                    output.add(await asyncio.wait_for(anext(stream), SILENT_S))


class _Output:
    """What a job has printed, which every connection gives from its beginning."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._num_seen = 0
        self.num_written = 0

    def rewind(self) -> None:
        """Expect the beginning."""
        self._num_seen = 0

    def add(self, text: str) -> None:
        """Pass on what has not been yet, of the next piece."""
        new = text[max(self.num_written - self._num_seen, 0) :]
        self._num_seen += len(text)
        if new:
            self._write(new)
            self.num_written += len(new)


def submit_sweep(
    config: SweepConfig,
    *,
    path: Path,
    out: str,
    address: str,
    working_dir: str = ".",
    environment: Mapping[str, str] | None = None,
    retry_failed: bool = False,
    shard: str | None = None,
) -> SubmittedJob:
    """Submit a sweep; submitted again after it was interrupted, it goes on.

    Args:
        config: The sweep.
        path: The configuration's file, as the job names it in what it prints.
        out: Results: an address, or a folder that is there for all nodes and outlives the cluster.
        address: Of the cluster's job API, such as http://127.0.0.1:8265.
        working_dir: A folder to upload (prompt files with relative paths are looked for in it), or an address of one.
        environment: Variables for the job and its engines. They can be read in Ray's logs and job API: no secrets.
        retry_failed: Try points again that were given up in earlier runs.
        shard: The share of this job, such as `1/2`.

    Raises:
        OutputError: Results would be lost there, or the address holds a password.
        ConfigError: There is no such working directory.
        ResourceError: The cluster cannot be reached, or refuses the job.
    """
    _check_out(out)
    if "://" not in working_dir and not Path(working_dir).is_dir():
        msg = (
            f"The working directory {working_dir} (--working-dir) is no folder. Give one with your prompt files in it."
        )
        raise ConfigError(msg)
    try:
        client, with_token = _connect(address)
        submission_id = _submit_when_ready(
            client,
            entrypoint=_entrypoint(config, path, out, retry_failed=retry_failed, shard=shard),
            runtime_env={"working_dir": working_dir, "env_vars": dict(environment or {})},
            metadata={"sweep_id": config.sweep_id, "config": path.stem, "out": out, "landscape_ray": __version__},
        )
    except Exception as error:  # the client raises classes of several libraries
        msg = (
            f"Cannot submit to {redacted(address)}: {_reason(error)}. Check that the cluster is up and that --address "
            "is that of its dashboard (from outside: `ray dashboard cluster.yaml` forwards it to "
            "http://127.0.0.1:8265); where it asks for a token, put that into ~/.ray/auth_token or RAY_AUTH_TOKEN."
        )
        raise ResourceError(msg) from error
    return SubmittedJob(submission_id=submission_id, address=address, client=client, with_token=with_token)


def forwarded(variables: Sequence[str], here: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that a job is to get, each asked for as `NAME` (its value here) or `NAME=VALUE`.

    Raises:
        ConfigError: One is not set here, or looks like a secret: a job's variables can be read in Ray's logs.
    """
    values = {}
    for variable in variables:
        name, equals, given = variable.partition("=")
        value = given if equals else here.get(name)
        if value is None:
            msg = f"--env {name}: there is no such variable here. Set it, or write --env {name}=VALUE."
            raise ConfigError(msg)
        if SECRET_NAME.search(name) or redacted(value) != value:
            msg = (
                f"--env {name} looks like a secret, and the variables of a job can be read in Ray's logs and job API. "
                "Put it into the environment of the cluster's nodes instead: docs/cluster.md says how."
            )
            raise ConfigError(msg)
        values[name] = value
    return values


def _check_out(out: str) -> None:
    if redacted(out) != out:
        msg = (
            f"--out {redacted(out)} holds credentials, and the command of a job can be read in Ray's job API. Leave "
            "them out of the address and put them into the environment of the cluster's nodes."
        )
        raise OutputError(msg)
    if "://" not in out and not Path(out).is_absolute():
        msg = (
            f"--out {out} is relative, so results would lie in the job's temporary folder on the head and vanish with "
            "it. Give an address such as s3://bucket/prefix, or the absolute path of storage that all nodes share."
        )
        raise OutputError(msg)


def _connect(address: str) -> tuple[JobSubmissionClient, bool]:
    """Connect to a cluster, and tell whether it asked for a token.

    Ray itself sends its token only where RAY_AUTH_MODE=token says so; `ray start` asks for one without being told.
    """
    try:
        return JobSubmissionClient(address), False
    except AuthenticationError:
        token = token_of_this_machine()
        if not token:
            raise
    return JobSubmissionClient(address, headers={"Authorization": f"Bearer {token}"}), True


def _submit_when_ready(client: Any, **job: Any) -> str:
    """Submit a job; the dashboard of a cluster that has just started is up some seconds before it takes jobs."""
    give_up_at_s = time.monotonic() + READY_WITHIN_S
    while True:
        try:
            submission_id: str = client.submit_job(**job)
        except RuntimeError as error:
            if NOT_READY not in str(error) or time.monotonic() > give_up_at_s:
                raise
        else:
            return submission_id
        time.sleep(POLL_S)


def _entrypoint(config: SweepConfig, path: Path, out: str, *, retry_failed: bool, shard: str | None = None) -> str:
    """Return the shell command of a job.

    The configuration is its standard input, as ASCII YAML; it cannot hold the mark of its end, which is a hash of it.
    `exec` makes the driver the job's own process: signals reach it, and its exit code is the job's.
    """
    command = ["landscape-ray", "run", "/dev/stdin", "--out", out, "--submitted-as", str(path)]
    if retry_failed:
        command.append("--retry-failed")
    if shard:
        command += ["--shard", shard]
    mark = f"sweep-{config.sweep_id}"
    return f"exec {shlex.join(command)} <<'{mark}'\n{yaml.safe_dump(config.as_written())}{mark}\n"


def _reason(error: object) -> str:
    return redacted(" ".join(str(error).split()))[:MAX_REASON_CHARS].rstrip(".")
