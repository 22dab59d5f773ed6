"""The real packages of trackers, offline: a sweep that is gone on with is one run, and what it holds is read back."""

import importlib
import io
import json
import sqlite3
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from landscape_ray.config import SweepConfig
from landscape_ray.sweep import SilentProgress, SweepStatus
from landscape_ray.tracking import TrackedRun
from landscape_ray.tracking.listener import Tracking

pytestmark = pytest.mark.slow

RUN = TrackedRun(sweep_id="0123456789abcdef", name="m 01234567", config={"engine": "hf", "model": {"id": "m"}}, out="o")
DOCUMENT = {"benchmarks": {"mine": {"visage": {"value": 81.5, "interval": {"low": 80.25, "high": 83.0}}}}}
DONE = (3, 8)


def status(num_done: int) -> SweepStatus:
    return SweepStatus(
        num_points=8, num_done=num_done, num_done_now=num_done, num_failed=0, starting={}, num_up=1,
        start_s=1.0, work_s=2.0, num_tokens=10 * num_done, so_far={"mine": ("asr", 12.5)}, stopping=False,
    )  # fmt: skip


@pytest.fixture
def track(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Track a run that is stopped after three of eight points, then gone on with to its end; return where it is."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # databases take more than mlflow-skinny
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    image = tmp_path / "mine.png"
    Figure(figsize=(1, 1)).savefig(image)

    def run(tracker: str) -> str:
        for num_done in DONE:
            with Tracking(tracker, RUN, SilentProgress()) as told:
                told.update(status(num_done))
                if num_done == DONE[0]:
                    told.end("incomplete")
                else:
                    told.end("finished", DOCUMENT, [image.with_suffix(".html"), image])
        return told.place

    return run


def wandb_records(file: Path) -> Iterator[Any]:
    """Yield the records of a run's file: a log of LevelDB, whose blocks of 32 KiB begin after seven bytes."""
    records: Any = importlib.import_module("wandb.proto.wandb_internal_pb2")

    stream, held = io.BytesIO(file.read_bytes()), b""
    stream.seek(7)
    while True:
        left = 32768 - stream.tell() % 32768
        if left < 7:
            stream.read(left)
        header = stream.read(7)
        if len(header) < 7:
            return
        _, length, kind = struct.unpack("<IHB", header)
        held += stream.read(length)
        if kind in {1, 4}:  # whole, or the last of several
            yield records.Record.FromString(held)
            held = b""


def wandb_values(items: Any) -> dict[str, Any]:
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}


def test_weights_and_biases(track: Callable[[str], str], tmp_path: Path) -> None:
    place = track("wandb")
    folders = sorted((tmp_path / "wandb").glob("offline-run-*"), key=lambda folder: folder.stat().st_mtime)
    assert place == f"wandb sync {folders[-1]}"
    config: dict[str, Any] = {}
    summary: dict[str, Any] = {}
    history: list[dict[str, Any]] = []
    exits = []
    assert len(folders) == 2  # offline each process has its own file; syncing them makes one run of the id
    for folder in folders:
        for record in wandb_records(folder / f"run-{RUN.sweep_id}.wandb"):
            if record.WhichOneof("record_type") == "run":
                assert (record.run.run_id, record.run.project, record.run.display_name) == (
                    RUN.sweep_id, "landscape-ray", RUN.name,
                )  # fmt: skip
                config |= wandb_values(record.run.config.update)
            history += [wandb_values(record.history.item)] if record.HasField("history") else []
            summary |= wandb_values(record.summary.update)
            exits += [record.exit.exit_code] if record.HasField("exit") else []
    assert {name: config[name] for name in (*RUN.config, "out")} == {**RUN.config, "out": "o"}
    assert [line["points/done"] for line in history if "points/total" in line] == list(DONE)
    assert history[0]["so_far/mine/asr"] == 12.5
    assert history[-1]["figures/mine/_type"] == "image-file"
    assert (folders[-1] / "files" / history[-1]["figures/mine/path"]).read_bytes()[:4] == b"\x89PNG"
    assert {name: value for name, value in summary.items() if "visage" in name} == {
        "mine/visage/value": 81.5,
        "mine/visage/interval/low": 80.25,
        "mine/visage/interval/high": 83.0,
    }
    assert (summary["status"], exits) == ("finished", [1, 0])


def test_mlflow(track: Callable[[str], str], tmp_path: Path) -> None:
    place = track("mlflow")
    from mlflow import MlflowClient  # noqa: PLC0415

    client = MlflowClient((tmp_path / "mlruns").as_uri())
    experiment = client.get_experiment_by_name("landscape-ray")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_id in place
    assert (run.info.status, run.info.run_name) == ("FINISHED", RUN.name)
    assert run.data.tags["landscape_ray.sweep_id"] == RUN.sweep_id
    assert run.data.params == {"engine": "hf", "model": '{"id": "m"}'}
    history = client.get_metric_history(run.info.run_id, "tokens/generated")
    assert [(metric.step, metric.value) for metric in history] == [(3, 30.0), (8, 80.0)]
    assert run.data.metrics["mine/visage/value"] == 81.5
    assert run.data.metrics["mine/visage/interval/low"] == 80.25
    artifacts = tmp_path / "mlruns" / experiment.experiment_id / run.info.run_id / "artifacts"
    assert (artifacts / "figures" / "mine.png").read_bytes()[:4] == b"\x89PNG"
    assert yaml.safe_load((artifacts / "config.yaml").read_text()) == RUN.config


def test_trackio(track: Callable[[str], str], tmp_path: Path) -> None:
    assert track("trackio") == "trackio show --project landscape-ray"
    database = sqlite3.connect(tmp_path / "trackio" / "landscape-ray.db")
    rows = database.execute("select run_id, run_name, metrics from metrics order by id").fetchall()
    (config,) = database.execute("select config from configs order by id desc limit 1").fetchone()
    database.close()
    assert {name for _, name, _ in rows} == {f"m {RUN.sweep_id}"}
    assert len({run_id for run_id, _, _ in rows}) == 1
    history = [json.loads(metrics) for _, _, metrics in rows]
    assert [line["points/done"] for line in history if "points/done" in line] == list(DONE)
    assert [line["status"] for line in history if "status" in line] == ["incomplete", "finished"]
    assert (history[-1]["mine/visage/value"], history[-1]["mine/visage/interval/high"]) == (81.5, 83.0)
    image = tmp_path / "trackio" / "media" / history[-1]["figures/mine"]["file_path"]
    assert image.read_bytes()[:4] == b"\x89PNG"
    assert {name: json.loads(config)[name] for name in (*RUN.config, "out")} == {**RUN.config, "out": "o"}


@pytest.mark.usefixtures("local_ray")
def test_a_sweep_that_ray_measures_is_tracked_from_its_first_point_to_its_scores(
    tmp_path: Path, synthetic_config: Callable[..., SweepConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    from landscape_ray.cli import main  # noqa: PLC0415

    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    config = synthetic_config(num=3)
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json")), encoding="utf-8")
    with pytest.raises(SystemExit) as stopped:
        main(["run", str(tmp_path / "sweep.yaml"), "--out", str(tmp_path / "out"), "--track", "trackio"])
    assert stopped.value.code == 0
    scores = json.loads((tmp_path / "out" / "report" / "scores.json").read_text(encoding="utf-8"))
    database = sqlite3.connect(tmp_path / "trackio" / "landscape-ray.db")
    history = [json.loads(row[0]) for row in database.execute("select metrics from metrics order by id")]
    database.close()
    counted = [line["points/done"] for line in history if "points/done" in line]
    assert counted == sorted(counted)
    assert (counted[0], counted[-1]) == (0, 6)
    assert history[-1]["harmful/visage/value"] == scores["benchmarks"]["harmful"]["visage"]["value"]
