"""Results as one table in one file."""

import itertools
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from landscape_ray.analysis import Landscape, wilson_of_points
from landscape_ray.errors import OutputError
from landscape_ray.report.results import Results, load_results, open_results
from landscape_ray.store import POINT_SCHEMA, ExportFormat, export_points, export_rows, planned_sweep

__all__ = ["export", "point_columns", "points_of"]


def export(
    out: str | Path,
    path: str | Path,
    file_format: ExportFormat = "parquet",
    *,
    points: bool = False,
    judge: str | None = None,
    without: Collection[str] = (),
) -> int:
    """Write what was measured of a sweep as one table.

    Args:
        out: Path or URL of the results folder.
        path: The file; its folder is made.
        file_format: Of the file.
        points: One row per grid point of each draw, see `point_columns`; else one row per prompt and point, with the
            columns of the store.
        judge: Whose verdicts count, see `load_results`; points that it has not judged yet are left out.
        without: Columns of rows that are not to be written.

    Returns:
        Number of rows.

    Raises:
        OutputError: There is no sweep, it cannot be read, or the file cannot be written.
    """
    out, path = str(out), Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if points:
            return export_points(point_columns(load_results(out, judge)), path, file_format)
        store = open_results(out, judge)
        _, _, keys = planned_sweep(store.require_manifest())
        return export_rows(
            store, list(itertools.chain.from_iterable(keys.values())), path, file_format, without=without
        )
    except OSError as error:
        msg = f"Cannot write {path}: {error.strerror or error}. Choose another file with --into."
        raise OutputError(msg) from error


def point_columns(results: Results) -> dict[str, list[Any]]:
    """Return one row per grid point of each draw, by column; None where nothing was measured.

    `value` is the metric in its unit, `low` and `high` the ends of its 95 % Wilson interval over prompts (rates only).
    The origin is measured once and counts in each draw whose grid holds it.
    """
    columns: dict[str, list[Any]] = {name: [] for name in POINT_SCHEMA.names}
    for landscape in results.landscapes.values():
        for name, values in points_of(landscape).items():
            columns[name].extend(values)
    return columns


def points_of(landscape: Landscape) -> dict[str, Sequence[Any]]:
    """Return the rows of one landscape, see `point_columns`."""
    rate = landscape.metric.is_rate
    num = landscape.missing.size
    low, high = wilson_of_points(landscape) if rate else (np.full(num, np.nan), np.full(num, np.nan))
    measured = ~landscape.missing.ravel()
    places = [(draw, coordinates) for draw in range(landscape.num_draws) for coordinates in landscape.grid]
    alphas_betas = [(*coordinates, None)[:2] for _, coordinates in places]

    def counts(values: Any) -> list[int | None]:
        return [count if there else None for count, there in zip(values.ravel().tolist(), measured, strict=True)]

    return {
        "benchmark": [landscape.benchmark] * num,
        "metric": [landscape.metric.name] * num,
        "draw": [draw for draw, _ in places],
        "alpha": [alpha for alpha, _ in alphas_betas],
        "beta": [beta for _, beta in alphas_betas],
        "num_prompts": counts(np.full(num, landscape.num_prompts)),
        "num_scored": counts(landscape.num_scored),
        "num_success": counts(landscape.num_success) if rate else [None] * num,
        **{
            name: [None if np.isnan(value) else value for value in values.ravel().tolist()]
            for name, values in (
                ("value", landscape.values), ("low", low), ("high", high), ("broken_pct", landscape.broken_pct)
            )
        },
    }  # fmt: skip
