"""Where the time of engines went: what `landscape-ray run --profile` prints."""

from collections.abc import Iterator
from typing import TextIO

from landscape_ray.sweep.watching.progress import Progress, SweepStatus

__all__ = ["MEANWHILE", "PHASES", "ProfiledProgress", "profile_of", "profile_table"]

PHASES = {
    "place": "perturbed weights put in place",
    "reset": "caches of earlier weights dropped",
    "prefill": "prompts encoded and read",
    "decode": "answers generated",
    "detokenize": "answers made text",
    "idle": "up, without a visit",
    "other": "none of these",
}
"""What each phase of an engine's time is."""
MEANWHILE = {"judge": "verdicts given", "write": "parts published"}
"""What is done for one visit while the engine is at the next one."""


def profile_of(status: SweepStatus) -> dict[str, float]:
    """Return the seconds of each phase; together they are the time for which engines were up.

    Visits that failed report nothing, so their time counts as idle.
    """
    spent_s = {phase: status.spent_s.get(phase, 0.0) for phase in PHASES}
    return spent_s | {"idle": max(status.engine_s - sum(spent_s.values()), 0.0)}


def profile_table(status: SweepStatus) -> Iterator[str]:
    """Yield the lines of a Markdown table: each phase with its share of the time for which engines were up."""
    spent_s = profile_of(status)
    num_visits = max(status.num_done_now, 1)
    total_s = sum(spent_s.values()) or 1.0
    yield "| phase | what | share of the engines' time | seconds | ms a visit |"
    yield "|---|---|---|---|---|"
    for phase, seconds in (*spent_s.items(), *((phase, status.spent_s.get(phase, 0.0)) for phase in MEANWHILE)):
        share = f"{100 * seconds / total_s:.1f} %" if phase in PHASES else "meanwhile"
        what = (PHASES | MEANWHILE)[phase]
        yield f"| {phase} | {what} | {share} | {seconds:.2f} | {1000 * seconds / num_visits:.1f} |"


class ProfiledProgress:
    """Another progress display, and in the end the table."""

    def __init__(self, inner: Progress, stream: TextIO) -> None:
        self._inner = inner
        self._stream = stream

    def update(self, status: SweepStatus) -> None:
        """Pass it on."""
        self._inner.update(status)

    def close(self, status: SweepStatus) -> None:
        """Pass it on, and print where the time went."""
        self._inner.close(status)
        print(*profile_table(status), sep="\n", file=self._stream, flush=True)
