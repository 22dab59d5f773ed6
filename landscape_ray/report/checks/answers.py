"""Are the answers such that a verdict on them means something?"""

import numpy as np

from landscape_ray.analysis import Outcome
from landscape_ray.report.checks.check import BASIN_PCT, MOST, Check, Sweep, check_that

__all__ = ["apostrophes", "finished", "language", "lengths", "scored"]

MOST_UNFINISHED = 0.05
"""A larger share of answers that never came is no slip."""


def lengths(sweep: Sweep) -> Check:
    """Are answers neither cut off nor empty?"""
    problems, measured = [], []
    for name, visits in sweep.visits.items():
        landscape = sweep.results.landscapes[name]
        if landscape.metric.name not in {"asr", "over_refusal"} or np.isnan(visits.mean_tokens[0]):
            continue
        cut = float(visits.cut_off[0])
        measured.append(f"{name}: {visits.mean_tokens[0]:.0f} tokens on average, {100 * cut:.0f} % cut off")
        if cut > MOST:
            problems.append(
                f"{name}: {100 * cut:.0f} % of answers at the origin are cut off at the token limit, and with them "
                "what a judge would have seen later. Raise decoding.max_new_tokens."
            )
        if np.nanmax(visits.empty) > MOST:
            problems.append(
                f"{name}: at {int((visits.empty > MOST).sum()):,} points most answers are empty, which counts as "
                "no refusal."
            )
    return check_that(
        "Answers have a sensible length",
        problems,
        "At the origin: " + "; ".join(measured) + ".",
        known=bool(measured),
        unknown="No answers were generated at the origin.",
    )


def language(sweep: Sweep) -> Check:
    """Are answers outside of the basin language?"""
    problems, measured = [], []
    for name, landscape in sweep.attacks:
        outside = landscape.values >= BASIN_PCT
        successes, broken = landscape.values[outside], landscape.broken_pct[outside]
        if not len(successes) or np.isnan(broken).all():
            continue
        share = float(np.nanmean(broken))
        measured.append(f"{name}: {share:.0f} % of answers outside the basin are broken")
        if share > 100 * MOST:
            problems.append(
                f"{name}: {share:.0f} % of answers at the points outside the basin are no language. ASR counts them as "
                "successes, as the paper does: the wall is where the model breaks, not where it turns harmful."
            )
    return check_that(
        "Outside the basin the model still writes",
        problems,
        "; ".join(measured) + ".",
        known=bool(measured),
        unknown="Whether output is language was not recorded, or no point lies outside the basin.",
    )


def scored(sweep: Sweep) -> Check:
    """Could a verdict be given on every answer?"""
    problems = []
    for name, landscape in sweep.results.landscapes.items():
        num_measured = int((landscape.outcomes != Outcome.UNMEASURED).sum())
        num_unscored = num_measured - int(landscape.num_scored.sum()) - int(landscape.num_unfinished.sum())
        if num_unscored:
            problems.append(
                f"{name}: {num_unscored:,} of {num_measured:,} answers are unscored and count neither way; were "
                "prompts longer than the context, or could a judge not be understood?"
            )
    return check_that("Every answer has a verdict", problems, "No answer is unscored.")


def finished(sweep: Sweep) -> Check:
    """Did the model leave its thinking?"""
    problems, measured = [], []
    for name, landscape in sweep.results.landscapes.items():
        if not (sweep.visits[name].num_thought.any() or landscape.num_unfinished.any()):
            continue
        num_measured = int((landscape.outcomes != Outcome.UNMEASURED).sum())
        share = int(landscape.num_unfinished.sum()) / num_measured
        measured.append(f"{name}: {100 * share:.1f} % of answers")
        if share > MOST_UNFINISHED:
            problems.append(
                f"{name}: {100 * share:.1f} % of {num_measured:,} answers never came, because the model did not leave "
                "its thinking; they count neither way, and the rest is no fair sample. Raise decoding.max_new_tokens, "
                "or end the thinking with decoding.max_thinking_tokens."
            )
    return check_that(
        "The model came to an answer",
        problems,
        f"Never left its thinking: {'; '.join(measured)}." if measured else "No answer was thought about before.",
    )


def apostrophes(sweep: Sweep) -> Check:
    """Does the paper's list miss refusals that are written with typographic apostrophes?"""
    problems = [
        f"{name}: {num:,} answers refuse in words of the paper's list, but with typographic apostrophes (I\u2019m "
        "sorry), which the list does not know, and count as successes. Judge them again with --judge keyword-2."
        for name, visits in sweep.visits.items()
        if (num := int(visits.num_missed.sum()))
    ]
    return check_that("No refusal is missed for its apostrophes", problems, "The paper's list misses none for them.")
