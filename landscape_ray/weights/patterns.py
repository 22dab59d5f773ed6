"""Which tensors a vector moves, by their names."""

import re
from typing import TypeAlias

from landscape_ray.errors import CheckpointError
from landscape_ray.planning import ComputedVector, RandomVector, is_moved

__all__ = ["check_patterns", "is_perturbed"]

Selection: TypeAlias = RandomVector | ComputedVector


def is_perturbed(vector: Selection, name: str) -> bool:
    """Tell whether a vector is other than zero on a tensor, by its name."""
    return is_moved(name, included=vector.included, excluded=vector.excluded)


def check_patterns(vector: Selection, names: tuple[str, ...]) -> None:
    """Refuse patterns that match no tensor, and those that leave none.

    Raises:
        CheckpointError: They do.
    """
    for key, patterns in (("included", vector.included), ("excluded", vector.excluded)):
        for pattern in patterns:
            if not any(re.search(pattern, name) for name in names):
                msg = (
                    f"directions.{key} has the pattern {pattern!r}, which matches none of the checkpoint's "
                    f"{len(names)} tensors ({names[0]}, {names[len(names) // 2]}, ..., {names[-1]}). Another part of "
                    "the model than meant would be perturbed without notice; give patterns that match, or [] for no "
                    "such limit."
                )
                raise CheckpointError(msg)
    if not any(is_perturbed(vector, name) for name in names):
        msg = (
            f"directions.included {list(vector.included)} and directions.excluded {list(vector.excluded)} leave none "
            f"of the checkpoint's {len(names)} tensors to be perturbed; widen the one or narrow the other."
        )
        raise CheckpointError(msg)
