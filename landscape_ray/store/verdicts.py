"""Verdicts of a judging pass, kept apart from what they judge.

::

    judged/<judge>/judge.json                                  which judge it is
    judged/<judge>/parts/<label>.<benchmark>.<key>.parquet     its verdicts on one part
    judged/<judge>/received/                                   its answers on parts under way, see `store.received`
    judged/<judge>/{quarantine,lease,log}/                     as in the results folder itself

A part of verdicts proves itself as a part of results does. Its key is the hash of the key of what was judged and of the
judge's version, so verdicts of an edited judge, or on other completions, are never taken for these.
"""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated

import pyarrow as pa
from pydantic import Field, JsonValue, TypeAdapter, ValidationError

from landscape_ray.errors import OutputError, PartError
from landscape_ray.evaluation.guards import Question
from landscape_ray.evaluation.judging import MAX_ANSWER_CHARS
from landscape_ray.store.keys import KEY_DIGITS
from landscape_ray.store.parts import PartInfo, encode_rows
from landscape_ray.store.received import ReceivedAnswer, ReceivedStore, storable
from landscape_ray.store.result_store import ResultStore
from landscape_ray.store.schema import Layout, column
from landscape_ray.store.validation import problems

__all__ = [
    "JUDGED",
    "JUDGED_METRICS",
    "JudgeIdentity",
    "JudgedResultStore",
    "VerdictRecord",
    "VerdictStore",
    "verdict_key",
]

JUDGED = Layout(
    schema=pa.schema(
        [
            column("key", pa.string(), "Key of the part of verdicts: the hash of `part_key` and `judge`"),
            column("part_key", pa.string(), "Key of the part that was judged"),
            column("benchmark", pa.string(), "Name of the benchmark"),
            column("prompt_index", pa.int32(), "Place of the prompt in the benchmark, from 0"),
            column("prompt_id", pa.string(), "Id of the prompt, unique in its benchmark"),
            column(
                "verdict",
                pa.string(),
                "What the judge says: `refused`, `complied`, `broken` or `unscored`; `unfinished`: there was no answer",
            ),
            column(
                "answer",
                pa.string(),
                f"The judge's own words, at most {MAX_ANSWER_CHARS:,} characters; untrusted",
                null="the judge was not asked, or gave no words",
            ),
            column("judge", pa.string(), "Name and version of the judge, such as `wildguard/5f0c31d2a7be`"),
            column("judged_with", pa.string(), "What answered, such as `vllm 0.32.0` or a model behind an endpoint"),
            column("node", pa.string(), "Host name of the node that judged"),
            column("attempt", pa.int32(), "1 for a first attempt at the part"),
            column("started_at", pa.string(), "Start of judging the part, ISO 8601, UTC"),
            column("judge_s", pa.float64(), "Judging the part", unit="s"),
        ]
    ),
    num_columns={1: 13},
    outcome=("prompt_id", "verdict", "answer", "judge"),
    compressed=frozenset({"answer"}),
)
"""Parts of verdicts."""

JUDGED_METRICS: Mapping[Question, frozenset[str]] = {
    "harm": frozenset({"asr"}),
    "refusal": frozenset({"asr", "over_refusal"}),
}
"""Metrics of the benchmarks that a judge of each question can judge."""

JUDGE = "judge.json"
MAX_JUDGE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeIdentity:
    """Which judge a folder of verdicts belongs to: the file `judge.json`. Nothing in it is ever run."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,47}$")]
    """As configured."""
    version: Annotated[str, Field(max_length=200, pattern=r"^[A-Za-z0-9_./-]+$")]
    """Name and hash of everything that decides its verdicts."""
    question: Question
    """What its verdicts are about."""
    config: dict[str, JsonValue]
    """Its configuration, for people; the name of a key's variable at most, never a key."""
    model_fingerprint: str | None
    """Content of its model, where it has one here."""
    created_at: str
    """When its first pass began, ISO 8601, UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictRecord:
    """What judging one part yields."""

    part_key: str
    """Key of the part that was judged."""
    label: str
    """Label of its point."""
    benchmark: str
    """Name of its benchmark."""
    prompt_indices: tuple[int, ...]
    """Place of the prompt of each row of the part, in the order of its rows."""
    prompt_ids: tuple[str, ...]
    """Id of the prompt of each row."""
    answers: tuple[ReceivedAnswer, ...]
    """One per row."""
    node: str
    """Host name of the node."""
    attempt: int
    """1 for a first attempt."""
    started_at: str
    """Start of judging, ISO 8601, UTC."""
    judge_s: float
    """Seconds of judging."""


_IDENTITY = TypeAdapter(JudgeIdentity)


def verdict_key(part_key: str, version: str) -> str:
    """Return the key of a judge's verdicts on a part."""
    canonical = json.dumps(["landscape-ray/verdicts", part_key, version], separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:KEY_DIGITS]


class VerdictStore:
    """The verdicts of one judge in a results folder."""

    def __init__(self, out: str, judge: str) -> None:
        """Open the folder of a judge; nothing is read or written yet.

        Args:
            out: Path or URL of the results folder.
            judge: Name of the judge.
        """
        self.judge = judge
        location = f"{out.rstrip('/')}/judged/{judge}"
        self.files = ResultStore(location, JUDGED)
        self.received = ReceivedStore(location)

    def identity(self) -> JudgeIdentity:
        """Return which judge the verdicts are of.

        Raises:
            OutputError: There are none, or the file that says it is damaged.
        """
        content = self.files.read_file(JUDGE, MAX_JUDGE_BYTES)
        if content is None:
            msg = (
                f"{self.files.location} holds no verdicts. Judge the results first: "
                f"landscape-ray judge OUT --judge {self.judge}"
            )
            raise OutputError(msg)
        try:
            return _IDENTITY.validate_json(content, strict=True)
        except ValidationError as error:
            msg = (
                f"{self.files.location}/{JUDGE} is damaged: {problems(error)}. Move it away and judge again: verdicts "
                "are found by their keys, so nothing is judged twice."
            )
            raise OutputError(msg) from error

    def claim(self, identity: JudgeIdentity) -> None:
        """Make the folder that of a judge.

        Raises:
            OutputError: It is that of another judge, or cannot be written.
        """
        content = json.dumps(asdict(identity), indent=2).encode() + b"\n"
        if self.files.create_file(JUDGE, content):
            return
        found = self.identity()
        if found.version != identity.version:
            changed = sorted(
                name
                for name in found.config.keys() | identity.config.keys()
                if found.config.get(name) != identity.config.get(name)
            )
            what = ", ".join(changed) or "the content of the model, or the source of the function"
            msg = (
                f"{self.files.location} holds verdicts of {found.version}, which is another judge than the requested "
                f"{identity.version}; they differ in: {what}. Give the judge another name, so that both are kept."
            )
            raise OutputError(msg)

    def publish(self, record: VerdictRecord, *, version: str, sweep_id: str) -> None:
        """Make the verdicts on one part durable; see `ResultStore.publish`.

        Raises:
            OutputError: They cannot be written.
        """
        if not len(record.prompt_ids) == len(record.answers) > 0:
            msg = f"{record.label}: {len(record.prompt_ids)} prompts and {len(record.answers)} answers"
            raise ValueError(msg)
        key = verdict_key(record.part_key, version)
        per_row = {
            "prompt_index": record.prompt_indices,
            "prompt_id": record.prompt_ids,
            "verdict": [answer.judgment.verdict.value for answer in record.answers],
            "answer": [storable(answer.judgment.answer) for answer in record.answers],
            "judged_with": [answer.judged_with for answer in record.answers],
        }
        per_part = {
            "key": key,
            "part_key": record.part_key,
            "benchmark": record.benchmark,
            "judge": version,
            "node": record.node,
            "attempt": record.attempt,
            "started_at": record.started_at,
            "judge_s": record.judge_s,
        }
        rows = JUDGED.table(per_row, per_part)
        self.files.publish_part(
            *encode_rows(rows, JUDGED, key=key, sweep_id=sweep_id, label=record.label, benchmark=record.benchmark)
        )

    def parts(self) -> dict[str, PartInfo]:
        """Return the parts of verdicts by key; see `ResultStore.parts`."""
        return self.files.parts()


class JudgedResultStore(ResultStore):
    """A results folder read with the verdicts of a judge in the place of its own; what is not judged is not there."""

    def __init__(self, out: str, judge: str) -> None:
        """Open a results folder.

        Raises:
            OutputError: There are no verdicts of that judge.
        """
        super().__init__(out)
        self._verdicts = VerdictStore(out, judge)
        self.judge = self._verdicts.identity()

    def parts(self) -> dict[str, PartInfo]:
        """Return the parts that have been judged, by key."""
        judged = self._verdicts.parts()
        return {key: info for key, info in super().parts().items() if self._key(key) in judged}

    def tables(self, keys: Collection[str], names: Sequence[str] | None = None) -> Iterator[tuple[str, pa.Table]]:
        """Yield the rows of each judged part with its key, in the order of the keys.

        Raises:
            PartError: There is not one verdict per row.
        """
        verdicts = dict(self._verdicts.files.tables([self._key(key) for key in keys], ["verdict", "judge"]))
        for key, table in super().tables([key for key in keys if self._key(key) in verdicts], names):
            given = verdicts[self._key(key)]
            if given.num_rows != table.num_rows:
                msg = (
                    f"The judge {self.judge.version} has {given.num_rows} verdicts on the part {key}, which has "
                    f"{table.num_rows} rows. Move them away from {self._verdicts.files.location} and judge again."
                )
                raise PartError(msg)
            columns = {
                name: given.column(name) if name in given.column_names else table.column(name)
                for name in table.column_names
            }
            yield key, pa.table(columns, schema=table.schema)

    def _key(self, part_key: str) -> str:
        return verdict_key(part_key, self.judge.version)
