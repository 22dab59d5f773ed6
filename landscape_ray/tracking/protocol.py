"""What a tracker is, and how one is found by its name."""

import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Protocol, TypeAlias

from landscape_ray.errors import ConfigError, ResourceError, in_brief

__all__ = ["PROJECT", "TRACKERS", "RunStatus", "TrackedRun", "Tracker", "check_tracker", "tracker_class"]

PROJECT = "landscape-ray"
"""Project or experiment of all runs, where the tracker's own variable names none."""
TRACKERS: Mapping[str, str] = MappingProxyType(
    {
        "wandb": "landscape_ray.tracking.wandb:WandbTracker",
        "mlflow": "landscape_ray.tracking.mlflow:MlflowTracker",
        "trackio": "landscape_ray.tracking.trackio:TrackioTracker",
    }
)
"""The classes of trackers by their names, which are those of the packages that they take."""

RunStatus: TypeAlias = Literal["finished", "incomplete", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedRun:
    """What a tracker is told of a sweep before anything is measured."""

    sweep_id: str
    """The same whenever the sweep is gone on with: a tracker continues its run under this id."""
    name: str
    """For people: the model, and the beginning of the id."""
    config: Mapping[str, Any]
    """The configuration as plain JSON types, without credentials."""
    out: str
    """Folder or URL of the results, without credentials."""


class Tracker(Protocol):
    """Takes down how a sweep goes. It has a process of its own; what it raises ends tracking, never the sweep."""

    def begin(self, run: TrackedRun) -> str:
        """Begin a run, or continue that of the same sweep; return in a line where people find it."""
        ...

    def update(self, values: Mapping[str, float]) -> None:
        """Take down counters, by name; called every few seconds."""
        ...

    def end(self, status: RunStatus, scores: Mapping[str, float], figures: Sequence[Path]) -> None:
        """Take down scores and figures (PNG), none unless all was measured, and end the run."""
        ...


def check_tracker(name: str) -> None:
    """Refuse a tracker that cannot be had.

    Raises:
        ConfigError: There is none of this name.
        ResourceError: Its package is not installed.
    """
    if name in TRACKERS:
        found = importlib.util.find_spec(name)
        if found is None or found.origin is None:  # the folder ./wandb, which wandb makes, is no package either
            msg = f"--track {name} takes the package {name}, which is not installed here: pip install {name}."
            raise ResourceError(msg)
    elif ":" not in name:
        msg = f"There is no tracker {name!r}; --track takes {', '.join(TRACKERS)}, or `module:Class` of yours."
        raise ConfigError(msg)
    else:
        tracker_class(name)


def tracker_class(name: str) -> type[Tracker]:
    """Import the class of a tracker.

    Raises:
        ConfigError: It cannot be imported, or lacks a method.
    """
    module, _, attribute = TRACKERS.get(name, name).partition(":")
    try:
        found: Any = getattr(importlib.import_module(module), attribute, None)
    except Exception as error:  # whatever the user's module does
        msg = (
            f"The tracker {name} cannot be imported: {in_brief(error)}. Install its module, or name its folder in "
            "PYTHONPATH."
        )
        raise ConfigError(msg) from error
    missing = [method for method in ("begin", "update", "end") if not callable(getattr(found, method, None))]
    if missing:
        msg = (
            f"The tracker {name} does not have the methods begin, update and end of "
            f"landscape_ray.tracking.Tracker; it lacks {', '.join(missing)}."
        )
        raise ConfigError(msg)
    tracker: type[Tracker] = found
    return tracker
