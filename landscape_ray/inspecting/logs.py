"""Results as eval logs of Inspect: one for each benchmark and visit to a point, with a sample for each prompt."""

import re
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from inspect_ai import __version__ as inspect_version
from inspect_ai.log import (
    EvalConfig,
    EvalDataset,
    EvalLog,
    EvalMetric,
    EvalPlan,
    EvalPlanStep,
    EvalResults,
    EvalSample,
    EvalScore,
    EvalSpec,
    EvalStats,
    write_eval_log,
)
from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessageAssistant,
    ChatMessageUser,
    Content,
    ContentReasoning,
    ContentText,
    GenerateConfig,
    ModelOutput,
    ModelUsage,
    StopReason,
)
from inspect_ai.scorer import Score

from landscape_ray.analysis import Landscape, Outcome, wilson
from landscape_ray.config import BenchmarkConfig
from landscape_ray.errors import OutputError
from landscape_ray.inspecting.names import point_name
from landscape_ray.planning import PlannedPoint
from landscape_ray.report.results import Results, load_results, open_results

__all__ = ["STOP_REASONS", "content_of", "export_logs"]

Row = Mapping[str, Any]

STOP_REASONS: Mapping[str, StopReason] = {
    "stop": "stop",
    "verdict": "stop",
    "scored": "stop",
    "length": "max_tokens",
    "prompt_too_long": "model_length",
    "failed": "unknown",
}
"""Inspect's names of our finish reasons; ours are in the metadata of each sample."""
OURS = re.compile(r"[^_]+_[^_]+_\d{5,}-[^_]+_[0-9a-f]{16}\.eval")
"""Names of the logs of an export: begin of the sweep, benchmark, place and label of the point, begin of the key."""
OF_SAMPLE = ("prompt_index", "finish_reason", "broken", "log_likelihood", "kl", "choice", "num_tokens")
OF_VISIT = (
    *("sweep_id", "key", "draw", "repeat", "alpha", "beta", "judge", "weights_digest", "engine", "torch_version"),
    *("device", "node", "attempt", "started_at", "place_s", "generate_s", "judge_s"),
)
"""Columns of docs/results.md that a sample, or a whole log, has in its metadata."""


def export_logs(out: str, folder: Path, judge: str | None = None) -> int:
    """Write what was measured of a sweep as logs that Inspect reads, in the place of those of an earlier export.

    The files are named so that they sort by benchmark, and then as the plan has its points. Repeated visits to the
    origin are logs of their own: they are measurements of the same thing, whose spread is the noise floor.

    Args:
        out: Path or URL of the results folder.
        folder: Where to; it appears whole or not at all.
        judge: Whose verdicts count, see `load_results`.

    Returns:
        Number of logs.

    Raises:
        OutputError: There is no sweep, it cannot be read, or the folder holds something else or cannot be written.
    """
    results = load_results(out, judge)
    written = folder.with_name(f".tmp-{secrets.token_hex(8)}")
    num_logs = 0
    try:
        _check_replaceable(folder)
        written.mkdir(parents=True)
        for name, log in _logs(results, out):
            write_eval_log(log, str(written / name), format="eval")
            num_logs += 1
        if folder.exists():
            shutil.rmtree(folder)
        written.replace(folder)
    except OSError as error:
        msg = f"Cannot write {folder}: {error.strerror or error}. Choose another folder with --into."
        raise OutputError(msg) from error
    finally:
        shutil.rmtree(written, ignore_errors=True)
    return num_logs


def _check_replaceable(folder: Path) -> None:
    """Refuse to write where there is anything but logs of an export: those of evaluations are not made again."""
    if folder.exists() and (other := [each.name for each in folder.iterdir() if not OURS.fullmatch(each.name)]):
        msg = (
            f"{folder} holds {other[0]!r}, which no export wrote, and an export takes the place of all that is there. "
            "Choose another folder with --into."
        )
        raise OutputError(msg)


def _logs(results: Results, out: str) -> Iterator[tuple[str, EvalLog]]:
    """Yield each log with the name of its file, which begins as Inspect's own do."""
    store = open_results(out, None if results.judge is None else results.judge.name)
    configs = {benchmark.name: benchmark for benchmark in results.config.benchmarks}
    begun = results.manifest.created_at.replace(":", "-")
    for name, landscape in results.landscapes.items():
        points = dict(zip(results.keys[name], enumerate(results.plan.points), strict=True))
        for key, table in store.tables(results.keys[name]):
            place, point = points[key]
            label = f"{place:05}-{point.label}"
            file = "_".join([begun, *(part.replace("_", "-") for part in (name, label)), key[:16]])
            yield f"{file}.eval", _log(results, configs[name], landscape, point, table.to_pylist())


def _log(
    results: Results, config: BenchmarkConfig, landscape: Landscape, point: PlannedPoint, rows: list[dict[str, Any]]
) -> EvalLog:
    first, judge = rows[0], results.judge_of(config.name)
    model = point_name(results.config.model.id, point.coordinates, point.draw)
    values, weights = _terms(landscape, point)
    decoding, drawn = config.decoding, landscape.num_samples
    return EvalLog(
        status="success",
        eval=EvalSpec(
            eval_id=first["key"],
            run_id=first["sweep_id"],
            created=first["started_at"],
            task=config.name,
            task_id=first["key"][:16],
            dataset=EvalDataset(
                name=config.name, samples=landscape.num_prompts, sample_ids=list(landscape.prompt_ids), shuffled=False
            ),
            model=model,
            tags=[point.label],
            model_generate_config=GenerateConfig(temperature=decoding.temperature, max_tokens=decoding.max_new_tokens),
            config=EvalConfig(epochs=drawn, epochs_reducer=["max"] if drawn > 1 else None),
            packages={"landscape_ray": results.manifest.versions["landscape_ray"], "inspect_ai": inspect_version},
            metadata={
                "point": point.label,
                "model": results.config.model.id,
                **{name: first[name] for name in OF_VISIT},
            },
        ),
        plan=EvalPlan(
            steps=[EvalPlanStep(solver="landscape_ray", params=config.model_dump(mode="json", exclude={"name"}))]
        ),
        results=_results(landscape, judge, values, weights, num_rows=len(rows)),
        stats=_stats(first, model, sum(_num_generated(row) for row in rows)),
        samples=[
            _sample(row, model, judge, value)
            for row, value in zip(rows, _values(landscape, rows, values, weights), strict=True)
        ],
    )


def _terms(landscape: Landscape, point: PlannedPoint) -> tuple[list[float], list[float]]:
    """Return what each prompt adds to numerator and denominator of the value at a point, see `Landscape.terms`."""
    if point.draw is None:
        place: tuple[int, ...] = (point.repeat,)
    else:
        place = (point.draw, *landscape.grid.place(point.coordinates))
    numerators, denominators = landscape.terms(origin=point.draw is None)
    return numerators[place].tolist(), denominators[place].tolist()


def _values(landscape: Landscape, rows: Sequence[Row], values: list[float], weights: list[float]) -> list[float]:
    """Return the value of each row, of rates that of its own answer; NaN, which Inspect counts nowhere, for none."""
    if landscape.metric.is_rate:
        success, scored = landscape.metric.counted(
            np.array([Outcome[row["verdict"].upper()] for row in rows], dtype=np.int8)
        )
        return [float(value) for value in np.where(scored, success, np.nan)]
    return [value / weight if weight else float("nan") for value, weight in zip(values, weights, strict=True)]


def _results(
    landscape: Landscape, judge: str, values: list[float], weights: list[float], *, num_rows: int
) -> EvalResults:
    """Return the value at a point by our own definition; rates as shares, with both ends of their Wilson interval."""
    metric, num_scored = landscape.metric, sum(weight > 0 for weight in weights)
    sums = np.array([sum(values)]), np.array([sum(weights)])
    found = {metric.name: float(metric.value(*sums)[0])}
    if metric.is_rate:
        share = found[metric.name] / 100
        low, high = wilson(*sums)
        found = {
            metric.name: share,
            # Of a mean of zeros and ones, as Inspect's own metric of that name.
            "stderr": float(np.sqrt(share * (1 - share) / (num_scored - 1))) if num_scored > 1 else 0.0,
            "wilson_low": float(low[0]) / 100,
            "wilson_high": float(high[0]) / 100,
        }
    return EvalResults(
        total_samples=num_rows,
        completed_samples=num_rows,
        scores=[
            EvalScore(
                name=judge,
                scorer=judge,
                scored_samples=num_scored,
                unscored_samples=len(values) - num_scored,
                metrics={name: EvalMetric(name=name, value=value) for name, value in found.items()},
            )
        ],
    )


def _stats(first: Row, model: str, num_tokens: int) -> EvalStats:
    """Return when a visit was made, and what it generated; judging may have ended later, beside the next visit."""
    spent_s = first["place_s"] + first["generate_s"] + first["judge_s"]
    ended = datetime.fromisoformat(first["started_at"]) + timedelta(seconds=spent_s)
    return EvalStats(
        started_at=first["started_at"],
        completed_at=ended.isoformat(timespec="milliseconds"),
        model_usage={model: ModelUsage(output_tokens=num_tokens, total_tokens=num_tokens)},
    )


def _num_generated(row: Row) -> int:
    return int(row["num_tokens"]) if row["finish_reason"] != "scored" else 0


def content_of(text: str, thinking: str | None) -> str | list[Content]:
    """Return what a model said, with what it thought before where it did."""
    return text if thinking is None else [ContentReasoning(reasoning=thinking), ContentText(text=text)]


def _begun(prefill: str, identity: str) -> ChatMessageAssistant:
    """Return the beginning of an answer that was put into the model's mouth: to Inspect a message before the answer."""
    return ChatMessageAssistant(id=f"{identity}-prefill", content=prefill, source="input")


def _sample(row: Row, model: str, judge: str, value: float) -> EvalSample:
    """Return one row; its value is 1 or 0 for rates, and nats (of perplexity for each token) for other metrics."""
    drawn = "" if row["sample"] is None else f"-{row['sample']}"
    identity = f"{row['key'][:16]}-{row['prompt_index']}{drawn}"
    content = content_of(row["completion"], row["thinking"])
    answer = ChatMessageAssistant(id=f"{identity}-answer", content=content, model=model, source="generate")
    num_tokens = _num_generated(row)
    return EvalSample(
        id=row["prompt_id"],
        epoch=(row["sample"] or 0) + 1,
        uuid=identity,
        input=row["prompt"],
        target="",
        messages=[
            ChatMessageUser(id=f"{identity}-prompt", content=row["prompt"], source="input"),
            *([] if row["prefill"] is None else [_begun(row["prefill"], identity)]),
            answer,
        ],
        output=ModelOutput(
            model=model,
            choices=[ChatCompletionChoice(message=answer, stop_reason=STOP_REASONS[row["finish_reason"]])],
            usage=ModelUsage(output_tokens=num_tokens, total_tokens=num_tokens),
        ),
        scores={judge: Score(value=value, answer=row["completion"], explanation=row["verdict"])},
        metadata={name: row[name] for name in OF_SAMPLE} | {"verdict": row["verdict"]},
    )
