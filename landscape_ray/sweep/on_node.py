"""What an engine reads from files, on the node where it is to start."""

import socket
from dataclasses import replace
from pathlib import Path

from landscape_ray.config import CheckpointConfig, ModelConfig
from landscape_ray.engine import EngineSpec
from landscape_ray.engine.checkpoints.resolution import checkpoint_folder, resolve, resolve_delta
from landscape_ray.errors import CheckpointError, OutputError
from landscape_ray.planning import CheckpointDelta, StoredTensors
from landscape_ray.store import DirectionFiles

__all__ = ["stored_folder", "with_files_here"]


def with_files_here(spec: EngineSpec, *, out: str, fingerprint: str) -> EngineSpec:
    """Have checkpoints and stored directions on this node, and return a specification that says where these lie.

    Folders must be here what they are for the driver; a commit on the Hub is so by its name, and a stored direction by
    its hash.

    Args:
        spec: The engine.
        out: Where results go.
        fingerprint: Content of the base checkpoint.

    Raises:
        CheckpointError: A checkpoint is not here, or another one.
        OutputError: A stored direction is not there, or damaged.
        TransientError: The Hub or the store is out of reach.
    """
    if spec.engine == "synthetic":
        return spec
    if spec.revision is None:
        _check_same(spec.model, resolve(ModelConfig(id=spec.model)).fingerprint, fingerprint)
    checkpoint_folder(spec.model, spec.revision)
    return replace(spec, deltas=tuple(_here(delta, out) for delta in spec.deltas))


def stored_folder(stored: StoredTensors, out: str) -> Path:
    """Return the local folder of stored tensors.

    Raises:
        OutputError: They are not there, or damaged.
    """
    folder = DirectionFiles(out).folder(stored.digest)
    if folder is None:
        msg = (
            f"{out} lacks the stored direction {stored.location}, which this sweep is measured along. Run the same "
            "command again: it is computed anew."
        )
        raise OutputError(msg)
    return folder


def _here(delta: CheckpointDelta, out: str) -> CheckpointDelta:
    if isinstance(delta, StoredTensors):
        return replace(delta, location=str(stored_folder(delta, out)))
    if delta.revision is None:
        _check_same(delta.location, resolve_delta(CheckpointConfig(id=delta.location)).fingerprint, delta.fingerprint)
    checkpoint_folder(delta.location, delta.revision)
    return delta


def _check_same(folder: str, found: str, expected: str) -> None:
    if found != expected:
        msg = (
            f"The checkpoint in {folder} on node {socket.gethostname()} is another one than on the driver's machine "
            f"({found}, not {expected}). Put the model on storage that all nodes share."
        )
        raise CheckpointError(msg)
