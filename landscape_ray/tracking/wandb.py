"""Runs in Weights & Biases. Its own variables hold: WANDB_PROJECT, WANDB_ENTITY, WANDB_MODE, WANDB_DIR."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import wandb

from landscape_ray.tracking.protocol import PROJECT, RunStatus, TrackedRun

__all__ = ["WandbTracker"]


class WandbTracker:
    """One run, whose id is that of the sweep."""

    def begin(self, run: TrackedRun) -> str:
        """Begin or resume it."""
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            id=run.sweep_id,
            name=run.name,
            resume="allow",
            config={**run.config, "out": run.out},
            allow_val_change=True,
            settings=wandb.Settings(console="off", disable_git=True, save_code=False),
        )
        self._run.define_metric("*", step_metric="points/done")
        return self._run.url or f"wandb sync {Path(self._run.dir).parent}"

    def update(self, values: Mapping[str, float]) -> None:
        """Log counters, over the number of points that are done."""
        self._run.log(dict(values))

    def end(self, status: RunStatus, scores: Mapping[str, float], figures: Sequence[Path]) -> None:
        """Log figures, put scores into the summary, and finish."""
        if figures:
            self._run.log({f"figures/{figure.stem}": wandb.Image(str(figure)) for figure in figures})
        self._run.summary.update({**scores, "status": status})
        self._run.finish(exit_code=0 if status == "finished" else 1)
