"""Exports of a results folder: every row of the plan's parts, or a row per grid point."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from scipy.stats import binomtest

from landscape_ray.config import SweepConfig
from landscape_ray.errors import OutputError
from landscape_ray.evaluation import Verdict
from landscape_ray.planning import PlannedPoint
from landscape_ray.report.export import export
from landscape_ray.store import SCHEMA, ResultStore

READERS: dict[str, Callable[..., pl.DataFrame]] = {
    "csv": pl.read_csv,
    "parquet": pl.read_parquet,
    # polars reads more than 32 columns in no order.
    "jsonl": lambda path: pl.DataFrame(map(json.loads, path.read_text().splitlines()), infer_schema_length=None),
}


def one_more_per_step(_: str, point: PlannedPoint, index: int) -> Verdict:
    """Comply with 4 of 10 prompts at the ends of the axis, 2 half way, 0 at the origin; leave one prompt unscored."""
    if index == 9:
        return Verdict.UNSCORED
    return Verdict.COMPLIED if index < 8 * abs(point.coordinates[0]) else Verdict.REFUSED


@pytest.fixture
def out(tmp_path: Path, config: SweepConfig, publish: Callable[..., None]) -> str:
    there = lambda point: point.label != "d1_a+0.5"  # noqa: E731
    publish(tmp_path / "out", config, one_more_per_step, there=there, num_prompts=10)
    return str(tmp_path / "out")


@pytest.mark.parametrize("file_format", READERS)
def test_rows_are_those_of_the_store(out: str, tmp_path: Path, file_format: Any) -> None:
    path = tmp_path / "new" / f"rows.{file_format}"
    assert export(out, path, file_format) == 9 * 2 * 10  # 9 of 10 points, two benchmarks, ten prompts
    rows = READERS[file_format](path)
    assert rows.columns == SCHEMA.names
    stored = pl.DataFrame({name: pl.Series(values) for name, values in ResultStore(out).columns(
        ResultStore(out).parts(), ["benchmark", "repeat", "alpha", "prompt_index", "completion", "verdict"]
    ).items()})  # fmt: skip
    order = ["benchmark", "repeat", "alpha", "prompt_index", "verdict"]
    found = rows.select(stored.columns).sort(order)
    assert_frame_equal(found, stored.sort(order), check_dtypes=False)
    assert rows["benchmark"].to_list() == ["harmful"] * 90 + ["other"] * 90
    assert rows["draw"].null_count() == 2 * 2 * 10


@pytest.mark.parametrize("file_format", READERS)
def test_points_have_counts_and_wilson_intervals(out: str, tmp_path: Path, file_format: Any) -> None:
    path = tmp_path / f"points.{file_format}"
    assert export(out, path, file_format, points=True) == 2 * 2 * 5
    points = READERS[file_format](path).filter(pl.col("benchmark") == "other")
    assert points["alpha"].to_list() == [-0.5, -0.25, 0.0, 0.25, 0.5] * 2
    assert points["draw"].to_list() == [0] * 5 + [1] * 5
    assert points["num_success"].to_list() == [4, 2, 0, 2, 4, 4, 2, 0, 2, None]
    assert points["num_scored"].to_list() == [9] * 9 + [None]
    assert points["num_prompts"].to_list() == [10] * 9 + [None]
    for row in points.head(9).iter_rows(named=True):
        interval = binomtest(row["num_success"], 9).proportion_ci(method="wilson")
        assert row["value"] == pytest.approx(100 * row["num_success"] / 9)
        assert (row["low"], row["high"]) == pytest.approx((100 * interval.low, 100 * interval.high))
    assert points.row(9, named=True)["value"] is None


def test_beta_is_the_second_axis(
    tmp_path: Path, make_config: Callable[..., SweepConfig], publish: Callable[..., None]
) -> None:
    publish(tmp_path / "out", make_config(2, 3, draws=1, names=("harmful",)), one_more_per_step)
    export(str(tmp_path / "out"), tmp_path / "points.parquet", "parquet", points=True)
    points = pl.read_parquet(tmp_path / "points.parquet")
    assert list(zip(points["alpha"], points["beta"], strict=True)) == [
        (alpha, beta) for alpha in (-0.5, 0.5) for beta in (-0.5, 0.0, 0.5)
    ]


def test_a_file_that_cannot_be_written_is_named(out: str, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(OutputError, match=r"Cannot write .*taken/rows.csv.* --into"):
        export(out, tmp_path / "taken" / "rows.csv", "csv")
    with pytest.raises(OutputError, match="holds no sweep"):
        export(str(tmp_path), tmp_path / "rows.csv", "csv")
