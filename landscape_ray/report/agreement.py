"""Judges compared on the completions that they have in common: with each other, and with people."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from landscape_ray.analysis import Agreement, Calibration, agreement, calibration
from landscape_ray.errors import PartError, UserError
from landscape_ray.evaluation.prompts import file_rows
from landscape_ray.report.results import open_results
from landscape_ray.report.words import Fact, Told
from landscape_ray.store import JUDGED_METRICS, Manifest, ResultStore, planned_sweep

__all__ = ["Comparison", "JudgesCompared", "compare_judges"]

ORIGIN = "origin-r0"
LABELS = {
    **dict.fromkeys(("1", "1.0", "true", "yes", "complied"), True),
    **dict.fromkeys(("0", "0.0", "false", "no", "refused"), False),
}
COLUMNS = ("prompt_id", "completion", "verdict")


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Judges on one benchmark."""

    judges: tuple[str, ...]
    """Name and version of each judge, in the order asked."""
    num_points: int
    """Points that all of them have judged."""
    num_points_left_out: int
    """Points measured that some of them have not judged."""
    agreements: Mapping[tuple[int, int], Agreement]
    """Each pair of judges, by their places."""
    calibrations: tuple[Calibration, ...]
    """Each judge against the labels; empty without labels."""
    matched: frozenset[int]
    """Which labels match a completion here, by their rows in the file."""
    num_labels_unmatched: int = 0
    """Labels of the whole file that match a completion of no benchmark, and count nowhere."""


class JudgesCompared(Told, dict[str, Comparison]):
    """Judges on each benchmark, by its name."""

    def facts(self) -> Iterator[Fact]:
        """Yield how far they agree."""
        from landscape_ray.report.words.agreement import comparisons_text  # noqa: PLC0415

        return comparisons_text(self)

    def document(self) -> dict[str, Any]:
        """Return it as plain JSON types."""
        return {
            name: {
                "judges": list(comparison.judges),
                "num_points": comparison.num_points,
                "num_points_left_out": comparison.num_points_left_out,
                "num_labels_unmatched": comparison.num_labels_unmatched,
                "agreements": [
                    {"judges": [comparison.judges[i], comparison.judges[j]], **asdict(found)}
                    for (i, j), found in comparison.agreements.items()
                ],
                "calibrations": [
                    {"judge": judge, **asdict(found)}
                    for judge, found in zip(comparison.judges, comparison.calibrations, strict=False)
                ],
            }
            for name, comparison in self.items()
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Label:
    row: int
    prompt_id: str
    benchmark: str | None
    point: str | None
    completion: str | None
    is_success: bool


def compare_judges(out: str | Path, judges: Sequence[str], labels: str | Path | None = None) -> JudgesCompared:
    """Compare judges on what all of them have judged, by benchmark.

    A judge is one that has had a pass over the results, or the one that judged as they were measured (`keyword`).

    Args:
        out: Path or URL of the results folder.
        judges: Names of the judges.
        labels: A file of labels by people, see `docs/judges.md`.

    Raises:
        OutputError: There is no sweep, or no verdicts of a judge.
        UserError: A label cannot be understood, or none matches a stored completion.
        PartError: Rows are damaged, or contradict each other.
    """
    out, labels = str(out), None if labels is None else Path(labels)
    manifest = ResultStore(out).require_manifest()
    _, plan, keys_of = planned_sweep(manifest)
    stores = [_store(out, judge, manifest) for judge in judges]
    asked = [_metrics(store) for store in stores]
    known = [] if labels is None else list(_labels(labels))
    comparisons = {}
    for name, keys in keys_of.items():
        if any(manifest.benchmarks[name].metric not in metrics for metrics in asked):
            continue
        label_of = {key: point.label for key, point in zip(keys, plan.points, strict=True)}
        wanted = [label for label in known if label.benchmark in {None, name}]
        comparisons[name] = _comparison(out, stores, label_of, wanted)
    if not comparisons:
        msg = f"No benchmark of {ResultStore(out).location} is judged by all of: {', '.join(judges)}."
        raise UserError(msg)
    num_unmatched = len(known) - len(frozenset().union(*(each.matched for each in comparisons.values())))
    if known and num_unmatched == len(known):
        msg = (
            f"None of the {len(known)} labels of {labels} matches a completion that all of {', '.join(judges)} judged. "
            "Labels are matched by prompt_id, and by the exact completion, or by the label of a point."
        )
        raise UserError(msg)
    told = {name: replace(each, num_labels_unmatched=num_unmatched) for name, each in comparisons.items()}
    return JudgesCompared(told)


def _store(out: str, judge: str, manifest: Manifest) -> ResultStore:
    judged = [each for each in manifest.benchmarks.values() if each.metric in JUDGED_METRICS["refusal"]]
    own = {each.judge.partition("/")[0] for each in judged}
    return ResultStore(out) if judge in own else open_results(out, judge)


def _metrics(store: ResultStore) -> frozenset[str]:
    identity = getattr(store, "judge", None)
    return JUDGED_METRICS["refusal" if identity is None else identity.question]


def _comparison(out: str, stores: list[ResultStore], label_of: Mapping[str, str], labels: list[_Label]) -> Comparison:
    listed = [store.parts().keys() for store in stores]
    common = [key for key in label_of if all(key in keys for keys in listed)]
    columns = [store.columns(common, ("key", "judge", *COLUMNS)) for store in stores]
    if len({len(found["key"]) for found in columns}) > 1:
        msg = "A part was found damaged as it was read, and set aside. Compare again, or judge again first."
        raise PartError(msg)
    verdicts = [found["verdict"].tolist() for found in columns]
    prompts = columns[0]["prompt_id"].tolist()
    agreements = {
        (i, j): agreement(verdicts[i], verdicts[j], prompts=prompts)
        for i in range(len(stores))
        for j in range(i + 1, len(stores))
    }
    calibrations: tuple[Calibration, ...] = ()
    matched: frozenset[int] = frozenset()
    if labels and common:
        points = [label_of[key] for key in columns[0]["key"]]
        matches, matched = _matches(labels, points, prompts, columns[0]["completion"].tolist())
        labelled, labelled_prompts = list(matches.values()), [prompts[row] for row in matches]
        calibrations = tuple(
            calibration([given[row] for row in matches], labelled, prompts=labelled_prompts) for given in verdicts
        )
    return Comparison(
        judges=tuple(", ".join(sorted(set(found["judge"]))) for found in columns),
        num_points=len(common),
        num_points_left_out=len(ResultStore(out).parts().keys() & label_of.keys()) - len(common),
        agreements=agreements,
        calibrations=calibrations,
        matched=matched,
    )


def _matches(
    labels: list[_Label], points: list[str], prompt_ids: list[str], completions: list[str]
) -> tuple[dict[int, bool], frozenset[int]]:
    """Return the label of each row that has one, and which labels these are.

    A completion that occurs at several points is one piece of evidence, so only its first row counts.
    """
    by_completion: dict[tuple[str, str], int] = {}
    by_point: dict[tuple[str, str], int] = {}
    for row, (point, prompt_id, completion) in enumerate(zip(points, prompt_ids, completions, strict=True)):
        by_completion.setdefault((prompt_id, completion), row)
        by_point[prompt_id, point] = row
    found: dict[int, bool] = {}
    matched: set[int] = set()
    for label in labels:
        if label.completion is not None:
            place = by_completion.get((label.prompt_id, label.completion))
        else:
            place = by_point.get((label.prompt_id, label.point or ORIGIN))
        if place is None:
            continue
        matched.add(label.row)
        if found.setdefault(place, label.is_success) != label.is_success:
            where = f"prompt {label.prompt_id!r} at {points[place]}"
            msg = f"The labels contradict each other on {where}. Keep one of them."
            raise UserError(msg)
    return found, frozenset(matched)


def _labels(path: Path) -> Iterator[_Label]:
    for number, row in enumerate(file_rows(path)):
        if missing := {"prompt_id", "label"} - row.keys():
            msg = f"{path} has no column {', '.join(sorted(missing))}; its columns are {', '.join(map(str, row))}."
            raise UserError(msg)
        said = str(row["label"]).strip().lower()
        if said not in LABELS:
            msg = f"{path} row {number}: the label {row['label']!r} is none of {', '.join(LABELS)}."
            raise UserError(msg)
        completion = row.get("completion")
        yield _Label(
            row=number,
            prompt_id=str(row["prompt_id"]),
            benchmark=row.get("benchmark") or None,
            point=row.get("point") or None,
            completion=None if completion is None else str(completion),
            is_success=LABELS[said],
        )
