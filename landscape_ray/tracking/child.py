"""The process of a tracker: reads what happens from stdin, a JSON line each, and calls the tracker.

Its last words are on stdout: where the run can be found or, when it exits with 1, what went wrong.
"""

import json
import os
import sys
from pathlib import Path
from typing import TextIO

from landscape_ray.errors import in_brief
from landscape_ray.tracking.protocol import TrackedRun, tracker_class

__all__ = ["main"]


def main(name: str) -> None:
    """Track one run; if stdin ends early, so has the sweep's driver."""
    # The tracker and what it starts get neither stream: its questions have no answer, and its words are not ours.
    lines, words = os.fdopen(os.dup(0), encoding="utf-8"), os.fdopen(os.dup(1), "w", encoding="utf-8")
    with Path(os.devnull).open() as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    try:
        words.write(_track(name, lines))
    except Exception as error:  # noqa: BLE001 - a tracker may raise anything
        words.write(f"{type(error).__name__}: {in_brief(error)}")
        sys.exit(1)
    finally:
        words.close()


def _track(name: str, lines: TextIO) -> str:
    """Call the tracker with what each line says; return where its run can be found."""
    tracker, place = tracker_class(name)(), ""
    for line in lines:
        match json.loads(line):
            case {"begin": run}:
                place = tracker.begin(TrackedRun(**run))
            case {"update": values}:
                tracker.update(values)
            case {"end": status, "scores": scores, "figures": figures}:
                tracker.end(status, scores, [Path(figure) for figure in figures])
                return place
    tracker.end("failed", {}, [])
    return place


if __name__ == "__main__":
    main(sys.argv[1])
