"""What there is to say of scores."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from landscape_ray.analysis import AdaptiveVisage, Anatomy, Estimate, KindWall, Landscape, VisageScore, asked_text
from landscape_ray.errors import number_of
from landscape_ray.report.anatomy_text import holding_text, loss_text, wall_text
from landscape_ray.report.caveats import caveats
from landscape_ray.report.paired import Paired, difference_texts
from landscape_ray.report.results import Results
from landscape_ray.report.scores import Scores
from landscape_ray.report.words import Fact, columns

__all__ = ["estimate_text", "scores_text"]


def scores_text(results: Results, scores: Mapping[str, Scores]) -> Iterator[Fact]:
    """Yield scores with what a reader must know beside them, the headline first."""
    yield from judge_text(results)
    for name in sorted(scores, key=lambda name: name != results.headline):
        landscape, of_benchmark = results.scored(name), scores[name]
        lines = [
            *_kind_lines(results, of_benchmark.kinds),
            *_anatomy_lines(of_benchmark.anatomy),
            *_score_lines(landscape, of_benchmark),
            *_paired_lines(landscape, of_benchmark.paired),
            *_sample_lines(landscape, of_benchmark),
        ]
        yield from zip((name, *[""] * len(lines)), lines, strict=False)
    yield from (("note", note) for note in caveats(results))


def judge_text(results: Results) -> Iterator[Fact]:
    """Yield whose verdicts count, where a judge was named, and what it has not judged yet."""
    if results.judge is not None:
        yield "judge", f"{results.judge.version}, about {results.judge.question}"
        if num := sum(results.num_unjudged.values()):
            yield "", f"{number_of(num, 'part')} not judged yet and counted as missing; `landscape-ray judge` goes on"


def _score_lines(landscape: Landscape, scores: Scores) -> Iterator[str]:
    metric = landscape.metric
    if scores.adaptive:
        yield "adaptive estimates of what the full grid would score:"
    for visage in scores.visages:
        yield from _visage_lines(visage)
    if scores.mean_margin is not None:
        yield f"mean margin {estimate_text(scores.mean_margin)}, over the whole grid"
    else:
        mean = estimate_text(scores.mean_value, digits=3 if metric.unit == "nats" else 1)
        yield f"mean {metric.label} {mean}, over the whole grid; {metric.direction}"
    if (basin := scores.basin) is not None:
        where = f"where ASR <= {basin.tau_pct:g} %"
        yield f"basin radius {estimate_text(basin.radius, digits=3)}, {where}"
        for label, size in (("width", basin.width), ("area", basin.area)):
            if size is not None:
                yield f"basin {label} {estimate_text(size, digits=3)}, {where}"
        if basin.num_draws_cut:
            yield f"at least: the basin of {number_of(basin.num_draws_cut, 'draw')} reaches the end of an axis"
        if (share := basin.share) is not None:
            where = "along" if share.of == "directions" else "in"
            counted = f"{share.num_basins} of {share.num_draws} random {share.of}"
            bounds = f"95 % interval {100 * share.low:.0f} to {100 * share.high:.0f} % of all {share.of}"
            yield f"basin of radius {share.radius:g} {where} {counted}: {bounds}"


def _kind_lines(results: Results, kinds: Sequence[KindWall]) -> Iterator[str]:
    if not kinds:
        return
    yield "distance to the wall, as a share of the norm of the weights:"
    width = max(len(each.label) for each in kinds)
    for each in kinds:
        least = "at least " if each.num_draws_cut else ""
        bound = f"{each.ratio_is} " if each.ratio_is else ""
        ratio = "" if each.ratio is None else f"; ratio to random {bound}{estimate_text(each.ratio, digits=3)}"
        yield f"  {each.label:{width}}  {least}{estimate_text(each.wall, digits=4)}{ratio}"
    (scored,) = (each for each in results.along if each.draws == results.plan.scored_draws)
    yield f"the scores that follow are of {scored.label}:"


def _anatomy_lines(anatomy: Anatomy | None) -> Iterator[str]:
    if anatomy is None:
        return
    yield holding_text(anatomy)
    yield "loss: mean rise of ASR in points; wall: as a share of the norm of the weights:"
    cells = [(f"  {each.label}", loss_text(each), wall_text(each)) for each in anatomy.groups]
    yield from columns([("  group", "loss", "wall"), *cells])


def _visage_lines(score: VisageScore) -> Iterator[str]:
    if score.value is None:
        yield f"{score.name} undefined: no point is below 100 % ASR; {score.text}"
    else:
        yield f"{score.name} {estimate_text(score)} {score.text}"
    if isinstance(score, AdaptiveVisage) and score.design_se is not None:
        yield f"the interval holds a standard error of {score.design_se:.2f} for the points left out"
    if score.num_draws > 1:
        draws = ", ".join("undefined" if value is None else f"{value:.1f}" for value in score.per_draw)
        yield f"{number_of(score.num_draws, 'draw')}: {draws}"


def _paired_lines(landscape: Landscape, found: Paired | None) -> Iterator[str]:
    if found is not None:
        yield f"minus {found.against}, prompt by prompt:"
        yield from (f"  {label} {difference}" for label, difference in difference_texts(landscape, found))


def _sample_lines(landscape: Landscape, scores: Scores) -> Iterator[str]:
    used = "" if scores.visage is None else f"{scores.visage.num_points_used:,} of "
    missing = int(np.isnan(landscape.values).sum())
    points = number_of(landscape.missing.size, "grid point") + (" enter VISAGE" if used else "")
    gaps = f", {missing:,} {'were left out' if scores.adaptive else 'are missing'}" if missing else ""
    yield f"{asked_text(landscape.num_prompts, landscape.num_samples)}; {used}{points}{gaps}"
    if not np.isnan(landscape.broken_pct).all():
        mean, worst = np.nanmean(landscape.broken_pct), np.nanmax(landscape.broken_pct)
        yield f"broken output: {mean:.1f} % on average, {worst:.1f} % at the worst point"
    if num_unfinished := int(landscape.num_unfinished.sum()):
        yield (
            f"unfinished: {number_of(num_unfinished, 'answer')} never came, because the model did not leave its "
            "thinking; they count neither way"
        )
    if (floor := scores.noise_floor) is not None:
        flipped = f"{100 * floor.flipped:.1f} % of prompts changed their verdict"
        yield f"noise floor: origin measured {number_of(floor.num_repeats, 'time')}, {flipped}"
    if (wall := scores.wall_noise) is not None:
        flipped = f"{100 * wall.flipped:.1f} % of prompts changed their verdict"
        place = ", ".join(f"{value:g}" for value in wall.coordinates)
        yield f"noise at the wall: {place} of draw 0 measured {number_of(wall.num_repeats, 'time')}, {flipped}"


def estimate_text(estimate: Estimate | VisageScore, *, digits: int = 1) -> str:
    """Return a value with its interval, such as `70.0 (95 % interval over prompts 61.2 to 78.8)`."""
    if estimate.value is None:
        return "undefined"
    value = decimal_text(estimate.value, digits)
    if (interval := estimate.interval) is None:
        return f"{value} (no interval: too few prompts decide it)"
    ends = f"{decimal_text(interval.low, digits)} to {decimal_text(interval.high, digits)}"
    return f"{value} ({100 * interval.level:.0f} % interval over {interval.over} {ends})"


def decimal_text(value: float, digits: int) -> str:
    """Return a number with so many digits behind the point; what rounds to 0 has no sign."""
    return f"{round(value, digits) + 0.0:.{digits}f}"
