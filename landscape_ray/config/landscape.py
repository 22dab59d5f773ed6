"""`landscape`: which points are measured."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import Discriminator, Field, Tag, model_validator

from landscape_ray.config.directions import check_patterns
from landscape_ray.config.model import CheckpointConfig
from landscape_ray.config.section import Section

__all__ = [
    "BEYOND_BOTH",
    "AnatomyLandscape",
    "AxisConfig",
    "GroupConfig",
    "InterpolationLandscape",
    "InterpolationRandomLandscape",
    "LandscapeConfig",
    "Module",
    "PlaneLandscape",
    "RandomLandscape",
]


# What modules are called here, whatever a checkpoint calls them. qkv, kv and gate_up: where it has one tensor for all.
Module: TypeAlias = Literal[
    "embedding", "q", "k", "v", "qkv", "kv", "o", "gate", "up", "gate_up", "down", "router", "head"
]


class AxisConfig(Section):
    """Evenly spaced coordinates along one direction."""

    start: float = -0.5
    """First coordinate (a random direction's is a fraction of each tensor's norm under `layer` normalization)."""
    stop: float = 0.5
    """Last coordinate, included."""
    num: int = Field(default=21, ge=1, le=100_001)
    """Number of coordinates, odd or even. 0 is measured in any case: the origin is always visited."""

    @model_validator(mode="after")
    def _check_range(self) -> Self:
        if not (abs(self.start) < float("inf") and abs(self.stop) < float("inf")):
            msg = f"axis from {self.start} to {self.stop} is not finite"
            raise ValueError(msg)
        if self.num > 1 and self.stop <= self.start:
            msg = f"axis from {self.start} to {self.stop} is empty; stop must be larger than start"
            raise ValueError(msg)
        if self.num == 1 and self.stop != self.start:
            msg = f"an axis of one point needs start == stop, not {self.start} and {self.stop}"
            raise ValueError(msg)
        return self


# Far enough to see the basins of both checkpoints (0 and 1), and the walls behind them.
BEYOND_BOTH = AxisConfig(start=-0.5, stop=1.5, num=21)


class _Landscape(Section):
    """What all kinds of landscape have in common."""

    origin_repeats: int = Field(default=2, ge=1, le=64)
    """How often the origin is measured (on different engines where possible); the spread is the noise floor."""
    wall_repeats: int = Field(default=1, ge=1, le=64)
    """How often the point nearest to the wall is measured, where verdicts flip most; 2 or more give the noise floor
    there. It is the point of the first draw whose attack success rate is nearest to 50 %, and is measured again when
    that draw is."""


class _CheckpointLandscape(_Landscape):
    """What landscapes through further checkpoints have in common."""

    marked: tuple[CheckpointConfig, ...] = ()
    """Further checkpoints, such as those of each epoch of a finetuning, to be projected on the axes that lead to
    checkpoints, and marked there."""


class RandomLandscape(_Landscape):
    """A landscape along random directions (Peng et al. 2024, Eq. 1 and Eq. 3)."""

    kind: Literal["random"] = "random"
    """The kind of landscape."""
    axes: tuple[AxisConfig, ...] = Field(default=(AxisConfig(),), min_length=1, max_length=2)
    """One axis for a 1-D landscape, two for a 2-D landscape."""


class InterpolationLandscape(_CheckpointLandscape):
    """The line through the model, at 0, and another checkpoint, at 1 (Peng et al. 2024, Eq. 1)."""

    kind: Literal["interpolation"]
    """The kind of landscape."""
    to: CheckpointConfig
    """The checkpoint at 1."""
    axes: tuple[AxisConfig, ...] = Field(default=(BEYOND_BOTH,), min_length=1, max_length=1)
    """The axis, in steps from the model to the checkpoint."""

    @property
    def endpoints(self) -> tuple[CheckpointConfig, ...]:
        """Checkpoints whose differences from the model are axes, in axis order."""
        return (self.to,)


class InterpolationRandomLandscape(_CheckpointLandscape):
    """A 2-D landscape: towards another checkpoint, and along a random direction."""

    kind: Literal["interpolation-random"]
    """The kind of landscape."""
    to: CheckpointConfig
    """The checkpoint at (1, 0)."""
    axes: tuple[AxisConfig, ...] = Field(default=(BEYOND_BOTH, AxisConfig()), min_length=2, max_length=2)
    """First the axis towards the checkpoint, then the random one."""

    @property
    def endpoints(self) -> tuple[CheckpointConfig, ...]:
        """Checkpoints whose differences from the model are axes, in axis order."""
        return (self.to,)


class PlaneLandscape(_CheckpointLandscape):
    """The plane through the model and two other checkpoints (Peng et al. 2024, Eq. 4)."""

    kind: Literal["plane"]
    """The kind of landscape."""
    through: tuple[CheckpointConfig, CheckpointConfig]
    """Two checkpoints. The first lies at (1, 0)."""
    gram_schmidt: bool = True
    """Make the second axis orthogonal to the first, as the paper says; the second checkpoint then lies at (p, 1), where
    p is its projection. False: it lies at (0, 1), which is what the authors' code computes."""
    axes: tuple[AxisConfig, ...] = Field(default=(BEYOND_BOTH, BEYOND_BOTH), min_length=2, max_length=2)
    """The axes, in steps from the model."""

    @property
    def endpoints(self) -> tuple[CheckpointConfig, ...]:
        """Checkpoints whose differences from the model are axes, in axis order."""
        return self.through


class GroupConfig(Section):
    """Tensors that an anatomy moves together."""

    name: str = Field(min_length=1)
    """What figures and tables call it."""
    included: tuple[str, ...] = Field(min_length=1)
    """Regular expressions searched in checkpoint tensor names; tensors that match one belong to the group."""

    @model_validator(mode="after")
    def _check_patterns(self) -> Self:
        check_patterns(included=self.included)
        return self


class AnatomyLandscape(_Landscape):
    """Groups of tensors, each moved alone along random directions, all of them equally far."""

    kind: Literal["anatomy"]
    """The kind of landscape."""
    by: Literal["layer", "module", "layer-and-module", "groups"] = "layer"
    """What makes a group: a layer, a module of all layers, or a module of a layer; what lies in no layer is grouped by
    module. `groups`: your own."""
    modules: tuple[Module, ...] = ()
    """Where groups are by module: only these modules. Empty: all that the model has."""
    groups: tuple[GroupConfig, ...] = ()
    """The groups, which share no tensor; with another `by` the model says what they are, and they are filled in."""
    axes: tuple[AxisConfig, ...] = Field(default=(AxisConfig(start=0.0, stop=1.0, num=5),), min_length=1, max_length=1)
    """The axis that each group is measured on, from the origin."""

    @model_validator(mode="after")
    def _check_groups(self) -> Self:
        if (axis := self.axes[0]).start != 0 or axis.num == 1:
            msg = (
                f"an anatomy measures what is lost on the way from the origin, and the axis of {axis.num} from "
                f"{axis.start:g} to {axis.stop:g} does not lead there; let axes.0.start be 0, and num at least 2"
            )
            raise ValueError(msg)
        if self.by == "groups" and not self.groups:
            msg = "by is 'groups', and there are none; list groups, each with a name and the patterns included in it"
            raise ValueError(msg)
        if self.modules and self.by not in {"module", "layer-and-module"}:
            msg = (
                f"modules say nothing where by is {self.by!r}; set by to module or layer-and-module, or leave them out"
            )
            raise ValueError(msg)
        names = [group.name for group in self.groups]
        if doubled := sorted({name for name in names if names.count(name) > 1}):
            msg = f"groups must differ in their names; used more than once: {', '.join(doubled)}"
            raise ValueError(msg)
        return self


def _kind(landscape: Any) -> Any:
    """Return the kind of a landscape; the random one need not say so."""
    return landscape.get("kind", "random") if isinstance(landscape, Mapping) else getattr(landscape, "kind", None)


LandscapeConfig: TypeAlias = Annotated[
    Annotated[RandomLandscape, Tag("random")]
    | Annotated[InterpolationLandscape, Tag("interpolation")]
    | Annotated[InterpolationRandomLandscape, Tag("interpolation-random")]
    | Annotated[PlaneLandscape, Tag("plane")]
    | Annotated[AnatomyLandscape, Tag("anatomy")],
    Discriminator(
        _kind,
        custom_error_type="landscape_kind",
        custom_error_message=(
            "a landscape is of kind 'random', 'interpolation', 'interpolation-random', 'plane' or 'anatomy'"
        ),
    ),
]
