"""Verdicts of a judge beside the results: proved, found by key, and never taken for another judge's."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from landscape_ray.errors import OutputError, PartError
from landscape_ray.evaluation import Verdict
from landscape_ray.evaluation.judging import MAX_ANSWER_CHARS, Judgment
from landscape_ray.planning import PlannedPoint
from landscape_ray.store import (
    JudgedResultStore,
    JudgeIdentity,
    ReceivedAnswer,
    ResultStore,
    VerdictRecord,
    VerdictStore,
    verdict_key,
)

VERSION = "guard/0123456789ab"
SWEEP_ID = "5eed" * 4
IDENTITY = JudgeIdentity(
    name="guard",
    version=VERSION,
    question="harm",
    config={"kind": "model", "format": "wildguard"},
    model_fingerprint="hub:a/b@c",
    created_at="2026-01-02T03:04:05+00:00",
)


@pytest.fixture
def verdicts(folder: Path) -> VerdictStore:
    store = VerdictStore(str(folder), "guard")
    store.claim(IDENTITY)
    return store


def record(part_key: str, *judgments: Judgment) -> VerdictRecord:
    return VerdictRecord(
        part_key=part_key,
        label="d0_a-0.05",
        benchmark="advbench",
        prompt_indices=tuple(range(len(judgments))),
        prompt_ids=tuple(f"p{i}" for i in range(len(judgments))),
        answers=tuple(ReceivedAnswer(judgment=each, judged_with="vllm 0.32.0") for each in judgments),
        node="node-7",
        attempt=1,
        started_at="2026-01-02T03:04:05.678+00:00",
        judge_s=0.1,
    )


def judgment(verdict: Verdict, answer: str | None = None) -> Judgment:
    return Judgment(verdict=verdict, answer=answer)


TWO = (judgment(Verdict.COMPLIED, "unsafe\nS1"), judgment(Verdict.UNSCORED))


def test_verdicts_come_back_as_they_were(verdicts: VerdictStore) -> None:
    verdicts.publish(record("a" * 32, *TWO), version=VERSION, sweep_id=SWEEP_ID)
    key = verdict_key("a" * 32, VERSION)
    assert list(verdicts.parts()) == [key]
    columns = {name: values.tolist() for name, values in verdicts.files.columns([key]).items()}
    assert columns["verdict"] == ["complied", "unscored"]
    assert columns["answer"] == ["unsafe\nS1", None]
    assert columns["judge"] == [VERSION] * 2
    assert columns["part_key"] == ["a" * 32] * 2
    assert columns["prompt_id"] == ["p0", "p1"]


def test_answers_are_bounded_and_storable(verdicts: VerdictStore) -> None:
    long = judgment(Verdict.UNSCORED, "x" * (MAX_ANSWER_CHARS + 1))
    verdicts.publish(
        record("a" * 32, long, judgment(Verdict.UNSCORED, "\ud800\x00\x1b")), version=VERSION, sweep_id=SWEEP_ID
    )
    answers = verdicts.files.columns(list(verdicts.parts()), ["answer"])["answer"].tolist()
    assert answers == ["x" * MAX_ANSWER_CHARS, "?\x00\x1b"]


def test_the_first_verdicts_stay_and_others_are_a_finding(verdicts: VerdictStore) -> None:
    verdicts.publish(record("a" * 32, *TWO), version=VERSION, sweep_id=SWEEP_ID)
    verdicts.publish(replace(record("a" * 32, *TWO), attempt=2), version=VERSION, sweep_id=SWEEP_ID)
    assert verdicts.files.quarantined() == []
    verdicts.publish(record("a" * 32, *reversed(TWO)), version=VERSION, sweep_id=SWEEP_ID)
    assert [file.reason[:8] for file in verdicts.files.quarantined()] == ["FINDING:"]
    assert verdicts.files.columns(list(verdicts.parts()), ["verdict"])["verdict"].tolist() == ["complied", "unscored"]


def test_a_damaged_part_is_no_part_and_is_judged_again(folder: Path, verdicts: VerdictStore) -> None:
    verdicts.publish(record("a" * 32, *TWO), version=VERSION, sweep_id=SWEEP_ID)
    (path,) = (folder / "judged" / "guard" / "parts").iterdir()
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)
    assert verdicts.parts() == {}
    verdicts.publish(record("a" * 32, *TWO), version=VERSION, sweep_id=SWEEP_ID)
    assert len(verdicts.parts()) == 1
    assert len(verdicts.files.quarantined()) == 1


def test_a_part_of_results_is_no_part_of_verdicts(
    folder: Path, verdicts: VerdictStore, publish: Callable[..., str], point_at: Callable[..., PlannedPoint]
) -> None:
    key = publish(point_at(0.5))
    (path,) = (folder / "parts").iterdir()
    parts = folder / "judged" / "guard" / "parts"
    parts.mkdir(parents=True)
    (parts / path.name).write_bytes(path.read_bytes())
    assert verdicts.files.columns([key])["verdict"].tolist() == []
    assert "does not hold" in verdicts.files.quarantined()[0].reason


def test_a_folder_is_one_judges(folder: Path, verdicts: VerdictStore) -> None:
    verdicts.claim(replace(IDENTITY, created_at="2027-01-01T00:00:00+00:00"))
    assert verdicts.identity() == IDENTITY
    with pytest.raises(OutputError, match=r"they differ in: format\. Give the judge another name"):
        verdicts.claim(replace(IDENTITY, version="guard/ba9876543210", config={"kind": "model", "format": "text"}))
    assert VerdictStore(str(folder), "guard").identity() == IDENTITY


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'{"name": "guard"}', b"\xff", b'{"name": "guard", "version": "../x", "question": "harm"}']
)
def test_a_damaged_description_is_said_to_be(folder: Path, verdicts: VerdictStore, content: bytes) -> None:
    (folder / "judged" / "guard" / "judge.json").write_bytes(content)
    with pytest.raises(OutputError, match="is damaged"):
        verdicts.identity()


def test_without_verdicts_there_is_nothing_to_read(folder: Path) -> None:
    with pytest.raises(OutputError, match=r"holds no verdicts\. Judge the results first"):
        JudgedResultStore(str(folder), "guard")


def test_results_are_read_with_a_judges_verdicts(
    folder: Path,
    store: ResultStore,
    verdicts: VerdictStore,
    publish: Callable[..., str],
    point_at: Callable[..., PlannedPoint],
) -> None:
    judged, unjudged = publish(point_at(0.5)), publish(point_at(0.25))
    verdicts.publish(record(judged, *TWO), version=VERSION, sweep_id=SWEEP_ID)
    # Verdicts of an earlier version of the judge on the other part are somebody else's.
    verdicts.publish(record(unjudged, *TWO), version="guard/ba9876543210", sweep_id=SWEEP_ID)
    overlaid = JudgedResultStore(str(folder), "guard")
    assert list(overlaid.parts()) == [judged]
    columns = overlaid.columns([unjudged, judged])
    own = store.columns([judged])
    assert columns.pop("verdict").tolist() == ["complied", "unscored"]
    assert columns.pop("judge").tolist() == [VERSION] * 2
    assert own.pop("verdict").tolist() == ["refused", "complied"]
    del own["judge"]
    assert {name: values.tolist() for name, values in columns.items()}.keys() == own.keys()
    assert columns["completion"].tolist() == own["completion"].tolist()
    assert columns["alpha"].tolist() == own["alpha"].tolist() == [0.5, 0.5]


def test_verdicts_on_another_number_of_rows_are_refused(
    folder: Path, verdicts: VerdictStore, publish: Callable[..., str], point_at: Callable[..., PlannedPoint]
) -> None:
    key = publish(point_at(0.5))
    verdicts.publish(record(key, TWO[0]), version=VERSION, sweep_id=SWEEP_ID)
    with pytest.raises(PartError, match="has 1 verdicts on the part"):
        JudgedResultStore(str(folder), "guard").columns([key], ["verdict"])
