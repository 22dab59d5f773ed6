"""Which engine visits which point: driver, scheduler and actors on Ray."""

from landscape_ray.sweep.campaign import EndedSweep, prepare_campaign, run_campaign, worst
from landscape_ray.sweep.cluster.kept import IdleEngine, kept_engines
from landscape_ray.sweep.driver import run_sweep
from landscape_ray.sweep.outcome import SweepOutcome, survey
from landscape_ray.sweep.preparation import PreparedSweep, prepare
from landscape_ray.sweep.shards import measure_shard
from landscape_ray.sweep.watching.profile import ProfiledProgress
from landscape_ray.sweep.watching.progress import Progress, SilentProgress, SweepStatus, progress_for

__all__ = [
    "EndedSweep",
    "IdleEngine",
    "PreparedSweep",
    "ProfiledProgress",
    "Progress",
    "SilentProgress",
    "SweepOutcome",
    "SweepStatus",
    "kept_engines",
    "measure_shard",
    "prepare",
    "prepare_campaign",
    "progress_for",
    "run_campaign",
    "run_sweep",
    "survey",
    "worst",
]
