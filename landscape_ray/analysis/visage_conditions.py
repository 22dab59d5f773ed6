"""What a VISAGE depends on, and what it may be called: the number of prompts, the axes, the definition, the directions.

On one and the same model VISAGE falls as prompts are added, and rises as the axis is made shorter. So its value is
never shown without these, and the name `paper` is for the paper's setting alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from landscape_ray.analysis.landscape import Landscape
from landscape_ray.config import AnyDirections, DirectionsConfig
from landscape_ray.errors import number_of

__all__ = ["Definition", "VisageConditions", "visage_conditions"]

Definition: TypeAlias = Literal["paper", "reference"]
"""The formulas: Eq. 5 of the paper, and what its authors' code computes."""

PAPERS_AXIS = (-0.5, 0.5)
NORMS_ONLY = (("norm",), ("(?i)norm",))
"""Patterns of `directions.excluded` that leave out normalization weights and nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VisageConditions:
    """The conditions that a VISAGE stands under. Scores are compared where all of them agree."""

    definition: Literal["paper", "eq5", "reference"]
    """`paper`: Eq. 5 in the paper's setting; `eq5`: the same formula in another one; `reference`: the authors' code."""
    num_prompts: int
    """Prompts at each point."""
    axes: tuple[tuple[float, float], ...]
    """First and last coordinate of each axis of the grid."""
    departures: tuple[str, ...]
    """In words, how the setting is not the paper's, whose scores this one is then not to be compared with."""

    @property
    def name(self) -> str:
        """What the score is called: `VISAGE`, or `VISAGE on [-0.25, 0.25]` where the setting is not the paper's."""
        return f"VISAGE on {self.axes_text}" if self.departures else "VISAGE"

    @property
    def definition_text(self) -> str:
        """Which definition, such as `definition: paper`, and what follows from it."""
        definition = f"definition: {'Eq. 5' if self.definition == 'eq5' else self.definition}"
        if self.departures:
            return f"{definition}, not the paper's setting: {'; '.join(self.departures)}"
        return f"{definition}; compare published scores with this one" if self.definition == "reference" else definition

    @property
    def text(self) -> str:
        """What belongs behind the value, such as `at 80 prompts on [-0.5, 0.5], definition: paper`."""
        axes = "" if self.departures else f" on {self.axes_text}"  # or else they are part of the name
        return f"at {number_of(self.num_prompts, 'prompt')}{axes}, {self.definition_text}"

    @property
    def axes_text(self) -> str:
        """The axes, such as `[-0.5, 0.5] by [-0.5, 0.5]`."""
        return " by ".join(f"[{first:g}, {last:g}]" for first, last in self.axes)


def visage_conditions(
    landscape: Landscape, definition: Definition, directions: AnyDirections | None = None
) -> dict[str, Any]:
    """Return the fields of `VisageConditions` for a landscape along random directions.

    Args:
        landscape: What was measured.
        definition: The formula.
        directions: How its directions were drawn; None: as the paper draws them.
    """
    axes = tuple((axis.coordinates[0], axis.coordinates[-1]) for axis in landscape.grid.axes)
    departures = tuple(_departures(axes, directions or DirectionsConfig()))
    return {
        "definition": "eq5" if definition == "paper" and departures else definition,
        "num_prompts": landscape.num_prompts,
        "axes": axes,
        "departures": departures,
    }


def _departures(axes: tuple[tuple[float, float], ...], directions: AnyDirections) -> Iterator[str]:
    if any(axis != PAPERS_AXIS for axis in axes):
        yield "the paper's axis is [-0.5, 0.5]"
    if not isinstance(directions, DirectionsConfig):
        yield f"directions are of kind {directions.kind}, the paper's are random"
        return
    if directions.normalization != "layer":
        yield f"directions have normalization {directions.normalization}, the paper's layer"
    if directions.included:
        yield "only tensors that match directions.included are perturbed"
    if directions.excluded not in (*NORMS_ONLY, DirectionsConfig().excluded):
        yield "directions.excluded does not leave out normalization weights alone"
    if directions.displacement is not None:
        yield "directions are rescaled to one displacement"
