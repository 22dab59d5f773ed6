"""Results in a program or notebook: arrays, tables, texts, scores and figures."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from landscape_ray.config import SweepConfig
from landscape_ray.errors import ConfigError
from landscape_ray.report.words import Fact, Told

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    import polars as pl
    import pyarrow as pa
    import xarray as xr
    from matplotlib.figure import Figure

    from landscape_ray.analysis import Landscape, VisageScore
    from landscape_ray.report.certificates import Certificates
    from landscape_ray.report.results import Results
    from landscape_ray.report.scores import Scores

__all__ = ["MeasuredLandscape", "ShownFigure", "SweepResults", "SweepScores", "open_results"]

AXES = ("alpha", "beta")
TEXTS = ["prompt_id", "prompt", "prefill", "sample", "completion", "verdict"]


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


@dataclass(frozen=True, kw_only=True)
class SweepResults:
    """What was measured of a sweep when it was opened; `open_results` makes one."""

    out: str
    """Path or URL of the folder."""
    judge: str | None
    """Whose verdicts count; None: those given as the points were measured."""
    results: Results = field(repr=False)
    """Configuration, plan, manifest and landscapes."""

    @property
    def sweep_id(self) -> str:
        """Id of the sweep that the folder was last run with."""
        return self.results.manifest.sweep_id

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

    def scores(self, *, allow_missing: bool = False, tau_pct: float = 50.0, radius: float = 0.1) -> SweepScores:
        """Return VISAGE, mean margin, basin and noise floor with intervals, by benchmark.

        Args:
            allow_missing: Score what is there of an unfinished sweep.
            tau_pct: The basin is where the ASR is at most this, in percent.
            radius: The draws with a basin of at least this radius are counted.

        Raises:
            IncompleteError: Points are missing, and `allow_missing` is false.
        """
        from landscape_ray.report.scores import score  # noqa: PLC0415

        found = score(self.results, allow_missing=allow_missing, tau_pct=tau_pct, radius=radius)
        return SweepScores(found, self.results)

    def certify(
        self, radius: float | None = None, share: float | None = None, confidence: float | None = None
    ) -> Certificates:
        """Return which share of all random directions are basins, with its exact bound, by benchmark.

        Args:
            radius: How far basins must reach; by default that of the sweep's own `certify`, as for the others.
            share: The share of directions that must be basins, else 0.95.
            confidence: How sure that must be, else 0.95.

        Raises:
            UserError: There is no radius, or the sweep does not show which directions are basins of it.
            IncompleteError: No draw is begun.
        """
        from landscape_ray.report.certificates import asked_of, certificates  # noqa: PLC0415

        asked = {"radius": radius, "share": share, "confidence": confidence}
        given = {name: value for name, value in asked.items() if value is not None}
        return certificates(self.results, asked_of(self.results, given))

    def rows(self, benchmark: str | None = None) -> pa.Table:
        """Return one row per prompt and point of a benchmark, with all columns of docs/results.md.

        Texts that models wrote are among them. `polars.from_arrow` and `.to_pandas()` make data frames of it.

        Raises:
            ConfigError: The sweep has no such benchmark.
        """
        from landscape_ray.report.results import open_results as opened  # noqa: PLC0415

        return opened(self.out, self.judge).rows(self.results.keys[self._name(benchmark)])

    def texts(self, *coordinates: float, draw: int = 0, benchmark: str | None = None) -> list[dict[str, Any]]:
        """Return prompts, answers, what these were begun with, their numbers where several were drawn, and verdicts.

        They are those at one point; of the origin, those of its first visit.

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


class SweepScores(Told, dict[str, "Scores"]):
    """The scores of a sweep, by benchmark; `print` shows them."""

    def __init__(self, scores: Mapping[str, Scores], results: Results) -> None:
        super().__init__(scores)
        self._results = results

    def visages(self, definition: Literal["paper", "reference"] = "paper") -> list[VisageScore]:
        """Return the VISAGE of each benchmark that has one, by one definition.

        Raises:
            UserError: By `reference` none has.
        """
        from landscape_ray.report.scores import visages_by  # noqa: PLC0415

        return visages_by(self, definition)

    def facts(self) -> Iterator[Fact]:
        """Yield what `landscape-ray score` prints."""
        from landscape_ray.report.words.scores import scores_text  # noqa: PLC0415

        return scores_text(self._results, self)

    def document(self) -> dict[str, Any]:
        """Return the content of scores.json, as plain JSON types; what is unknown is null."""
        from landscape_ray.report.scores import scores_document  # noqa: PLC0415

        return scores_document(self._results, self)


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
