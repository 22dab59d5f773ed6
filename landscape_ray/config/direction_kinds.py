"""Entries of a list of `directions`: kinds of directions beside each other in one sweep."""

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from landscape_ray.config.directions import DirectionsConfig, Displacement, Normalization, check_patterns
from landscape_ray.config.model import CheckpointConfig
from landscape_ray.config.section import Section

__all__ = [
    "AnyDirections",
    "ComplementDirections",
    "DirectionConfig",
    "EngineDirection",
    "GradientDirection",
    "GroupDirections",
    "LowRankDirections",
    "PruningDirection",
    "QuantizationErrorDirection",
    "RandomDirections",
    "RefusalAblationDirection",
    "SvdDirection",
    "TaskVectorDirection",
]

# What QLoRA and most formats of 4 bits use.
GROUP_SIZE = 64
# Most refusals of chat models begin so, and the keyword judge knows it.
REFUSAL = "I'm sorry, but I can't"


class RandomDirections(DirectionsConfig):
    """Random directions, as where `directions` is no list: the same draws are the same directions."""

    kind: Literal["random"]
    """The kind of direction."""
    name: str | None = Field(default=None, min_length=1)
    """How figures and tables call it; null: its kind."""

    @property
    def checkpoints(self) -> tuple[CheckpointConfig, ...]:
        """Checkpoints that the directions are made of."""
        return ()

    @property
    def label(self) -> str:
        """What figures and tables call it."""
        return self.name or self.kind


class GroupDirections(DirectionsConfig):
    """Random directions on one group of an anatomy; made of the configuration, and never written by a user."""

    kind: Literal["group"] = "group"
    """The kind of direction."""
    label: str
    """Name of the group."""

    @property
    def checkpoints(self) -> tuple[CheckpointConfig, ...]:
        """Checkpoints that the directions are made of."""
        return ()


class _Direction(Section):
    """What kinds of directions have in common that are no random ones."""

    name: str | None = Field(default=None, min_length=1)
    """How figures and tables call it; null: its kind and what it is made of."""
    normalization: Normalization = "none"
    """`none`: the direction as it is. `layer`: each of its tensors gets the norm of the weight tensor. `filter`: each
    output row."""
    included: tuple[str, ...] = ()
    """Regular expressions searched in checkpoint tensor names; only matching tensors are moved. Empty: all."""
    excluded: tuple[str, ...] = ()
    """Regular expressions searched in checkpoint tensor names; matching tensors are not moved."""
    displacement: Displacement = None
    """As of random directions: the Frobenius norm of the step to coordinate 1 over all weights, or a checkpoint."""

    @model_validator(mode="after")
    def _check_patterns(self) -> Self:
        check_patterns(included=self.included, excluded=self.excluded)
        return self

    @property
    def checkpoints(self) -> tuple[CheckpointConfig, ...]:
        """Checkpoints that the direction is made of."""
        return ()


class _Drawn(_Direction):
    """What kinds of directions have in common that are drawn at random, but are not what `random` draws."""

    draws: int = Field(default=3, ge=1, le=10_000)
    """Independent draws."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Root seed. A draw's vector depends on seed and draw only."""
    normalization: Normalization = "layer"
    """As of random directions. `layer`: each tensor of the vector gets the norm of the weight tensor. `filter`: each
    output row. `none`: as it is."""
    excluded: tuple[str, ...] = ("norm",)
    """As of random directions: matching tensors are not moved."""


class _Single(_Direction):
    """What kinds of directions have in common of which there is one."""

    @property
    def draws(self) -> int:
        """Number of draws."""
        return 1


class LowRankDirections(_Drawn):
    """Random directions of low rank: each matrix moves by a product of random factors."""

    kind: Literal["low_rank"]
    """The kind of direction."""
    rank: int = Field(ge=1)
    """Rank of each matrix; no more than its rows or columns. Vectors, such as biases, are not moved."""

    @property
    def label(self) -> str:
        """What figures and tables call it."""
        return self.name or f"random of rank {self.rank}"


class ComplementDirections(_Drawn):
    """Random directions without what lies along the difference of a checkpoint, tensor by tensor."""

    kind: Literal["complement"]
    """The kind of direction."""
    to: CheckpointConfig
    """The checkpoint to whose difference from the model each tensor is made orthogonal."""

    @property
    def checkpoints(self) -> tuple[CheckpointConfig, ...]:
        """Checkpoints that the direction is made of."""
        return (self.to,)

    @property
    def label(self) -> str:
        """What figures and tables call it."""
        return self.name or f"random, orthogonal to {self.to.label}"


class TaskVectorDirection(_Single):
    """The difference of two other checkpoints: coordinate 1 adds `plus - minus` (Ilharco et al. 2023)."""

    kind: Literal["task_vector"]
    """The kind of direction."""
    minus: CheckpointConfig
    """The checkpoint that the direction leads away from."""
    plus: CheckpointConfig
    """The checkpoint that it leads to."""

    @property
    def checkpoints(self) -> tuple[CheckpointConfig, ...]:
        """Checkpoints that the direction is made of."""
        return (self.minus, self.plus)

    @property
    def label(self) -> str:
        """What figures and tables call it."""
        return self.name or f"{self.plus.label} minus {self.minus.label}"


class SvdDirection(_Single):
    """A part of the difference of a checkpoint: of each matrix its largest singular components, or all others."""

    kind: Literal["svd"]
    """The kind of direction."""
    to: CheckpointConfig
    """The checkpoint whose difference from the model is taken apart."""
    rank: int = Field(ge=1)
    """How many components of each matrix are the largest; no more than its difference has."""
    part: Literal["top", "rest"] = "top"
    """`top`: the largest components, and vectors, such as biases, whole. `rest`: what is left of the matrices."""

    @property
    def checkpoints(self) -> tuple[CheckpointConfig, ...]:
        """Checkpoints that the direction is made of."""
        return (self.to,)

    @property
    def label(self) -> str:
        """What figures and tables call it."""
        return self.name or f"{self.to.label}, {self.part} of rank {self.rank}"


class QuantizationErrorDirection(_Single):
    """What rounding the matrices to few bits changes: coordinate 1 is the quantised model."""

    kind: Literal["quantization_error"]
    """The kind of direction."""
    format: Literal["int8", "int4", "nf4", "fp8"]
    """What is rounded to: integers of 8 or 4 bits, the NormalFloat of 4 bits, or floats of 8 bits (e4m3)."""
    by: Literal["tensor", "channel", "group"] = "channel"
    """What shares a scale: a whole matrix, each of its rows, or groups of neighbours in a row."""
    group_size: int | None = Field(default=None, ge=1)
    """Numbers in a group, where `by` is `group`; must divide the columns of each matrix. Null: 64."""

    @model_validator(mode="after")
    def _check_group_size(self) -> Self:
        if self.by != "group" and self.group_size is not None:
            msg = f"group_size {self.group_size} says nothing where by is {self.by!r}; set by to group, or leave it out"
            raise ValueError(msg)
        return self

    @property
    def group(self) -> int | None:
        """Numbers in a group; None unless groups share scales."""
        return (self.group_size or GROUP_SIZE) if self.by == "group" else None

    @property
    def label(self) -> str:
        """What figures and tables call it."""
        return self.name or f"{self.format} by {self.by}{f' of {self.group}' if self.group else ''}"


class PruningDirection(_Single):
    """What pruning changes: coordinate 1 is the model without the smallest weights of each matrix."""

    kind: Literal["pruning"]
    """The kind of direction."""
    share: float = Field(gt=0, lt=1)
    """Share of the weights of each matrix that become zero: those of least magnitude."""

    @property
    def label(self) -> str:
        """What figures and tables call it."""
        return self.name or f"pruned by {100 * self.share:g} %"


class RefusalAblationDirection(_Single):
    """What taking the refusal direction out of the model changes: coordinate 1 is the ablated model."""

    kind: Literal["refusal_ablation"]
    """The kind of direction."""
    harmful: str
    """Name of the benchmark whose prompts the model refuses."""
    harmless: str
    """Name of the benchmark whose prompts it answers, such as one of metric `over_refusal` or `first_token_kl`."""
    layer: int = Field(ge=1)
    """After so many layers activations are compared, at the last token of each prompt. Best are often layers in the
    middle."""

    @property
    def benchmarks(self) -> tuple[str, ...]:
        """Names of the benchmarks whose prompts the direction is computed from."""
        return (self.harmful, self.harmless)

    @property
    def label(self) -> str:
        """What figures and tables call it."""
        return self.name or f"refusal of layer {self.layer} ablated"


class GradientDirection(_Single):
    """The steepest descent of the likelihood of refusals: to first order, the worst direction of its length."""

    kind: Literal["gradient"]
    """The kind of direction."""
    prompts: str
    """Name of the benchmark whose prompts are refused."""
    refusal: str = Field(default=REFUSAL, min_length=1)
    """The refusal whose likelihood falls, as the model words it: its beginning is enough."""
    normalization: Normalization = "layer"
    """As of random directions. `layer`: each tensor of the vector gets the norm of the weight tensor. `filter`: each
    output row. `none`: the gradient itself."""
    excluded: tuple[str, ...] = ("norm",)
    """As of random directions: matching tensors are not moved."""

    @property
    def benchmarks(self) -> tuple[str, ...]:
        """Names of the benchmarks whose prompts the direction is computed from."""
        return (self.prompts,)

    @property
    def label(self) -> str:
        """What figures and tables call it."""
        return self.name or f"gradient of refusals, {self.prompts}"


DirectionConfig: TypeAlias = Annotated[
    RandomDirections
    | LowRankDirections
    | ComplementDirections
    | TaskVectorDirection
    | SvdDirection
    | QuantizationErrorDirection
    | PruningDirection
    | RefusalAblationDirection
    | GradientDirection,
    Field(discriminator="kind"),
]
EngineDirection: TypeAlias = RefusalAblationDirection | GradientDirection
"""An entry that an engine computes before the sweep begins."""
AnyDirections: TypeAlias = DirectionsConfig | DirectionConfig
"""An entry of a list, or the mapping that stands for all directions."""
