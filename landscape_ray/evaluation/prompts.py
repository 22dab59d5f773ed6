"""Where prompts come from: shipped, AdvBench, a file of the user, or a data set on the Hub."""

import csv
import fnmatch
import io
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, TypeAlias

from landscape_ray.config import (
    AdvBenchPrompts,
    BenchmarkConfig,
    DemoPrompts,
    FilePrompts,
    HubPrompts,
)
from landscape_ray.errors import BenchmarkError
from landscape_ray.evaluation.advbench import advbench_csv
from landscape_ray.evaluation.benchmark import Benchmark, Prompt

__all__ = ["load_benchmark"]

Row: TypeAlias = Mapping[str, Any]

DEMO_FILES = {"harmful": "prompts.csv", "harmless": "harmless.csv"}


def load_benchmark(config: BenchmarkConfig) -> Benchmark:
    """Read the prompts of a benchmark and return it whole.

    A prompt's id is its row number, counted from 0 without a header, unless an id column is configured. Its text is
    taken as it is, white space included.

    Raises:
        BenchmarkError: The prompts cannot be had, or are not one non-empty text with a unique id per row.
    """
    try:
        rows, column, id_column = _source(config)
        prompts = tuple(_prompts(rows, column, id_column, config.limit))
    except BenchmarkError as error:
        msg = f"Benchmark {config.name!r}: {error}"
        raise BenchmarkError(msg) from error
    if not prompts:
        msg = f"Benchmark {config.name!r}: its source holds no prompts. Give one with at least one row."
        raise BenchmarkError(msg)
    if config.limit is not None and len(prompts) < config.limit:
        msg = (
            f"Benchmark {config.name!r}: limit is {config.limit}, but its source holds only {len(prompts)} prompts. "
            f"Set limit to at most {len(prompts)}, or to null to use all."
        )
        raise BenchmarkError(msg)
    return Benchmark(
        name=config.name,
        prompts=prompts,
        system_prompt=config.system_prompt,
        chat_template=config.chat_template,
        max_new_tokens=config.decoding.max_new_tokens,
        metric=config.metric,
        judge=config.judge,
    )


def _source(config: BenchmarkConfig) -> tuple[Iterable[Row], str, str | None]:
    """Return the rows of a prompt source, the column of the text, and that of the id where there is one."""
    match config.prompts:
        case DemoPrompts(name=name):
            shipped = resources.files("landscape_ray") / "demo" / DEMO_FILES[name]
            return _csv_rows(io.StringIO(shipped.read_text(encoding="utf-8")), "the shipped prompts"), "goal", None
        case AdvBenchPrompts(path=path):
            return _csv_rows(io.StringIO(advbench_csv(path)), "AdvBench"), "goal", None
        case FilePrompts(path=path, column=column, id_column=id_column):
            return _file_rows(Path(path).expanduser()), column, id_column
        case HubPrompts(column=column, id_column=id_column) as hub:
            return itertools.chain.from_iterable(_file_rows(path) for path in _hub_files(hub)), column, id_column


def _prompts(rows: Iterable[Row], column: str, id_column: str | None, limit: int | None) -> Iterator[Prompt]:
    """Yield the first `limit` rows as prompts; rows beyond are not looked at."""
    seen: dict[str, int] = {}
    for number, row in enumerate(itertools.islice(rows, limit)):
        for wanted in filter(None, (column, id_column)):
            if wanted not in row:
                there = ", ".join(repr(name) for name in row)
                msg = f"there is no column {wanted!r} in row {number}; the columns are {there}. Set the right one."
                raise BenchmarkError(msg)
        text = row[column]
        if not isinstance(text, str) or not text.strip():
            msg = (
                f"the prompt in row {number} (counted from 0, without a header) is {text!r}; every row needs a "
                f"non-empty text in column {column!r}. Fix or remove the row."
            )
            raise BenchmarkError(msg)
        prompt_id = str(number if id_column is None else row[id_column])
        if prompt_id in seen:
            msg = (
                f"rows {seen[prompt_id]} and {number} have the same id {prompt_id!r} in column {id_column!r}. "
                "Make the ids unique, or leave id_column out to number the rows."
            )
            raise BenchmarkError(msg)
        seen[prompt_id] = number
        yield Prompt(id=prompt_id, text=text)


def _file_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a CSV, JSONL or Parquet file as mappings from column to value."""
    readers = {".csv": _read_csv, ".jsonl": _read_jsonl, ".parquet": _read_parquet}
    if path.suffix.lower() not in readers:
        msg = f"{path} is of no kind that can be read; give one of: {', '.join(f'*{suffix}' for suffix in readers)}."
        raise BenchmarkError(msg)
    try:
        yield from readers[path.suffix.lower()](path)
    except UnicodeDecodeError as error:
        msg = f"{path} is not UTF-8 text ({error.reason} at byte {error.start}). Save it as UTF-8."
        raise BenchmarkError(msg) from error
    except OSError as error:
        msg = f"cannot read the prompt file {path}: {error.strerror or error}. Give the path of a readable file."
        raise BenchmarkError(msg) from error


def _read_csv(path: Path) -> Iterator[Row]:
    # utf-8-sig: spreadsheets put a byte order mark before the first column's name.
    with path.open(encoding="utf-8-sig", newline="") as stream:
        yield from _csv_rows(stream, str(path))


def _csv_rows(stream: Iterable[str], where: str) -> Iterator[Row]:
    reader = csv.DictReader(stream, strict=True)
    try:
        for row in reader:
            if None in row:
                msg = (
                    f"{where} has more fields than column names in the record that ends in line {reader.line_num}. "
                    'Put texts with commas in double quotes ("...").'
                )
                raise BenchmarkError(msg)
            yield row
    except csv.Error as error:
        msg = f"{where} is no valid CSV: {error} in the record after line {reader.line_num}. Correct it."
        raise BenchmarkError(msg) from error


def _read_jsonl(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                msg = f"{path} line {number} is no JSON: {error.msg}. Write one JSON object per line."
                raise BenchmarkError(msg) from error
            if not isinstance(row, dict):
                msg = f"{path} line {number} is a {type(row).__name__}. Write one JSON object per line."
                raise BenchmarkError(msg)
            yield row


def _read_parquet(path: Path) -> Iterator[Row]:
    import pyarrow as pa  # noqa: PLC0415 - only who reads Parquet prompts waits for it
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches():
                yield from batch.to_pylist()
    except pa.ArrowInvalid as error:
        msg = f"{path} is no valid Parquet file: {error}. Write it anew."
        raise BenchmarkError(msg) from error


def _hub_files(config: HubPrompts) -> list[Path]:
    """Download the files of one split at the pinned commit and return them in order of their names."""
    patterns = _split_patterns(config, _hub_snapshot(config, ["README.md"]))
    folder = _hub_snapshot(config, patterns)
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    files = [folder / name for name in names if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]
    if not files:
        msg = (
            f"the data set {config.id} at {config.revision} has no files for config {config.config!r}, split "
            f"{config.split!r} (looked for {', '.join(patterns)}). Check both names on its page; for a data set that "
            "needs a loading script, pin a commit of its branch refs/convert/parquet."
        )
        raise BenchmarkError(msg)
    return files


def _split_patterns(config: HubPrompts, folder: Path) -> Sequence[str]:
    """Return the file patterns of a split: as the data set's card declares them, else by the Hub's conventions."""
    from huggingface_hub import metadata_load  # noqa: PLC0415 - heavy, and needed here only

    card = folder / "README.md"
    declared = (metadata_load(card) or {}).get("configs", []) if card.exists() else []
    for entry in declared:
        if entry.get("config_name", "default") == config.config:
            files = entry.get("data_files", [])
            if isinstance(files, str) or (files and isinstance(files[0], str)):
                files = [{"split": "train", "path": files}]
            for file in files:
                if file.get("split") == config.split:
                    return [file["path"]] if isinstance(file["path"], str) else list(file["path"])
    if declared:
        known = sorted({str(entry.get("config_name", "default")) for entry in declared})
        msg = (
            f"the data set {config.id} declares no files for config {config.config!r}, split {config.split!r}; "
            f"its configs are {', '.join(known)}. Check both names on its page."
        )
        raise BenchmarkError(msg)
    folders = ("", "data/") if config.config == "default" else (f"{config.config}/",)
    return [f"{start}{config.split}{rest}" for start in folders for rest in (".*", "-*", "/*")]


def _hub_snapshot(config: HubPrompts, patterns: Sequence[str]) -> Path:
    """Return the local folder of the pinned commit with the files that match, from the cache where they are there."""
    from huggingface_hub import errors, snapshot_download  # noqa: PLC0415 - heavy, and needed here only

    where = f"https://huggingface.co/datasets/{config.id}"
    try:
        return Path(
            snapshot_download(config.id, repo_type="dataset", revision=config.revision, allow_patterns=list(patterns))
        )
    except errors.GatedRepoError as error:
        msg = (
            f"the data set {config.id} is gated. Accept its terms at {where}, then log in with `hf auth login` or set "
            "HF_TOKEN."
        )
        raise BenchmarkError(msg) from error
    except errors.RevisionNotFoundError as error:
        msg = f"the data set {config.id} has no commit {config.revision}. Take one from {where}/commits/main."
        raise BenchmarkError(msg) from error
    except errors.RepositoryNotFoundError as error:
        msg = (
            f"there is no data set {config.id} on the Hub, or it is private. Check {where}; for a private one log in "
            "with `hf auth login` or set HF_TOKEN."
        )
        raise BenchmarkError(msg) from error
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        msg = (
            f"cannot download the data set {config.id} at {config.revision}: {reason} Check the id, the network and "
            "HF_HUB_OFFLINE, or download the file yourself and use source: file."
        )
        raise BenchmarkError(msg) from error
