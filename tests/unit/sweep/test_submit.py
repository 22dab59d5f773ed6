import subprocess
from pathlib import Path

import pytest
import yaml

from landscape_ray.config import SweepConfig
from landscape_ray.errors import ConfigError, OutputError, ResourceError
from landscape_ray.sweep.submit import _entrypoint, forwarded, submit_sweep

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
    command = _entrypoint(CONFIG, "/data/it's mine", retry_failed=True)
    ran = subprocess.run(  # noqa: S602 - the shell is what is tested
        command, shell=True, check=False, cwd=tmp_path, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}
    )
    assert ran.returncode == 4
    assert (tmp_path / "arguments").read_text() == "run|/dev/stdin|--out|/data/it's mine|--retry-failed|"
    found = SweepConfig.model_validate(yaml.safe_load((tmp_path / "config").read_text(encoding="ascii")))
    assert found == CONFIG
    assert found.benchmarks[0].chat_template == TEMPLATE


@pytest.mark.parametrize("out", ["results", "./results", "~/results", "../results"])
def test_results_in_the_jobs_own_folder_are_refused(out: str) -> None:
    with pytest.raises(OutputError, match=r"is relative.*would lie in the job's temporary folder"):
        submit_sweep(CONFIG, name="x", out=out, address="http://127.0.0.1:9")


def test_a_password_in_the_address_of_results_is_refused_and_not_repeated() -> None:
    with pytest.raises(OutputError, match=r"^--out s3://\*\*\*@bucket/x holds credentials"):
        submit_sweep(CONFIG, name="x", out="s3://me:hidden@bucket/x", address="http://127.0.0.1:9")


def test_a_working_directory_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no-such-folder"):
        submit_sweep(
            CONFIG, name="x", out="/x", address="http://127.0.0.1:9", working_dir=str(tmp_path / "no-such-folder")
        )


def test_a_cluster_that_does_not_answer() -> None:
    with pytest.raises(ResourceError, match=r"^Cannot submit to http://127\.0\.0\.1:9: .*Check that the cluster is up"):
        submit_sweep(CONFIG, name="x", out="/x", address="http://127.0.0.1:9")


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
