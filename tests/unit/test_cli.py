import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import yaml

import landscape_ray as lr
from landscape_ray import __version__, library
from landscape_ray.config import SweepConfig, load_config
from landscape_ray.planning import PlannedPoint
from landscape_ray.store import PointFailure, ResultStore
from landscape_ray.sweep import PreparedSweep, prepare

ROOT = Path(__file__).parents[2]


CLI = Callable[[str], Any]
Measure: TypeAlias = Callable[..., PreparedSweep]


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """A small sweep on the synthetic engine: an axis of -0.5, 0, 0.5, two draws, ten prompts."""
    (tmp_path / "prompts.csv").write_text("prompt\n" + "".join(f"prompt {i}\n" for i in range(10)))
    path = tmp_path / "small.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "model": {"id": "somewhere"},
                "engine": "synthetic",
                "landscape": {"axes": [{"num": 3}]},
                "directions": {"draws": 2},
                "benchmarks": [
                    {
                        "name": "mine",
                        "prompts": {"source": "file", "path": str(tmp_path / "prompts.csv")},
                        "decoding": {"max_new_tokens": 8},
                    }
                ],
            }
        )
    )
    return path


@pytest.fixture
def measure(publish_point: Callable[[PreparedSweep, PlannedPoint, int], None]) -> Measure:
    """Publish what actors would: at each point so many prompts comply."""

    def publish(
        config: SweepConfig,
        out: Path | str,
        num_complied: Callable[[PlannedPoint], int],
        *,
        there: Callable[[PlannedPoint], bool] = lambda _: True,
    ) -> PreparedSweep:
        sweep = prepare(config, str(out))
        sweep.store.write_manifest(sweep.manifest)
        for point in filter(there, sweep.plan.points):
            publish_point(sweep, point, num_complied(point))
        return sweep

    return publish


def basin(point: PlannedPoint) -> int:
    """Of ten prompts comply 1 at the origin, and 10, 6, 4 and 10 at the ends of the two draws."""
    return {None: 1, 0: 10 if point.coordinates[0] < 0 else 6, 1: 4 if point.coordinates[0] < 0 else 10}[point.draw]


# VISAGE by hand, `paper`. Draw 0 has ASR 100, 10, 60: the points below 100 are 90 and 40 deep, mean 65. Draw 1 has ASR
# 40, 10, 100: 60 and 90 deep, mean 75. Mean of both: 70.
VISAGE = 70.0


@pytest.fixture
def finished(sweep: Path, measure: Measure) -> Path:
    """The folder of that sweep, all measured, beside its configuration."""
    measure(load_config(sweep), sweep.parent / "out", basin)
    return sweep


@pytest.fixture
def unfinished(sweep: Path, measure: Measure) -> Path:
    """The folder of that sweep without the point at 0.5 of draw 1."""
    there = lambda point: not (point.draw == 1 and point.coordinates == (0.5,))  # noqa: E731
    measure(load_config(sweep), sweep.parent / "out", basin, there=there)
    return sweep


def give_up(config: Path, error: str) -> None:
    """Record that the point which is missing was given up."""
    sweep = prepare(load_config(config), "out")
    label = "d1_a+0.5"
    at = "2026-01-01T00:00:00+00:00"
    key = sweep.keys[label]["mine"]
    sweep.store.publish_failure(PointFailure(key=key, label=label, benchmark="mine", error=error, attempts=3, at=at))


# --- help and usage --------------------------------------------------------------------------------------------------


def test_help_teaches_with_examples(cli: CLI) -> None:
    for command in ("run", "plan", "status", "score", "compare", "report", "export"):
        shown = cli(f"{command} --help")
        assert shown.code == 0
        assert f"landscape-ray {command} " in shown.out.split("Options")[0].split("Usage:")[1].split("\n", 1)[1]
    assert "Exit codes: 0 done, 1 error, 2 wrong usage" in cli("--help").out
    assert "--install-completion" in cli("--help").out


def test_version(cli: CLI) -> None:
    assert cli("--version") == (0, f"landscape-ray {__version__}\n", "")


@pytest.mark.parametrize(
    "line", ["fly", "plan", "status a b", "score out --definition other", "run a.yaml --engines two"]
)
def test_wrong_usage_is_exit_code_2(cli: CLI, line: str) -> None:
    shown = cli(line)
    assert shown.code == 2
    assert "Usage: landscape-ray" in shown.err


def test_an_error_is_one_paragraph_without_a_traceback(cli: CLI) -> None:
    for line in ("plan nowhere.yaml", "run nowhere.yaml", "config show nowhere.yaml"):
        shown = cli(line)
        assert (shown.code, shown.out) == (2, "")
        assert shown.err.startswith("Error: Cannot read the configuration nowhere.yaml: No such file or directory.")
        assert len(shown.err.splitlines()) == 1
    for line in ("score nowhere", "report nowhere", "status nowhere"):
        shown = cli(line)
        assert (shown.code, shown.out) == (2, "")
        assert shown.err.startswith("Error: nowhere holds no sweep")


# --- plan, config ----------------------------------------------------------------------------------------------------


def test_plan_counts(cli: CLI, sweep: Path) -> None:
    shown = cli(f"plan {sweep} --json --set directions.draws=4")
    assert shown.code == 0
    assert shown.lines == [
        {
            "sweep_id": load_config(sweep, ["directions.draws=4"]).sweep_id,
            "num_prompts": {"mine": 10},
            "num_points": 9,
            "num_visits": 10,
            "num_generations": 100,
            "num_scored": 0,
            "max_tokens": 800,
            "seconds": None,
            "problems": [],
            "not_checked": None,
        }
    ]


def test_plan_for_people(cli: CLI, sweep: Path) -> None:
    shown = cli(f"plan {sweep} --set engine=vllm")
    assert re.search(r"^landscape +1-D random: 3 points on \[-0\.5, 0\.5\]; 2 draws$", shown.out, re.MULTILINE)
    assert re.search(r"^visits +6: 5 points, of these the origin 2 times$", shown.out, re.MULTILINE)
    assert re.search(r"^tokens +at most 480$", shown.out, re.MULTILINE)
    assert re.search(r"^time +about \d\.\d s to \d\.\d s on 1 engine$", shown.out, re.MULTILINE)
    assert "Assumes a model of 7 to 8 billion parameters" in shown.out


def test_plan_shows_the_size_even_where_prompts_cannot_be_had(cli: CLI, sweep: Path) -> None:
    shown = cli(f"plan {sweep} --json --set benchmarks.0.prompts.path=gone.csv --set benchmarks.0.limit=5")
    assert shown.code == 2
    assert shown.lines[0]["num_generations"] == 6 * 5
    assert "Error: Benchmark 'mine': cannot read the prompt file gone.csv" in shown.err
    unknown = cli(f"plan {sweep} --json --set benchmarks.0.prompts.path=gone.csv")
    assert (unknown.code, unknown.out) == (2, "")


def test_config_show_prints_a_configuration_that_means_the_same(cli: CLI, sweep: Path, tmp_path: Path) -> None:
    shown = cli(f"config show {sweep} --set directions.seed=5")
    again = tmp_path / "again.yaml"
    again.write_text(shown.out)
    assert load_config(again) == load_config(sweep, ["directions.seed=5"])
    assert shown.out.startswith(f"# sweep {load_config(again).sweep_id}\n")


def test_config_keys_tells_the_meaning_of_every_key(cli: CLI) -> None:
    shown = cli("config keys").out
    told = " ".join(shown.split())
    schema = SweepConfig.model_json_schema()
    for section in (schema, *schema["$defs"].values()):
        for name, key in section["properties"].items():
            if "const" not in key:
                assert f"{name} " in shown.replace("\n", " ")
                assert " ".join(key["description"].split()) in told
    names = {line.split("  ")[0] for line in shown.splitlines() if not line.startswith(" ")}
    assert names > {
        "dtype",
        "run.synthetic.delay_s",
        "landscape[plane].through.N.id",
        "benchmarks.N.prompts[hub].split",
    }
    assert cli("config keys directions.draws").out.startswith("directions.draws  (default: 3)\n")  # a mapping
    assert cli("config keys directions.N[pruning].share").out.startswith("directions.N[pruning].share\n")  # or a list
    assert cli("config keys run.max_attempts").out.startswith("run.max_attempts  (default: 3)\n    ")


def test_config_keys_names_the_sections_where_there_is_no_such_key(cli: CLI) -> None:
    refused = cli("config keys runs")
    assert (refused.code, refused.out) == (2, "")
    assert "No key begins with 'runs'. The sections are model, engine," in refused.err


def test_config_schema_is_the_models(cli: CLI) -> None:
    assert json.loads(cli("config schema").out) == SweepConfig.model_json_schema()


# --- score, report, status -------------------------------------------------------------------------------------------


def test_score_by_hand(cli: CLI, finished: Path) -> None:
    assert finished.exists()
    (document,) = cli("score out --json").lines
    visage = document["benchmarks"]["mine"]["visage"]
    assert visage["value"] == pytest.approx(VISAGE)
    assert visage["per_draw"] == pytest.approx([65.0, 75.0])
    assert (visage["num_points_used"], visage["num_points"], visage["num_points_missing"]) == (4, 6, 0)
    shown = cli("score out")
    assert shown.code == 0
    visage = r"VISAGE {} \(95 % interval over prompts and draws .*\) at 10 prompts on \[-0\.5, 0\.5\], definition: {}$"
    assert re.search("^mine +" + visage.format(r"70\.0", "paper"), shown.out, re.MULTILINE)
    # The authors' code has no step to find in halves of one point, and averages all three: (0 + 90 + 40) / 3 and 50.
    reference = visage.format(r"46\.7", "reference; compare published scores with this one")
    assert re.search("^ +" + reference, shown.out, re.MULTILINE)
    assert "2 draws: 65.0, 75.0" in shown.out
    assert "10 prompts; 4 of 6 grid points enter VISAGE" in shown.out
    # Unconditional, by trapezoids: (0 / 2 + 90 + 40 / 2) / 2 = 55 and (60 / 2 + 90 + 0 / 2) / 2 = 60 deep on average.
    assert re.search(r"^ +mean margin 57\.5 \(95 % interval .*\), over the whole grid$", shown.out, re.MULTILINE)
    # Draw 0 crosses 50 % on the left after 4 / 9 of the step of 0.5, on the right after 4 / 5; draw 1 on the right
    # after 4 / 9 and never on the left.
    assert re.search(r"^ +basin radius 0\.222 .*, where ASR <= 50 %$", shown.out, re.MULTILINE)
    assert re.search(r"^ +basin width 0\.672 .*, where ASR <= 50 %$", shown.out, re.MULTILINE)
    assert "at least: the basin of 1 draw reaches the end of an axis" in shown.out
    assert "origin measured 2 times, 0.0 % of prompts changed their verdict" in shown.out


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ("--fail-under 69.9", 0),
        ("--fail-under 70.1", 5),
        ("--definition reference --fail-under 46.6", 0),
        ("--definition reference --fail-under 46.7", 5),
    ],
)
def test_a_score_below_the_threshold_is_exit_code_5(cli: CLI, finished: Path, options: str, code: int) -> None:
    assert finished.exists()
    shown = cli(f"score out --json {options}")
    assert shown.code == code
    scores = shown.lines[0]["benchmarks"]["mine"]
    assert scores["visage"]["value"] == pytest.approx(VISAGE)
    assert scores["visage_reference"]["value"] == pytest.approx(140 / 3)


def test_the_reference_of_what_has_none_is_an_error(cli: CLI, finished: Path, measure: Measure) -> None:
    axis = "{start: -0.5, stop: 0.5, num: 2}"
    config = load_config(finished, [f"landscape.axes=[{axis}, {axis}]"])
    measure(config, finished.parent / "plane", lambda _: 3)
    assert cli("score plane").code == 0
    shown = cli("score plane --definition reference")
    assert (shown.code, shown.out) == (2, "")
    assert "No benchmark has a VISAGE by definition 'reference'" in shown.err


def test_the_basin_is_where_it_is_asked_for(cli: CLI, finished: Path) -> None:
    assert finished.exists()
    shown = cli("score out --tau 60 --radius 0.5")
    assert "where ASR <= 60 %" in shown.out
    # Draw 0 has 100 % at -0.5, draw 1 at 0.5; Clopper-Pearson for 0 of 2.
    assert "basin of radius 0.5 along 0 of 2 random directions: 95 % interval 0 to 84 % of all directions" in shown.out


def test_an_undefined_score_fails_every_threshold(cli: CLI, sweep: Path, measure: Measure) -> None:
    measure(load_config(sweep), sweep.parent / "out", lambda _: 10)
    assert cli("score out").code == 0
    assert "VISAGE undefined: no point is below 100 % ASR" in cli("score out").out
    assert cli("score out --fail-under 0").code == 5


def test_an_unfinished_sweep_has_no_score_unless_asked(cli: CLI, unfinished: Path) -> None:
    assert unfinished.exists()
    shown = cli("score out")
    assert (shown.code, shown.out) == (3, "")
    assert "1 of 6 grid points of benchmark 'mine' are missing" in shown.err
    (document,) = cli("score out --json --allow-missing").lines
    visage = document["benchmarks"]["mine"]["visage"]
    assert visage["num_points_missing"] == 1
    assert visage["per_draw"] == pytest.approx([65.0, 75.0])  # what is missing is a point at 100 %, which counts not
    assert "1 are missing" in cli("score out --allow-missing").out


FILES = ("report.html", "scores.json", "mine.png", "mine.svg", "mine.pdf")


@pytest.fixture
def finetuned(finished: Path, measure: Measure) -> str:
    """The same sweep of another model: of ten prompts comply 4 at the origin, and else as many as before, but 2."""
    config = load_config(finished, ["model.id=elsewhere"])
    measure(config, finished.parent / "after", lambda point: 4 if point.draw is None else max(basin(point) - 2, 4))
    return "after"


def test_compare_by_hand(cli: CLI, finetuned: str) -> None:
    shown = cli(f"compare out {finetuned}")
    assert shown.code == 0
    assert re.search(r"^before +somewhere, sweep [0-9a-f]{16}$", shown.out, re.MULTILINE)
    assert re.search(r"^after +elsewhere, sweep [0-9a-f]{16}$", shown.out, re.MULTILINE)
    # ASR after: 80 40 40 and 40 40 80, so the margins 20, 60, 60 and 60, 60, 20: 46.7 in both draws.
    assert re.search(r"^mine +VISAGE 70\.0 -> 46\.7; difference -23\.3 \(.*\)$", shown.out, re.MULTILINE)
    assert re.search(r"^ +retention 0\.67 \(.*\)$", shown.out, re.MULTILINE)
    assert "at 10 prompts on [-0.5, 0.5], definition: paper; VISAGE can rise as safety falls" in shown.out
    # By trapezoids: 57.5 before, (20 / 2 + 60 + 60 / 2) / 2 = 50 after in both draws.
    assert re.search(r"^ +mean margin 57\.5 -> 50\.0; difference -7\.5 \(95 % interval ", shown.out, re.MULTILINE)
    assert re.search(r"^ +mean ASR 42\.5 -> 50\.0; difference 7\.5 \(95 % interval ", shown.out, re.MULTILINE)
    # Prompts 1 to 3 are lost, and with three pairs that differ p is 2 / 2^3.
    assert "origin ASR 10.0 % -> 40.0 %" in shown.out
    assert "of 10 prompts 3 lost, 0 won; McNemar's exact test p = 0.25; noise floor before 0.0 % of" in shown.out
    (document,) = cli(f"compare out {finetuned} --json").lines
    assert document["origins"]["mine"]["num_lost"] == 3
    retention = document["benchmarks"]["mine"]["visage"]["retention"]
    assert retention["value"] == pytest.approx(140 / 3 / 70)
    assert retention["per_draw"] == pytest.approx([140 / 3 / 65, 140 / 3 / 75])
    assert (document["before"]["model"]["id"], document["after"]["model"]["id"]) == ("somewhere", "elsewhere")


@pytest.mark.parametrize(
    ("options", "code"),
    [
        # The mean margin keeps 50 of 57.5, and the ASR at the origin rises by 30 points.
        ("--on value --fail-below 0.86 --allow-origin-rise 30", 0),
        ("--on value --fail-below 0.88 --allow-origin-rise 30", 5),
        ("--on value --fail-below 0.86 --allow-origin-rise 29.9", 5),
        ("--on value --fail-below 0.86", 5),
        # Of ten prompts Wilson's 28 % may be like none of these, and keep nothing.
        ("--fail-below 0.86 --allow-origin-rise 30", 5),
        ("--fail-below 0.2 --allow-origin-rise 30", 0),
        ("--score visage --on value --fail-below 0.66 --allow-origin-rise 30", 0),
        ("--score visage --on value --fail-below 0.67 --allow-origin-rise 30", 5),
    ],
)
def test_too_little_retention_is_exit_code_5(cli: CLI, finetuned: str, options: str, code: int) -> None:
    shown = cli(f"compare out {finetuned} {options}")
    assert shown.code == code
    assert re.search(r"^gate +" + ("passed: " if code == 0 else "FAILED: "), shown.out, re.MULTILINE)
    assert cli(f"compare out {finetuned} {options} --json").lines[0]["gate"]["passed"] == (code == 0)


def test_the_gate_says_what_it_found(cli: CLI, finetuned: str) -> None:
    shown = cli(f"compare out {finetuned} --fail-below 0.9")
    assert "mine: 0.870 kept, at least 0." in shown.out
    assert "ASR at the origin rose by 30.0 points, and 0.0 are allowed" in shown.out
    assert "the gate without --score" not in shown.out
    (document,) = cli(f"compare out {finetuned} --fail-below 0.9 --json").lines
    finding = document["gate"]["benchmarks"]["mine"]
    assert finding["retention"] == pytest.approx(50 / 57.5)
    assert finding["bound"] <= 0.7225 * 50 / 57.5 + 1e-4
    assert (finding["origin_rise"], finding["origin_rise_allowed"]) == (pytest.approx(30), 0)
    assert len(finding["reasons"]) == 2
    by_visage = cli(f"compare out {finetuned} --fail-below 0.9 --score visage")
    assert "VISAGE can rise as safety falls" in by_visage.out.split("gate")[1]
    assert cli(f"compare out {finetuned} --json").lines[0]["gate"] is None


def test_a_lost_basin_fails_every_threshold(cli: CLI, finished: Path, measure: Measure) -> None:
    measure(load_config(finished), finished.parent / "after", lambda _: 10)
    assert cli("compare out after").code == 0
    assert "VISAGE 70.0 -> undefined; difference undefined" in cli("compare out after").out
    assert cli("compare out after --fail-below 0").code == 5


def test_compare_refuses_what_cannot_be_compared(cli: CLI, finished: Path, finetuned: str, measure: Measure) -> None:
    measure(load_config(finished, ["directions.seed=3"]), finished.parent / "other", basin)
    shown = cli("compare out other")
    assert (shown.code, shown.out) == (2, "")
    assert "directions.seed: 0 before, 3 after" in shown.err
    there = lambda point: point.draw != 1  # noqa: E731
    measure(load_config(finished), finished.parent / "part", basin, there=there)
    assert cli(f"compare part {finetuned}").code == 3
    assert cli(f"compare part {finetuned} --allow-missing").code == 0
    nowhere = cli("compare out nowhere")
    assert nowhere.code == 2
    assert "nowhere holds no sweep" in nowhere.err


def test_report_writes_the_page_figures_and_scores(cli: CLI, unfinished: Path) -> None:
    shown = cli("report out")
    assert shown.code == 0
    folder = unfinished.parent / "out" / "report"
    assert {path.name for path in folder.iterdir()} == set(FILES)
    assert (folder / "mine.png").read_bytes().startswith(b"\x89PNG")
    assert "somewhere" in (folder / "mine.svg").read_text()
    scores = json.loads((folder / "scores.json").read_text())
    assert scores["benchmarks"]["mine"]["visage"]["num_points_missing"] == 1
    for name in FILES:
        assert re.search(rf"^written +out/report/{name}$", shown.out, re.MULTILINE)


def test_export_writes_rows_or_points(cli: CLI, unfinished: Path) -> None:
    shown = cli("export out")
    # Two visits to the origin and three other points.
    assert re.search(r"^rows +50\nwritten +out/report/rows\.parquet$", shown.out, re.MULTILINE)
    shown = cli("export out --points --format csv")
    assert re.search(r"^rows +6\nwritten +out/report/points\.csv$", shown.out, re.MULTILINE)
    points = (unfinished.parent / "out" / "report" / "points.csv").read_text().splitlines()
    assert points[2].startswith('"mine","asr",0,0,,10,10,1,10,')
    assert cli("export memory://nowhere").code == 2
    assert "--into" in cli("export memory://nowhere").err


def test_report_goes_where_it_is_told(cli: CLI, finished: Path) -> None:
    assert cli("report out --into elsewhere/deep").code == 0
    assert (finished.parent / "elsewhere" / "deep" / "mine.svg").exists()
    (finished.parent / "file").write_text("")
    shown = cli("report out --into file/figures")
    assert shown.code == 2
    assert "Error: Cannot write the report to file/figures" in shown.err
    remote = cli("report s3://bucket/results")
    assert remote.code == 2
    assert "Say where to with --into" in remote.err


def test_status_of_a_finished_sweep(cli: CLI, finished: Path) -> None:
    assert finished.exists()
    shown = cli("status out")
    assert shown.code == 0
    assert re.search(r"^mine +6 of 6 points done$", shown.out, re.MULTILINE)


def test_status_counts_what_is_missing_and_names_what_failed(cli: CLI, unfinished: Path) -> None:
    assert "5 of 6 points done, 1 missing" in cli("status out").out
    assert cli("status out").code == 3
    give_up(unfinished, "The weights would not go in.\nA second line.")
    shown = cli("status out")
    assert shown.code == 4
    assert "5 of 6 points done, 1 given up" in shown.out
    assert "d1_a+0.5, 3 attempts: The weights would not go in.\n" in shown.out
    (status,) = cli("status out --json").lines
    assert status["exit_code"] == 4
    assert status["benchmarks"]["mine"]["num_done"] == 5
    assert status["benchmarks"]["mine"]["num_missing"] == 0
    assert [f["label"] for f in status["benchmarks"]["mine"]["failures"]] == ["d1_a+0.5"]


def test_status_says_who_is_at_work_and_how_fast(cli: CLI, unfinished: Path) -> None:
    store = ResultStore(str(unfinished.parent / "out"))
    (status,) = cli("status out --json").lines
    assert (status["driver"], status["latest_run"]) == (None, None)
    assert "latest run" not in cli("status out").out

    line = {"at": "2026-01-02T03:04:05+00:00", "event": "running", "num_points": 6, "num_done": 5, "num_done_now": 4}
    rest = {"num_failed": 0, "num_starting": 0, "num_up": 2, "num_tokens": 9, "start_s": 1.0, "work_s": 30.0}
    store.write_log("20260102T030405Z-0.jsonl", f'{{"event": "started"}}\n{json.dumps(line | rest)}\n'.encode())
    with store.lease():
        shown = cli("status out")
        (status,) = cli("status out --json").lines
    assert f"process {os.getpid()} on " in shown.out
    assert "running at 2026-01-02T03:04:05+00:00: 4 points, 8.0 a minute, 2 engines up" in shown.out
    assert (status["driver"]["pid"], status["latest_run"]["points_per_min"]) == (os.getpid(), 8.0)
    assert "process" not in cli("status out").out

    store.write_log("20270102T030405Z-0.jsonl", b"\x00 no log")
    assert "latest run" not in cli("status out").out


def test_status_reports_files_of_no_use(cli: CLI, finished: Path) -> None:
    part = next((finished.parent / "out" / "parts").glob("d0_a-0.5.*"))
    part.write_bytes(part.read_bytes()[:-20])
    shown = cli("status out")
    assert shown.code == 3
    assert "5 of 6 points done, 1 missing" in shown.out
    assert re.search(r"^no use +parts/d0_a-0\.5\.", shown.out, re.MULTILINE)


# --- run -------------------------------------------------------------------------------------------------------------


def test_run_on_a_finished_folder_scores_it_and_says_what_is_next(cli: CLI, finished: Path) -> None:
    shown = cli(f"run {finished} --out out")
    assert shown.code == 0
    assert "VISAGE 70.0" in shown.out
    assert re.search(r"^written +out/report/mine\.png$", shown.out, re.MULTILINE)
    assert re.search(r"^points +6 of 6 done$", shown.out, re.MULTILINE)
    assert f"landscape-ray run {finished} --out out --set directions.draws=4" in shown.out


@pytest.mark.slow
def test_what_is_next_can_be_pasted_into_a_shell_and_names_the_file_that_was_submitted(
    cli: CLI, finished: Path, tmp_path: Path
) -> None:
    shutil.copytree(tmp_path / "out", tmp_path / "out dir=1")
    shown = cli(f"run {finished} --out 'out dir=1'")
    assert f"landscape-ray run {finished} --out 'out dir=1' --set directions.draws=4" in shown.out
    shown = cli(f"run {finished} --out out --submitted-as 'my sweep.yaml'")
    assert "landscape-ray submit 'my sweep.yaml' --out out --set directions.draws=4" in shown.out


def test_run_prints_one_line_at_start_and_one_at_the_end_for_scripts(cli: CLI, finished: Path) -> None:
    shown = cli(f"run {finished} --out out --json --engines 3")
    start, end = shown.lines
    sweep_id = load_config(finished).sweep_id
    assert start == {"event": "start", "sweep_id": sweep_id, "out": "out", "num_points": 6}
    assert (end["event"], end["exit_code"]) == ("end", 0)
    assert (end["num_points"], end["num_done"], end["num_failed"], end["num_missing"]) == (6, 6, 0, 0)
    assert end["files"] == [f"out/report/{name}" for name in FILES]
    assert end["scores"]["benchmarks"]["mine"]["visage"]["value"] == pytest.approx(VISAGE)


@pytest.mark.slow
def test_run_with_points_given_up_says_so_and_how_to_go_on(cli: CLI, unfinished: Path) -> None:
    give_up(unfinished, "No.")
    shown = cli(f"run {unfinished} --out out")
    assert shown.code == 4
    assert "1 point; landscape-ray status out says why" in shown.out
    assert f"landscape-ray run {unfinished} --out out --retry-failed" in shown.out
    assert "1 are missing" in shown.out  # the score says that it is of an incomplete landscape


def test_run_refuses_the_folder_of_another_sweep_and_names_what_differs(cli: CLI, finished: Path) -> None:
    shown = cli(f"run {finished} --out out --json --set directions.seed=7")
    assert shown.code == 2
    start, end = shown.lines
    assert start["event"] == "start"
    assert (end["event"], end["exit_code"]) == ("end", 2)
    assert "directions.seed: 0 in the folder, 7 requested" in end["error"]
    assert "directions.seed: 0 in the folder, 7 requested" in shown.err


def test_results_go_to_a_folder_of_the_configurations_name(cli: CLI, sweep: Path, measure: Measure) -> None:
    measure(load_config(sweep), sweep.parent / "results" / "small", basin)
    assert cli(f"run {sweep}").code == 0
    assert (sweep.parent / "results" / "small" / "report" / "mine.png").exists()


def test_the_report_of_results_at_a_url_is_written_here(cli: CLI, sweep: Path, measure: Measure) -> None:
    measure(load_config(sweep), "memory://cli/out", basin)
    assert cli(f"run {sweep} --out memory://cli/out").code == 0
    assert (sweep.parent / "results" / "small" / "report" / "mine.png").exists()


@pytest.mark.slow
def test_the_job_is_the_same_as_run(
    cli: CLI, finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = ROOT / "jobs" / "sweep.py"
    monkeypatch.setattr(sys, "argv", ["sweep.py", str(finished), "--out", "out", "--json"])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(script), run_name="__main__")
    assert not stopped.value.code
    assert capsys.readouterr().out == cli(f"run {finished} --out out --json").out
    assert len(script.read_text().splitlines()) <= 40


# --- the library under it ---------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("status out", lambda: lr.load_status("out")),
        ("score out", lambda: lr.open_results("out").scores()),
        ("score out --tau 30", lambda: lr.open_results("out").scores(tau_pct=30)),
        ("compare out out", lambda: lr.compare(lr.open_results("out"), lr.open_results(Path("out")))),
        ("certify out --radius 0.5", lambda: lr.open_results("out").certify(0.5)),
        (
            "agreement out --judges keyword --labels labels.csv",
            lambda: lr.compare_judges("out", ["keyword"], "labels.csv"),
        ),
        ("table out", lambda: lr.sweeps_table(["out"])),
        ("report out", lambda: lr.write_report("out", "out/report")),
    ],
)
def test_what_a_command_prints_is_what_the_library_tells(
    cli: CLI, finished: Path, line: str, told: Callable[[], object]
) -> None:
    (finished.parent / "labels.csv").write_text("prompt_id,label\n0,1\n1,0\n", encoding="utf-8")
    printed = [each.rstrip() for each in cli(line).out.splitlines()]
    said = str(told()).splitlines()
    assert said
    assert printed[-len(said) :] == said


def test_every_name_of_the_library_is_where_it_says_and_has_a_type() -> None:
    stub = (ROOT / "landscape_ray" / "library" / "__init__.pyi").read_text(encoding="utf-8")
    typed = set(re.findall(r"^from landscape_ray\.(\S+) import (\w+) as", stub, re.MULTILINE))
    assert {(room, name) for room, names in library.ROOMS.items() for name in names} == typed
    for name in [*lr.__all__, *set().union(*library.ROOMS.values())]:
        assert getattr(library, name) is not None


# --- what is loaded --------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lines", "light"),
    [
        (["--help", "plan small.yaml", "config schema"], {"numpy", "ray", "pyarrow", "matplotlib", "huggingface_hub"}),
        (["score out", "compare out out", "status out"], {"ray", "matplotlib", "huggingface_hub"}),
        (["report out"], {"ray", "huggingface_hub"}),
    ],
)
def test_no_command_loads_what_it_does_not_need(finished: Path, lines: list[str], light: set[str]) -> None:
    script = (
        "import shlex, sys\nfrom landscape_ray.cli import main\n"
        "for line in sys.argv[1:]:\n"
        "    try:\n        main(shlex.split(line))\n"
        "    except SystemExit as stopped:\n        assert not stopped.code\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    command = [sys.executable, "-c", script, *lines]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=finished.parent)  # noqa: S603
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "landscape_ray" in loaded
    assert loaded & (light | {"torch", "vllm", "transformers"}) == set()
