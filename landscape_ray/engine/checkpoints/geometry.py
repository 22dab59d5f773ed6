"""What must be known of a sweep's checkpoints before it can be planned. Runs once, on the driver, without an engine."""

import itertools
import math
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from landscape_ray.config import DirectionsConfig, SweepConfig
from landscape_ray.engine.checkpoints.model_config import has_tied_head
from landscape_ray.engine.checkpoints.resolution import (
    ResolvedModel,
    check_same_computation,
    checkpoint_folder,
    resolve_delta,
)
from landscape_ray.engine.synthetic import synthetic_delta, synthetic_geometry
from landscape_ray.errors import ResourceError, in_brief
from landscape_ray.planning import CheckpointDelta, Geometry, StoredTensors, entry_vectors, random_vector

__all__ = ["has_tied_head", "measure_geometry", "resolve_checkpoints"]


def resolve_checkpoints(config: SweepConfig) -> tuple[CheckpointDelta, ...]:
    """Find and pin the checkpoints beside the model, in the order of `SweepConfig.checkpoints`.

    Raises:
        CheckpointError: One cannot be had.
    """
    find = synthetic_delta if config.engine == "synthetic" else resolve_delta
    return tuple(find(checkpoint) for checkpoint in config.checkpoints)


def measure_geometry(
    config: SweepConfig,
    model: ResolvedModel,
    deltas: tuple[CheckpointDelta, ...],
    stored: Mapping[StoredTensors, Path] = MappingProxyType({}),
) -> Geometry:
    """Measure norms and angles of a sweep's checkpoints, reading all of them once, tensor by tensor.

    Args:
        config: The sweep.
        model: Its model.
        deltas: Its checkpoints.
        stored: Folders of the tensors of its directions that an engine computed, in the order of the list.

    Raises:
        CheckpointError: A checkpoint cannot be had, or is not one of the model's architecture and configuration.
        ResourceError: torch is not installed here.
    """
    if config.engine == "synthetic":
        return synthetic_geometry(deltas, num_directions=len(config.entries))
    try:
        from landscape_ray.weights import (  # noqa: PLC0415 - heavy, and needed by few sweeps
            CheckpointFiles,
            check_finite,
            direction_norms,
            inner_products,
            open_endpoint,
            random_norm,
            weights_norm,
        )
    except ImportError as error:
        msg = (
            "This landscape is planned by the norms of weights, and what reads them cannot be imported. Install "
            "landscape-ray[gpu] or, in a clone, `make install`, where the sweep is started. Python says: "
            f"{in_brief(error)}."
        )
        raise ResourceError(msg) from error
    folder = checkpoint_folder(model.location, model.revision)
    base = CheckpointFiles.open(folder, tied_head=has_tied_head(folder))
    places = [checkpoint_folder(delta.location, delta.revision) for delta in deltas]
    for place in places:
        check_same_computation(folder, place)
    endpoints = [open_endpoint(place, base) for place in places]
    drawn = config.directions
    products = inner_products(base, endpoints)
    norm = None
    if isinstance(drawn, DirectionsConfig) and drawn.displacement is not None and not config.entries:
        norm = random_norm(base, random_vector(drawn, draw=0))
    length = weights_norm(base) if config.entries else None
    if not all(map(math.isfinite, (norm or 0.0, length or 0.0, *itertools.chain(*products)))):
        # Only now is it looked for: in a checkpoint that is in order these sums cost nothing more.
        for name in base.names:
            for place, source in zip((folder, *places), (base, *endpoints), strict=True):
                check_finite(name, source.tensor(name), place)
    computed = tuple(each.digest for each in stored)
    sources = dict(zip(deltas, endpoints, strict=True)) | {each: open_endpoint(at, base) for each, at in stored.items()}
    return Geometry(
        deltas=deltas,
        inner_products=products,
        random_norm=norm,
        direction_norms=direction_norms(entry_vectors(config, deltas, computed), base, sources),
        weights_norm=length,
        computed=computed,
    )
