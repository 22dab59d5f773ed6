"""From a results folder to landscapes: `load_results`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from landscape_ray.analysis import (
    COLUMNS,
    AdaptiveDesign,
    Along,
    Landscape,
    WallNoise,
    certified_plan,
    planned_design,
    repeats_plan,
    wall_noise,
)
from landscape_ray.config import AnatomyLandscape, BenchmarkConfig, SweepConfig
from landscape_ray.planning import SweepPlan
from landscape_ray.store import (
    JUDGED_METRICS,
    JudgedResultStore,
    JudgeIdentity,
    Manifest,
    ResultStore,
    planned_keys,
    planned_sweep,
)

__all__ = ["Results", "load_chosen", "load_design", "load_results", "open_results", "ranked"]

READ = (*COLUMNS, "num_tokens", "broken", "log_likelihood", "kl")


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """What a results folder holds of the sweep that it was last run with."""

    manifest: Manifest
    """What the folder is about."""
    config: SweepConfig
    """The configuration of the last run."""
    plan: SweepPlan
    """The points of that configuration; where it certifies, those of the draws that it has chosen."""
    keys: Mapping[str, Sequence[str]]
    """Keys of the parts of these points in the same order, by benchmark of the configuration."""
    landscapes: dict[str, Landscape]
    """What was measured, by benchmark in the order of the configuration. Points may be missing."""
    design: AdaptiveDesign | None
    """The points that an adaptive sweep has chosen; None if all points are to be measured."""
    wall_noise: Mapping[str, WallNoise] = field(default_factory=dict)
    """The noise floor at the wall point, by benchmark; of those that have one."""
    judge: JudgeIdentity | None = None
    """The judge whose verdicts these are; None: the judges that were asked as the points were measured."""
    num_unjudged: Mapping[str, int] = field(default_factory=dict)
    """Points measured, but not judged by `judge` and therefore missing, by benchmark."""

    def judge_of(self, benchmark: str) -> str:
        """Return name and version of the judge of a benchmark."""
        return self.judge.version if self.judge else self.manifest.benchmarks[benchmark].judge

    @property
    def is_anatomy(self) -> bool:
        """Whether groups of tensors were moved, each alone."""
        return isinstance(self.config.landscape, AnatomyLandscape)

    @property
    def is_crossed(self) -> bool:
        """Whether each of these groups is a module of a layer."""
        landscape = self.config.landscape
        return isinstance(landscape, AnatomyLandscape) and landscape.by == "layer-and-module"

    @property
    def along(self) -> tuple[Along, ...]:
        """The entries of a list of directions, or the groups of an anatomy, with how far each leads; else empty."""
        directions, geometry = self.plan.directions, self.manifest.geometry
        if not directions or geometry is None or not geometry.weights_norm:
            return ()
        return tuple(
            Along(
                label=label,
                kind=directions[draws[0]].kind,
                draws=draws,
                distance=directions[draws[0]].displacement / geometry.weights_norm,
            )
            for label, draws in self.plan.draws_by_label.items()
        )

    def scored(self, benchmark: str) -> Landscape:
        """Return the landscape of the draws that scores are means over, see `SweepPlan.scored_draws`."""
        return self.landscapes[benchmark].of_draws(self.plan.scored_draws)

    @property
    def headline(self) -> str | None:
        """The benchmark whose score is the sweep's, see `ranked`; None where there is none."""
        there = (benchmark for benchmark in self.config.benchmarks if benchmark.name in self.landscapes)
        return next((benchmark.name for benchmark in ranked(there)), None)


def ranked(benchmarks: Iterable[BenchmarkConfig]) -> list[BenchmarkConfig]:
    """Return benchmarks in the order in which their scores matter: the primary one, those of `asr`, the others."""
    return sorted(benchmarks, key=lambda benchmark: (not benchmark.primary, benchmark.metric != "asr"))


def load_results(out: str, judge: str | None = None) -> Results:
    """Read what was measured of a sweep, whether or not it is finished.

    Nothing but the folder is needed: neither the model nor the prompt files. Only parts of the plan's own keys are
    read, so parts of an earlier, wider configuration in the same folder stay out of its scores.

    Args:
        out: Path or URL of the results folder.
        judge: Name of a judge whose verdicts, given in a pass of its own, count instead. Points that it has not judged
            yet are missing, and benchmarks that it does not judge are left out.

    Raises:
        OutputError: There is no sweep, it cannot be read, or another version of landscape-ray wrote it; or the judge
            has judged nothing of it.
        PartError: Rows contradict the plan or each other.
    """
    store = open_results(out, judge)
    manifest = store.require_manifest()
    config, plan, keys_of = planned_sweep(manifest)
    plan, keys_of, _ = load_chosen(ResultStore(out), config, plan, keys_of)
    identity = store.judge if isinstance(store, JudgedResultStore) else None
    unjudged = set[str]() if identity is None else ResultStore(out).parts().keys() - store.parts().keys()
    repeated = planned_keys(manifest, config, repeats_plan(config, plan))
    landscapes, num_unjudged, walls = {}, {}, {}
    for name, keys in keys_of.items():
        metric = manifest.benchmarks[name].metric
        if identity is not None and metric not in JUDGED_METRICS[identity.question]:
            continue
        landscapes[name] = Landscape.from_rows(store.columns(keys, READ), plan=plan, benchmark=name, metric=metric)
        if (wall := wall_noise(landscapes[name], store.columns(repeated[name], READ), plan)) is not None:
            walls[name] = wall
        if identity is not None:
            num_unjudged[name] = len(unjudged.intersection(keys))
    if identity is None:
        design = planned_design(config, landscapes.__getitem__)
    else:  # points are chosen by the verdicts given when they are measured, whoever judges them later
        design = load_design(ResultStore(out), config, plan, keys_of)
    return Results(
        manifest=manifest,
        config=config,
        plan=plan,
        keys=keys_of,
        landscapes=landscapes,
        design=design,
        wall_noise=walls,
        judge=identity,
        num_unjudged=num_unjudged,
    )


def open_results(out: str, judge: str | None) -> ResultStore:
    """Return the store of a results folder, with the verdicts of a judge in the place of its own where one is named.

    Raises:
        OutputError: The judge has judged nothing of it.
    """
    return ResultStore(out) if judge is None else JudgedResultStore(out, judge)


def load_chosen(
    store: ResultStore, config: SweepConfig, plan: SweepPlan, keys: Mapping[str, list[str]]
) -> tuple[SweepPlan, dict[str, list[str]], int]:
    """Return plan and keys of the draws that a sweep has chosen so far, and how many points may still be chosen.

    These are all and 0, unless it certifies. Draws are chosen by the verdicts given when they are measured.
    """
    chosen, num_unchosen = certified_plan(
        config, plan, lambda name: Landscape.from_rows(store.columns(keys[name], COLUMNS), plan=plan, benchmark=name)
    )
    return chosen, {name: of[: len(chosen.points)] for name, of in keys.items()}, num_unchosen


def load_design(
    store: ResultStore, config: SweepConfig, plan: SweepPlan, keys: Mapping[str, Sequence[str]]
) -> AdaptiveDesign | None:
    """Return the points that an adaptive sweep has chosen so far; None if all are to be measured."""
    return planned_design(
        config, lambda name: Landscape.from_rows(store.columns(keys[name], COLUMNS), plan=plan, benchmark=name)
    )
