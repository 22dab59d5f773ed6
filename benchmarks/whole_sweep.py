"""Compare a whole sweep with the reference's way of working, in one run, and print the tables of docs/performance.md.

    python benchmarks/whole_sweep.py                 # the embedded model
    python benchmarks/whole_sweep.py --model 135m --points 7 --distance 2.1 --prompts 32 --max-new-tokens 64 --rounds 1

All measure the same model, direction, grid points, prompts and limit of new tokens, in float32 on all cores. In each
round the reference's way runs first and alone, then landscape-ray with its own Ray and one engine per core: once for
whole answers, once with early verdicts. Texts are compared at every point, so that a speed-up by doing something else
would show: whole answers with the reference's, and early verdicts with those of whole answers.
"""

import argparse
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from model_135m import write_model
from reference_way import ReferencePoint, reference_sweep

from landscape_ray.config import SweepConfig
from landscape_ray.engine.checkpoints.resolution import checkpoint_folder
from landscape_ray.evaluation import Completion, FinishReason, judge_named
from landscape_ray.planning import RandomVector
from landscape_ray.sweep import PreparedSweep, SweepStatus, prepare, run_sweep


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way through a whole sweep: times, and what it found at each point of the axis."""

    work_s: float
    """Seconds with engines up."""
    start_s: float
    """Seconds until the first engine was up; the reference's own are left out."""
    texts: tuple[tuple[str, ...], ...]
    """Completion of each prompt, by point."""
    verdicts: tuple[tuple[str, ...], ...]
    """Verdict on each prompt, by point."""


class LastStatus:
    """Remembers the status a sweep ended with."""

    status: SweepStatus

    def update(self, status: SweepStatus) -> None:
        """Take note."""
        self.status = status

    def close(self, status: SweepStatus) -> None:
        """Take note."""
        self.status = status


def main() -> None:
    """Run all ways and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="demo:aligned", help="embedded model, checkpoint folder, or 135m")
    parser.add_argument("--points", type=int, default=21, help="points of the axis")
    parser.add_argument("--distance", type=float, default=0.5, help="the axis goes from minus this to this")
    parser.add_argument("--prompts", type=int, default=64, help="how many of the shipped prompts")
    parser.add_argument("--max-new-tokens", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=2, help="how often all is measured, for the spread")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        model = arguments.model
        if model == "135m":
            model = f"{scratch}/model"
            write_model(Path(model))
        rounds = []
        for number in range(arguments.rounds):
            whole, early = (
                prepare(_config(arguments, model, early_verdict=early), f"{scratch}/{number}-{early}")
                for early in (False, True)
            )
            rounds.append((_reference(whole), _measured(whole), _measured(early)))
        _print_points(whole.plan.grid.axes[0].coordinates, *rounds[0])
        _print_times(rounds)


def _config(arguments: argparse.Namespace, model: str, *, early_verdict: bool) -> SweepConfig:
    return SweepConfig.model_validate(
        {
            "model": {"id": model},
            "dtype": "float32",
            "landscape": {
                "axes": [{"start": -arguments.distance, "stop": arguments.distance, "num": arguments.points}],
                "origin_repeats": 1,
            },
            "directions": {"draws": 1},
            "benchmarks": [
                {
                    "name": "harmful",
                    "prompts": {"source": "demo"},
                    "limit": arguments.prompts,
                    "decoding": {"max_new_tokens": arguments.max_new_tokens, "early_verdict": early_verdict},
                }
            ],
            "run": {"engines": os.cpu_count(), "cpus_per_engine": 1, "kv_cache_gib": 0.5},
        }
    )


def _reference(sweep: PreparedSweep) -> Way:
    terms = (term for point in sweep.plan.points for term in point.perturbation.terms)
    (vector,) = {vector for vector, _ in terms if isinstance(vector, RandomVector)}
    folder = checkpoint_folder(sweep.spec.model, sweep.spec.revision)
    points = reference_sweep(folder, vector, sweep.plan.grid.axes[0].coordinates, sweep.spec.benchmarks[0])
    judge = judge_named("keyword")

    def verdicts(point: ReferencePoint) -> tuple[str, ...]:
        completions = (Completion(text=text, token_ids=(), finish_reason=FinishReason.STOP) for text in point.texts)
        return tuple(judge.verdict(completion) for completion in completions)

    return Way(
        work_s=sum(point.seconds for point in points),
        start_s=0.0,
        texts=tuple(point.texts for point in points),
        verdicts=tuple(verdicts(point) for point in points),
    )


def _measured(sweep: PreparedSweep) -> Way:
    progress = LastStatus()
    run_sweep(sweep.config, sweep.out, progress=progress)
    found = {}
    for point in sweep.plan.points:
        columns = sweep.store.columns([sweep.keys[point.label]["harmful"]])
        order = columns["prompt_index"].argsort()
        found[point.coordinates[0]] = [tuple(map(str, columns[name][order])) for name in ("completion", "verdict")]
    texts, verdicts = zip(*(found[alpha] for alpha in sweep.plan.grid.axes[0].coordinates), strict=True)
    return Way(work_s=progress.status.work_s, start_s=progress.status.start_s, texts=texts, verdicts=verdicts)


def _print_points(alphas: Sequence[float], reference: Way, whole: Way, early: Way) -> None:
    print("| alpha | ASR %, reference's way | whole answers | early verdicts | texts equal | verdicts equal |")
    print("|---|---|---|---|---|---|")
    for i, alpha in enumerate(alphas):
        asrs = [100 * way.verdicts[i].count("complied") / len(way.verdicts[i]) for way in (reference, whole, early)]
        equal = [_num_equal(reference.texts[i], whole.texts[i]), _num_equal(whole.verdicts[i], early.verdicts[i])]
        cells = [f"{alpha:+.2f}", *(f"{asr:.1f}" for asr in asrs), *map(str, equal)]
        print(f"| {' | '.join(cells)} |")
    num = sum(map(len, whole.texts))
    equal = [
        sum(map(_num_equal, reference.texts, whole.texts)),
        sum(map(_num_equal, whole.verdicts, early.verdicts)),
    ]
    print(
        f"\nOf {num}: {equal[0]} texts equal the reference's, {equal[1]} early verdicts equal those of whole answers.\n"
    )


def _num_equal(ours: Sequence[str], theirs: Sequence[str]) -> int:
    return sum(a == b for a, b in zip(ours, theirs, strict=True))


def _print_times(rounds: Sequence[tuple[Way, Way, Way]]) -> None:
    print(
        "| | reference's way (s) | whole answers (s) | ratio | early verdicts (s) | ratio |\n|---|---|---|---|---|---|"
    )
    for title, with_start in (("all points, engines up", False), ("engine start-up included", True)):
        times = [[way.work_s + with_start * way.start_s for way in ways] for ways in rounds]
        reference, whole, early = zip(*times, strict=True)
        ratios = [[a / b for a, b in zip(reference, own, strict=True)] for own in (whole, early)]
        cells = [_spread(reference), _spread(whole), _spread(ratios[0]), _spread(early), _spread(ratios[1])]
        print(f"| {title} | {' | '.join(cells)} |")


def _spread(values: Sequence[float]) -> str:
    return f"{min(values):.1f} to {max(values):.1f}" if len(values) > 1 else f"{values[0]:.1f}"


if __name__ == "__main__":
    main()
