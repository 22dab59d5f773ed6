"""Trackers of experiments: what a sweep tells Weights & Biases, MLflow, Trackio, or a class of the user."""

from landscape_ray.tracking.protocol import TRACKERS, RunStatus, TrackedRun, Tracker, check_tracker

__all__ = ["TRACKERS", "RunStatus", "TrackedRun", "Tracker", "check_tracker"]
