"""Eval logs of Inspect, read back with its own API: every sample is a stored row, and values are our own."""

import contextlib
import math
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from inspect_ai.log import EvalLog, list_eval_logs, read_eval_log
from inspect_ai.scorer import accuracy, stderr
from playwright.sync_api import Browser
from scipy.stats import binomtest

from landscape_ray.config import SweepConfig
from landscape_ray.errors import OutputError
from landscape_ray.evaluation import Verdict
from landscape_ray.inspecting.logs import export_logs
from landscape_ray.planning import PlannedPoint
from landscape_ray.report.results import load_results
from landscape_ray.store import ResultStore

HOSTILE = "<script>window.pwned = 1</script> ![](http://192.0.2.1/x) \u202e \U0001f600 \x00\x1b[31m"


def one_more_per_step(_: str, point: PlannedPoint, index: int) -> Verdict:
    """Comply with 4 of 10 prompts at the ends of the axis, 2 half way, 0 at the origin; leave one prompt unscored."""
    if index == 9:
        return Verdict.UNSCORED
    return Verdict.COMPLIED if index < 8 * abs(point.coordinates[0]) else Verdict.REFUSED


@pytest.fixture
def out(tmp_path: Path, config: SweepConfig, publish: Callable[..., None]) -> str:
    publish(
        tmp_path / "out",
        config,
        one_more_per_step,
        there=lambda point: point.label != "d1_a+0.5",
        num_prompts=10,
        answer=lambda _, point, i: f"{HOSTILE} {point.label} {i}",
        thinking=lambda _, __, i: "I wonder" if i == 1 else None,
        prefill=lambda name, i: "Sure," if (name, i) == ("other", 2) else "",
    )
    return str(tmp_path / "out")


def logs_in(folder: Path) -> list[EvalLog]:
    return [read_eval_log(info) for info in list_eval_logs(str(folder), descending=False)]


def point_of(log: EvalLog) -> str:
    return str((log.eval.metadata or {})["point"])


@pytest.mark.slow
def test_every_sample_is_a_stored_row(out: str, tmp_path: Path) -> None:
    assert export_logs(out, tmp_path / "logs") == 2 * 9
    rows = ResultStore(out).rows(ResultStore(out).parts()).to_pylist()
    stored = {(row["benchmark"], row["key"], row["prompt_id"]): row for row in rows}
    logs = logs_in(tmp_path / "logs")
    assert len(logs) == 18
    for log in logs:
        assert log.status == "success"
        assert log.eval.metadata is not None
        for sample in log.samples or ():
            row = stored.pop((log.eval.task, log.eval.eval_id, str(sample.id)))
            assert sample.input == row["prompt"]
            assert sample.output.completion == row["completion"]
            begun = [] if row["prefill"] is None else [("assistant", "Sure,")]
            said = [("user", row["prompt"]), *begun, ("assistant", row["completion"])]
            assert [(message.role, message.text) for message in sample.messages] == said
            assert sample.output.stop_reason == {"stop": "stop", "length": "max_tokens"}[row["finish_reason"]]
            assert sample.output.usage is not None
            assert sample.output.usage.output_tokens == row["num_tokens"]
            score = (sample.scores or {})[row["judge"]]
            expected = {"complied": 1.0, "refused": 0.0, "unscored": math.nan}[row["verdict"]]
            assert score.value == pytest.approx(expected, nan_ok=True)
            assert score.explanation == sample.metadata["verdict"] == row["verdict"]
            thoughts = [] if isinstance(sample.messages[-1].content, str) else sample.messages[-1].content[:1]
            assert [getattr(each, "reasoning", None) for each in thoughts] == (["I wonder"] if row["thinking"] else [])
            for name in ("draw", "repeat", "alpha", "beta", "weights_digest", "sweep_id"):
                assert log.eval.metadata[name] == row[name]
            assert sample.metadata["num_tokens"] == row["num_tokens"]
    assert not stored


@pytest.mark.slow
def test_values_are_our_own_and_inspect_agrees(out: str, tmp_path: Path) -> None:
    export_logs(out, tmp_path / "logs")
    landscape = load_results(out).landscapes["other"]
    logs = {
        str((log.eval.metadata or {})["point"]): log for log in logs_in(tmp_path / "logs") if log.eval.task == "other"
    }
    assert list(logs) == [  # as the files sort
        *("origin-r0", "origin-r1", "d0_a-0.5", "d0_a-0.25", "d0_a+0.25", "d0_a+0.5"),
        *("d1_a-0.5", "d1_a-0.25", "d1_a+0.25"),
    ]
    for label, place in (("d0_a-0.5", (0, 0)), ("d1_a+0.25", (1, 3)), ("origin-r0", (0, 2))):
        log = logs[label]
        assert log.results is not None
        (score,) = log.results.scores
        found = {name: metric.value for name, metric in score.metrics.items()}
        num = int(landscape.num_success[place])
        interval = binomtest(num, 9).proportion_ci(method="wilson")
        assert found["asr"] == pytest.approx(landscape.values[place] / 100)
        assert (found["wilson_low"], found["wilson_high"]) == pytest.approx((interval.low, interval.high))
        assert (score.scored_samples, score.unscored_samples) == (9, 1)
        # What Inspect makes of the samples by itself.
        of_inspect = recomputed(log)
        assert of_inspect == pytest.approx({"accuracy": found["asr"], "stderr": found["stderr"]})
    assert logs["d1_a+0.25"].eval.model == "landscape/demo:aligned@0.25/draw1"
    assert logs["origin-r1"].eval.model == "landscape/demo:aligned@0"


def recomputed(log: EvalLog) -> dict[str, float]:
    from inspect_ai.scorer import SampleScore  # noqa: PLC0415

    scores = [
        SampleScore(score=score) for sample in log.samples or () for score in (sample.scores or {}).values()
        if not math.isnan(score.as_float())
    ]  # fmt: skip
    return {"accuracy": float(accuracy()(scores)), "stderr": float(stderr()(scores))}  # type: ignore[arg-type]


def test_perplexity_and_first_tokens_are_in_their_own_units(
    tmp_path: Path, make_config: Callable[..., SweepConfig], publish: Callable[..., None]
) -> None:
    def value_of(metric: str, **given: Any) -> tuple[float, list[float]]:
        config = make_config(3, draws=1, names=("texts",), metric=metric)
        publish(tmp_path / metric, config, lambda *_: Verdict.UNSCORED, answer=lambda *_: "a b c d", **given)
        export_logs(str(tmp_path / metric), tmp_path / "logs")
        (log,) = (log for log in logs_in(tmp_path / "logs") if point_of(log) == "d0_a-0.5")
        assert log.results is not None
        samples = [score.as_float() for sample in log.samples or () for score in (sample.scores or {}).values()]
        return float(log.results.scores[0].metrics[metric].value), samples

    value, samples = value_of("perplexity", nats=-2.0)
    assert value == pytest.approx(math.exp(0.5))
    assert samples == [0.5] * 4
    assert value_of("first_token_kl", kl=lambda point: point.distance) == (0.5, [0.5] * 4)


@pytest.mark.slow
def test_an_export_takes_the_place_of_an_earlier_one_and_of_nothing_else(out: str, tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    export_logs(out, folder)
    names = sorted(file.name for file in folder.iterdir())
    (folder / "2025-01-01T00-00-00+00-00_harmful_00017-d0-a+0.5_0123456789abcdef.eval").write_text("")
    export_logs(out, folder)
    assert sorted(file.name for file in folder.iterdir()) == names
    for name in ("notes.txt", "2026-11-28T02-58-52-00-00_refusal_32PyGLesd2PV2i5BdAuafP.eval"):
        (folder / name).write_text("mine")
        with pytest.raises(OutputError, match=rf"holds '{re.escape(name)}', which no export wrote.*--into"):
            export_logs(out, folder)
        assert (folder / name).read_text() == "mine"
        (folder / name).unlink()
    (tmp_path / "taken").write_text("")
    with pytest.raises(OutputError, match=r"Cannot write .*taken.*--into"):
        export_logs(out, tmp_path / "taken")
    assert not list(tmp_path.glob(".tmp-*"))


@pytest.mark.long
def test_the_viewer_shows_logs_and_runs_nothing_that_a_model_wrote(out: str, tmp_path: Path, browser: Browser) -> None:
    export_logs(out, tmp_path / "logs")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = Path(sys.executable).parent / "inspect", "view", "start", "--log-dir", tmp_path / "logs"
    viewer = subprocess.Popen(  # noqa: S603 - our own arguments
        [*command, "--host", "127.0.0.1", "--port", port], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    page = browser.new_context(viewport={"width": 1400, "height": 1400}, locale="en-GB").new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    try:
        for _ in range(100):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/"):
                break
            time.sleep(0.2)
        page.goto(f"http://127.0.0.1:{port}/")
        page.get_by_text("landscape/demo:aligned@0.5/draw0").last.wait_for()
        shown = page.inner_text("body")
        assert shown.count("landscape/demo:aligned@") == 18
        page.get_by_text("landscape/demo:aligned@0.5/draw0").last.click()
        page.get_by_text("d0_a+0.5 3").wait_for()
        shown = page.inner_text("body")
        assert "ASR(9/10)\n0.444" in shown  # 4 of 9, and one unscored
        assert "WILSON_LOW(9/10)\n0.189" in shown
        page.get_by_text("d0_a+0.5 1").click()
        page.get_by_text("I wonder").first.wait_for()
        assert page.evaluate("window.pwned") is None
        assert not [url for url in asked if not url.startswith((f"http://127.0.0.1:{port}/", "data:", "blob:"))]
    finally:
        page.context.close()
        viewer.terminate()
        viewer.wait()
