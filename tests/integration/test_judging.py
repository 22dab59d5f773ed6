"""Judging passes on a local Ray cluster; a fake endpoint counts what it is asked, so nothing is lost or repeated."""

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import ray
import yaml

from landscape_ray.config import DecodingConfig, RunConfig, SweepConfig
from landscape_ray.errors import ConfigError, OutputError, TransientError
from landscape_ray.evaluation.judge_config import (
    EndpointJudgeConfig,
    FunctionJudgeConfig,
    JudgeConfig,
    KeywordJudgeConfig,
)
from landscape_ray.report.results import load_results
from landscape_ray.store import ResultStore, VerdictStore
from landscape_ray.sweep import run_sweep
from landscape_ray.sweep.judging import run_judge

pytestmark = pytest.mark.usefixtures("local_ray")

MakeConfig = Callable[..., SweepConfig]
Says = Callable[[str | None], tuple[int, bytes]]
KEY = "sk-S3cr3tMarker"
NUM_PROMPTS = 12
TEMPLATE = "{prompt} | {completion}"
ANSWERS = {"yes": "complied", "no": "refused"}


def endpoint_judge(endpoint: Any, **settings: Any) -> EndpointJudgeConfig:
    data = {
        "name": "mine",
        "base_url": endpoint.base_url,
        "model": "fake",
        "template": TEMPLATE,
        "answers": ANSWERS,
        "max_retries": 0,
        **settings,
    }
    return EndpointJudgeConfig.model_validate(data)


def verdict_rows(out: Path, judge: str) -> dict[str, Any]:
    store = VerdictStore(str(out), judge)
    return store.files.columns(list(store.parts()))


def part_times(out: Path, judge: str = "mine") -> dict[str, int]:
    folder = out / "judged" / judge / "parts"
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.parquet")} if folder.exists() else {}


def asked_points(endpoint: Any) -> Counter[str]:
    """Count the requests by what was asked. Points are told apart by their completions only where these differ."""
    return Counter(request["messages"][-1]["content"] for request in endpoint.asked)


def expected_requests(out: Path) -> Counter[str]:
    store = ResultStore(str(out))
    rows = store.columns(list(store.parts()), ["prompt", "completion"])
    return Counter(f"{prompt} | {completion}" for prompt, completion in zip(*rows.values(), strict=True))


def test_every_stored_answer_is_judged_once(
    tmp_path: Path, synthetic_config: MakeConfig, endpoint: Any, says: Says
) -> None:
    out, harmful = tmp_path / "out", ("harmful",)
    run_sweep(synthetic_config(num=3, benchmarks=harmful), str(out))
    endpoint.reply = lambda text: says("yes" if " 7 " in text else "who knows" if " 8 " in text else "no")
    judge = endpoint_judge(endpoint, run=RunConfig(engines=2))
    outcome = run_judge(judge, str(out))
    assert (outcome.points.num_points, outcome.points.num_done, outcome.exit_code) == (6, 6, 0)
    assert asked_points(endpoint) == expected_requests(out)
    assert endpoint.headers[0]["authorization"] == "Bearer none"

    rows = verdict_rows(out, "mine")
    verdicts = Counter(zip(rows["prompt_index"].tolist(), rows["verdict"], rows["answer"], strict=True))
    expected = {7: ("complied", "yes"), 8: ("unscored", "who knows")}
    assert verdicts == {(i, *expected.get(i, ("refused", "no"))): 6 for i in range(NUM_PROMPTS)}
    assert set(rows["judged_with"]) == {"fake-1"}
    landscape = load_results(str(out), "mine").landscapes["harmful"]
    assert landscape.num_success.tolist() == [[1] * 3] * 2
    assert landscape.num_scored.tolist() == [[11] * 3] * 2

    before, num_asked = part_times(out), len(endpoint.asked)
    assert run_judge(judge, str(out)) == outcome
    assert (part_times(out), len(endpoint.asked)) == (before, num_asked)

    # A further draw is judged alone.
    run_sweep(synthetic_config(num=5, benchmarks=harmful), str(out))
    assert run_judge(judge, str(out)).points.num_done == 10
    assert len(endpoint.asked) == 10 * NUM_PROMPTS
    after = part_times(out)
    assert {name: after[name] for name in before} == before


def test_a_judge_reads_answers_from_what_they_were_begun_with(
    tmp_path: Path, synthetic_config: MakeConfig, endpoint: Any, says: Says
) -> None:
    out = tmp_path / "out"
    config = synthetic_config(num=3, benchmarks=("harmful",))
    (harmful,) = config.benchmarks
    begun = harmful.model_copy(update={"prefill": "Sure, it is illegal:"})
    run_sweep(config.model_copy(update={"benchmarks": (begun,)}), str(out))
    endpoint.reply = lambda _: says("no")
    run_judge(endpoint_judge(endpoint), str(out))
    assert asked_points(endpoint) == Counter(
        {asked.replace(" | ", " | Sure, it is illegal:"): num for asked, num in expected_requests(out).items()}
    )


@pytest.mark.long
def test_the_keyword_judge_repeats_the_sweeps_own_verdicts(
    tmp_path: Path, synthetic_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a relative folder: the cluster of these tests was started in another working folder."""
    monkeypatch.chdir(tmp_path)
    run_sweep(synthetic_config(num=5, benchmarks=("harmful", "harmless")), "out")
    outcome = run_judge(KeywordJudgeConfig(), "out")
    assert (outcome.benchmarks, outcome.exit_code) == (("harmful", "harmless"), 0)
    own, judged = load_results("out"), load_results("out", "keyword")
    for name, landscape in own.landscapes.items():
        assert (landscape.outcomes == judged.landscapes[name].outcomes).all()


def test_answers_that_end_with_their_verdict_are_not_judged_again(
    tmp_path: Path, synthetic_config: MakeConfig, endpoint: Any, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out"
    config = synthetic_config(num=3, benchmarks=("harmful", "harmless"))
    harmful, harmless = config.benchmarks
    early = harmful.model_copy(update={"decoding": DecodingConfig(early_verdict=True)})
    run_sweep(config.model_copy(update={"benchmarks": (early, harmless)}), str(out))
    columns = ResultStore(str(out)).columns(list(ResultStore(str(out)).parts()))
    cut = columns["benchmark"] == "harmful"
    assert set(columns["finish_reason"][cut]) == {"verdict"}
    assert set(columns["verdict"][cut]) == set(columns["verdict"][~cut]) == {"refused"}
    assert np.isnan(columns["broken"][cut]).all()
    assert not columns["broken"][~cut].any()
    landscape = load_results(str(out)).landscapes["harmful"]
    assert landscape.broken is None
    assert (landscape.values == 0).all()

    outcome = run_judge(endpoint_judge(endpoint), str(out))
    assert outcome.benchmarks == ("harmless",)
    assert len(endpoint.asked) == 6 * NUM_PROMPTS
    assert "harmful of" in caplog.text
    run_sweep(config.model_copy(update={"benchmarks": (early,)}), str(out))
    with pytest.raises(ConfigError, match=r"harmful of .* end at their first refusal keyword"):
        run_judge(endpoint_judge(endpoint), str(out))


SCRIPT = """
import sys
from landscape_ray.evaluation.judge_config import load_judge
from landscape_ray.sweep.judging import run_judge
sys.exit(run_judge(load_judge(sys.argv[1]), sys.argv[2]).exit_code)
"""


def judging_process(judge: JudgeConfig, out: Path, folder: Path) -> "subprocess.Popen[str]":
    path = folder / "judge.yaml"
    path.write_text(yaml.safe_dump(judge.model_dump(mode="json")), encoding="utf-8")
    return subprocess.Popen(  # noqa: S603  (our own interpreter and code)
        [sys.executable, "-c", SCRIPT, str(path), str(out)],
        cwd=folder,  # Ray's workers import from where their driver is
        env=os.environ | {"RAY_ADDRESS": ray.get_runtime_context().gcs_address},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


COUNTING = """
import os
import threading
from pathlib import Path

from landscape_ray.sweep.judging import part_answers

part_answers.KEEP_EVERY_S = 0.0  # each answer is kept at once: what is asked again then depends on no clock
FOLDER = Path(__file__).parent


def note(name, line):
    with (FOLDER / name).open("a") as file:
        file.write(line + "\\n")


def decide(prompt, completion):
    note("asked", f"{prompt} | {completion}")
    if len((FOLDER / "asked").read_text().splitlines()) > 63 and not (FOLDER / "go_on").exists():
        note("in_flight", f"{os.getpid()} {prompt} | {completion}")
        threading.Event().wait()
    return "refused"
"""


def wait_until(holds: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(1200):
        if holds():
            return
        pause.wait(0.05)
    pytest.fail("It never happened.")


def test_a_killed_pass_loses_and_repeats_nothing(tmp_path: Path, synthetic_config: MakeConfig) -> None:
    """Two workers, killed with their driver in the middle of a part each: only the two open questions are repeated."""
    out, module = tmp_path / "out", tmp_path / "counting_judge_module.py"
    run_sweep(synthetic_config(num=11), str(out))
    module.write_text(COUNTING, encoding="utf-8")
    judge = FunctionJudgeConfig(name="mine", function=f"{module.stem}:decide", run=RunConfig(engines=2))

    def lines(name: str) -> list[str]:
        path = tmp_path / name
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    process = judging_process(judge, out, tmp_path)
    wait_until(lambda: len(lines("in_flight")) == 2 or process.poll() is not None)
    assert process.poll() is None, process.communicate()
    stored, received = part_times(out), sorted((out / "judged" / "mine" / "received").iterdir())
    process.kill()
    process.communicate()
    pids, in_flight = zip(*(line.split(" ", 1) for line in lines("in_flight")), strict=True)
    wait_until(lambda: not any(psutil.pid_exists(int(pid)) for pid in pids))  # Ray ends the workers of a dead driver
    assert len(lines("asked")) == len(stored) * NUM_PROMPTS + len(received) + 2
    assert 0 < len(received) < 2 * NUM_PROMPTS
    received[0].write_bytes(received[0].read_bytes()[:-1])  # and one file is torn, on top of it

    (tmp_path / "go_on").touch()
    process = judging_process(judge, out, tmp_path)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    after = part_times(out)
    assert len(after) == 22
    assert {name: after[name] for name in stored} == stored
    assert list((out / "judged" / "mine" / "received").iterdir()) == []
    assert verdict_rows(out, "mine")["verdict"].tolist() == ["refused"] * 22 * NUM_PROMPTS
    repeated = Counter(lines("asked")) - expected_requests(out)
    assert expected_requests(out) - Counter(lines("asked")) == Counter()
    assert Counter(in_flight) <= repeated
    assert repeated.total() == len(in_flight) + 1  # and what was in the torn file


@pytest.mark.long
@pytest.mark.parametrize(("signum", "exit_code"), [(signal.SIGKILL, -9), (signal.SIGTERM, 3)])
def test_a_pass_that_is_killed_goes_on_where_it_was(  # noqa: PLR0917  (pytest passes them by name)
    signum: signal.Signals, exit_code: int, tmp_path: Path, synthetic_config: MakeConfig, endpoint: Any, says: Says
) -> None:
    """A part that was stored is not asked about again; of those under way, one at a time here, at most all rows are."""
    out = tmp_path / "out"
    run_sweep(synthetic_config(num=11), str(out))
    num_parts, reached, go_on = 22, threading.Event(), threading.Event()

    def reply(_: str) -> tuple[int, bytes]:
        if len(endpoint.asked) > 5 * NUM_PROMPTS + 3:  # in the middle of the sixth part
            reached.set()
            go_on.wait(60)
        return says("no")

    endpoint.reply = reply
    judge = endpoint_judge(endpoint, concurrency=2)
    process = judging_process(judge, out, tmp_path)
    assert reached.wait(120), process.communicate(timeout=5)
    before = part_times(out)
    process.send_signal(signum)
    if signum is signal.SIGKILL:
        process.wait(60)
    go_on.set()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == exit_code, errors
    stored = part_times(out)
    assert len(before) == 5
    assert 5 <= len(stored) < num_parts
    # Whatever the dead pass still had on its way is over when its worker is gone.
    num_first = len(endpoint.asked)

    outcome = run_judge(judge, str(out))
    assert (outcome.points.num_done, outcome.exit_code) == (num_parts, 0)
    after = part_times(out)
    assert len(after) == num_parts
    assert {name: after[name] for name in stored} == stored
    assert len(endpoint.asked) - num_first <= (num_parts - len(before)) * NUM_PROMPTS
    # Each completion of a stored part was asked about once; those of a part under way at the kill once or twice.
    extra = asked_points(endpoint) - expected_requests(out)
    assert extra.total() <= NUM_PROMPTS
    assert expected_requests(out) - asked_points(endpoint) == Counter()


def test_a_part_that_cannot_be_judged_is_given_up_alone_and_tried_again_by_the_next_call(
    tmp_path: Path, synthetic_config: MakeConfig, endpoint: Any, says: Says
) -> None:
    out = tmp_path / "out"
    run_sweep(synthetic_config(num=3), str(out))
    replies = iter([(200, b"{}")])
    endpoint.reply = lambda _: next(replies, None) or says("no")
    judge = endpoint_judge(endpoint, run=RunConfig(engines=1, max_attempts=1))
    outcome = run_judge(judge, str(out))
    assert (outcome.points.num_failed, outcome.points.num_done, outcome.exit_code) == (1, 5, 4)
    assert run_judge(judge, str(out)).exit_code == 0
    assert verdict_rows(out, "mine")["verdict"].tolist() == ["refused"] * 6 * NUM_PROMPTS


def test_an_endpoint_that_is_away_costs_no_part_its_attempts(
    tmp_path: Path, synthetic_config: MakeConfig, endpoint: Any, says: Says
) -> None:
    """With one attempt a part: it comes back after two refusals; and then it stays away until the pass ends."""
    out = tmp_path / "out"
    run_sweep(synthetic_config(num=3), str(out))
    replies = iter([(503, b"{}")] * 2)
    endpoint.reply = lambda _: next(replies, None) or says("no")
    judge = endpoint_judge(endpoint, run=RunConfig(engines=1, max_attempts=1))
    assert run_judge(judge, str(out)).exit_code == 0
    endpoint.reply = lambda _: (503, b"{}")
    away = endpoint_judge(endpoint, name="other", run=RunConfig(engines=1, max_attempts=1, max_engine_restarts=1))
    with pytest.raises(TransientError, match="HTTP 503"):
        run_judge(away, str(out))


@pytest.mark.long
def test_a_wrong_judge_ends_at_once_with_its_error(tmp_path: Path, synthetic_config: MakeConfig, endpoint: Any) -> None:
    out = tmp_path / "out"
    run_sweep(synthetic_config(num=3), str(out))
    endpoint.reply = lambda _: (404, b'{"error": "no such model"}')
    with pytest.raises(ConfigError, match="HTTP 404"):
        run_judge(endpoint_judge(endpoint), str(out))
    endpoint.reply = lambda _: (400, b'{"error": "no such parameter"}')
    with pytest.raises(ConfigError, match="refuses every question about a part, the first with: HTTP 400"):
        run_judge(endpoint_judge(endpoint), str(out))
    assert part_times(out) == {}
    with pytest.raises(OutputError, match="holds verdicts of mine/"):
        run_judge(endpoint_judge(endpoint, model="another"), str(out))
    with pytest.raises(OutputError, match="holds no sweep"):
        run_judge(endpoint_judge(endpoint), str(tmp_path / "empty"))


@pytest.mark.long
def test_an_unfinished_sweep_is_judged_as_far_as_it_is(
    tmp_path: Path, synthetic_config: MakeConfig, endpoint: Any
) -> None:
    out = tmp_path / "out"
    run_sweep(synthetic_config(num=3, faults={"poison_coordinates": [[0.1]]}, max_attempts=1), str(out))
    outcome = run_judge(endpoint_judge(endpoint), str(out))
    assert (outcome.points.num_points, outcome.num_unmeasured, outcome.exit_code) == (4, 0, 0)
    for path in (out / "failures").iterdir():
        path.unlink()  # not given up, but not measured either
    outcome = run_judge(endpoint_judge(endpoint), str(out))
    assert (outcome.points.num_points, outcome.num_unmeasured, outcome.exit_code) == (4, 2, 3)
    assert load_results(str(out), "mine").num_unjudged == {"harmful": 0}


def test_no_file_holds_the_key(
    tmp_path: Path, synthetic_config: MakeConfig, endpoint: Any, says: Says, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an endpoint that repeats it in an error and then works."""
    out = tmp_path / "out"
    run_sweep(synthetic_config(num=3), str(out))
    monkeypatch.setenv("MY_JUDGE_KEY", KEY)
    replies = iter([(500, f'{{"error": {{"message": "bad key {KEY}"}}}}'.encode())])
    endpoint.reply = lambda _: next(replies, None) or says("no")
    run_judge(endpoint_judge(endpoint, api_key_variable="MY_JUDGE_KEY"), str(out))
    assert {headers["authorization"] for headers in endpoint.headers} == {f"Bearer {KEY}"}
    files = [path for path in out.rglob("*") if path.is_file()]
    assert any(b"visit_failed" in path.read_bytes() for path in files)
    assert [str(path) for path in files if KEY.encode() in path.read_bytes()] == []


@pytest.mark.long
def test_a_judge_in_a_results_folder_is_never_loaded(tmp_path: Path, synthetic_config: MakeConfig) -> None:
    """Whoever can write a results folder must not run code on the machine of who reads it."""
    out = tmp_path / "out"
    run_sweep(synthetic_config(num=1), str(out))
    run_judge(KeywordJudgeConfig(), str(out))
    ran = tmp_path / "ran"
    (tmp_path / "evil_judge_module.py").write_text(f"open({str(ran)!r}, 'w')\n", encoding="utf-8")
    evil = {"kind": "function", "name": "keyword", "function": "evil_judge_module:f"}
    (out / "judge.yaml").write_text(yaml.safe_dump(evil), encoding="utf-8")
    path = out / "judged" / "keyword" / "judge.json"
    path.write_text(
        path.read_text().replace('"kind": "keyword"', '"kind": "function", "function": "evil_judge_module:f"')
    )
    commands = [
        ["score", str(out), "--judge", "keyword"],
        ["report", str(out), "--judge", "keyword"],
        ["judge", str(out), "--judge", "keyword"],
        ["judge", str(out), "--judge", str(out / "judge.yaml")],
    ]
    codes = [
        subprocess.run(  # noqa: S603 - our own interpreter and code
            [sys.executable, "-c", "from landscape_ray.cli import main; main()", *command],
            env={**os.environ, "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"},
            capture_output=True,
            check=False,
            timeout=120,
        ).returncode
        for command in commands
    ]
    assert codes == [0, 0, 0, 2]
    assert not ran.exists()
