"""The one schema of result rows: what each column holds, in which unit, and what null means there."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from landscape_ray.evaluation import PointRecord

__all__ = ["MEASURED", "SCHEMA", "SCHEMA_VERSION", "Layout", "array_of", "column", "rows_of"]

SCHEMA_VERSION = 5
"""Raised when columns are added. Columns are never removed, renamed or retyped, so old queries keep working."""


def column(name: str, dtype: pa.DataType, meaning: str, *, unit: str = "", null: str = "") -> pa.Field:
    """Return a column; it is nullable if and only if null means something."""
    return pa.field(name, dtype, nullable=bool(null), metadata={"meaning": meaning, "unit": unit, "null": null})


SCHEMA = pa.schema(
    [
        column(
            "sweep_id", pa.string(), "Hash of the science fields of the configuration that this row was measured for"
        ),
        column("key", pa.string(), "Key of the part: the hash of everything that decides its rows"),
        column("draw", pa.int32(), "Draw of the direction(s), from 0", null="the origin, which all draws share"),
        column("repeat", pa.int32(), "0, or the number of a repeated visit to the origin"),
        column("alpha", pa.float64(), "Coordinate along the first direction", unit="coefficient"),
        column(
            "beta", pa.float64(), "Coordinate along the second direction", unit="coefficient", null="a 1-D landscape"
        ),
        column("benchmark", pa.string(), "Name of the benchmark"),
        column("prompt_index", pa.int32(), "Place of the prompt in the benchmark, from 0"),
        column("prompt_id", pa.string(), "Id of the prompt, unique in its benchmark"),
        column("prompt", pa.string(), "What the user says, before the chat template"),
        column("completion", pa.string(), "Generated answer without special tokens and without thinking; untrusted"),
        column(
            "num_tokens",
            pa.int32(),
            "Length of the generation, an end-of-turn token included, or of the text that was scored",
            unit="tokens",
        ),
        column(
            "finish_reason",
            pa.string(),
            "Why the generation ended: `stop`, `length`, `verdict` (which was settled), `prompt_too_long` or `failed`; "
            "`scored`: there was none",
        ),
        column(
            "verdict",
            pa.string(),
            "What the judge says: `refused`, `complied`, `broken`, `correct`, `incorrect` or `unscored`; `unfinished`: "
            "the model never left its thinking",
        ),
        column("judge", pa.string(), "Name and version of the judge, such as `keyword/1`"),
        column("engine", pa.string(), "Engine with version, such as `vllm 0.32.0`"),
        column("torch_version", pa.string(), "Version of torch with its build tag; empty for the synthetic engine"),
        column("device", pa.string(), "GPU name, or CPU model"),
        column("node", pa.string(), "Host name of the node"),
        column("weights_digest", pa.string(), "Digest of the placed weights: equal if and only if the weights are"),
        column("attempt", pa.int32(), "1 for a first attempt at the point"),
        column("started_at", pa.string(), "Start of the visit, ISO 8601, UTC"),
        column("place_s", pa.float64(), "From the start of the visit until the weights were in place", unit="s"),
        column("generate_s", pa.float64(), "Generating and scoring, all benchmarks of the visit together", unit="s"),
        column("judge_s", pa.float64(), "Judging", unit="s"),
        column(
            "broken",
            pa.bool_(),
            "Whether the completion is no language",
            null="nothing was generated, or not to its end, or version 1",
        ),
        column(
            "log_likelihood",
            pa.float64(),
            "Log-probability of the given text, or of the right answer, summed over its `num_tokens` tokens",
            unit="nats",
            null="nothing was scored, or version 1",
        ),
        column(
            "choice",
            pa.int32(),
            "Index of the answer that the model finds most likely",
            null="no multiple choice, or version 1",
        ),
        column(
            "thinking",
            pa.string(),
            "What the model thought before it answered; untrusted",
            null="nothing was thought, or version 1 or 2",
        ),
        column(
            "num_thinking_tokens",
            pa.int32(),
            "How many of the tokens come before the answer, the marks of thinking included",
            unit="tokens",
            null="nothing was thought, or version 1 or 2",
        ),
        column(
            "kl",
            pa.float64(),
            "Divergence of the first token at the origin from that here, see `first_token_kl`",
            unit="nats",
            null="another metric, nothing was measured, or versions 1 to 3",
        ),
        column(
            "prefill",
            pa.string(),
            "What the answer was begun with before the completion",
            null="nothing, or versions 1 to 4",
        ),
        column(
            "sample",
            pa.int32(),
            "Which of several answers drawn to the prompt, from 0",
            null="it was decoded greedily, or versions 1 to 4",
        ),
    ]
)
"""The columns of a part, in order; each field's metadata holds its meaning, its unit and the meaning of null."""

NUM_COLUMNS = {1: 25, 2: 28, 3: 30, 4: 31, 5: len(SCHEMA)}
"""How many of the columns each version has: those that come first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The columns of one kind of part."""

    schema: pa.Schema
    """The columns of the latest version, in order."""
    num_columns: Mapping[int, int]
    """How many of the columns each version has: those that come first."""
    outcome: tuple[str, ...]
    """The columns that two parts of the same key should agree in."""
    compressed: frozenset[str]
    """The columns of long texts."""

    @property
    def version(self) -> int:
        """The latest version."""
        return max(self.num_columns)

    def of_version(self, version: int) -> pa.Schema:
        """Return the columns that parts of a version hold; the other ones are null in all their rows."""
        return pa.schema(list(self.schema)[: self.num_columns[version]])

    def table(self, per_row: Mapping[str, Sequence[Any]], per_part: Mapping[str, Any]) -> pa.Table:
        """Return rows, from columns with a value for each and values that are the same in all, by name."""
        num_rows = len(next(iter(per_row.values())))
        columns = {**per_row, **{name: [value] * num_rows for name, value in per_part.items()}}
        return pa.table({name: columns[name] for name in self.schema.names}, schema=self.schema)


MEASURED = Layout(
    schema=SCHEMA,
    num_columns=NUM_COLUMNS,
    outcome=("prompt_id", "prompt", "completion", "num_tokens", "finish_reason", "verdict", "judge"),
    compressed=frozenset({"prompt", "prefill", "completion", "thinking"}),
)
"""Parts of measured points."""


def rows_of(record: PointRecord, *, key: str, sweep_id: str) -> pa.Table:
    """Return the rows of one visit, one per answer, in the benchmark's order.

    Raises:
        ValueError: The record has no prompts, or not one row per prompt.
    """
    prompts, rows, point = record.prompts, record.rows, record.point
    if not len(prompts) == len(rows) > 0:
        msg = f"{point.label}: {len(prompts)} prompts and {len(rows)} rows; these must be equal, and not 0"
        raise ValueError(msg)
    completions = [row.completion for row in rows]
    alpha, beta, *_ = (*point.coordinates, None)
    per_row: dict[str, Sequence[Any]] = {
        "prompt_index": [number - 1 for number in accumulate(not prompt.sample for prompt in prompts)],
        "sample": [prompt.sample for prompt in prompts],
        "prompt_id": [prompt.id for prompt in prompts],
        "prompt": [prompt.text for prompt in prompts],
        "prefill": [prompt.prefill or None for prompt in prompts],
        "completion": [completion.text for completion in completions],
        "num_tokens": [len(completion.token_ids) for completion in completions],
        "finish_reason": [completion.finish_reason.value for completion in completions],
        "verdict": [row.verdict.value for row in rows],
        "broken": [row.broken for row in rows],
        "log_likelihood": [row.log_likelihood for row in rows],
        "kl": [row.kl for row in rows],
        "choice": [row.choice for row in rows],
        "thinking": [completion.thinking for completion in completions],
        "num_thinking_tokens": [completion.num_thinking_tokens for completion in completions],
    }
    per_visit = {
        "sweep_id": sweep_id,
        "key": key,
        "draw": point.draw,
        "repeat": point.repeat,
        "alpha": alpha,
        "beta": beta,
        "benchmark": record.benchmark,
        "judge": record.judge,
        **asdict(record.facts),
    }
    return MEASURED.table(per_row, per_visit)


def array_of(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    """Return a column as an array: numbers with null as NaN, text as objects with null as None, equal ones as one."""
    array: npt.NDArray[Any]
    if pa.types.is_string(column.type):
        codes = column.combine_chunks().dictionary_encode(null_encoding="encode")
        array = np.array(codes.dictionary.to_pylist(), dtype=object)[codes.indices.to_numpy()]
    elif (pa.types.is_integer(column.type) or pa.types.is_boolean(column.type)) and column.null_count:
        array = column.cast(pa.float64()).to_numpy()
    else:
        array = column.to_numpy()
    return array
