"""The groups of an anatomy, and what of the model they hold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from landscape_ray.config import AnatomyLandscape, DirectionsConfig, SweepConfig
from landscape_ray.engine.checkpoints.resolution import resolve
from landscape_ray.engine.checkpoints.tensor_listing import list_tensors, tensor_sizes
from landscape_ray.planning import SweepPlan, left_by_groups, members

__all__ = ["GroupSize", "group_sizes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSize:
    """What a group holds, and where it is measured."""

    name: str
    """Its name."""
    num_points: int
    """Points beyond the origin, of all its draws."""
    num_tensors: int | None
    """Tensors that it moves; None where the engine has none."""
    num_parameters: int | None
    """Numbers in these; None where the model's files are not here."""


def group_sizes(config: SweepConfig, plan: SweepPlan) -> tuple[list[GroupSize], tuple[str, ...]]:
    """Return the sizes of the groups of an anatomy, and which tensors no group moves, though none excludes them.

    Args:
        config: The sweep, with its groups.
        plan: Its plan.
    """
    landscape, directions = config.landscape, config.directions
    if not isinstance(landscape, AnatomyLandscape) or not isinstance(directions, DirectionsConfig):
        return [], ()
    num_points = _num_points(config, plan)
    if config.engine == "synthetic":
        names = [group.name for group in landscape.groups]
        return [GroupSize(name=n, num_points=num_points, num_tensors=None, num_parameters=None) for n in names], ()
    model = resolve(config.model)
    sizes = tensor_sizes(model, list_tensors(model))
    groups = []
    for group in landscape.groups:
        its = members(group, sizes, directions.excluded)
        groups.append(
            GroupSize(name=group.name, num_points=num_points, num_tensors=len(its), num_parameters=_total(sizes, its))
        )
    return groups, left_by_groups(landscape, sizes, directions.excluded)


def _num_points(config: SweepConfig, plan: SweepPlan) -> int:
    """Return how many points beyond the origin are measured of a group: as many of each."""
    of_draw = len(plan.grid.axes[0])
    if config.adaptive is not None:
        of_draw = config.adaptive.num_points(of_draw)
    return (of_draw - 1) * (plan.draws // len(config.entries))


def _total(sizes: Mapping[str, int | None], names: Sequence[str]) -> int | None:
    known = [size for name in names if (size := sizes[name]) is not None]
    return sum(known) if len(known) == len(names) else None
