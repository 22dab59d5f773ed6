"""How Inspect calls a point of a landscape: `landscape/results/demo@-0.25/draw1`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from landscape_ray.errors import ConfigError

__all__ = ["PROVIDER", "PointName", "point_name"]

PROVIDER = "landscape"
"""What stands before the first slash of a model's name."""
NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
NAME = re.compile(rf"(?P<source>.+)@(?P<coordinates>{NUMBER}(?::{NUMBER})?)(?:/draw(?P<draw>\d+))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class PointName:
    """A model's name, taken apart."""

    source: str
    """Path or URL of a results folder, or path of a configuration (`*.yaml`, `*.yml`)."""
    coordinates: tuple[float, ...]
    """Coordinate on each axis."""
    draw: int
    """Draw of the direction(s)."""

    @classmethod
    def parse(cls, name: str) -> "PointName":
        """Take a name apart, without the provider.

        Raises:
            ConfigError: It names no point.
        """
        found = NAME.fullmatch(name)
        if found is None:
            msg = (
                f"The model {PROVIDER}/{name} names no point of a landscape. Write {PROVIDER}/SOURCE@ALPHA, or "
                f"{PROVIDER}/SOURCE@ALPHA:BETA in two dimensions, and /drawN behind it for another draw than 0; SOURCE "
                "is a results folder or a configuration (*.yaml)."
            )
            raise ConfigError(msg)
        coordinates = tuple(float(each) + 0.0 for each in found["coordinates"].split(":"))  # -0.0 is 0.0
        return cls(source=found["source"], coordinates=coordinates, draw=int(found["draw"] or 0))


def point_name(source: str, coordinates: Sequence[float], draw: int | None) -> str:
    """Return the name of a point with its provider; floats are written exactly. The origin is of no draw."""
    place = ":".join(repr(each + 0.0).removesuffix(".0") for each in coordinates)
    return f"{PROVIDER}/{source}@{place}{f'/draw{draw}' if draw is not None else ''}"
