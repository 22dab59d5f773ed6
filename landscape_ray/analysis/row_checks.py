"""What rows of the result store must be, so that a landscape can be made of them."""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from landscape_ray.analysis.metric import Outcome
from landscape_ray.errors import PartError

__all__ = ["check_unique", "check_whole", "prompt_ids_of"]

IntArray: TypeAlias = npt.NDArray[np.int64]


def check_unique(cells: IntArray, num_cells: int, benchmark: str) -> None:
    """Refuse results that are there twice.

    Raises:
        PartError: A number of a result, below `num_cells`, occurs more than once.
    """
    repeated = np.flatnonzero(np.bincount(cells, minlength=num_cells) > 1)
    if len(repeated):
        msg = (
            f"{len(repeated)} results of benchmark {benchmark!r} (one prompt at one point) occur more than once, so "
            f"they would count more than once. Read each part of the plan once."
        )
        raise PartError(msg)


def check_whole(outcomes: npt.NDArray[np.int8], benchmark: str) -> None:
    """Refuse points that hold only some of the prompts.

    Raises:
        PartError: One does; `outcomes` has prompts in its last dimension.
    """
    num_prompts = outcomes.shape[-1]
    num_measured = np.count_nonzero(outcomes != Outcome.UNMEASURED, axis=-1)
    partial = num_measured[(num_measured > 0) & (num_measured < num_prompts)]
    if len(partial):
        msg = (
            f"{len(partial)} points of benchmark {benchmark!r} hold only some of its {num_prompts} prompts, the "
            f"first of them {partial[0]}. Delete the parts of these points and run the sweep again."
        )
        raise PartError(msg)


def prompt_ids_of(prompt: IntArray, ids: npt.NDArray[Any], num_prompts: int, benchmark: str) -> tuple[str, ...]:
    """Return the id of each prompt index, the same at every point.

    Raises:
        PartError: It is another one somewhere.
    """
    id_of = np.full(num_prompts, None, dtype=object)
    id_of[prompt] = ids
    if (changed := id_of[prompt] != ids).any():
        index = prompt[changed][0]
        msg = (
            f"Prompt {index} of benchmark {benchmark!r} is {ids[changed][0]!r} at one point and {id_of[index]!r} at "
            f"another: the prompt set changed between parts. Measure the changed prompts in a sweep of their own."
        )
        raise PartError(msg)
    return tuple(str(prompt_id) for prompt_id in id_of)
