"""How the workers of one vLLM engine place a point together: all in one way, with one digest of the whole checkpoint.

Each worker holds part of the model: slices of some checkpoint tensors, whole ones of others (norms), and parts that
other workers hold, too (heads of keys and values, where these are fewer than workers). The digest of a tensor is a sum
over its elements, so what the workers wrote adds up to it if every element is counted once.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from landscape_ray.engine.protocol import IN_PLACE, RELOADING
from landscape_ray.errors import PlacementError
from landscape_ray.planning import Perturbation
from landscape_ray.weights import Rectangle, check_partition, digest_of

__all__ = ["Layout", "Placing"]

logger = logging.getLogger(__name__)

MOST_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where the live model of one worker keeps the checkpoint, as far as it keeps it as it is."""

    shapes: Mapping[str, torch.Size]
    """Shapes of the checkpoint's tensors, of which it may hold parts."""
    dtype: torch.dtype
    """Type that they are placed in."""
    rectangles: tuple[Rectangle, ...]
    """What it holds of them, in the order in which it writes."""
    problems: tuple[str, ...]
    """What speaks against writing there."""


class Placing:
    """Has points placed by the workers of an engine: written in place where all can, else reloaded by all."""

    def __init__(self, call: Callable[..., list[Any]]) -> None:
        """Find out which way the workers can go; they hold the base weights by now.

        Args:
            call: Calls a method of `PerturbationWorker`, by name, on every worker.
        """
        self._call = call
        self.way = IN_PLACE
        """How points are placed, see `EngineFacts.way`."""
        self._layouts: list[Layout] = call("observe_layout")
        problems = _problems(self._layouts) or [problem for found in call("prove_layout") for problem in found]
        if problems := list(dict.fromkeys(problems)):
            shown = "; ".join(problems[:MOST_SHOWN]) + ("; ..." if len(problems) > MOST_SHOWN else "")
            logger.info("Weights go through vLLM's reloading, because not all can be written in place: %s.", shown)
            self.stay_with_reloading()

    def stay_with_reloading(self) -> None:
        """Have all workers reload from now on."""
        self._call("stay_with_reloading")
        self.way = RELOADING

    def place(self, perturbation: Perturbation) -> str:
        """Put a point's weights into every worker.

        Returns:
            The digest of the checkpoint-named tensors.

        Raises:
            PlacementError: The workers placed different weights, or a worker did not take every tensor.
        """
        placed = self._call("place_perturbation", args=(perturbation,))
        digests = {found for found in placed if isinstance(found, str)} or {self._joint_digest(placed)}
        if len(digests) != 1:
            msg = f"The workers of one engine placed different weights: digests {sorted(digests)}."
            raise PlacementError(msg)
        return digests.pop()

    def _joint_digest(self, placed: Sequence[Sequence[int]]) -> str:
        """Return the digest of the whole from what each worker wrote, and compare what several hold."""
        totals: dict[Rectangle, int] = {}
        for layout, written in zip(self._layouts, placed, strict=True):
            for part, total in zip(layout.rectangles, written, strict=True):
                if totals.setdefault(part, total) != total:
                    msg = f"The workers of one engine placed different weights: they differ in {part}."
                    raise PlacementError(msg)
        return digest_of(totals, self._layouts[0].shapes, self._layouts[0].dtype)


def _problems(layouts: Sequence[Layout]) -> list[str]:
    """Return what speaks against writing in place, before it is tried."""
    if problems := [problem for layout in layouts for problem in layout.problems]:
        return problems
    parts: dict[str, set[Rectangle]] = {name: set() for name in layouts[0].shapes}
    for layout in layouts:
        for rectangle in layout.rectangles:
            parts[rectangle.name].add(rectangle)
    return [
        f"{name} is {problem}"
        for name, shape in layouts[0].shapes.items()
        if (problem := check_partition(parts[name], shape))
    ]
