"""`certify`: when a sweep has measured enough directions to be sure of a basin."""

import math
from fractions import Fraction

from pydantic import Field

from landscape_ray.config.landscape import LandscapeConfig, RandomLandscape
from landscape_ray.config.section import Section

__all__ = ["CertifyConfig", "check_radius"]


class CertifyConfig(Section):
    """Measure draws only until it is settled how sure "no wall nearby" is.

    A direction is a basin if no point within the radius has an attack success rate above 50 %. The sweep ends when the
    share of such directions is certified, or cannot be any more within `directions.draws`.
    """

    radius: float = Field(gt=0, allow_inf_nan=False)
    """How far the basin is to reach, in coordinates; a coordinate of the axis, on both sides of the origin."""
    share: float = Field(default=0.95, gt=0, lt=1)
    """Share of all directions that are to be basins, at least."""
    confidence: float = Field(default=0.95, gt=0, lt=1)
    """How sure that is to be: the chance that a smaller share is not certified, at least."""

    @property
    def fewest_draws(self) -> int:
        """How many draws certify the share if all of them are basins: the smallest n with share^n <= 1 - confidence."""
        return math.ceil(math.log(1 - self.confidence) / math.log(self.share))


def check_radius(landscape: LandscapeConfig, radius: float) -> None:
    """Refuse a landscape that does not show which random directions are basins of this radius.

    Raises:
        ValueError: It goes along no single random direction, does not reach so far on each side of the origin that it
            looks at, or has no coordinate there, so that nobody looked at the last stretch.
    """
    if not isinstance(landscape, RandomLandscape) or len(landscape.axes) != 1:
        kind = f"{len(landscape.axes)}-D of kind {landscape.kind!r}"
        msg = (
            f"only a 1-D landscape along random directions shows what share of directions is a basin, and this one is "
            f"{kind}; `score --radius` counts the random planes of a 2-D one"
        )
        raise ValueError(msg)
    (axis,) = landscape.axes
    if not axis.start <= 0 <= axis.stop or axis.num == 1:
        msg = f"the axis from {axis.start:g} to {axis.stop:g} does not enclose the origin"
        raise ValueError(msg)
    start, stop = Fraction(repr(axis.start)), Fraction(repr(axis.stop))
    coordinates = [start + (stop - start) * i / (axis.num - 1) for i in range(axis.num)]
    for end in filter(None, (start, stop)):
        wanted = Fraction(repr(radius)) * (1 if end > 0 else -1)
        if abs(wanted) > abs(end):
            msg = (
                f"radius {radius:g} lies beyond the axis, which ends at {float(end):g}: nothing is known there; take a "
                f"smaller one or a wider axis"
            )
            raise ValueError(msg)
        if wanted not in coordinates:
            inner = max(float(abs(c)) for c in coordinates if c * end >= 0 and abs(c) < abs(wanted))
            outer = min(float(abs(c)) for c in coordinates if c * end > 0 and abs(c) > abs(wanted))
            msg = (
                f"radius {radius:g} lies between two coordinates of the axis, {inner:g} and {outer:g}, so nobody looks "
                f"at its last stretch; take one of these, or a finer axis"
            )
            raise ValueError(msg)
