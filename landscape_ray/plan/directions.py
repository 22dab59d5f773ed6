"""A list of directions, or groups of an anatomy: which vector, how far, and under which name each draw is."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from landscape_ray.config import (
    AnatomyLandscape,
    CheckpointConfig,
    ComplementDirections,
    DirectionConfig,
    DirectionsConfig,
    GroupDirections,
    LowRankDirections,
    PruningDirection,
    QuantizationErrorDirection,
    SvdDirection,
    SweepConfig,
    TaskVectorDirection,
)
from landscape_ray.errors import CheckpointError, ConfigError, few_of
from landscape_ray.plan.geometry import Geometry, random_vector, rounded
from landscape_ray.plan.kinds import Complement, LowRank, Pruning, QuantizationError, SingularPart, TaskVector
from landscape_ray.plan.perturbation import CheckpointDelta, VectorSpec, direction_seed

__all__ = ["PlannedDirection", "entry_vectors", "planned_directions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedDirection:
    """What one draw of a sweep along several kinds of directions, or of an anatomy, is."""

    kind: str
    """Kind of the entry, such as `task_vector`; `group` in an anatomy."""
    label: str
    """What figures and tables call the entry, or the group."""
    vector: VectorSpec
    """The vector that coordinates multiply."""
    scale: float
    """And what else it is multiplied by; 1 unless it was rescaled."""
    displacement: float
    """Frobenius norm of the step to coordinate 1, over all weights."""

    @property
    def seed(self) -> int | None:
        """Seed of the vector; None if nothing is drawn."""
        return getattr(self.vector, "seed", None)


def planned_directions(config: SweepConfig, geometry: Geometry) -> tuple[PlannedDirection, ...]:
    """Return what each draw is; empty unless `directions` is a list or the landscape an anatomy.

    Draws of a list come entry by entry. Those of an anatomy come draw by draw, so that more draws extend it; one draw
    of all its groups is one random direction, taken apart.

    Raises:
        CheckpointError: A direction is zero everywhere, or is to be as long as a difference that is.
        ConfigError: Two entries are the same direction.
    """
    planned = tuple(_planned(config, geometry))
    if isinstance(config.landscape, AnatomyLandscape):
        num_draws = len(planned) // len(config.entries)
        planned = tuple(each for draw in range(num_draws) for each in planned[draw::num_draws])
    times = Counter((each.vector, each.scale) for each in planned)
    if doubled := [each.label for each in planned if times[each.vector, each.scale] > 1]:
        msg = (
            f"The directions {few_of(list(dict.fromkeys(doubled)))} are the same, so their points would be measured "
            "once and counted twice. Leave one out, or give it another seed."
        )
        raise ConfigError(msg)
    return planned


def entry_vectors(config: SweepConfig, deltas: Sequence[CheckpointDelta]) -> tuple[VectorSpec, ...]:
    """Return the vector of the first draw of each entry of a list of directions, or of each group of an anatomy.

    Args:
        config: The sweep.
        deltas: Its checkpoints, in the order of `SweepConfig.checkpoints`.
    """
    return tuple(_vector(entry, deltas[first:], 0) for entry, first in _entries(config))


def _entries(config: SweepConfig) -> Iterator[tuple[DirectionConfig | GroupDirections, int]]:
    """Yield each entry with the number of its first checkpoint in `SweepConfig.checkpoints`."""
    first = 0
    for entry in config.entries:
        yield entry, first
        if entry.kind != "group":  # those of an anatomy share the one that gives their displacement
            first += len(entry.checkpoints) + isinstance(entry.displacement, CheckpointConfig)


def _planned(config: SweepConfig, geometry: Geometry) -> Iterator[PlannedDirection]:
    for (entry, first), norm in zip(_entries(config), geometry.direction_norms, strict=True):
        if not norm:
            msg = (
                f"The direction {entry.label!r} is zero on every tensor of the model {config.model.id!r}, so there is "
                "nothing along it to measure. Give other checkpoints or numbers, or other patterns."
            )
            raise CheckpointError(msg)
        displacement = entry.displacement
        if isinstance(displacement, CheckpointConfig):
            length = geometry.norm(first + len(entry.checkpoints))
            if not length:
                msg = (
                    f"The checkpoint {displacement.id!r}, which gives the direction {entry.label!r} its displacement, "
                    f"has the same weights as the model {config.model.id!r}. Give another checkpoint, or a number."
                )
                raise CheckpointError(msg)
            displacement = length
        scale = 1.0 if displacement is None else rounded(displacement / norm)
        for draw in range(entry.draws):
            vector = _vector(entry, geometry.deltas[first:], draw)
            yield PlannedDirection(
                kind=entry.kind, label=entry.label, vector=vector, scale=scale, displacement=scale * norm
            )


def _vector(entry: DirectionConfig | GroupDirections, deltas: Sequence[CheckpointDelta], draw: int) -> VectorSpec:
    """Return the vector of one draw of an entry, whose own checkpoints come first among those given."""
    if isinstance(entry, DirectionsConfig):
        return random_vector(entry, draw)
    common: dict[str, Any] = {
        "normalization": entry.normalization,
        "included": entry.included,
        "excluded": entry.excluded,
    }
    vector: VectorSpec
    match entry:
        case LowRankDirections():
            vector = LowRank(seed=direction_seed(entry.seed, draw, 0), rank=entry.rank, **common)
        case ComplementDirections():
            vector = Complement(seed=direction_seed(entry.seed, draw, 0), to=deltas[0], **common)
        case TaskVectorDirection():
            vector = TaskVector(minus=deltas[0], plus=deltas[1], **common)
        case SvdDirection():
            vector = SingularPart(to=deltas[0], rank=entry.rank, part=entry.part, **common)
        case QuantizationErrorDirection():
            vector = QuantizationError(format=entry.format, by=entry.by, group_size=entry.group, **common)
        case PruningDirection():
            vector = Pruning(share=entry.share, **common)
    return vector
