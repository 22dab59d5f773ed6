"""Where prompts come from: shipped, AdvBench, a file of the user, a data set on the Hub, or one known by name."""

import csv
import fnmatch
import io
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any, TypeAlias

from landscape_ray.config import (
    AdvBenchPrompts,
    BenchmarkConfig,
    DemoPrompts,
    FilePrompts,
    HubPrompts,
    InspectPrompts,
    NamedPrompts,
    PromptsConfig,
)
from landscape_ray.errors import BenchmarkError, TransientError, in_brief
from landscape_ray.evaluation.advbench import advbench_csv
from landscape_ray.evaluation.benchmark import Benchmark, Prompt, Turn
from landscape_ray.evaluation.conversations import as_text, turns_in
from landscape_ray.evaluation.multiple_choice import QuestionReader, context_of
from landscape_ray.evaluation.row_filter import RowFilter
from landscape_ray.evaluation.system_prompts import check_is_text, system_message
from landscape_ray.evaluation.visit_judge import load_task
from landscape_ray.transience import is_transient

__all__ = ["file_rows", "load_benchmark"]

Row: TypeAlias = Mapping[str, Any]

MAX_FIELD_CHARS = 2**31 - 1
"""Longest field of a CSV file."""

DEMO_FILES = {
    "harmful": ("prompts.csv", "goal"),
    "harmless": ("harmless.csv", "goal"),
    "choices": ("choices.jsonl", "question"),
    "answers": ("answers.csv", "answer"),
}
"""File of each shipped set, and the column of its texts."""


def load_benchmark(config: BenchmarkConfig) -> Benchmark:
    """Read the prompts of a benchmark and return it whole.

    A prompt's id is its row number, counted from 0 without a header, unless an id column is configured. Its text is
    taken as it is, white space included.

    Raises:
        BenchmarkError: The prompts cannot be had, or are not one non-empty text with a unique id per row.
        TransientError: They cannot be fetched at the moment.
    """
    judge: str = config.judge
    task = None
    try:
        if isinstance(config.prompts, InspectPrompts):
            loaded = load_task(config.prompts.task, config.limit)
            _check_number(len(loaded.prompts), config.limit)
            prompts, judge, task = loaded.prompts, loaded.version, config.prompts.task
        else:
            prompts = _prompts(config)
        if config.decoding.temperature:
            samples = range(config.decoding.samples)
            prompts = tuple(replace(prompt, sample=sample) for prompt in prompts for sample in samples)
        system_prompt = system_message(config.system_prompt)
    except (BenchmarkError, TransientError) as error:
        msg = f"Benchmark {config.name!r}: {error}"
        raise type(error)(msg) from error
    return Benchmark(
        name=config.name,
        prompts=prompts,
        system_prompt=system_prompt,
        chat_template=config.chat_template,
        max_new_tokens=1 if config.metric == "first_token_kl" else config.decoding.max_new_tokens,
        metric=config.metric,
        judge=judge,
        task=task,
        early_verdict=config.decoding.early_verdict,
        max_thinking_tokens=config.decoding.max_thinking_tokens,
        temperature=config.decoding.temperature,
        samples=config.decoding.samples,
        seed=config.decoding.seed,
        template_arguments=json.dumps(config.chat_template_kwargs, sort_keys=True),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """Rows, and where in them the prompts are."""

    rows: Iterable[Row]
    column: str
    id_column: str | None = None
    filter: RowFilter = field(default_factory=lambda: RowFilter({}))

    def first(self, limit: int | None) -> Iterator[tuple[int, Row]]:
        """Yield the first rows that are wanted, with their numbers; rows beyond are not looked at."""
        wanted = ((number, row) for number, row in enumerate(self.rows) if self._is_wanted(row, number))
        return itertools.islice(wanted, limit)

    def _is_wanted(self, row: Row, number: int) -> bool:
        _check_columns(row, number, self.filter.where)
        return self.filter.wants(row)


def _source(config: PromptsConfig) -> _Source:
    match config:
        case DemoPrompts(name=name):
            file, column = DEMO_FILES[name]
            return _Source(rows=file_rows(Path(str(resources.files("landscape_ray") / "demo" / file))), column=column)
        case AdvBenchPrompts(path=path):
            return _Source(rows=_csv_rows(io.StringIO(advbench_csv(path)), "AdvBench"), column="goal")
        case FilePrompts() as file:
            rows = file_rows(Path(file.path).expanduser())
            return _Source(rows=rows, column=file.column, id_column=file.id_column, filter=RowFilter(file.where))
        case HubPrompts() as hub:
            rows = itertools.chain.from_iterable(file_rows(path) for path in _hub_files(hub))
            return _Source(rows=rows, column=hub.column, id_column=hub.id_column, filter=RowFilter(hub.where))
        case NamedPrompts() as named:
            return _source(named.on_hub())
        case InspectPrompts():
            msg = "the samples of a task of Inspect are no rows; take them for metric task_accuracy only"
            raise BenchmarkError(msg)


def _prompts(config: BenchmarkConfig) -> tuple[Prompt, ...]:
    """Return the prompts of a benchmark, each for itself: nothing that stands before one depends on another one."""
    how = config.multiple_choice
    reader = QuestionReader(how) if config.metric == "accuracy" else None
    before = ""
    if reader is not None:
        examples = []
        if how.examples is not None:
            source = _source(how.examples)
            examples = list(_rows_as_prompts(config, source, how.num_examples, context="", reader=reader))
            if len(examples) < how.num_examples:
                msg = (
                    f"num_examples is {how.num_examples}, but there are only {len(examples)}. Set it to that."
                    f"{source.filter.explanation()}"
                )
                raise BenchmarkError(msg)
        before = context_of(how.description, examples)
    source = _source(config.prompts)
    prompts = tuple(_rows_as_prompts(config, source, config.limit, context=before, reader=reader))
    _check_number(len(prompts), config.limit, source.filter.explanation())
    return prompts


def _check_number(num: int, limit: int | None, explanation: str = "") -> None:
    if not num:
        msg = f"its source holds no prompts. Give one with at least one row.{explanation}"
        raise BenchmarkError(msg)
    if limit is not None and num < limit:
        msg = (
            f"limit is {limit}, but its source holds only {num} prompts. Set limit to at most {num}, or to null to "
            f"use all.{explanation}"
        )
        raise BenchmarkError(msg)


def _rows_as_prompts(
    config: BenchmarkConfig, source: _Source, limit: int | None, *, context: str, reader: QuestionReader | None
) -> Iterator[Prompt]:
    seen: dict[str, int] = {}
    for number, row in source.first(limit):
        prompt = _prompt(config, source, number, row, context=context, reader=reader)
        if prompt.id in seen:
            msg = (
                f"rows {seen[prompt.id]} and {number} have the same id {prompt.id!r} in column {source.id_column!r}. "
                "Make the ids unique, or leave id_column out to number the rows."
            )
            raise BenchmarkError(msg)
        seen[prompt.id] = number
        yield prompt


def _prompt(
    config: BenchmarkConfig, source: _Source, number: int, row: Row, *, context: str, reader: QuestionReader | None
) -> Prompt:
    column = config.messages_column or source.column
    turns: tuple[Turn, ...] = ()
    if config.template is not None:
        text = _filled(config.template, row, number)
    else:
        _check_columns(row, number, [column])
        text = row[column]
    if config.messages_column is not None:
        turns = _conversation(config, text, number)
        text = as_text(turns)
    if not isinstance(text, str) or not text.strip():
        msg = (
            f"the prompt in row {number} (counted from 0, without a header) is {text!r}; every row needs a "
            f"non-empty text in column {column!r}. Fix or remove the row."
        )
        raise BenchmarkError(msg)
    _check_columns(row, number, filter(None, [source.id_column]))
    prompt_id = str(number) if source.id_column is None else _text(row, source.id_column, number)
    if config.context is not None:
        context = _filled(config.context, row, number)
    prefill = "" if config.prefill is None else _filled(config.prefill, row, number)
    if config.prefill is not None and not prefill.strip():
        msg = (
            f"prefill {config.prefill!r} is empty in row {number} (counted from 0, without a header), so the model "
            "would begin its answer itself. Fix or remove the row, or leave prefill out."
        )
        raise BenchmarkError(msg)
    if reader is not None:
        _check_columns(row, number, reader.columns)
    try:
        if reader is not None:
            prompt = reader.question(row, prompt_id=prompt_id, text=text, context=context)
        else:
            prompt = Prompt(id=prompt_id, text=text, context=context, turns=turns, prefill=prefill)
        for part in (prompt.id, prompt.context, prompt.text, prompt.prefill, *prompt.choices):
            check_is_text(part)
    except BenchmarkError as error:
        msg = f"row {number} (counted from 0, without a header): {error}."
        raise BenchmarkError(msg) from error
    return prompt


def _conversation(config: BenchmarkConfig, cell: Any, number: int) -> tuple[Turn, ...]:
    try:
        return turns_in(cell, has_system=config.system_prompt is not None)
    except BenchmarkError as error:
        msg = f"column {config.messages_column!r} in row {number} (counted from 0, without a header): {error}."
        raise BenchmarkError(msg) from error


def _check_columns(row: Row, number: int, wanted: Iterable[str]) -> None:
    for name in wanted:
        if name not in row:
            there = ", ".join(repr(column) for column in row)
            msg = f"there is no column {name!r} in row {number}; the columns are {there}. Set the right one."
            raise BenchmarkError(msg)


def _filled(template: str, row: Row, number: int) -> str:
    """Put a row's columns in the place of their names in braces; other braces stay as they are."""
    names = re.findall(r"\{(\w+)\}", template)
    _check_columns(row, number, names)
    return re.sub(r"\{(\w+)\}", lambda match: _text(row, match[1], number), template)


def _text(row: Row, name: str, number: int) -> str:
    """Return a cell as text; what has no text of its own would come out as Python writes it."""
    if (value := row[name]) is None or isinstance(value, list | Mapping):
        what = "nothing" if value is None else f"a {'list' if isinstance(value, list) else 'mapping'}"
        msg = f"column {name!r} in row {number} (counted from 0, without a header) holds {what}; give text or a number."
        raise BenchmarkError(msg)
    return str(value)


def file_rows(path: Path) -> Iterator[Row]:
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
    csv.field_size_limit(MAX_FIELD_CHARS)  # a limit of the process; many-shot prompts are longer than Python's own one
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
        msg = f"{path} is no valid Parquet file: {in_brief(error)}. Write it anew."
        raise BenchmarkError(msg) from error


def _hub_files(config: HubPrompts) -> list[Path]:
    """Download the files of one split at the pinned commit and return them in order of their names."""
    patterns = [config.files] if config.files else _split_patterns(config, _hub_snapshot(config, ["README.md"]))
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
    except Exception as error:  # the client raises errors of several libraries
        msg = (
            f"cannot download the data set {config.id} at {config.revision}: {in_brief(error)}. Check the id, the "
            "network and HF_HUB_OFFLINE, or download the file yourself and use source: file."
        )
        raise (TransientError if is_transient(error) else BenchmarkError)(msg) from error
