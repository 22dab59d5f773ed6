"""Runs in Trackio: in its local folder, or in the private Space that TRACKIO_SPACE_ID names."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import trackio

from landscape_ray.tracking.protocol import PROJECT, RunStatus, TrackedRun

__all__ = ["TrackioTracker"]


class TrackioTracker:
    """One run, whose name ends in the id of the sweep."""

    def begin(self, run: TrackedRun) -> str:
        """Begin or resume it."""
        name = f"{run.name.partition(' ')[0]} {run.sweep_id}"
        self._run = trackio.init(
            project=PROJECT,
            name=name,
            config={**run.config, "out": run.out},
            resume="allow",
            private=True,
            embed=False,
        )
        return f"trackio show --project {PROJECT}"

    def update(self, values: Mapping[str, float]) -> None:
        """Log counters."""
        self._run.log(dict(values))

    def end(self, status: RunStatus, scores: Mapping[str, float], figures: Sequence[Path]) -> None:
        """Log scores and figures, and finish."""
        images = {f"figures/{figure.stem}": trackio.Image(figure) for figure in figures}
        self._run.log({**scores, **images, "status": status})
        trackio.finish()  # type: ignore[no-untyped-call]  # Trackio is typed but for this
