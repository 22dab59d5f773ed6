import io
import math
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from landscape_ray.config import Metric
from landscape_ray.engine import EngineFacts
from landscape_ray.evaluation import Verdict
from landscape_ray.sweep.events import Requested, StopRequested
from landscape_ray.sweep.outcome import SweepOutcome
from landscape_ray.sweep.reports import EngineReady, VisitReport
from landscape_ray.sweep.watching.live_progress import LiveProgress
from landscape_ray.sweep.watching.progress import LineProgress, SweepStatus, Tally, progress_for

READY = EngineReady(node="a", facts=EngineFacts(engine="e", torch_version="", device="d"), start_s=5.0)


def report(label: str, *, refused: int, complied: int, unscored: int = 0, num_tokens: int = 100) -> VisitReport:
    verdicts = {Verdict.REFUSED: refused, Verdict.COMPLIED: complied, Verdict.UNSCORED: unscored}
    return VisitReport(
        label=label,
        verdicts={"harmful": Counter(verdicts)},
        num_tokens=num_tokens,
        place_s=0.1,
        generate_s=0.2,
        judge_s=0.0,
        publish_s=0.0,
    )


def status_after_work(clock: Any) -> SweepStatus:
    """30 s of start, then 60 s with 3 points done, of 20 of which 5 were done and 1 failed before."""
    tally = Tally(SweepOutcome(num_points=20, num_done=5, num_failed=1), {"harmful": "asr"}, clock)
    clock.pass_s(30)
    tally.count(READY)
    tally.count(None)
    tally.count(report("d0_a+0.1", refused=3, complied=1))
    tally.count(report("d0_a+0.1", refused=3, complied=1))  # the same point again, repeated as a straggler
    tally.count(report("d0_a+0.2", refused=1, complied=3))
    tally.count(report("d0_a+0.3", refused=0, complied=2, unscored=2, num_tokens=400))
    clock.pass_s(60)
    return tally.status(starting={"importing the engine": 1}, num_up=2)


def test_tally_counts_each_point_once_and_start_up_apart(clock: Any) -> None:
    status = status_after_work(clock)
    assert (status.num_points, status.num_done, status.num_done_now, status.num_failed) == (20, 8, 3, 1)
    assert (status.start_s, status.work_s, status.num_tokens) == (30, 60, 600)
    assert dict(status.so_far) == {"harmful": ("asr", 60.0)}
    assert status.points_per_s == pytest.approx(3 / 60)
    assert status.remaining_s == pytest.approx(11 * 20)


def test_a_pause_is_no_work_and_is_shown(clock: Any) -> None:
    tally = Tally(SweepOutcome(num_points=20, num_done=5, num_failed=1), {"harmful": "asr"}, clock)
    tally.count(READY)
    clock.pass_s(60)
    tally.count(report("d0_a+0.1", refused=3, complied=1))
    tally.status(starting={}, num_up=1)
    tally.heed(Requested(action="pause", by="a@b", why="too [/x] hot"))
    clock.pass_s(600)
    paused = tally.status(starting={}, num_up=1)
    assert (paused.work_s, paused.paused) == (60, "by a@b: too [/x] hot")
    stream = io.StringIO()
    LineProgress(stream, clock).close(paused)
    assert "paused: by a@b: too [/x] hot; `landscape-ray ctl OUT resume --why ...` goes on" in stream.getvalue()
    assert "time left" not in stream.getvalue()
    shown = LiveProgress(stream)
    shown.update(paused)
    shown.close(paused)
    assert stream.getvalue().count("[/x]") == 2
    tally.heed(Requested(action="resume", by="a@b", why="cool"))
    clock.pass_s(5)
    assert tally.status(starting={}, num_up=1).work_s == 65
    assert not tally.stopping
    tally.heed(StopRequested())
    assert tally.stopping


def test_each_metric_has_its_own_value_so_far(clock: Any) -> None:
    metrics: dict[str, Metric] = {
        "harmful": "asr",
        "harmless": "over_refusal",
        "questions": "accuracy",
        "texts": "perplexity",
        "other": "perplexity",
        "none": "asr",
    }
    tally = Tally(SweepOutcome(num_points=2, num_done=0, num_failed=0), metrics, clock)
    tally.count(READY)
    for label, log_likelihood, num_tokens in (("origin-r0", -30.0, 10), ("d0_a+0.1", -10.0, 30)):
        verdicts = {
            "harmful": Counter({Verdict.REFUSED: 1, Verdict.COMPLIED: 2, Verdict.BROKEN: 1, Verdict.UNSCORED: 5}),
            "harmless": Counter({Verdict.REFUSED: 1, Verdict.COMPLIED: 3}),
            "questions": Counter({Verdict.CORRECT: 1, Verdict.INCORRECT: 1, Verdict.UNSCORED: 1}),
            "texts": Counter({Verdict.UNSCORED: 2}),
            "other": Counter({Verdict.UNSCORED: 2}),
        }
        sums = {"texts": (log_likelihood, num_tokens), "other": (-1e5, 1)}
        tally.count(replace(report(label, refused=0, complied=0), verdicts=verdicts, log_likelihoods=sums))
    clock.pass_s(2)
    status = tally.status(starting={}, num_up=1)
    assert status.so_far == {
        "harmful": ("asr", 75.0),
        "harmless": ("over_refusal", 25.0),
        "questions": ("accuracy", 50.0),
        "texts": ("perplexity", pytest.approx(math.exp(40 / 40))),
        "other": ("perplexity", math.inf),
    }
    stream = io.StringIO()
    LineProgress(stream, clock).close(status)
    for shown in ("over-refusal so far, harmless: 25.0 %", "accuracy so far, questions: 50.0 %"):
        assert shown in stream.getvalue()
    assert "perplexity so far, texts: 2.72;" in stream.getvalue()


def test_nothing_done_has_no_rate_and_no_time_left(clock: Any) -> None:
    tally = Tally(SweepOutcome(num_points=20, num_done=0, num_failed=0), {"harmful": "asr"}, clock)
    clock.pass_s(7)
    status = tally.status(starting={"waiting for a node": 2}, num_up=0)
    assert (status.start_s, status.work_s, status.points_per_s, status.remaining_s) == (7, 0, 0.0, None)


def test_a_line_every_half_minute_and_one_at_the_end(clock: Any) -> None:
    stream = io.StringIO()
    status = status_after_work(clock)
    progress = LineProgress(stream, clock)
    for _ in range(61):
        progress.update(status)
        clock.pass_s(1)
    progress.close(status)
    line = (
        "points: 8/20, 1 failed; engines: 2 up, 1 starting (1 importing the engine); first engine up after: 30 s; "
        "ASR so far, harmful: 60.0 %; visits: 3.0 a minute; tokens: 10 a second; time left: 3 min 40 s"
    )
    assert stream.getvalue().splitlines() == [line] * 4


def test_the_last_line_of_a_finished_sweep_speaks_of_no_engines_and_no_time_left(clock: Any) -> None:
    stream = io.StringIO()
    tally = Tally(SweepOutcome(num_points=1, num_done=0, num_failed=0), {"harmful": "asr"}, clock)
    tally.count(READY)
    clock.pass_s(2)
    tally.count(report("origin-r0", refused=4, complied=0))
    LineProgress(stream, clock).close(tally.status(starting={}, num_up=0))
    rates = "visits: 30.0 a minute; tokens: 50 a second"
    assert stream.getvalue() == f"points: 1/1; first engine up after: 0 s; ASR so far, harmful: 0.0 %; {rates}\n"


def test_each_phase_of_the_start_has_its_own_line(clock: Any) -> None:
    stream = io.StringIO()
    tally = Tally(SweepOutcome(num_points=9, num_done=0, num_failed=0), {"harmful": "asr"}, clock)
    progress = LineProgress(stream, clock)

    def tell(num_up: int = 0, **starting: int) -> None:
        for _ in range(2):  # the second time there is nothing new
            progress.update(tally.status(starting=starting, num_up=num_up))

    tell(waiting=2)
    tell(fetching=1, importing=1)
    clock.pass_s(9)
    tally.count(READY)
    tell(importing=1, num_up=1)
    tell(num_up=2)
    tally.count(report("origin-r0", refused=4, complied=0))
    tell(num_up=2)
    points, first = "points: 0/9; engines: ", "first engine up after: 9 s; first visits: under way"
    assert stream.getvalue().splitlines() == [
        f"{points}0 up, 2 starting (2 waiting)",
        f"{points}0 up, 2 starting (1 fetching, 1 importing)",
        f"{points}1 up, 1 starting (1 importing); {first}",
        f"{points}2 up; {first}",
    ]


def test_terminal_shows_the_same_facts(clock: Any) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    progress = progress_for(stream)
    assert isinstance(progress, LiveProgress)
    assert stream.getvalue() == ""
    status = status_after_work(clock)
    progress.update(status)
    progress.close(status)
    for text in ("8/20, 1 failed", "2 up, 1 starting", "60.0 %", "3 min 40 s"):
        assert text in stream.getvalue()


def test_a_pipe_gets_lines() -> None:
    assert isinstance(progress_for(io.StringIO()), LineProgress)
