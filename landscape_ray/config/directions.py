"""`directions`: along which random directions."""

import re
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from landscape_ray.config.model import CheckpointConfig
from landscape_ray.config.section import Section

__all__ = ["DirectionsConfig", "Displacement", "Normalization", "check_patterns"]

Normalization: TypeAlias = Literal["layer", "filter", "none"]
Displacement: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False)] | CheckpointConfig | None


class DirectionsConfig(Section):
    """Random directions in weight space."""

    draws: int = Field(default=3, ge=1, le=10_000)
    """Independent draws of the direction(s); the paper averages VISAGE over 3."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Root seed. A draw's vector depends on seed, draw and axis only, so more draws extend a sweep."""
    normalization: Normalization = "layer"
    """`layer`: each tensor of the vector gets the norm of the weight tensor (Eq. 2). `filter`: each output row
    (Li et al. 2018). `none`: raw standard normals."""
    included: tuple[str, ...] = ()
    """Regular expressions searched in checkpoint tensor names; only matching tensors are perturbed. Empty: all."""
    excluded: tuple[str, ...] = ("norm",)
    """Regular expressions searched in checkpoint tensor names; matching tensors are not perturbed. Where it is left
    out, and the model's norms have other names, it becomes the patterns of those (`docs/numerics.md`)."""
    displacement: Displacement = None
    """Rescale each direction so that the step to coordinate 1 has this Frobenius norm over all weights; a checkpoint
    (`{id: ...}`) stands for the norm of its difference from the model. Null: no rescaling."""

    @model_validator(mode="after")
    def _check_patterns(self) -> Self:
        check_patterns(included=self.included, excluded=self.excluded)
        return self


def check_patterns(**patterns_of: tuple[str, ...]) -> None:
    """Refuse patterns, by their keys, that are no regular expressions.

    Raises:
        ValueError: One is none.
    """
    for key, patterns in patterns_of.items():
        for pattern in patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                msg = f"{key} has {pattern!r}, which is not a regular expression: {error}"
                raise ValueError(msg) from error
