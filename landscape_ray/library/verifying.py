"""Proofs that points are placed right."""

from __future__ import annotations

from typing import TYPE_CHECKING

from landscape_ray.config import SweepConfig
from landscape_ray.errors import ResourceError

if TYPE_CHECKING:
    from landscape_ray.engine.proof.proven import Proof

__all__ = ["verify"]


def verify(config: SweepConfig, *, full: bool = False) -> Proof:
    """Compare what an engine computes at points with fresh loads of their weights, where this process runs.

    Args:
        config: The sweep.
        full: Prove the model itself, not a small twin of it.

    Raises:
        ResourceError: The engine has no weights, or its library cannot be imported.
        CheckpointError: The model cannot be had.
    """
    from landscape_ray.engine import EngineSpec  # noqa: PLC0415
    from landscape_ray.engine.checkpoints.resolution import resolve  # noqa: PLC0415
    from landscape_ray.engine.factory import import_engine  # noqa: PLC0415

    if config.engine == "synthetic":
        msg = "The synthetic engine has no weights, so there is nothing to verify; set engine to vllm or transformers."
        raise ResourceError(msg)
    model = resolve(config.model)
    spec = EngineSpec(
        engine=config.engine,
        model=model.location,
        revision=model.revision,
        dtype=config.dtype,
        run=config.run,
        batching=config.batching,
    )
    import_engine(spec)
    from landscape_ray.engine.proof.proven import Combination, prove  # noqa: PLC0415

    proof = prove(spec, Combination.of(spec), anew=True, full=full)
    assert proof is not None  # noqa: S101  (it has waited for others)
    return proof
