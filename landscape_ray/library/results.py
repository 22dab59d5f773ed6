"""Results in a program or notebook: arrays, tables, texts, scores and figures."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from landscape_ray.config import SweepConfig
from landscape_ray.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    import polars as pl
    import pyarrow as pa
    import xarray as xr
    from matplotlib.figure import Figure

    from landscape_ray.analysis import Landscape
    from landscape_ray.report.comparison import Comparison
    from landscape_ray.report.results import Results
    from landscape_ray.report.scores import Scores

__all__ = ["MeasuredLandscape", "ShownFigure", "SweepResults", "compare", "open_results"]

AXES = ("alpha", "beta")
TEXTS = ["prompt_id", "prompt", "completion", "verdict"]


def open_results(out: str | Path, judge: str | None = None) -> SweepResults:
    """Open a results folder, finished or not; needs neither the model nor the prompt files.

    Args:
        out: Path or URL of the results folder.
        judge: Name of a judge whose verdicts, given in a pass of its own, count instead.

    Raises:
        OutputError: There is no sweep, or it cannot be read.
    """
    from landscape_ray.report.results import load_results  # noqa: PLC0415

    return SweepResults(out=str(out), judge=judge, results=load_results(str(out), judge))


def compare(before: SweepResults, after: SweepResults, *, allow_missing: bool = False) -> Comparison:
    """Compare two models on the benchmarks that their sweeps have in common, point by point and prompt by prompt.

    Raises:
        OutputError: The sweeps differ in more than the model; the message names each difference.
        IncompleteError: Points are missing, and `allow_missing` is false.
    """
    from landscape_ray.report.comparison import compare_results  # noqa: PLC0415

    return compare_results(before.results, after.results, allow_missing=allow_missing)


@dataclass(frozen=True, kw_only=True)
class SweepResults:
    """What was measured of a sweep when it was opened; `open_results` makes one."""

    out: str
    """Path or URL of the folder."""
    judge: str | None
    """Whose verdicts count; None: those given as the points were measured."""
    results: Results
    """Configuration, plan, manifest and landscapes."""

    @property
    def config(self) -> SweepConfig:
        """The configuration of the last run."""
        return self.results.config

    @property
    def benchmarks(self) -> tuple[str, ...]:
        """Names of the benchmarks that were measured, in the order of the configuration."""
        return tuple(self.results.landscapes)

    def landscape(self, benchmark: str | None = None) -> MeasuredLandscape:
        """Return what was measured of a benchmark; by default of the one whose score is the sweep's.

        Raises:
            ConfigError: The sweep has no such benchmark.
        """
        name = self._name(benchmark)
        return MeasuredLandscape(self.results.landscapes[name])

    def scores(self, *, allow_missing: bool = False) -> Mapping[str, Scores]:
        """Return VISAGE, mean margin, basin and noise floor with intervals, by benchmark.

        Raises:
            IncompleteError: Points are missing, and `allow_missing` is false.
        """
        from landscape_ray.report.scores import score  # noqa: PLC0415

        return score(self.results, allow_missing=allow_missing)

    def rows(self, benchmark: str | None = None) -> pa.Table:
        """Return one row per prompt and point of a benchmark, with all columns of docs/results.md.

        Texts that models wrote are among them. `polars.from_arrow` and `.to_pandas()` make data frames of it.

        Raises:
            ConfigError: The sweep has no such benchmark.
        """
        from landscape_ray.report.results import open_results as opened  # noqa: PLC0415

        return opened(self.out, self.judge).rows(self.results.keys[self._name(benchmark)])

    def texts(self, *coordinates: float, draw: int = 0, benchmark: str | None = None) -> list[dict[str, Any]]:
        """Return prompts, answers and verdicts at one point; of the origin, those of its first visit.

        Args:
            coordinates: Of a point of the plan, exactly: `results.landscape().axes` has them.
            draw: Number of the draw.
            benchmark: Name of the benchmark; by default the one whose score is the sweep's.

        Raises:
            ConfigError: The sweep has no such benchmark or no such point.
        """
        from landscape_ray.report.results import open_results as opened  # noqa: PLC0415

        keys = self.results.keys[self._name(benchmark)]
        for point, key in zip(self.results.plan.points, keys, strict=True):
            if point.coordinates == coordinates and point.draw in {draw, None} and point.repeat == 0:
                rows = opened(self.out, self.judge).rows([key])
                texts: list[dict[str, Any]] = rows.select(TEXTS).to_pylist()
                return texts
        place = ", ".join(f"{each:g}" for each in coordinates)
        msg = f"The sweep in {self.out} has no point ({place}) in draw {draw}. Its axes are {self.landscape().axes}."
        raise ConfigError(msg)

    def figure(self, benchmark: str | None = None) -> ShownFigure:
        """Return the figure of the report, which shows itself in a notebook.

        Raises:
            ConfigError: The sweep has no such benchmark.
        """
        from landscape_ray.report.folder import figure_of  # noqa: PLC0415

        name = self._name(benchmark)
        drawn = figure_of(self.results, name, self.scores(allow_missing=True)[name])
        return ShownFigure(figure=drawn, description=f"{self.config.model.id}, {name}")

    def _name(self, benchmark: str | None) -> str:
        name = self.results.headline if benchmark is None else benchmark
        if name not in self.results.landscapes:
            msg = f"The sweep in {self.out} has no benchmark {name!r}, but {', '.join(self.benchmarks) or 'none'}."
            raise ConfigError(msg)
        return name


@dataclass(frozen=True, eq=False)
class MeasuredLandscape:
    """One benchmark on the grid of each draw, as arrays and tables.

    Shapes: D draws, G grid points along one or two axes.
    """

    landscape: Landscape
    """What was measured, prompt by prompt."""

    @property
    def values(self) -> npt.NDArray[np.float64]:
        """The metric in its `unit` at each point, (D, *G); NaN where nothing was measured."""
        return self.landscape.values

    @property
    def unit(self) -> str:
        """Of the values: %, nats, or none."""
        return self.landscape.metric.unit

    @property
    def axes(self) -> dict[str, tuple[float, ...]]:
        """The coordinates along each axis of the grid, by name: `alpha`, in two dimensions also `beta`."""
        return dict(zip(AXES, (axis.coordinates for axis in self.landscape.grid.axes), strict=False))

    def to_arrow(self) -> pa.Table:
        """Return one row per grid point of each draw: coordinates, counts, value and its 95 % Wilson interval."""
        from landscape_ray.report.export import points_of  # noqa: PLC0415
        from landscape_ray.store import points_table  # noqa: PLC0415

        return points_table(points_of(self.landscape))

    def to_polars(self) -> pl.DataFrame:
        """Return the rows of `to_arrow`; polars must be installed."""
        import polars as pl  # noqa: PLC0415

        return pl.DataFrame(self.to_arrow())

    def to_pandas(self) -> pd.DataFrame:
        """Return the rows of `to_arrow`; pandas must be installed."""
        frame: pd.DataFrame = self.to_arrow().to_pandas()
        return frame

    def to_xarray(self) -> xr.DataArray:
        """Return the values with named dimensions and coordinates; xarray must be installed."""
        import xarray as xr  # noqa: PLC0415

        coordinates = {
            "draw": list(range(self.landscape.num_draws)),
            **{name: list(axis) for name, axis in self.axes.items()},
        }
        attributes = {"metric": self.landscape.metric.name, "units": self.unit}
        return xr.DataArray(self.values, coordinates, list(coordinates), self.landscape.benchmark, attributes)


@dataclass(frozen=True, kw_only=True, eq=False)
class ShownFigure:
    """A figure that a notebook shows."""

    figure: Figure
    """Of matplotlib, to be changed or saved."""
    description: str
    """What a screen reader says of it."""

    def _repr_html_(self) -> str:
        from landscape_ray.report.inline import svg_uri  # noqa: PLC0415

        return f'<img alt="{html.escape(self.description)}" src="{svg_uri(self.figure)}">'
