"""Names of a checkpoint's tensors, before any is loaded: what a sweep's patterns and its manifest need."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from landscape_ray.config import AnatomyLandscape, SweepConfig, leaves_norms
from landscape_ray.engine.checkpoints.model_config import has_tied_head
from landscape_ray.engine.checkpoints.resolution import INDEX_FILE, ResolvedModel, checkpoint_folder, header_on_hub
from landscape_ray.errors import CheckpointError
from landscape_ray.planning import default_excluded, left_out, with_groups

__all__ = ["TensorListing", "decided_by_names", "list_tensors", "own_weights", "tensor_sizes"]

HEAD = "lm_head.weight"


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorListing:
    """What a checkpoint holds."""

    names: tuple[str, ...]
    """The weights of its language model."""
    left_out: Mapping[str, int]
    """What else there is, by kind, and how many tensors each: see `planning.left_out`."""


def list_tensors(model: ResolvedModel) -> TensorListing:
    """List a checkpoint's tensors from its index, or from the headers of its files.

    Raises:
        CheckpointError: They cannot be read, or, on the Hub, not be had.
    """
    folder = checkpoint_folder(model.location, model.revision, weights=False)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    names = sorted(_names(folder, model))
    kinds = {name: left_out(name, config) for name in names}
    return TensorListing(
        names=tuple(name for name in names if kinds[name] is None),
        left_out=dict(Counter(kind for kind in kinds.values() if kind is not None)),
    )


def decided_by_names(config: SweepConfig, model: ResolvedModel, listing: TensorListing) -> SweepConfig:
    """Return a configuration with what names of tensors decide: which are norms, if left to the default; the groups.

    A pattern that was written is not touched, and neither is the default of a model whose norms are called `norm`.

    Raises:
        UserError: The groups of an anatomy do not fit the model.
    """
    excluded = {"excluded": default_excluded(listing.names)}
    directions: Any = config.directions
    if config.kinds:
        directions = tuple(each.model_copy(update=excluded) if leaves_norms(each) else each for each in config.kinds)
    elif leaves_norms(directions):
        directions = directions.model_copy(update=excluded)
    config = config.model_copy(update={"directions": directions})
    if not isinstance(config.landscape, AnatomyLandscape):
        return config
    landscape = with_groups(config.landscape, directions.excluded, own_weights(model, listing))
    return config.model_copy(update={"landscape": landscape})


def tensor_sizes(model: ResolvedModel, listing: TensorListing) -> dict[str, int | None]:
    """Return how many numbers each weight of the language model holds; None where its files are not here."""
    folder = checkpoint_folder(model.location, model.revision, weights=False)
    headers = [_header(file) for file in folder.glob("*.safetensors")]
    sizes = {name: math.prod(entry["shape"]) for header in headers for name, entry in header.items()}
    return {name: sizes.get(name) for name in own_weights(model, listing)}


def own_weights(model: ResolvedModel, listing: TensorListing) -> tuple[str, ...]:
    """Return the names without that of a head that is the embedding: it is moved with it, under one name."""
    heads = {name for name in listing.names if name == HEAD or name.endswith(f".{HEAD}")}
    if heads and has_tied_head(checkpoint_folder(model.location, model.revision, weights=False)):
        return tuple(name for name in listing.names if name not in heads)
    return listing.names


def _names(folder: Path, model: ResolvedModel) -> Iterable[str]:
    index = folder / INDEX_FILE
    if index.is_file():
        names: Iterable[str] = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        return names
    single = folder / "model.safetensors"
    files = [single] if single.is_file() else sorted(folder.glob("*.safetensors"))
    if files or model.revision is None:
        return {name for file in files for name in _header(file)}
    return header_on_hub(model.location, model.revision, "model.safetensors")


def _header(file: Path) -> dict[str, Any]:
    """Return what the header of a safetensors file says of each tensor."""
    with file.open("rb") as stream:
        size = int.from_bytes(stream.read(8), "little")
        try:
            header: dict[str, Any] = json.loads(stream.read(size))
        except ValueError as error:
            msg = f"{file} is no whole safetensors file; fetch the checkpoint again."
            raise CheckpointError(msg) from error
    header.pop("__metadata__", None)
    return header
