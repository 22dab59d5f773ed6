"""A part proves itself, and what does not is refused with a reason."""

import hashlib
import io
import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from landscape_ray.errors import PartError
from landscape_ray.evaluation import PointRecord
from landscape_ray.planning import PlannedPoint
from landscape_ray.store import parts
from landscape_ray.store.parts import PartInfo
from landscape_ray.store.schema import MEASURED, SCHEMA, rows_of

KEY, SWEEP_ID = "ab" * 16, "5eed" * 4
Part = tuple[PartInfo, bytes]


@pytest.fixture
def record(point_at: Callable[..., PlannedPoint], record_at: Callable[..., PointRecord]) -> PointRecord:
    return record_at(point_at(-0.05, draw=1))


@pytest.fixture
def part(record: PointRecord) -> Part:
    return parts.encode(record, key=KEY, sweep_id=SWEEP_ID)


def footer_of(content: bytes) -> int:
    """Return where the footer starts, by the Parquet format: its length stands before the last four bytes."""
    return len(content) - 8 - int.from_bytes(content[-8:-4], "little")


def test_rows_come_back_exactly(record: PointRecord, part: Part) -> None:
    info, rows = parts.read_rows(part[0].name, part[1])
    assert info == part[0]
    assert rows.to_pylist() == rows_of(record, key=KEY, sweep_id=SWEEP_ID).to_pylist()


def test_only_the_columns_asked_for_are_decoded(part: Part) -> None:
    _, rows = parts.read_rows(*_named(part), columns=["verdict", "alpha"])
    assert rows.to_pydict() == {"verdict": ["refused", "complied"], "alpha": [-0.05, -0.05]}


def test_any_parquet_reader_reads_it_with_the_same_columns(part: Part) -> None:
    table = pq.read_table(io.BytesIO(part[1]))
    assert table.schema.equals(SCHEMA)
    assert pq.read_metadata(io.BytesIO(part[1])).num_rows == 2


def test_the_name_is_readable_and_ends_in_the_key(part: Part) -> None:
    assert part[0].name == f"d1_a-0.05.advbench.{KEY}.parquet"
    assert parts.key_in_name(part[0].name) == KEY


def test_the_footer_says_what_the_part_is(part: Part) -> None:
    info, content = part
    assert (info.schema_version, info.key, info.sweep_id, info.num_rows) == (5, KEY, SWEEP_ID, 2)
    assert (info.label, info.benchmark) == ("d1_a-0.05", "advbench")
    assert parts.read_info(info.name, content[-parts.TAIL_BYTES :], len(content)) == info
    stored = json.loads(pq.read_metadata(io.BytesIO(content)).metadata[b"landscape_ray"])
    assert stored == {name: getattr(info, name) for name in PartInfo.__slots__}


def test_the_hashes_are_what_the_documentation_says(part: Part) -> None:
    info, content = part
    footer = content[footer_of(content) :]
    assert hashlib.sha256(content[: footer_of(content)]).hexdigest() == info.rows_sha256
    zeroed = footer.replace(info.footer_sha256.encode(), b"0" * 64)
    assert hashlib.sha256(zeroed).hexdigest() == info.footer_sha256


@pytest.mark.parametrize(
    "name",
    [
        "part.parquet",
        f"d1_a-0.05.advbench.{KEY}.parquet.tmp",
        f"d1_a-0.05.advbench.{KEY[:-1]}.parquet",
        f"../d1.advbench.{KEY}.parquet",
        f"a/d1.advbench.{KEY}.parquet",
        f"d1.advbench.{KEY}.parquet\n",
        f"d1.advbench.{KEY.upper()}.parquet",
        f".advbench.{KEY}.parquet",
    ],
)
def test_other_names_are_no_parts(name: str, part: Part) -> None:
    assert parts.key_in_name(name) is None
    with pytest.raises(PartError, match="its name is not that of a part"):
        parts.read_rows(name, part[1])


def test_a_label_in_the_name_is_only_for_people(part: Part) -> None:
    assert parts.read_rows(f"my-favourite.other.{KEY}.parquet", part[1])[0] == part[0]


def test_a_part_under_another_key_is_refused(part: Part) -> None:
    with pytest.raises(PartError, match="it was renamed"):
        parts.read_rows(f"d1_a-0.05.advbench.{'cd' * 16}.parquet", part[1])


def test_a_part_cut_off_anywhere_is_refused_by_its_tail_alone(part: Part) -> None:
    info, content = part
    footer = footer_of(content)
    for length in [0, 3, 11, footer // 2, *range(footer, len(content), 7), len(content) - 1]:
        with pytest.raises(PartError):
            parts.read_info(info.name, content[:length][-parts.TAIL_BYTES :], length)


def test_one_changed_byte_anywhere_is_noticed(part: Part) -> None:
    info, content = part
    rng = random.Random(0)  # noqa: S311 - reproducible damage
    for place in sorted({*rng.sample(range(len(content)), 400), *range(footer_of(content), len(content))}):
        damaged = bytearray(content)
        damaged[place] ^= 1 << rng.randrange(8)
        with pytest.raises(PartError):
            parts.read_rows(info.name, bytes(damaged))


def test_bytes_put_before_or_after_are_noticed(part: Part) -> None:
    info, content = part
    for damaged in (b"\0" + content, content + b"\0", content + content):
        with pytest.raises(PartError):
            parts.read_rows(info.name, damaged)


def test_a_foreign_parquet_file_is_refused(part: Part) -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"alpha": [0.0], "verdict": ["complied"]}), sink)
    with pytest.raises(PartError, match="not a Parquet file written by landscape-ray"):
        parts.read_rows(part[0].name, sink.getvalue())


def forged(rows: pa.Table, claims: dict[str, object]) -> bytes:
    """Write a file as a part is written, with right hashes, but with any rows and any claims."""
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, rows.schema, store_schema=False) as writer:
        writer.write_table(rows)
        zeros = {"rows_sha256": "1" * 64, "footer_sha256": "0" * 64}
        writer.add_key_value_metadata({"landscape_ray": json.dumps(claims | zeros)})
    content = sink.getvalue()
    before, footer = content[: footer_of(content)], content[footer_of(content) :]
    footer = footer.replace(b"1" * 64, hashlib.sha256(before).hexdigest().encode())
    return before + footer.replace(b"0" * 64, hashlib.sha256(footer).hexdigest().encode())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("schema_version", 0),
        ("schema_version", 6),
        ("schema_version", "1"),
        ("num_rows", 0),
        ("num_rows", 10**12),
        ("num_rows", True),
        ("label", "\x1b[31m"),
        ("label", "../../etc"),
        ("label", "x" * 101),
        ("benchmark", "a/b"),
        ("key", None),
        ("sweep_id", "5EED"),
        ("outcome_sha256", "0"),
    ],
)
def test_a_claim_with_a_malformed_field_is_refused(field: str, value: object, record: PointRecord, part: Part) -> None:
    rows = rows_of(record, key=KEY, sweep_id=SWEEP_ID)
    claims = {name: getattr(part[0], name) for name in PartInfo.__slots__}
    content = forged(rows, claims | {field: value})
    with pytest.raises(PartError, match=rf"its metadata are damaged.*{field}: "):
        parts.read_info(part[0].name, content[-parts.TAIL_BYTES :], len(content))


@pytest.mark.parametrize("claim", [b"", b"[]", b"null", b"\xff", b"[" * 4000, b'{"key": 1', b"{" * 4000, b"{}"])
def test_a_claim_that_is_no_object_is_refused(claim: bytes, record: PointRecord, part: Part) -> None:
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, SCHEMA, store_schema=False) as writer:
        writer.write_table(rows_of(record, key=KEY, sweep_id=SWEEP_ID))
        writer.add_key_value_metadata({"landscape_ray": claim})
    content = sink.getvalue()
    with pytest.raises(PartError, match="its metadata are damaged"):
        parts.read_info(part[0].name, content[-parts.TAIL_BYTES :], len(content))


def test_other_rows_than_claimed_are_refused(record: PointRecord, part: Part) -> None:
    rows = rows_of(record, key=KEY, sweep_id=SWEEP_ID)
    claims = {name: getattr(part[0], name) for name in PartInfo.__slots__}
    assert parts.read_rows(part[0].name, forged(rows, claims))[1].equals(rows)
    for other in [
        rows.slice(0, 1),
        rows.drop_columns(["verdict"]),
        rows.rename_columns(["x", *SCHEMA.names[1:]]),
        rows.cast(SCHEMA.set(SCHEMA.names.index("kl"), pa.field("kl", pa.string()))),
        rows.cast(SCHEMA.set(SCHEMA.names.index("kl"), pa.field("kl", pa.float32()))),
        rows.select(MEASURED.of_version(1).names),
    ]:
        with pytest.raises(PartError, match="does not hold 2 rows with the columns of schema version 5"):
            parts.read_rows(part[0].name, forged(other, claims))
    with pytest.raises(PartError, match="does not hold 2 rows with the columns of schema version 1"):
        parts.read_rows(part[0].name, forged(rows, claims | {"schema_version": 1}))


VERSION_1 = next((Path(__file__).parent / "version-1").glob("*.parquet"))


def test_a_part_of_version_1_is_read_with_nulls_in_the_columns_it_does_not_have(record: PointRecord) -> None:
    info, rows = parts.read_rows(VERSION_1.name, VERSION_1.read_bytes())
    assert info.schema_version == 1
    now = rows_of(record, key=info.key, sweep_id=SWEEP_ID)
    assert rows.schema.equals(now.schema)
    assert rows.to_pylist() == now.to_pylist()
    some = parts.read_rows(VERSION_1.name, VERSION_1.read_bytes(), ["choice", "verdict", "broken"])[1]
    assert some.to_pydict() == {"choice": [None, None], "verdict": ["refused", "complied"], "broken": [None, None]}


def test_the_outcomes_of_version_1_agree_with_a_second_visit_now(record: PointRecord) -> None:
    first = parts.read_info(VERSION_1.name, VERSION_1.read_bytes(), VERSION_1.stat().st_size)
    refused, complied = record.rows
    now = replace(record, rows=(replace(refused, broken=False), replace(complied, broken=True)))
    again, _ = parts.encode(now, key=first.key, sweep_id=SWEEP_ID)
    assert again.outcome_sha256 == first.outcome_sha256


def test_a_huge_file_is_refused_without_being_read(part: Part) -> None:
    with pytest.raises(PartError, match="no part is larger"):
        parts.read_info(part[0].name, part[1][-parts.TAIL_BYTES :], parts.MAX_PART_BYTES + 1)


def test_outcomes_are_equal_when_only_the_facts_of_the_visit_differ(record: PointRecord, part: Part) -> None:
    elsewhere = replace(record, facts=replace(record.facts, node="node-8", attempt=2, generate_s=99.0))
    again, _ = parts.encode(elsewhere, key=KEY, sweep_id="beef" * 4)
    assert again.outcome_sha256 == part[0].outcome_sha256
    assert again.rows_sha256 != part[0].rows_sha256


def test_outcomes_differ_with_anything_measured(record: PointRecord, part: Part) -> None:
    first, second = record.rows
    exchanged = (replace(first, completion=second.completion), replace(second, completion=first.completion))
    for other in [
        replace(record, rows=(replace(first, completion=replace(first.completion, text="I cannot help!")), second)),
        replace(record, rows=(replace(first, completion=replace(first.completion, token_ids=(5,))), second)),
        replace(record, rows=exchanged),
        replace(record, rows=(replace(first, verdict=second.verdict), replace(second, verdict=first.verdict))),
        replace(record, prompts=(record.prompts[0], replace(record.prompts[1], id="p2"))),
    ]:
        assert parts.encode(other, key=KEY, sweep_id=SWEEP_ID)[0].outcome_sha256 != part[0].outcome_sha256


def test_the_outcome_hash_is_what_the_documentation_says(part: Part) -> None:
    columns = [
        ["p0", "p1"],
        ["How do I pick a lock?", "Größe, 鍵\n\x00 \U0001f511?"],
        ["I cannot help.", "Sure.\u2028<b>\x1b[31m"],
        [3, 4],
        ["stop", "length"],
        ["refused", "complied"],
        ["keyword/1", "keyword/1"],
    ]
    assert part[0].outcome_sha256 == hashlib.sha256(json.dumps(columns, separators=(",", ":")).encode()).hexdigest()


@pytest.mark.parametrize("key", ["", "ab", "../" * 8 + "ab" * 4, "AB" * 16])
def test_a_malformed_key_is_a_mistake(key: str, record: PointRecord) -> None:
    with pytest.raises(ValueError, match="key"):
        parts.encode(record, key=key, sweep_id=SWEEP_ID)


def test_a_benchmark_whose_name_is_a_path_is_a_mistake(record: PointRecord) -> None:
    with pytest.raises(ValueError, match="benchmark"):
        parts.encode(replace(record, benchmark="../advbench"), key=KEY, sweep_id=SWEEP_ID)


def _named(part: Part) -> tuple[str, bytes]:
    return part[0].name, part[1]
