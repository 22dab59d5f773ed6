"""Progress on a terminal."""

from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from landscape_ray.sweep.watching.progress import SweepStatus, facts_of

__all__ = ["LiveProgress"]


class LiveProgress:
    """Keeps a small table up to date on a terminal."""

    def __init__(self, stream: TextIO, *, heading: tuple[str, str] | None = None) -> None:
        self._heading = heading
        self._live = Live(console=Console(file=stream), refresh_per_second=4)

    def update(self, status: SweepStatus) -> None:
        """Show the status at the next refresh."""
        self._live.start()  # not before: what goes wrong before anything runs is told on a terminal left as it was
        self._live.update(_table(status, self._heading))

    def close(self, status: SweepStatus) -> None:
        """Leave the last status on the screen."""
        self._live.update(_table(status, self._heading), refresh=True)
        self._live.stop()


def _table(status: SweepStatus, heading: tuple[str, str] | None) -> Table:
    table = Table.grid(padding=(0, 2))
    settled = status.num_done + status.num_failed
    table.add_row("", ProgressBar(total=status.num_points, completed=settled, width=40))
    for name, value in facts_of(status, heading):
        table.add_row(name, Text(value))  # not markup: reasons for a pause are anybody's
    return table
