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
    EngineDirection,
    GradientDirection,
    GroupDirections,
    LowRankDirections,
    PruningDirection,
    QuantizationErrorDirection,
    RefusalAblationDirection,
    SvdDirection,
    SweepConfig,
    TaskVectorDirection,
)
from landscape_ray.errors import CheckpointError, ConfigError, few_of
from landscape_ray.planning.geometry import Geometry, random_vector, rounded
from landscape_ray.planning.kinds import (
    Complement,
    Gradient,
    LowRank,
    Pruning,
    QuantizationError,
    RefusalAblation,
    SingularPart,
    TaskVector,
)
from landscape_ray.planning.perturbation import CheckpointDelta, StoredTensors, VectorSpec, direction_seed

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


def entry_vectors(
    config: SweepConfig, deltas: Sequence[CheckpointDelta], computed: Sequence[str] = ()
) -> tuple[VectorSpec, ...]:
    """Return the vector of the first draw of each entry of a list of directions, or of each group of an anatomy.

    Args:
        config: The sweep.
        deltas: Its checkpoints, in the order of `SweepConfig.checkpoints`.
        computed: Its stored tensors, see `Geometry.computed`.
    """
    return tuple(_vector(entry, sources, 0) for entry, _, sources in _entries(config, deltas, computed))


def _entries(
    config: SweepConfig, deltas: Sequence[CheckpointDelta], computed: Sequence[str]
) -> Iterator[tuple[DirectionConfig | GroupDirections, int, Sequence[CheckpointDelta]]]:
    """Yield each entry with the number of its first checkpoint in `SweepConfig.checkpoints`, and what it is made of."""
    first, stored = 0, map(StoredTensors.of, computed)
    for entry in config.entries:
        yield entry, first, [next(stored)] if isinstance(entry, EngineDirection) else deltas[first:]
        if entry.kind != "group":  # those of an anatomy share the one that gives their displacement
            first += len(entry.checkpoints) + isinstance(entry.displacement, CheckpointConfig)


def _planned(config: SweepConfig, geometry: Geometry) -> Iterator[PlannedDirection]:
    entries = _entries(config, geometry.deltas, geometry.computed)
    for (entry, first, sources), norm in zip(entries, geometry.direction_norms, strict=True):
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
            vector = _vector(entry, sources, draw)
            yield PlannedDirection(
                kind=entry.kind, label=entry.label, vector=vector, scale=scale, displacement=scale * norm
            )


def _vector(entry: DirectionConfig | GroupDirections, sources: Sequence[Any], draw: int) -> VectorSpec:
    """Return the vector of one draw of an entry; what it is made of comes first among the sources.

    These are checkpoints, or, of an entry that an engine computes, the tensors that it stored.
    """
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
            vector = Complement(seed=direction_seed(entry.seed, draw, 0), to=sources[0], **common)
        case TaskVectorDirection():
            vector = TaskVector(minus=sources[0], plus=sources[1], **common)
        case SvdDirection():
            vector = SingularPart(to=sources[0], rank=entry.rank, part=entry.part, **common)
        case QuantizationErrorDirection():
            vector = QuantizationError(format=entry.format, by=entry.by, group_size=entry.group, **common)
        case PruningDirection():
            vector = Pruning(share=entry.share, **common)
        case RefusalAblationDirection():
            vector = RefusalAblation(along=sources[0], **common)
        case GradientDirection():
            vector = Gradient(of=sources[0], **common)
    return vector
