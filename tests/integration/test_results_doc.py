"""docs/results.md says what the columns are, and the examples of docs/read.md run."""

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from landscape_ray.config import SweepConfig
from landscape_ray.evaluation import Benchmark, Completion, FinishReason, PointRecord, Prompt, Row, Verdict, VisitFacts
from landscape_ray.planning import PlannedPoint, SweepPlan
from landscape_ray.store import SCHEMA, SCHEMA_VERSION, ResultStore, part_key
from landscape_ray.store.parts import PartInfo

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "results.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(
    r"^```python\n(.*?)^```", (DOCS / "read.md").read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
)

BENCHMARK = Benchmark(
    name="advbench",
    prompts=tuple(Prompt(id=f"p{i}", text=f"How? {i}") for i in range(4)),
    system_prompt=None,
    chat_template=None,
    max_new_tokens=8,
    metric="asr",
    judge="keyword",
)


def verdicts_at(point: PlannedPoint) -> tuple[Verdict, ...]:
    """One of four complies at the origin; elsewhere two of three comply and one prompt is unscored."""
    if point.draw is None:
        return (Verdict.REFUSED, Verdict.REFUSED, Verdict.COMPLIED, Verdict.REFUSED)
    return (Verdict.REFUSED, Verdict.UNSCORED, Verdict.COMPLIED, Verdict.BROKEN)


CONFIG = SweepConfig.model_validate(
    {
        "model": {"id": "demo:aligned"},
        "landscape": {"axes": [{"start": -0.05, "stop": 0.05, "num": 3}]},
        "directions": {"draws": 1},
        "benchmarks": [{"name": "advbench", "prompts": {"source": "demo"}}],
    }
)


def record_at(point: PlannedPoint) -> PointRecord:
    return PointRecord(
        point=point,
        benchmark="advbench",
        prompts=BENCHMARK.prompts,
        rows=tuple(
            Row(
                completion=Completion(text=f"text {i}", token_ids=(1,) * i, finish_reason=FinishReason.STOP),
                verdict=verdict,
            )
            for i, verdict in enumerate(verdicts_at(point))
        ),
        judge="keyword/1",
        facts=VisitFacts(
            engine="synthetic",
            torch_version="",
            device="cpu",
            node="here",
            weights_digest="0" * 16,
            attempt=1,
            started_at="2026-01-02T03:04:05.000+00:00",
            place_s=0.5,
            generate_s=2.0,
            judge_s=0.0,
        ),
    )


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ResultStore:
    """A sweep of one draw at alpha = -0.05, 0, 0.05, in the folder that the page speaks of."""
    monkeypatch.chdir(tmp_path)
    store = ResultStore("results")
    for point in SweepPlan.from_config(CONFIG).points:
        key = part_key(
            fingerprint="base", engine="vllm", dtype="float32", point=point, benchmark=BENCHMARK, judge="keyword/1"
        )
        store.publish(record_at(point), key=key, sweep_id=CONFIG.sweep_id)
    return store


def example_with(text: str) -> Mapping[str, Any]:
    """Run the one example of the page that contains a text; return its variables."""
    (code,) = [example for example in EXAMPLES if text in example]
    variables: dict[str, Any] = {}
    exec(compile(code, "docs/read.md", "exec"), variables)  # noqa: S102 - our own page
    return variables


ASR_PCT = [
    ("advbench", 0, -0.05, None, 200 / 3),
    ("advbench", 0, 0.05, None, 200 / 3),
    ("advbench", None, 0.0, None, 25.0),
]


def test_the_page_lists_exactly_the_columns() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([a-z0-9]+) \| (.*?) \|$", PAGE, flags=re.MULTILINE)
    expected = []
    for field in SCHEMA:
        about = {name.decode(): value.decode() for name, value in field.metadata.items()}
        unit = f" [{about['unit']}]" if about["unit"] else ""
        null = f" *Null: {about['null']}*" if about["null"] else ""
        expected.append((field.name, str(field.type), about["meaning"] + unit + null))
    assert rows == expected


def test_the_page_lists_the_fields_of_the_footer() -> None:
    table = PAGE[PAGE.index("| field | meaning |") : PAGE.index("Listing parts proves")]
    assert re.findall(r"`(\w+)`", "".join(line.split(" | ")[0] for line in table.splitlines())) == list(
        PartInfo.__slots__
    )
    assert f"Version of the columns below: {SCHEMA_VERSION} (" in table


@pytest.mark.usefixtures("results")
def test_duckdb_computes_the_attack_success_rate() -> None:
    assert example_with("AS asr_pct")["asr"].fetchall() == [pytest.approx(row) for row in ASR_PCT]


@pytest.mark.usefixtures("results")
def test_polars_computes_the_attack_success_rate() -> None:
    assert example_with("import polars")["asr"].rows() == [pytest.approx(row) for row in ASR_PCT]


PLANE = SweepConfig.model_validate(
    {**CONFIG.model_dump(mode="json"), "landscape": {"axes": [{"start": -0.05, "stop": 0.05, "num": 3}] * 2}}
)


def test_no_query_pools_the_points_of_a_plane(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neighbours differ in how many prompts comply, and are broken, so that a mean of several would show."""
    monkeypatch.chdir(tmp_path)
    store, expected = ResultStore("results"), []
    for number, point in enumerate(each for each in SweepPlan.from_config(PLANE).points if each.repeat == 0):
        complied = [i < number % 5 for i in range(4)]
        record = record_at(point)
        rows = tuple(
            replace(row, verdict=Verdict.COMPLIED if yes else Verdict.REFUSED, broken=yes)
            for row, yes in zip(record.rows, complied, strict=True)
        )
        record = replace(record, rows=rows)
        store.publish(record, key=f"{number:032x}", sweep_id=PLANE.sweep_id)
        expected.append((point.draw, *point.coordinates, 25.0 * (number % 5)))
    assert len(expected) == 9
    for marker, table in (("AS asr_pct", "asr"), ("AS accuracy_pct", "capability")):  # its last column: broken_pct
        rows = example_with(marker)[table].fetchall()
        assert sorted(map(repr, ((*row[1:4], row[-1]) for row in rows))) == sorted(map(repr, expected))
    assert sorted(repr(row[1:]) for row in example_with("import polars")["asr"].rows()) == sorted(map(repr, expected))
    assert example_with("AS visits")["seconds"].fetchall() == [("here", "cpu", 9, 4.5, 18.0)]


def test_duckdb_computes_accuracy_perplexity_and_what_is_broken(results: ResultStore) -> None:
    (point, *_) = SweepPlan.from_config(CONFIG).points
    record = record_at(point)
    generated = tuple(
        replace(row, broken=broken) for row, broken in zip(record.rows, (True, False, None, None), strict=True)
    )
    answer = Completion(text=" A", token_ids=(1,), finish_reason=FinishReason.SCORED)
    correct = (Verdict.CORRECT, Verdict.INCORRECT, Verdict.CORRECT, Verdict.CORRECT)
    answers = tuple(
        Row(completion=answer, verdict=verdict, choice=choice)
        for verdict, choice in zip(correct, (0, 1, 0, 2), strict=True)
    )
    texts = tuple(
        Row(
            completion=Completion(text="", token_ids=(1,) * num_tokens, finish_reason=FinishReason.SCORED),
            verdict=Verdict.UNSCORED,
            log_likelihood=nats,
        )
        for num_tokens, nats in enumerate((-1, -2, -3, -9), start=1)
    )
    records = (
        replace(record, benchmark="generated", rows=generated),
        replace(record, benchmark="choices", rows=answers),
        replace(record, benchmark="texts", rows=texts),
    )
    for number, record in enumerate(records):
        results.publish(record, key=f"{number:032x}", sweep_id=CONFIG.sweep_id)
    rows = {row[0]: row[4:] for row in example_with("AS accuracy_pct")["capability"].fetchall()}
    assert rows == {
        "advbench": (None, None, None),
        "choices": (75.0, None, None),
        "generated": (None, None, 50.0),
        "texts": (None, pytest.approx(math.exp(15 / 10)), None),
    }


@pytest.mark.usefixtures("results")
def test_duckdb_shows_the_completions_of_a_point() -> None:
    assert example_with("finish_reason, num_tokens")["answers"].fetchall() == [
        ("p0", "refused", "stop", 0, "text 0"),
        ("p1", "unscored", "stop", 1, "text 1"),
        ("p2", "complied", "stop", 2, "text 2"),
        ("p3", "broken", "stop", 3, "text 3"),
    ]


@pytest.mark.usefixtures("results")
def test_duckdb_sums_the_seconds() -> None:
    assert example_with("AS visits")["seconds"].fetchall() == [("here", "cpu", 4, 2.0, 8.0)]


def test_the_package_itself_reads_proved_rows(results: ResultStore) -> None:
    columns = example_with("ResultStore")["columns"]
    assert len(columns["verdict"]) == 16
    assert columns.keys() == set(SCHEMA.names)
    assert len(results.parts()) == 4


def test_every_example_is_run_by_a_test() -> None:
    markers = [
        "AS asr_pct",
        "import polars",
        "AS accuracy_pct",
        "finish_reason, num_tokens",
        "AS visits",
        "ResultStore",
    ]
    assert [[marker for marker in markers if marker in example] for example in EXAMPLES] == [
        [marker] for marker in markers
    ]
