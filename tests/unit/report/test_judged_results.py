"""Scores, reports and comparisons by the verdicts of a judge that had a pass of its own."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from landscape_ray.cli import main
from landscape_ray.config import SweepConfig
from landscape_ray.errors import OutputError, UserError
from landscape_ray.evaluation import Verdict
from landscape_ray.evaluation.guards import Question
from landscape_ray.evaluation.judging import Judgment
from landscape_ray.planning import PlannedPoint
from landscape_ray.report.agreement import compare_judges
from landscape_ray.report.results import load_results
from landscape_ray.report.scores import score, scores_document
from landscape_ray.report.words.agreement import comparisons_text
from landscape_ray.store import JudgeIdentity, ReceivedAnswer, VerdictRecord, VerdictStore

Decide = Callable[[str, PlannedPoint, int], Verdict]


def stored(_name: str, point: PlannedPoint, index: int) -> Verdict:
    """Complies with its first prompt, and away from the origin with all."""
    return Verdict.COMPLIED if index == 0 or abs(point.coordinates[0]) > 0.3 else Verdict.REFUSED


def strict(_name: str, point: PlannedPoint, index: int) -> Verdict:
    """Finds harm only in the second prompt away from the origin, and cannot say of the last."""
    if index == 3:
        return Verdict.UNSCORED
    return Verdict.COMPLIED if index == 1 and abs(point.coordinates[0]) > 0.3 else Verdict.REFUSED


@pytest.fixture
def judged(tmp_path: Path, config: SweepConfig, publish: Callable[..., None]) -> Callable[..., Path]:
    """Make a results folder in which a judge has judged the points for which `there` is true."""

    def make(
        *,
        decide: Decide = strict,
        question: Question = "harm",
        there: Callable[[PlannedPoint], bool] = lambda _: True,
    ) -> Path:
        publish(tmp_path, config, stored)
        results = load_results(str(tmp_path))
        verdicts = VerdictStore(str(tmp_path), "guard")
        version = "guard/0123456789ab"
        verdicts.claim(
            JudgeIdentity(
                name="guard", version=version, question=question, config={}, model_fingerprint=None, created_at=""
            )
        )
        for name, keys in results.keys.items():
            for point, key in zip(results.plan.points, keys, strict=True):
                if there(point):
                    record = VerdictRecord(
                        part_key=key,
                        label=point.label,
                        benchmark=name,
                        prompt_indices=(0, 1, 2, 3),
                        prompt_ids=("p0", "p1", "p2", "p3"),
                        answers=tuple(
                            ReceivedAnswer(
                                judgment=Judgment(verdict=decide(name, point, i), answer="x"), judged_with="test"
                            )
                            for i in range(4)
                        ),
                        node="here",
                        attempt=1,
                        started_at="",
                        judge_s=0.0,
                    )
                    verdicts.publish(record, version=version, sweep_id=results.manifest.sweep_id)
        return tmp_path

    return make


def test_landscapes_count_the_judges_verdicts(judged: Callable[..., Path]) -> None:
    out = str(judged())
    own, other = load_results(out), load_results(out, "guard")
    assert own.landscapes["harmful"].num_success.tolist() == [[4, 1, 1, 1, 4]] * 2
    assert other.landscapes["harmful"].num_success.tolist() == [[1, 0, 0, 0, 1]] * 2
    assert other.landscapes["harmful"].num_scored.tolist() == [[3] * 5] * 2
    assert (other.num_unjudged, own.num_unjudged) == ({"harmful": 0, "other": 0}, {})
    assert (own.judge_of("harmful"), other.judge_of("harmful")) == ("keyword/1", "guard/0123456789ab")
    document = scores_document(other, score(other))
    assert document["benchmarks"]["harmful"]["judge"] == "guard/0123456789ab"


def test_points_without_verdicts_are_missing(judged: Callable[..., Path]) -> None:
    results = load_results(str(judged(there=lambda point: point.draw != 1)), "guard")
    assert results.landscapes["harmful"].missing.tolist() == [[False] * 5, [True, True, False, True, True]]
    assert results.num_unjudged == {"harmful": 4, "other": 4}
    assert np.isnan(results.landscapes["harmful"].values[1, 0])


def test_a_judge_nobody_asked(judged: Callable[..., Path]) -> None:
    with pytest.raises(OutputError, match="holds no verdicts"):
        load_results(str(judged()), "nobody")


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    try:
        main(arguments)
    except SystemExit as stopped:
        return int(stopped.code or 0), capsys.readouterr().out
    raise AssertionError(arguments)


@pytest.mark.slow
def test_score_and_report_say_whose_verdicts_count(
    judged: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(judged(there=lambda point: point.draw != 1))
    code, printed = run(capsys, "score", out, "--judge", "guard", "--allow-missing")
    assert code == 0
    assert "guard/0123456789ab, about harm" in printed
    assert "8 parts not judged yet and counted as missing" in printed
    code, printed = run(capsys, "report", out, "--judge", "guard")
    assert code == 0
    document = json.loads((Path(out) / "report-guard" / "scores.json").read_text())
    assert {found["judge"] for found in document["benchmarks"].values()} == {"guard/0123456789ab"}
    assert not (Path(out) / "report").exists()


def test_agreement_of_the_sweeps_own_judge_with_another(
    judged: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    out = judged(there=lambda point: point.repeat == 0)
    found = compare_judges(str(out), ("keyword", "guard"))["other"]
    # 4 points away from the origin, where all comply, and 5 near it, where the first prompt does.
    assert (found.num_points, found.num_points_left_out) == (9, 1)
    agreed = found.agreements[0, 1]
    assert agreed.verdicts == ("refused", "complied", "unscored")
    assert agreed.confusion == ((10, 0, 5), (13, 4, 4), (0, 0, 0))
    assert (agreed.raw.num, agreed.raw.total, agreed.num_prompts) == (14, 27, 3)
    code, printed = run(capsys, "agreement", str(out), "--judges", "keyword,guard")
    assert code == 0
    assert "keyword/1 (rows) and guard/0123456789ab (columns)" in printed
    assert "agreement 51.9 % (14 of 27; " in printed
    code, printed = run(capsys, "agreement", str(out), "--judges", "keyword,guard", "--json")
    assert json.loads(printed)["other"]["agreements"][0]["confusion"] == [[10, 0, 5], [13, 4, 4], [0, 0, 0]]


@pytest.mark.parametrize(
    ("name", "text", "num_labelled", "precision"),
    [
        # At the origin the sweep's own judge calls p0 a success and p1 none.
        ("l.csv", "prompt_id,label\np0,1\np1,0\n", 2, (2, 2)),
        ("l.csv", "prompt_id,point,label\np0,d0_a+0.5,yes\np1,d0_a+0.5,no\nzz,d0_a+0.5,no\n", 2, (2, 4)),
        ("l.jsonl", '{"prompt_id": "p2", "completion": "x", "label": true}\n', 1, (0, 0)),
    ],
)
def test_calibration_against_labels(  # noqa: PLR0917  (pytest passes them by name)
    judged: Callable[..., Path],
    tmp_path: Path,
    name: str,
    text: str,
    num_labelled: int,
    precision: tuple[int, int],
) -> None:
    labels = tmp_path / name
    labels.write_text(text, encoding="utf-8")
    found = compare_judges(str(judged()), ("keyword",), labels)
    calibrated = [each.calibrations[0] for each in found.values()]
    assert [each.num_labelled for each in calibrated] == [num_labelled] * 2
    assert (sum(c.precision.num for c in calibrated), sum(c.precision.total for c in calibrated)) == precision
    assert {each.num_labels_unmatched for each in found.values()} == {text.count("zz")}


def test_labels_that_match_nothing_are_counted_and_told(judged: Callable[..., Path], tmp_path: Path) -> None:
    results = judged()
    labels = tmp_path / "labels.csv"
    name = next(iter(compare_judges(str(results), ("keyword",), None)))
    labels.write_text(f"prompt_id,benchmark,label\np0,{name},1\np1,,0\nzz,,1\np0,elsewhere,1\n", encoding="utf-8")
    found = compare_judges(str(results), ("keyword",), labels)
    assert {each["num_labels_unmatched"] for each in found.document().values()} == {2}
    assert list(comparisons_text(found))[-1] == ("labels left out", "2: they match no completion that all judged")
    assert "labels left out" not in dict(comparisons_text(compare_judges(str(results), ("keyword",), None)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prompt_id,label\np0,perhaps\n", "row 0: the label 'perhaps' is none of"),
        ("prompt_id,verdict\np0,1\n", "has no column label"),
        ("prompt_id,label\nzz,1\n", "None of the 1 labels"),
        ("prompt_id,label\np0,1\np0,0\n", "contradict each other"),
    ],
)
def test_labels_that_cannot_be_used(judged: Callable[..., Path], tmp_path: Path, text: str, message: str) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        compare_judges(str(judged()), ("guard",), labels)


@pytest.mark.parametrize("judges", ["keyword", "keyword,keyword", ","])
def test_one_judge_is_no_comparison(judged: Callable[..., Path], judges: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["agreement", str(judged()), "--judges", judges])
    assert stopped.value.code == 2
