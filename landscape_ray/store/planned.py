"""Which parts a results folder should hold."""

from collections.abc import Mapping

from landscape_ray.config import SweepConfig
from landscape_ray.planning import SweepPlan
from landscape_ray.store.keys import part_key
from landscape_ray.store.manifest import BenchmarkIdentity, Manifest

__all__ = ["keys_by_label", "part_keys", "planned_keys", "planned_sweep"]


def part_keys(
    config: SweepConfig, plan: SweepPlan, *, fingerprint: str, benchmarks: Mapping[str, BenchmarkIdentity]
) -> dict[str, list[str]]:
    """Return the key of the part of each point, in the order of the plan, by benchmark in that of the configuration.

    Args:
        config: The sweep.
        plan: Its points.
        fingerprint: Of the model.
        benchmarks: Identity of each benchmark of the configuration, by name.
    """
    return {
        name: [
            part_key(
                fingerprint=fingerprint,
                engine=config.engine,
                dtype=config.dtype,
                batching=config.batching,
                point=point,
                benchmark=benchmarks[name],
                judge=benchmarks[name].judge,
            )
            for point in plan.points
        ]
        for name in (benchmark.name for benchmark in config.benchmarks)
    }


def planned_keys(manifest: Manifest, config: SweepConfig, plan: SweepPlan) -> dict[str, list[str]]:
    """Return the keys of the parts of a sweep that a manifest is of; see `part_keys`."""
    return part_keys(config, plan, fingerprint=manifest.fingerprint, benchmarks=manifest.benchmarks)


def planned_sweep(manifest: Manifest) -> tuple[SweepConfig, SweepPlan, dict[str, list[str]]]:
    """Return the sweep that a folder was last run with: its configuration, its points, and the keys of their parts.

    Raises:
        OutputError: This version of landscape-ray does not accept the configuration.
    """
    config = manifest.request()
    plan = SweepPlan.from_config(config, manifest.geometry)
    return config, plan, planned_keys(manifest, config, plan)


def keys_by_label(plan: SweepPlan, keys: Mapping[str, list[str]]) -> dict[str, dict[str, str]]:
    """Return keys by label of the point, then by benchmark."""
    return {point.label: {name: keys[name][place] for name in keys} for place, point in enumerate(plan.points)}
