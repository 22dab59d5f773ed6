"""What an anatomy says, in words."""

from landscape_ray.analysis import Anatomy, GroupLoss
from landscape_ray.errors import number_of
from landscape_ray.report.words import brief_text

__all__ = ["holding_text", "loss_text", "wall_text"]

MOST_NAMES = 12


def holding_text(anatomy: Anatomy) -> str:
    """Return which few groups hold most of what is lost."""
    if anatomy.share is None or anatomy.share.value is None:
        return "no group loses anything on this axis, so there is no share of the loss; move them farther"
    groups = f"{len(anatomy.holding)} of {number_of(len(anatomy.groups), 'group')}"
    held = "holds" if len(anatomy.holding) == 1 else "hold"
    interval = anatomy.share.interval
    ends = "no interval: too few prompts"
    if interval is not None:
        ends = f"95 % interval over {interval.over} {100 * interval.low:.0f} to {100 * interval.high:.0f} %"
    more = len(anatomy.holding) - MOST_NAMES
    names = ", ".join(anatomy.holding[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
    return f"{groups} {held} {100 * anatomy.share.value:.0f} % of the loss ({ends}): {names}"


def loss_text(group: GroupLoss) -> str:
    """Return the mean rise of the ASR, in percentage points."""
    return brief_text(group.loss).replace("-", "−")


def wall_text(group: GroupLoss) -> str:
    """Return the distance to the wall, as a share of the norm of the weights."""
    return f"{'≥ ' if group.num_draws_cut else ''}{brief_text(group.wall, '.3f')}"
