"""Directions that an engine computes once, before the engines of a sweep start; found again when it is resumed."""

import logging
import os
from collections.abc import Mapping, Sequence
from typing import cast

import ray
from ray.exceptions import RayError

from landscape_ray.config import EngineDirection
from landscape_ray.engine import EngineSpec
from landscape_ray.errors import GenerationError, OutputError, in_brief
from landscape_ray.store import DirectionFiles
from landscape_ray.sweep.cluster.resources import allot, connection, forwarded_environment, hide_gpus
from landscape_ray.sweep.on_node import with_files_here
from landscape_ray.sweep.reports import Trouble

__all__ = ["stored_directions"]

logger = logging.getLogger(__name__)


def stored_directions(
    entries: Sequence[EngineDirection], spec: EngineSpec, *, out: str, fingerprint: str, recorded: Sequence[str]
) -> tuple[str, ...]:
    """Return the SHA-256 of the stored tensors of each entry; what is not there is computed on the Ray cluster.

    Args:
        entries: The directions.
        spec: What the engines of the sweep are built from, but for what it measures.
        out: Where results go, and the tensors.
        fingerprint: Content of the base checkpoint.
        recorded: What the manifest has of an earlier run into the folder: hashes of the first entries.

    Raises:
        UserError: A direction cannot be computed; the message says why.
        OutputError: What had to be computed anew came out otherwise than recorded.
        LandscapeError: The engine failed.
    """
    files = DirectionFiles(out)
    known = list(recorded[: len(entries)])
    missing = [i for i in range(len(entries)) if i >= len(known) or files.folder(known[i]) is None]
    if not missing:
        return tuple(known)
    logger.info("Computing %s.", ", ".join(repr(entries[i].label) for i in missing))
    found = dict(zip(missing, _computed([entries[i] for i in missing], spec, out, fingerprint), strict=True))
    for i, digest in found.items():
        if i < len(known) and digest != known[i]:
            msg = (
                f"{files.location} lacks the stored direction {entries[i].label!r}, directions/{known[i]}, and it came "
                f"out otherwise when it was computed anew, as {digest}: other libraries or another processor round "
                "otherwise. Its points could not stand beside those that were measured. Put the file back, run on a "
                "machine like the first one, or give another output folder (--out)."
            )
            raise OutputError(msg)
    return tuple(found.get(i, known[i] if i < len(known) else "") for i in range(len(entries)))


def _computed(entries: Sequence[EngineDirection], spec: EngineSpec, out: str, fingerprint: str) -> tuple[str, ...]:
    """Have directions computed and stored by an engine somewhere in the cluster."""
    with connection(must_outlive=spec.run.keep_engines_s > 0):
        allotment = allot("transformers", spec.run)
        actor = (
            ray.remote(DirectionsActor)
            .options(**allotment.options)
            .remote(on_gpu=allotment.num_gpus > 0, environment=forwarded_environment(os.environ))
        )
        try:
            found = ray.get(actor.compute.remote(tuple(entries), spec, out, fingerprint))
        except RayError as error:
            msg = f"The engine that computes directions did not live to its end. Ray says: {in_brief(error)}."
            raise GenerationError(msg) from error
        finally:
            ray.kill(actor)
    if isinstance(found, Trouble):
        raise found.error
    return cast("tuple[str, ...]", found)


class DirectionsActor:
    """Computes directions with an engine of its own."""

    def __init__(self, *, on_gpu: bool, environment: Mapping[str, str]) -> None:
        """Set what libraries read when they are imported."""
        os.environ.update(environment)
        if not on_gpu:
            hide_gpus()

    def compute(
        self, entries: Sequence[EngineDirection], spec: EngineSpec, out: str, fingerprint: str
    ) -> tuple[str, ...] | Trouble:
        """Compute and store directions; return the SHA-256 of each."""
        try:
            here = with_files_here(spec, out=out, fingerprint=fingerprint)
            from landscape_ray.engine.hf.computed_directions import computed_directions  # noqa: PLC0415  (torch)

            return tuple(map(DirectionFiles(out).put, computed_directions(here, entries)))
        except Exception as error:  # whatever it is, the driver must hear of it
            logger.exception("Directions could not be computed")
            return Trouble.of(error)
