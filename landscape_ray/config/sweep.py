"""The whole request: `SweepConfig`, and its id."""

import hashlib
import json
import math
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from landscape_ray.config.adaptive import AdaptiveConfig
from landscape_ray.config.benchmarks import SCORED_METRICS, BenchmarkConfig, DecodingConfig
from landscape_ray.config.certify import CertifyConfig, check_radius
from landscape_ray.config.direction_kinds import (
    AnyDirections,
    DirectionConfig,
    EngineDirection,
    GroupDirections,
    RandomDirections,
)
from landscape_ray.config.directions import DirectionsConfig
from landscape_ray.config.landscape import AnatomyLandscape, LandscapeConfig, RandomLandscape
from landscape_ray.config.model import CheckpointConfig, ModelConfig
from landscape_ray.config.run import RunConfig
from landscape_ray.config.section import Section
from landscape_ray.errors import ConfigError

__all__ = ["SweepConfig", "leaves_norms"]


def _form(directions: Any) -> str:
    """Tell whether directions are all random, a mapping, or of several kinds, a list."""
    return "kinds" if isinstance(directions, list | tuple) else "random"


Directions: TypeAlias = Annotated[
    Annotated[DirectionsConfig, Tag("random")]
    | Annotated[Annotated[tuple[DirectionConfig, ...], Field(min_length=1)], Tag("kinds")],
    Discriminator(_form),
]


def _check_anatomy(landscape: LandscapeConfig, directions: DirectionsConfig) -> None:
    """Refuse directions that an anatomy cannot lay on its groups.

    Raises:
        ValueError: They have no displacement, or say themselves which tensors are moved.
    """
    if not isinstance(landscape, AnatomyLandscape):
        return
    if directions.displacement is None:
        msg = (
            "an anatomy moves every group equally far, and directions.displacement, which says how far that is at "
            "coordinate 1, is not there; set it to a norm, such as half of that of the weights of a group, or to a "
            "checkpoint"
        )
        raise ValueError(msg)
    if directions.included:
        msg = (
            f"directions.included {list(directions.included)} says which tensors are moved, and so do the groups of an "
            "anatomy; leave it out, and give landscape.groups or directions.excluded"
        )
        raise ValueError(msg)


class SweepConfig(Section):
    """The whole request."""

    model: ModelConfig
    """The model at the centre."""
    engine: Literal["vllm", "transformers", "synthetic"] = "vllm"
    """Which engine generates. Part of the science: two engines need not agree to the last token."""
    dtype: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    """Type the perturbed weights are cast to, and computed in."""
    batching: Literal["point", "line"] = "point"
    """`line`: points along the same directions share batches, each sequence with the coefficients of its point.
    Faster with few prompts a point, and not with many (`docs/performance.md`). Part of the science: the last bits
    differ from those of cast weights. Takes the memory of one more model for each direction."""
    landscape: LandscapeConfig = RandomLandscape()
    """Which points."""
    directions: Directions = DirectionsConfig()
    """Along which random directions; or, where the landscape is a random line, a list of kinds of directions, each
    measured on the same axis."""
    adaptive: AdaptiveConfig | None = None
    """Measure only a part of the points, and estimate the score. Null: measure all."""
    certify: CertifyConfig | None = None
    """Measure only as many draws as it takes to certify a basin, or to know that it cannot be. Null: measure all."""
    benchmarks: tuple[BenchmarkConfig, ...] = Field(min_length=1)
    """What is measured at each point, all in one visit."""
    run: RunConfig = RunConfig()
    """How it is run; may change between resumes."""

    @field_validator("benchmarks")
    @classmethod
    def _expand(cls, benchmarks: tuple[BenchmarkConfig, ...]) -> tuple[BenchmarkConfig, ...]:
        return tuple(single for benchmark in benchmarks for single in benchmark.expanded())

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        names = [benchmark.name for benchmark in self.benchmarks]
        if doubled := sorted({name for name in names if names.count(name) > 1}):
            msg = f"benchmark names must differ; used more than once: {', '.join(doubled)}"
            raise ValueError(msg)
        if len(primary := [benchmark.name for benchmark in self.benchmarks if benchmark.primary]) > 1:
            msg = f"one benchmark can be primary; these are: {', '.join(primary)}"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _check_sampling(self) -> Self:
        sampled = [each.name for each in self.benchmarks if each.decoding.temperature]
        if sampled and self.batching == "line":
            msg = (
                f"batching by lines decodes greedily, and decoding.temperature of {', '.join(sampled)} asks for drawn "
                "answers; set batching to point"
            )
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _check_adaptive(self) -> Self:
        if self.adaptive:
            stride, nums = self.adaptive.stride, [axis.num for axis in self.landscape.axes]
            lattice = 1 + math.prod(len({*range(0, num, stride), num - 1}) for num in nums)  # and the origin
            if 4 * lattice > 3 * (budget := self.adaptive.num_points(math.prod(nums))):
                msg = (
                    f"adaptive.fraction {self.adaptive.fraction:g} allows {budget} points, and the first lattice of "
                    f"stride {stride} takes {lattice}, more than three quarters; raise adaptive.fraction or "
                    "adaptive.stride"
                )
                raise ValueError(msg)
            if not self.deciding_benchmarks:
                msg = "adaptive needs a benchmark of metric asr: attack success rates decide which points are measured"
                raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _check_certify(self) -> Self:
        if self.certify:
            check_radius(self.landscape, self.certify.radius)
            if self.adaptive:
                msg = "certify needs all points within the radius, and adaptive leaves points out; give one of them"
                raise ValueError(msg)
            if not self.deciding_benchmarks:
                msg = "certify needs a benchmark of metric asr: attack success rates say where the wall is"
                raise ValueError(msg)
            if not isinstance(self.directions, DirectionsConfig):
                msg = "certify samples random directions, and these are a list of kinds; give directions as a mapping"
                raise ValueError(msg)
            if self.directions.draws < (fewest := self.certify.fewest_draws):
                msg = (
                    f"directions.draws is {self.directions.draws}, and a share of {self.certify.share:g} at confidence "
                    f"{self.certify.confidence:g} takes {fewest} draws even if all are basins; raise directions.draws, "
                    "or lower certify.share or certify.confidence"
                )
                raise ValueError(msg)
        return self

    @property
    def deciding_benchmarks(self) -> tuple[BenchmarkConfig, ...]:
        """The benchmarks that decide which points are measured where not all are: those of attack success rates."""
        return tuple(benchmark for benchmark in self.benchmarks if benchmark.metric == "asr")

    @model_validator(mode="after")
    def _check_directions(self) -> Self:
        along, kind = self.directions, self.landscape.kind
        if isinstance(along, DirectionsConfig):
            _check_anatomy(self.landscape, along)
            if along.displacement is not None and len(self.endpoints) == len(self.landscape.axes):
                msg = (
                    "directions.displacement rescales random directions, and a landscape of kind "
                    f"{kind!r} has none; leave it out"
                )
                raise ValueError(msg)
            return self
        if kind != "random" or len(self.landscape.axes) != 1:
            msg = (
                "a list of directions is measured along one axis, each direction by itself, and this landscape has "
                f"{len(self.landscape.axes)} and is of kind {kind!r}; set landscape.kind to random with one axis, or "
                "give directions as a mapping"
            )
            raise ValueError(msg)
        labels = [each.label for each in along]
        if doubled := sorted({label for label in labels if labels.count(label) > 1}):
            msg = (
                f"directions must differ in what figures call them; used more than once: {', '.join(doubled)}; give "
                "one of them another `name`"
            )
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _check_directions_of_engines(self) -> Self:
        metric_of = {benchmark.name: benchmark.metric for benchmark in self.benchmarks}
        for entry in self.computed_directions:
            if self.engine == "synthetic":
                msg = (
                    f"a direction of kind {entry.kind!r} is computed by a model, and the synthetic engine has none; "
                    "leave it out, or set engine to vllm or transformers"
                )
                raise ValueError(msg)
            for name in entry.benchmarks:
                if metric_of.get(name, "perplexity") in SCORED_METRICS:
                    chats = [each for each, metric in metric_of.items() if metric not in SCORED_METRICS]
                    what = f"is of metric {metric_of[name]!r}" if name in metric_of else "is not there"
                    msg = (
                        f"the direction {entry.label!r} is computed from the prompts of the benchmark {name!r}, which "
                        f"{what}; name one whose prompts are put as a chat ({', '.join(chats) or 'there is none'}), or "
                        "add one: harmless prompts as metric over_refusal or first_token_kl"
                    )
                    raise ValueError(msg)
                if any(each.name == name and each.prefill is not None for each in self.benchmarks):
                    msg = (
                        f"the direction {entry.label!r} is computed where answers begin, and those of the benchmark "
                        f"{name!r} have begun with its prefill; name one without"
                    )
                    raise ValueError(msg)
            if len(set(entry.benchmarks)) < len(entry.benchmarks):
                msg = (
                    f"the direction {entry.label!r} compares the benchmark {entry.benchmarks[0]!r} with itself; name "
                    "one of harmful prompts, and one of harmless ones"
                )
                raise ValueError(msg)
        return self

    @property
    def computed_directions(self) -> tuple[EngineDirection, ...]:
        """The entries of a list of directions that an engine computes before the sweep begins."""
        return tuple(each for each in self.kinds if isinstance(each, EngineDirection))

    @property
    def kinds(self) -> tuple[DirectionConfig, ...]:
        """The entries of a list of directions; empty where all directions are random and `directions` is a mapping."""
        return () if isinstance(self.directions, DirectionsConfig) else self.directions

    @property
    def entries(self) -> tuple[DirectionConfig | GroupDirections, ...]:
        """What is measured along the axis, each by itself: the entries of a list, or the groups of an anatomy.

        Empty for landscapes of directions that belong together.

        Raises:
            ConfigError: The groups of an anatomy are for the model to say, and it was not asked yet.
        """
        if not isinstance(self.landscape, AnatomyLandscape):
            return self.kinds
        if not self.landscape.groups:
            msg = (
                f"The groups of an anatomy by {self.landscape.by} follow from the names of the model's tensors, and "
                f"those of {self.model.id!r} cannot be had here, or the engine is synthetic and has none. Fetch the "
                "model, or list groups of your own: landscape.by: groups."
            )
            raise ConfigError(msg)
        common = dict(self.directions) if isinstance(self.directions, DirectionsConfig) else {}
        return tuple(
            GroupDirections(**(common | {"label": group.name, "included": group.included}))
            for group in self.landscape.groups
        )

    @property
    def random_directions(self) -> DirectionsConfig | None:
        """How random directions are drawn, of a list its first entry of that kind; None where there are none."""
        if isinstance(self.directions, DirectionsConfig):
            return None if len(self.endpoints) == len(self.landscape.axes) else self.directions
        return next((each for each in self.directions if isinstance(each, RandomDirections)), None)

    @property
    def scored_directions(self) -> AnyDirections | None:
        """The directions that VISAGE is a mean along: random ones, or without such the first entry of a list.

        None where an axis leads to a checkpoint, and of an anatomy, whose draws are of different tensors.
        """
        if self.endpoints or isinstance(self.landscape, AnatomyLandscape):
            return None
        return self.random_directions or next(iter(self.kinds), None)

    @property
    def seed(self) -> int:
        """The root seed; 0 where nothing is random."""
        entries = self.kinds or (self.directions,)
        return next((each.seed for each in entries if isinstance(each, DirectionsConfig)), 0)

    @property
    def num_draws(self) -> int:
        """How many directions, or planes, are measured: those of all entries, where there are several."""
        if entries := self.entries:
            return sum(each.draws for each in entries)
        return 1 if self.random_directions is None else self.random_directions.draws

    @property
    def endpoints(self) -> tuple[CheckpointConfig, ...]:
        """Checkpoints that axes lead to, in axis order."""
        return () if isinstance(self.landscape, RandomLandscape | AnatomyLandscape) else self.landscape.endpoints

    @property
    def marked(self) -> tuple[CheckpointConfig, ...]:
        """Checkpoints that are only marked."""
        return () if isinstance(self.landscape, RandomLandscape | AnatomyLandscape) else self.landscape.marked

    @property
    def checkpoints(self) -> tuple[CheckpointConfig, ...]:
        """Every checkpoint beside the model: the endpoints, those of directions, the marked ones.

        Of each entry of directions first what it is made of, then the checkpoint that gives its displacement.
        """
        if isinstance(self.directions, DirectionsConfig):
            named = [self.directions.displacement]
        else:
            named = [each for entry in self.directions for each in (*entry.checkpoints, entry.displacement)]
        of_directions = (each for each in named if isinstance(each, CheckpointConfig))
        return (*self.endpoints, *of_directions, *self.marked)

    def as_written(self) -> dict[str, Any]:
        """Return the whole configuration as plain JSON types; what its model is to decide stays out."""
        written = self.model_dump(mode="json")
        entries = [written["directions"]] if isinstance(self.directions, DirectionsConfig) else written["directions"]
        for entry, config in zip(entries, self.kinds or (self.directions,), strict=True):
            if leaves_norms(config):
                del entry["excluded"]
        return written

    def science(self) -> dict[str, Any]:
        """Return the part of the configuration that decides what is measured, as plain JSON types.

        What has its default is left out where it came later than the first results, so that ids of sweeps stay.
        """
        science = self.model_dump(mode="json", exclude={"run"})
        for benchmark in science["benchmarks"]:
            for later in ("early_verdict", "max_thinking_tokens", "temperature", "samples", "seed"):
                if benchmark["decoding"][later] == DecodingConfig.model_fields[later].default:
                    del benchmark["decoding"][later]
            del benchmark["primary"]  # says which score is shown first, and decides none
            for key in ("labels_column", "first_number"):
                if not benchmark["multiple_choice"][key]:
                    del benchmark["multiple_choice"][key]
            for later in ("chat_template_kwargs", "reasoning", "date", "messages_column", "prefill"):
                if benchmark[later] == BenchmarkConfig.model_fields[later].default:
                    del benchmark[later]
        del science["landscape"]["wall_repeats"]  # says what is measured again, and decides no point
        if self.batching == "point":
            del science["batching"]
        if self.certify is None:
            del science["certify"]
        return science

    @property
    def sweep_id(self) -> str:
        """Hash of the science fields: 16 hexadecimal digits."""
        canonical = json.dumps(self.science(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def leaves_norms(directions: Any) -> bool:
    """Tell whether directions exclude norms by default, so that the names of the model's norms say which patterns."""
    return bool(directions.excluded) and "excluded" not in directions.model_fields_set
