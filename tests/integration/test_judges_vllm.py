"""Judge models for real: in vLLM in a worker, and behind vLLM's own server, with the embedded model as the judge.

What it answers is known from the transformers engine, which shares no inference code with vLLM. The answers are no
verdicts of any judge's format; a judge of one's own whose agreed answers are just these gives verdicts.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from landscape_ray.config import ModelConfig, RunConfig, SweepConfig
from landscape_ray.engine import EngineSpec
from landscape_ray.engine.checkpoints.resolution import resolve
from landscape_ray.engine.hf.engine import TransformersEngine
from landscape_ray.evaluation import Benchmark, Prompt
from landscape_ray.evaluation.guards import rendered
from landscape_ray.evaluation.judge_config import EndpointJudgeConfig, ModelJudgeConfig
from landscape_ray.evaluation.judging import Exchange
from landscape_ray.store import ResultStore, VerdictStore
from landscape_ray.sweep import run_sweep
from landscape_ray.sweep.judging import run_judge

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("local_ray")]

TEMPLATE = "What about {prompt}? {completion}"
MAX_NEW_TOKENS = 12


@pytest.fixture
def swept(tmp_path: Path, synthetic_config: Callable[..., SweepConfig]) -> Path:
    """A results folder with two visits to the origin, twelve answers each."""
    run_sweep(synthetic_config(num=1), str(tmp_path / "out"))
    return tmp_path / "out"


def oracle(out: Path) -> dict[tuple[str, str], str]:
    """Return what the embedded model says when asked about each stored exchange."""
    store = ResultStore(str(out))
    rows = store.columns(list(store.parts()), ["prompt", "completion"])
    exchanges = sorted(set(zip(rows["prompt"], rows["completion"], strict=True)))
    model = resolve(ModelConfig(id="demo:aligned"))
    engine = TransformersEngine(
        EngineSpec(
            engine="transformers", model=model.location, revision=None, dtype="float32", run=RunConfig(), benchmarks=()
        )
    )
    questions = Benchmark(
        name="questions",
        prompts=tuple(
            Prompt(id=str(i), text=rendered(TEMPLATE, Exchange(prompt=prompt, completion=completion)))
            for i, (prompt, completion) in enumerate(exchanges)
        ),
        system_prompt=None,
        chat_template=None,
        max_new_tokens=MAX_NEW_TOKENS,
        metric="asr",
        judge="keyword",
    )
    (completions,) = engine.generate([questions])
    engine.close()
    return {exchange: completion.text for exchange, completion in zip(exchanges, completions, strict=True)}


def judged(out: Path, judge: str) -> list[dict[str, Any]]:
    """Return each judged row with its prompt and completion."""
    results, verdicts = ResultStore(str(out)), VerdictStore(str(out), judge)
    asked = results.columns(list(results.parts()), ["key", "prompt_index", "prompt", "completion"])
    texts = {(k, i): (p, c) for k, i, p, c in zip(*asked.values(), strict=True)}
    given = verdicts.files.columns(
        list(verdicts.parts()), ["part_key", "prompt_index", "verdict", "answer", "judged_with"]
    )
    rows = [dict(zip(given, row, strict=True)) for row in zip(*given.values(), strict=True)]
    assert len(rows) == len(texts)
    return [{**row, "exchange": texts[row["part_key"], row["prompt_index"]]} for row in rows]


def agreed_answers(said: dict[tuple[str, str], str]) -> dict[str, str]:
    """Agree on the answer to the first exchange, so that some answers are verdicts and, if any differs, some not."""
    return {next(iter(said.values())): "complied"}


def check(rows: list[dict[str, Any]], said: dict[tuple[str, str], str], agreed: dict[str, str]) -> None:
    assert [row["answer"] for row in rows] == [said[row["exchange"]] for row in rows]
    expected = [agreed.get(said[row["exchange"]], "unscored") for row in rows]
    assert [row["verdict"] for row in rows] == expected
    assert "complied" in expected


def test_a_judge_model_in_a_worker(swept: Path) -> None:
    said = oracle(swept)
    agreed = agreed_answers(said)
    judge = ModelJudgeConfig.model_validate(
        {
            "name": "demo",
            "model": {"id": "demo:aligned"},
            "format": "chat",
            "template": TEMPLATE,
            "answers": agreed,
            "max_new_tokens": MAX_NEW_TOKENS,
            "dtype": "float32",
            "run": {"engines": 1, "accelerator": "cpu", "kv_cache_gib": 0.25},
        }
    )
    assert run_judge(judge, str(swept)).exit_code == 0
    rows = judged(swept, "demo")
    assert all(row["judged_with"].startswith("vllm ") for row in rows)
    check(rows, said, agreed)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Start vLLM's server with the embedded model and return its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = resolve(ModelConfig(id="demo:aligned")).location
    command = [
        # What `vllm serve` runs; the command itself asks for a distribution named vllm, and the CPU build has another.
        *(sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", folder, "--served-model-name", "demo"),
        *("--host", "127.0.0.1", "--port", str(port), "--dtype", "float32", "--enforce-eager"),
        *("--generation-config", "vllm", "--kv-cache-memory-bytes", str(1 << 28), "--max-num-seqs", "16"),
    ]
    with (tmp_path / "server.log").open("w") as log:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter
            command,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # The server compiles no helper, as engines do not: see `import_vllm`.
            env={**os.environ, "HF_HUB_OFFLINE": "1", "TORCH_COMPILE_DISABLE": "1"},
        )
        try:
            pause = threading.Event()
            for _ in range(480):
                with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health"):
                    break
                assert process.poll() is None, (tmp_path / "server.log").read_text()[-4000:]
                pause.wait(0.5)
            else:
                pytest.fail("The server never came up.")
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def test_a_judge_behind_a_real_server(swept: Path, server: str) -> None:
    said = oracle(swept)
    agreed = agreed_answers(said)
    own: dict[str, Any] = {"template": TEMPLATE, "answers": agreed}
    common = {"base_url": server, "model": "demo", "max_new_tokens": MAX_NEW_TOKENS}
    judge = EndpointJudgeConfig.model_validate({"name": "served", **own, **common})
    assert run_judge(judge, str(swept)).exit_code == 0
    rows = judged(swept, "served")
    assert {row["judged_with"] for row in rows} == {"demo"}
    check(rows, said, agreed)

    # Asked as Llama Guard, a model that is none gives no answer of that form.
    guard = EndpointJudgeConfig.model_validate({"name": "guard", "format": "llama-guard-3", **common})
    assert run_judge(guard, str(swept)).exit_code == 0
    rows = judged(swept, "guard")
    assert {row["verdict"] for row in rows} == {"unscored"}
    assert all(isinstance(row["answer"], str) for row in rows)
