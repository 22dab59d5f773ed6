"""What a sweep tells Prometheus through Ray, which puts `ray_` before each name; see jobs/grafana-dashboard.json."""

from ray.util.metrics import Counter, Gauge, Histogram

from landscape_ray.sweep.reports import EngineReady, VisitReport
from landscape_ray.sweep.watching.progress import SweepStatus

__all__ = ["Metrics"]

SECONDS = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0]
"""Upper bounds of the histograms' buckets: from a tiny model's placing to a visit that hangs."""


class Metrics:
    """The metrics of one run. Recording is a few microseconds; where Ray collects no metrics, nothing comes of it."""

    def __init__(self, sweep_id: str) -> None:
        self._points = Gauge("landscape_ray_points", "Points of the sweep", ("sweep",))
        self._done = Gauge("landscape_ray_points_done", "Points done, by earlier runs as well", ("sweep",))
        self._failed = Gauge("landscape_ray_points_failed", "Points given up, by earlier runs as well", ("sweep",))
        self._up = Gauge("landscape_ray_engines_up", "Engines that are up", ("sweep",))
        self._starting = Gauge("landscape_ray_engines_starting", "Engines starting or waiting for a node", ("sweep",))
        self._tokens = Counter("landscape_ray_tokens_total", "Tokens generated, repeated visits as well", ("sweep",))
        self._visit = Histogram(
            "landscape_ray_visit_seconds", "Seconds of a visit by phase", SECONDS, tag_keys=("sweep", "phase")
        )
        self._start = Histogram("landscape_ray_engine_start_seconds", "Seconds to start", SECONDS, tag_keys=("sweep",))
        for metric in vars(self).values():
            metric.set_default_tags({"sweep": sweep_id})

    def count(self, report: EngineReady | VisitReport | None) -> None:
        """Take in what an engine reported."""
        match report:
            case EngineReady():
                self._start.observe(report.start_s)
            case VisitReport():
                if report.num_tokens:
                    self._tokens.inc(report.num_tokens)
                self._visit.observe(report.place_s, {"phase": "place"})
                self._visit.observe(report.generate_s, {"phase": "generate"})
                self._visit.observe(report.judge_s, {"phase": "judge"})
                self._visit.observe(report.publish_s, {"phase": "publish"})

    def update(self, status: SweepStatus) -> None:
        """Take in the status."""
        self._points.set(status.num_points)
        self._done.set(status.num_done)
        self._failed.set(status.num_failed)
        self._up.set(status.num_up)
        self._starting.set(status.num_starting)

    def close(self, status: SweepStatus) -> None:
        """Take in the last status; Ray reports it until this process ends."""
        self.update(status)
