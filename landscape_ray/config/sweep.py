"""The whole request: `SweepConfig`, and its id."""

import hashlib
import json
import math
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from landscape_ray.config.adaptive import AdaptiveConfig
from landscape_ray.config.benchmarks import BenchmarkConfig
from landscape_ray.config.directions import DirectionsConfig
from landscape_ray.config.landscape import LandscapeConfig, RandomLandscape
from landscape_ray.config.model import CheckpointConfig, ModelConfig
from landscape_ray.config.run import RunConfig
from landscape_ray.config.section import Section

__all__ = ["SweepConfig"]


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
    directions: DirectionsConfig = DirectionsConfig()
    """Along which random directions."""
    adaptive: AdaptiveConfig | None = None
    """Measure only a part of the points, and estimate the score. Null: measure all."""
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

    @property
    def deciding_benchmarks(self) -> tuple[BenchmarkConfig, ...]:
        """The benchmarks that decide which points an adaptive sweep measures: those of attack success rates."""
        return tuple(benchmark for benchmark in self.benchmarks if benchmark.metric == "asr")

    @model_validator(mode="after")
    def _check_displacement(self) -> Self:
        if self.directions.displacement is not None and len(self.endpoints) == len(self.landscape.axes):
            msg = (
                "directions.displacement rescales random directions, and a landscape of kind "
                f"{self.landscape.kind!r} has none; leave it out"
            )
            raise ValueError(msg)
        return self

    @property
    def endpoints(self) -> tuple[CheckpointConfig, ...]:
        """Checkpoints that axes lead to, in axis order."""
        return () if isinstance(self.landscape, RandomLandscape) else self.landscape.endpoints

    @property
    def marked(self) -> tuple[CheckpointConfig, ...]:
        """Checkpoints that are only marked."""
        return () if isinstance(self.landscape, RandomLandscape) else self.landscape.marked

    @property
    def checkpoints(self) -> tuple[CheckpointConfig, ...]:
        """Every checkpoint beside the model: the endpoints, the one that gives the displacement, the marked ones."""
        displacement = self.directions.displacement
        return (
            *self.endpoints,
            *((displacement,) if isinstance(displacement, CheckpointConfig) else ()),
            *self.marked,
        )

    def as_written(self) -> dict[str, Any]:
        """Return the whole configuration as plain JSON types; what its model is to decide stays out."""
        written = self.model_dump(mode="json")
        if "excluded" not in self.directions.model_fields_set:
            del written["directions"]["excluded"]
        return written

    def science(self) -> dict[str, Any]:
        """Return the part of the configuration that decides what is measured, as plain JSON types.

        What has its default is left out where it came later than the first results, so that ids of sweeps stay.
        """
        science = self.model_dump(mode="json", exclude={"run"})
        for benchmark in science["benchmarks"]:
            if not benchmark["decoding"]["early_verdict"]:
                del benchmark["decoding"]["early_verdict"]
            del benchmark["primary"]  # says which score is shown first, and decides none
            for key in ("labels_column", "first_number"):
                if not benchmark["multiple_choice"][key]:
                    del benchmark["multiple_choice"][key]
            if benchmark["decoding"]["max_thinking_tokens"] is None:
                del benchmark["decoding"]["max_thinking_tokens"]
            for later, default in (("chat_template_kwargs", {}), ("reasoning", "auto"), ("date", None)):
                if benchmark[later] == default:
                    del benchmark[later]
        del science["landscape"]["wall_repeats"]  # says what is measured again, and decides no point
        if self.batching == "point":
            del science["batching"]
        return science

    @property
    def sweep_id(self) -> str:
        """Hash of the science fields: 16 hexadecimal digits."""
        canonical = json.dumps(self.science(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]
