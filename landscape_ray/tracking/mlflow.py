"""Runs in MLflow. Its own variables hold: MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME."""

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import mlflow
from mlflow.entities import Metric, Param

from landscape_ray.tracking.protocol import PROJECT, RunStatus, TrackedRun

__all__ = ["MlflowTracker"]

SWEEP_TAG = "landscape_ray.sweep_id"
STATUSES: Mapping[RunStatus, str] = {"finished": "FINISHED", "incomplete": "KILLED", "failed": "FAILED"}


class MlflowTracker:
    """One run, which a tag with the id of the sweep finds again."""

    def begin(self, run: TrackedRun) -> str:
        """Begin or resume it. Parameters, which MLflow never changes, are those of the first time."""
        self._client, self._num_done = mlflow.MlflowClient(), 0
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        experiment = self._client.get_experiment_by_name(name)
        where = experiment.experiment_id if experiment else self._client.create_experiment(name)
        found = self._client.search_runs([where], f"tags.`{SWEEP_TAG}` = '{run.sweep_id}'", max_results=1)
        if found:
            self._id = found[0].info.run_id
            self._client.update_run(self._id, status="RUNNING")
        else:
            tags = {SWEEP_TAG: run.sweep_id, "landscape_ray.out": run.out}
            self._id = self._client.create_run(where, run_name=run.name, tags=tags).info.run_id
            parts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in run.config.items()}
            self._client.log_batch(self._id, params=[Param(key, value) for key, value in parts.items()])
        self._client.log_dict(self._id, dict(run.config), "config.yaml")
        return f"MLflow run {self._id} of experiment {name}, in {mlflow.get_tracking_uri()}"

    def update(self, values: Mapping[str, float]) -> None:
        """Log counters; their step is the number of points that are done."""
        self._num_done = int(values.get("points/done", self._num_done))
        now_ms = int(1000 * time.time())
        metrics = [Metric(name, value, now_ms, self._num_done) for name, value in values.items()]
        self._client.log_batch(self._id, metrics=metrics)

    def end(self, status: RunStatus, scores: Mapping[str, float], figures: Sequence[Path]) -> None:
        """Log scores as metrics and figures as artifacts, and terminate the run."""
        self.update(scores)
        for figure in figures:
            self._client.log_artifact(self._id, str(figure), "figures")
        self._client.set_terminated(self._id, STATUSES[status])
