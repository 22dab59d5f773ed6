"""Entries of a list of `directions`: kinds of directions beside each other in one sweep."""

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from landscape_ray.config.directions import DirectionsConfig, Displacement, Normalization, check_patterns
from landscape_ray.config.model import CheckpointConfig
from landscape_ray.config.section import Section

__all__ = ["DirectionConfig", "RandomDirections", "TaskVectorDirection"]


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
    def draws(self) -> int:
        """Number of independent draws."""
        return 1

    @property
    def checkpoints(self) -> tuple[CheckpointConfig, ...]:
        """Checkpoints that the direction is made of."""
        return ()


class TaskVectorDirection(_Direction):
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


DirectionConfig: TypeAlias = Annotated[RandomDirections | TaskVectorDirection, Field(discriminator="kind")]
