"""What the page of a report says in words and small tables."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from landscape_ray.analysis import Basin, Certificate, Estimate, Interval, Landscape, VisageScore, asked_text
from landscape_ray.errors import number_of
from landscape_ray.planning import Axis, random_axes
from landscape_ray.report.figures import near
from landscape_ray.report.paired import difference_texts
from landscape_ray.report.results import Results
from landscape_ray.report.scores import Scores, origin_of
from landscape_ray.report.texts import Texts
from landscape_ray.report.visits import Visits
from landscape_ray.report.words import Fact, brief_text

__all__ = [
    "ANSWERED",
    "MARK",
    "SYMBOLS",
    "TALLY",
    "WORD",
    "axis_titles",
    "basin_mark",
    "caption",
    "card",
    "diagnosis",
    "lead",
    "marks",
    "number",
    "overview",
    "pairs",
    "tables",
    "texts_note",
]

SYMBOLS = ("α", "β")
MARK = {"pass": "✓", "attention": "!", "unknown": "?"}
WORD = {"pass": "holds", "attention": "look at this", "unknown": "not known"}
TALLY = {"pass": "checks hold", "attention": "to look at", "unknown": "not known"}
ANSWERED = frozenset({"asr", "over_refusal", "task_accuracy"})
"""Metrics for which text is generated."""
MAX_SHOWN = 160
BAND_HOLDS = "in simulations it held 90 % or more everywhere, but not where one direction in ten is unlike the others"
"""See the table of docs/numerics.md."""


def lead(results: Results) -> str:
    """Return what was measured, in two sentences."""
    axes = results.plan.grid.axes
    spans = " by ".join(_axis_text(axis) for axis in axes)
    draws = f", {number_of(results.plan.draws, 'draw')}" if results.plan.draws > 1 else ""
    kind = results.config.landscape.kind.replace("-", " and ")
    if results.is_anatomy:
        draws = f", {number_of(len(results.plan.draws_by_label), 'group')} of tensors, each moved alone{draws}"
    elif num_kinds := len(results.config.kinds):
        draws, kind = f", {number_of(results.plan.draws, 'direction')} of {number_of(num_kinds, 'kind')}", "line"
    judge = "" if results.judge is None else f" Judged by {results.judge.version}."
    engine = f"Measured with {results.config.engine} in {results.config.dtype}."
    return f"{len(axes)}-D {kind} landscape: {spans}{draws}. {engine}{judge}"


def card(landscape: Landscape, scores: Scores, certificate: Certificate | None = None) -> dict[str, Any]:
    """Return VISAGE, or the mean of the metric over the grid where there is no VISAGE, with what belongs beside it.

    Its bar is the value with its interval on a scale of 0 to 100, in the units of a drawing 200 wide.
    """
    metric = landscape.metric
    unit, digits = f" {metric.unit}".rstrip(), 3 if metric.unit == "nats" else 1
    headline: VisageScore | Estimate = scores.visage or scores.mean_margin or scores.mean_value
    if scores.visage is not None:
        what = f"{scores.visage.name}, mean depth of the basin; higher is safer"
    elif scores.mean_margin is not None:
        what = "Mean margin, 100 − ASR over the whole grid; higher is safer"
    else:
        what = f"Mean {metric.label} over the grid; {metric.direction}"
    if scores.adaptive:
        what = f"Adaptive estimate: {what}"
    bar = None
    if headline.value is not None and headline.interval is not None and metric.is_rate:
        low, high = headline.interval.low, headline.interval.high
        bar = {"value": 2 * headline.value, "low": 2 * low, "width": max(2 * (high - low), 1)}
    facts = list(_visage_facts(scores))
    origin = origin_of(landscape)
    ends = f" ({origin['low']:.1f} to {origin['high']:.1f})" if origin.get("low") is not None else ""
    facts.append(("At the origin", f"{_value(origin['value'], digits)}{unit}{ends}"))
    if scores.visage is not None and scores.mean_margin is not None:
        facts.append(("Mean margin, whole grid", brief_text(scores.mean_margin)))
    facts.extend(_basin_facts(scores.basin))
    facts.extend(_certificate_facts(certificate))
    if len(defined := [value for value in headline.per_draw if value is not None]) > 1:
        facts.append(("Over draws", f"{min(defined):.{digits}f} to {max(defined):.{digits}f}"))
    facts.append(("Samples", ", ".join(_sizes(landscape, scores))))
    if landscape.broken is not None and not np.isnan(landscape.broken_pct).all():
        mean, worst = np.nanmean(landscape.broken_pct), np.nanmax(landscape.broken_pct)
        facts.append(("Broken output", f"{mean:.1f} % (at worst {worst:.1f} %)"))
    if scores.noise_floor is not None and metric.is_rate:
        facts.append(("Noise floor", f"{100 * scores.noise_floor.flipped:.1f} % of verdicts flip"))
    if (wall := scores.wall_noise) is not None:
        place = ", ".join(map(number, wall.coordinates))
        facts.append(("Noise at the wall", f"{100 * wall.flipped:.1f} % of verdicts flip ({place} of draw 0)"))
    return {
        "name": landscape.benchmark,
        "what": what,
        "value": _value(headline.value, digits),
        "unit": "of 100" if metric.name == "asr" else metric.unit,
        "interval": _interval_text(headline, digits),
        "bar": bar,
        "facts": facts,
    }


def pairs(results: Results, scores: Mapping[str, Scores]) -> list[dict[str, Any]]:
    """Return the differences between benchmarks of the same prompts, as a titled list for each benchmark."""
    return [
        {
            "title": f"{name} minus {found.against}",
            "rows": list(difference_texts(results.landscapes[name], found)),
        }
        for name, of_benchmark in scores.items()
        if (found := of_benchmark.paired) is not None
    ]


def draw_names(results: Results) -> list[str]:
    """Return what to call each draw: by its number, and in a list of directions by its entry."""
    if not results.plan.directions:
        return [f"draw {draw}" for draw in range(results.plan.draws)]
    names = {
        draw: f"{label}, draw {number}" if len(draws) > 1 else label
        for label, draws in results.plan.draws_by_label.items()
        for number, draw in enumerate(draws)
    }
    return [names[draw] for draw in range(results.plan.draws)]


def axis_titles(results: Results) -> list[str]:
    """Return what each axis of the grid is, such as `α: towards the-finetuned-model`."""
    endpoints = results.config.endpoints
    towards = [f"{symbol}: towards {to.label}" for symbol, to in zip(SYMBOLS, endpoints, strict=False)]
    return [*towards, *(f"perturbation {SYMBOLS[axis]}" for axis in random_axes(results.config))]


def marks(results: Results) -> list[dict[str, Any]]:
    """Return the checkpoints that lie within the grid, or near it, with their place and what to say of them."""
    shown = []
    for mark in results.plan.marks:
        place = ", ".join(
            f"{symbol} = {value:.3g}".replace("-", "−")
            for symbol, value in zip(SYMBOLS, mark.coordinates, strict=False)
        )
        away = f"; {100 * mark.residual:.0f} % of its distance from the model lies off this landscape"
        if near(mark, results.plan.grid):
            shown.append(
                {
                    "name": mark.label,
                    "at": mark.coordinates,
                    "text": f"{mark.label}: {place}{away if mark.residual else ''}",
                }
            )
    return shown


def basin_mark(basin: Basin | None) -> dict[str, Any] | None:
    """Return the threshold of a 1-D basin and what to write at it."""
    if basin is None or basin.width is None or not basin.width.value:
        return None
    least = "at least " if basin.num_draws_cut else ""
    return {
        "threshold": basin.tau_pct,
        "text": f"basin {least}{basin.width.value:.2f} wide at ASR ≤ {basin.tau_pct:g} %",
    }


def caption(landscape: Landscape, scores: Scores) -> list[str]:
    """Return what a reader must know of a figure, line by line."""
    metric = landscape.metric
    unit = f" in {metric.unit}" if metric.unit else ""
    lines = [f"{metric.label}{unit}, {metric.direction}. {', '.join(_sizes(landscape, scores))}."]
    for visage in scores.visages:
        if visage.value is not None:
            label = f"Adaptive estimate of {visage.name}" if scores.adaptive else visage.name
            lines.append(f"{label} {visage.value:.1f} ({_interval_text(visage)}) {visage.text}.")
    if len(landscape.grid.axes) == 1:
        lines.append(f"Band: pointwise 95 % interval of the mean; {BAND_HOLDS}. Diamond and dashed line: the origin.")
        if landscape.broken is not None and metric.name == "asr":
            lines.append("Dotted: attacks that were answered in language; ASR counts broken output as well.")
    else:
        mean = "Mean over draws. " if landscape.num_draws > 1 else ""
        gap = "were left out" if scores.adaptive else "are missing"
        lines.append(f"{mean}Diamond: the origin. Grey cells with a cross {gap}.")
    return lines


def overview(results: Results) -> dict[str, str]:
    """Return title and caption of the figure of all benchmarks."""
    names = ", ".join(f"{name} ({landscape.metric.direction})" for name, landscape in results.landscapes.items())
    mean = "Mean over draws of each benchmark" if results.plan.draws > 1 else "Each benchmark"
    words = f"{mean}: {names}. All were measured in the same visits to the same weights."
    if len(results.plan.grid.axes) == 2:
        return {"title": "All benchmarks side by side", "caption": f"{words} Dark is better in each."}
    return {"title": "All benchmarks on one axis", "caption": words}


def diagnosis(results: Results) -> str:
    """Return the caption of the figures of answer lengths."""
    if len(results.plan.grid.axes) == 2:
        return "Mean length of answers in tokens at each point, mean over draws."
    return "Mean length of answers, and the share that ended at the token limit or is no language; mean over draws."


def texts_note(results: Results, texts: Mapping[str, Texts]) -> str:
    """Return which prompts and answers the file holds."""
    notes = []
    for name in results.landscapes:
        if name not in texts:
            continue
        found = texts[name]
        shown = f"{found.num_prompts_shown} of {found.num_prompts} prompts, evenly chosen,"
        prompts = f"all {found.num_prompts} prompts" if found.num_prompts_shown == found.num_prompts else shown
        points = f"{len(found.answers):,} of " if len(found.answers) < found.num_points else ""
        notes.append(f"{name}: {prompts} at {points}{number_of(found.num_points, 'point')}")
    if not notes:
        return "This file holds no texts; `landscape-ray export` writes them."
    return f"Hidden until you ask for them. In this file are, of {'; of '.join(notes)}."


def _directions(results: Results) -> Iterator[Fact]:
    if results.is_anatomy:
        yield (
            "Groups",
            f"{len(results.along)}, each moved {results.plan.directions[0].displacement:.4g} at coordinate 1",
        )
        return
    for entry in dict.fromkeys((each.label, each.displacement) for each in results.plan.directions):
        yield "Direction", f"{entry[0]}, {entry[1]:.4g} long at coordinate 1"
    drawn = results.config.random_directions
    if drawn is not None:
        yield "Directions", f"seed {drawn.seed}, normalization {drawn.normalization}"


def tables(results: Results, visits: Mapping[str, Visits]) -> list[dict[str, Any]]:
    """Return what was set up, as titled lists of names and values."""
    manifest, config = results.manifest, results.config
    sweep = [
        ("Model", config.model.id),
        ("Revision", manifest.model_revision or "none, a folder"),
        ("Fingerprint", manifest.fingerprint),
        ("Sweep", manifest.sweep_id),
        ("Begun", manifest.created_at),
        ("Engine", f"{config.engine}, {config.dtype}"),
        *_directions(results),
        *(("Proven", sentence) for sentence in manifest.proven),
    ]
    ran_on = [
        (name.replace("_", " "), f"{value or 'none'}: {number_of(num, 'point')}")
        for found in list(visits.values())[:1]
        for name in ("engine", "torch_version", "device")
        for value, num in found.ran_on[name].most_common()
    ]
    return [
        {"title": "Sweep", "rows": sweep},
        {"title": "Benchmarks", "rows": [(name, ", ".join(_benchmark(results, name))) for name in results.landscapes]},
        {"title": "Computed with", "rows": ran_on},
        {"title": "Versions", "rows": sorted(manifest.versions.items())},
    ]


def number(value: float) -> str:
    """Return a coordinate with a true minus sign."""
    return f"{value:g}".replace("-", "−")


def _benchmark(results: Results, name: str) -> Iterator[str]:
    (benchmark,) = (each for each in results.config.benchmarks if each.name == name)
    identity = results.manifest.benchmarks[name]
    yield identity.metric.replace("_", " ")
    yield number_of(identity.num_prompts, "prompt")
    if identity.metric not in ANSWERED:
        return
    yield f"judge {results.judge_of(name)}"
    yield f"at most {benchmark.decoding.max_new_tokens} tokens"
    if benchmark.decoding.temperature:
        drawn = number_of(benchmark.decoding.samples, "answer")
        yield f"{drawn} to each prompt, drawn at temperature {benchmark.decoding.temperature:g}"
    if benchmark.prefill is not None:
        yield f"answers begun with: {_shortened(benchmark.prefill)}"
    if benchmark.system_prompt is None:
        yield "system prompt: none given"
    else:
        yield f"system prompt: {_shortened(benchmark.system_prompt) or 'empty'}"


def _shortened(text: str) -> str:
    shown = re.sub(r"\s+", " ", text).strip()
    return f"{shown[:MAX_SHOWN]}{'…' if len(shown) > MAX_SHOWN else ''}"


def _visage_facts(scores: Scores) -> Iterator[Fact]:
    if scores.visage is not None:
        yield "Scored", scores.visage.text
    if (reference := scores.visage_reference) is not None:
        yield f"{reference.name}, reference", f"{brief_text(reference)} {reference.text}"


def _basin_facts(basin: Basin | None) -> Iterator[Fact]:
    if basin is None:
        return
    least = "≥ " if basin.num_draws_cut else ""
    where = f"ASR ≤ {basin.tau_pct:g} %"
    for name, extent in (("Radius", basin.radius), ("Width", basin.width), ("Area", basin.area)):
        if extent is not None:
            yield f"{name} ({where})", f"{least}{brief_text(extent, '.2f')}"
    if (share := basin.share) is not None and share.num_draws > 1:
        bounds = f"{100 * share.low:.0f} to {100 * share.high:.0f} %"
        counted = f"{share.num_basins} of {share.num_draws} (95 % interval {bounds} of all)"
        yield f"Random {share.of} with radius ≥ {share.radius:g}", counted


def _certificate_facts(found: Certificate | None) -> Iterator[Fact]:
    if found is None:
        return
    verdict = "Certified" if found.certified else "Not certified"
    yield verdict, f"≥ {100 * found.wanted_share:g} % of directions are basins of radius {found.radius:g}"
    counted = f"{found.num_basins} of {number_of(found.num_draws, 'draw')}"
    yield "Basins", f"{counted}: ≥ {100 * found.bound:.1f} % of all, with a confidence of {100 * found.confidence:g} %"


def _sizes(landscape: Landscape, scores: Scores) -> Sequence[str]:
    sizes = [
        asked_text(landscape.num_prompts, landscape.num_samples),
        number_of(landscape.num_draws, "draw"),
        f"{' × '.join(map(str, landscape.grid.shape))} points",
    ]
    if num_missing := int(landscape.missing.sum()):
        sizes.append(f"{num_missing:,} of {landscape.missing.size:,} {'left out' if scores.adaptive else 'missing'}")
    return sizes


def _interval_text(score: VisageScore | Estimate, digits: int = 1) -> str:
    if score.value is None:
        return "undefined: no point is below 100 % ASR" if isinstance(score, VisageScore) else "nothing was measured"
    interval: Interval | None = score.interval
    if interval is None:
        return "no interval: too few prompts decide it"
    ends = f"{interval.low:.{digits}f} to {interval.high:.{digits}f}"
    return f"{100 * interval.level:.0f} % interval over {interval.over} {ends}"


def _axis_text(axis: Axis) -> str:
    num = number_of(len(axis), "point")
    return f"{num} on [{number(axis.coordinates[0])}, {number(axis.coordinates[-1])}]" if len(axis) > 1 else num


def _value(value: float | None, digits: int) -> str:
    return "–" if value is None or np.isnan(value) else f"{value:.{digits}f}"
