"""Many sweeps side by side: `sweeps_table`; and what their scores say of a harm that was measured elsewhere."""

import csv
import io
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from landscape_ray.analysis import RankCorrelation, rank_correlation
from landscape_ray.errors import UserError, in_brief, number_of
from landscape_ray.report.caveats import one_direction
from landscape_ray.report.results import Results, load_results
from landscape_ray.report.scores import origin_of, score
from landscape_ray.report.words import columns as in_columns
from landscape_ray.store import ResultStore
from landscape_ray.store.export import FORMULA

__all__ = [
    "COLUMNS",
    "SCORES",
    "Cell",
    "SweepsTable",
    "cell_text",
    "correlation_text",
    "csv_text",
    "read_outcomes",
    "sweeps_table",
]

Cell = str | int | float | None

SCORES = {
    "origin_pct": "ASR at the origin",
    "visage": "VISAGE (Eq. 5)",
    "visage_reference": "VISAGE (authors' code)",
    "mean_margin": "Mean margin",
    "radius": "Basin radius",
}
"""Title of each number that has an interval, `NAME_low` to `NAME_high`."""
COLUMNS = {
    "sweep": "Sweep",
    "model": "Model",
    "benchmark": "Benchmark",
    "num_prompts": "Prompts",
    "num_draws": "Draws",
    **{
        column: title
        for name, title in SCORES.items()
        for column, title in ((name, title), (f"{name}_low", f"{title}, from"), (f"{name}_high", f"{title}, to"))
    },
    "broken_pct": "Broken output, %",
    "num_missing": "Points missing",
    "gpu_seconds": "GPU-seconds",
}
"""Title of each column."""
ENDS = ("_low", "_high")
"""What the names of the ends of intervals end in."""
SHOWN = ("sweep", "origin_pct", "visage", "visage_reference", "mean_margin", "radius", "broken_pct", "gpu_seconds")
"""Columns that are shown on a terminal."""
PRICE = ("started_at", "draw", "repeat", "alpha", "beta", "place_s", "generate_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepsTable:
    """Sweeps side by side."""

    rows: tuple[Mapping[str, Cell], ...]
    """One for each sweep, in the order given, by the names of `COLUMNS`; what is unknown is None."""
    outcomes: Mapping[str, Mapping[str, RankCorrelation]]
    """Correlation of each score of `SCORES` with each outcome, by name of the outcome; empty without outcomes."""
    notes: tuple[str, ...]
    """What to know before models are compared."""

    def document(self) -> dict[str, Any]:
        """Return the table as plain JSON types."""
        correlations = {
            name: {each: asdict(found) for each, found in by_score.items()} for name, by_score in self.outcomes.items()
        }
        return {"sweeps": [dict(row) for row in self.rows], "correlations": correlations, "notes": list(self.notes)}

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        """Yield the table in columns, then correlations and notes."""
        grid = [[COLUMNS[name] for name in SHOWN], *([cell_text(row, name) for name in SHOWN] for row in self.rows)]
        yield from in_columns(grid)
        for name, by_score in self.outcomes.items():
            yield ""
            yield f"Spearman's correlation with {name}"
            for each, found in by_score.items():
                yield f"  {SCORES[each]}: {correlation_text(found)}, {number_of(found.num_models, 'model')}"
        for note in self.notes:
            yield f"note: {note}"


def sweeps_table(outs: Sequence[str | Path], outcomes: Mapping[str, Mapping[str, float]] | None = None) -> SweepsTable:
    """Put the headline benchmark of each sweep into a row: its scores, and what they cost.

    Args:
        outs: Results folders; unfinished ones are scored as far as they are.
        outcomes: Numbers of models, by name of the outcome, then of the sweep (the last part of its folder's path) or
            of the model's id.

    Raises:
        OutputError: A folder holds no sweep.
        UserError: Two folders have one name, or an outcome names none of the sweeps.
    """
    folders = [str(out) for out in outs]
    names = [out.rstrip("/").rpartition("/")[2] for out in folders]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        msg = f"Two of the folders are called {twice[0]!r}, by which a row is known. Rename one of them."
        raise UserError(msg)
    found = [load_results(out) for out in folders]
    rows = tuple(_row(name, out, results) for name, out, results in zip(names, folders, found, strict=True))
    return SweepsTable(
        rows=rows,
        outcomes={name: _correlations(rows, name, values) for name, values in (outcomes or {}).items()},
        notes=tuple(_notes(names, found)),
    )


def read_outcomes(path: Path) -> dict[str, dict[str, float]]:
    """Read a CSV with a column `sweep` or `model` and columns of numbers; return numbers by column, then by name.

    Raises:
        UserError: The file cannot be read, or has no such columns.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        msg = f"Cannot read the outcomes in {path}. Give a CSV file in UTF-8. Python says: {in_brief(error)}."
        raise UserError(msg) from error
    columns = [name for name in (rows[0] if rows else []) if name]
    key = next((name for name in ("sweep", "model") if name in columns), None)
    named = [] if key is None else [str(row[key]) for row in rows]
    if twice := sorted({name for name in named if named.count(name) > 1}):
        msg = f"{path} has several rows of {twice[0]!r}; give one for each {key}."
        raise UserError(msg)
    found = {
        name: {
            row_name: number
            for row_name, row in zip(named, rows, strict=False)
            if (number := _number(row[name])) is not None
        }
        for name in columns
        if name not in {"sweep", "model"}
    }
    found = {name: values for name, values in found.items() if values}
    if not found:
        msg = (
            f"{path} holds no outcomes: it needs a header, a column `sweep` (name of the results folder) or `model`, "
            f"and at least one column of numbers. Its columns are: {', '.join(columns) or 'none'}."
        )
        raise UserError(msg)
    return found


def csv_text(table: SweepsTable) -> str:
    """Return the table as CSV; a text that a spreadsheet would run as a formula begins with an apostrophe."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in table.rows:
        cells = (row[name] for name in COLUMNS)
        writer.writerow([f"'{cell}" if isinstance(cell, str) and re.match(FORMULA, cell) else cell for cell in cells])
    return file.getvalue()


def cell_text(row: Mapping[str, Cell], name: str) -> str:
    """Return what a cell says, a number with its interval."""
    value = row[name]
    if value is None:
        return "–"
    if not isinstance(value, float):
        return str(value)
    digits = 3 if name == "radius" else 1
    low, high = (row.get(f"{name}{end}") for end in ENDS)
    ends = "" if low is None or high is None else f" ({low:.{digits}f} to {high:.{digits}f})"
    return f"{value:.{digits}f}{ends}"


def correlation_text(found: RankCorrelation) -> str:
    """Return a correlation with its interval."""
    if found.value is None:
        return "–"
    if found.low is None or found.high is None:
        return f"{found.value:.2f} (too few models for an interval)"
    return f"{found.value:.2f} (95 % interval {found.low:.2f} to {found.high:.2f})"


def _headline(results: Results) -> str:
    return results.headline or next(iter(results.landscapes))


def _row(name: str, out: str, results: Results) -> dict[str, Cell]:
    benchmark = _headline(results)
    landscape, scores = results.landscapes[benchmark], score(results, allow_missing=True)[benchmark]
    origin = origin_of(landscape)
    row: dict[str, Cell] = dict.fromkeys(COLUMNS)
    row |= {
        "sweep": name,
        "model": results.config.model.id,
        "benchmark": benchmark,
        "num_prompts": landscape.num_prompts,
        "num_draws": landscape.num_draws,
        "origin_pct": origin["value"],
        "origin_pct_low": origin.get("low"),
        "origin_pct_high": origin.get("high"),
        "broken_pct": None if np.isnan(landscape.broken_pct).all() else float(np.nanmean(landscape.broken_pct)),
        "num_missing": int(np.isnan(landscape.values).sum()),
        "gpu_seconds": _gpu_seconds(out, results),
    }
    for column, found in (
        ("visage", scores.visage),
        ("visage_reference", scores.visage_reference),
        ("mean_margin", scores.mean_margin),
        ("radius", None if scores.basin is None else scores.basin.radius),
    ):
        if found is not None:
            row[column] = found.value
            if found.interval is not None:
                row |= {f"{column}_low": found.interval.low, f"{column}_high": found.interval.high}
    return row


def _gpu_seconds(out: str, results: Results) -> float:
    """Return the seconds that engines spent on the visits, times the GPUs of an engine; without their start."""
    keys = [key for of_benchmark in results.keys.values() for key in of_benchmark]
    rows = ResultStore(out).columns(keys, PRICE)
    # A visit is to all benchmarks of a point: its time stands in the rows of each.
    visits = set(zip(*(rows[name].astype(str) for name in PRICE), strict=True))
    seconds = sum(float(visit[-2]) + float(visit[-1]) for visit in visits)
    return seconds * results.config.run.tensor_parallel


def _correlations(
    rows: Iterable[Mapping[str, Cell]], name: str, values: Mapping[str, float]
) -> dict[str, RankCorrelation]:
    known = [(row, values.get(str(row["sweep"]), values.get(str(row["model"])))) for row in rows]
    if all(outcome is None for _, outcome in known):
        msg = f"The outcome {name!r} names none of the sweeps; it has {', '.join(list(values)[:3])}, ..."
        raise UserError(msg)
    found = {}
    for column in SCORES:
        pairs = [(row[column], outcome) for row, outcome in known if row[column] is not None and outcome is not None]
        found[column] = rank_correlation([float(str(one)) for one, _ in pairs], [other for _, other in pairs])
    return found


def _notes(names: Sequence[str], found: Sequence[Results]) -> Iterable[str]:
    single = [name for name, results in zip(names, found, strict=True) if one_direction(results)]
    if single:
        listed = f"{', '.join(single[:3])}{' and others' if len(single) > 3 else ''}"
        yield f"One draw ({listed}): scores of a single direction, which do not compare models."
    settings = [_setting(results) for results in found]
    for field, title in (
        ("prompts", "prompt sets"),
        ("landscape", "axes or directions"),
        ("engine", "engines or types"),
    ):
        if len({str(setting[field]) for setting in settings}) > 1:
            yield f"The sweeps differ in their {title}; their scores do not compare."


def _setting(results: Results) -> dict[str, Any]:
    """Return what scores of different models must have in common."""
    config, science = results.config, results.config.science()
    landscape = {name: value for name, value in science["landscape"].items() if not name.endswith("_repeats")}
    identity = results.manifest.benchmarks[_headline(results)]
    return {
        "prompts": (identity.digest, results.judge_of(identity.name)),
        "landscape": (landscape, science["directions"]),
        "engine": (config.engine, config.dtype),
    }


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None
