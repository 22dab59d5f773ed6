"""Results as one table in one file, for other programs: CSV, Parquet or JSON lines. Written part by part."""

import json
import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from landscape_ray.store.result_store import ResultStore
from landscape_ray.store.schema import SCHEMA

__all__ = ["POINT_SCHEMA", "ExportFormat", "export_points", "export_rows"]

ExportFormat: TypeAlias = Literal["csv", "parquet", "jsonl"]

POINT_SCHEMA = pa.schema(
    [
        pa.field("benchmark", pa.string(), nullable=False),
        pa.field("metric", pa.string(), nullable=False),
        pa.field("draw", pa.int32(), nullable=False),
        pa.field("alpha", pa.float64(), nullable=False),
        pa.field("beta", pa.float64()),
        pa.field("num_prompts", pa.int64()),
        pa.field("num_scored", pa.int64()),
        pa.field("num_success", pa.int64()),
        pa.field("value", pa.float64()),
        pa.field("low", pa.float64()),
        pa.field("high", pa.float64()),
        pa.field("broken_pct", pa.float64()),
    ]
)
"""The columns of a table of points; docs/results.md says what they mean."""

ROWS_PER_GROUP = 50_000
"""Rows of a row group of Parquet: enough to compress and read well, few enough to hold in memory (about 100 MB)."""
FORMULA = "^['=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]"
"""What a spreadsheet takes for the begin of a formula, in ASCII or full width, and the mark that says it is none."""


def export_rows(
    store: ResultStore,
    keys: Collection[str],
    path: Path,
    file_format: ExportFormat,
    *,
    without: Collection[str] = (),
) -> int:
    """Write the rows of parts, one row per prompt and point, in the order of the keys; some columns may be left out.

    Few parts are in memory at a time. The file appears whole or not at all.

    Returns:
        Number of rows.

    Raises:
        OutputError: The results cannot be read.
        OSError: The file cannot be written.
    """
    schema = pa.schema([column for column in SCHEMA if column.name not in without])
    return _write((table.select(schema.names) for _, table in store.tables(keys)), schema, path, file_format)


def export_points(columns: Mapping[str, Sequence[Any]], path: Path, file_format: ExportFormat) -> int:
    """Write columns of one length, those of `POINT_SCHEMA`, as a table; None is null.

    Returns:
        Number of rows.

    Raises:
        OSError: The file cannot be written.
    """
    return _write([points_table(columns)], POINT_SCHEMA, path, file_format)


def points_table(columns: Mapping[str, Sequence[Any]]) -> pa.Table:
    """Return columns of one length, those of `POINT_SCHEMA`, as a table; None is null."""
    return pa.table(dict(columns), schema=POINT_SCHEMA)


def _write(tables: Iterable[pa.Table], schema: pa.Schema, path: Path, file_format: ExportFormat) -> int:
    temporary = path.with_name(f".tmp-{secrets.token_hex(8)}")
    writers = {"csv": _write_csv, "parquet": _write_parquet, "jsonl": _write_json_lines}
    try:
        num_rows = writers[file_format](tables, schema, temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return num_rows


def _write_csv(tables: Iterable[pa.Table], schema: pa.Schema, path: Path) -> int:
    """Write CSV: null is nothing, an empty text is "", and no text is a formula, see `_without_formulas`."""
    num_rows = 0
    with pyarrow.csv.CSVWriter(path, schema) as writer:
        for table in tables:
            writer.write_table(_without_formulas(table))
            num_rows += table.num_rows
    return num_rows


def _without_formulas(table: pa.Table) -> pa.Table:
    """Put an apostrophe before texts that a spreadsheet would run, and before those that begin with one already.

    A model may write anything, `=HYPERLINK(...)` included. Taking one leading apostrophe away gives the text back.
    """
    for number, field in enumerate(table.schema):
        if pa.types.is_string(field.type):
            texts = table.column(number)
            marked = pc.binary_join_element_wise("'", texts, "")
            guarded = pc.if_else(pc.match_substring_regex(texts, FORMULA), marked, texts)
            table = table.set_column(number, field, guarded)
    return table


def _write_parquet(tables: Iterable[pa.Table], schema: pa.Schema, path: Path) -> int:
    num_rows = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for group in _grouped(tables):
            writer.write_table(group, row_group_size=ROWS_PER_GROUP)
            num_rows += group.num_rows
    return num_rows


def _grouped(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Yield tables joined to about `ROWS_PER_GROUP` rows."""
    held: list[pa.Table] = []
    for table in tables:
        held.append(table)
        if sum(each.num_rows for each in held) >= ROWS_PER_GROUP:
            yield pa.concat_tables(held)
            held = []
    if held:
        yield pa.concat_tables(held)


def _write_json_lines(tables: Iterable[pa.Table], _: pa.Schema, path: Path) -> int:
    """Write JSON lines: one object per row, null included, numbers as they are."""
    num_rows = 0
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for table in tables:
            file.writelines(f"{json.dumps(row, ensure_ascii=False, allow_nan=False)}\n" for row in table.to_pylist())
            num_rows += table.num_rows
    return num_rows
