"""What is added to the weights at a point: named vectors and their coefficients, never values."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any, TypeAlias

from landscape_ray.config import Normalization

__all__ = [
    "ORIGIN",
    "STORED_FILE",
    "CheckpointDelta",
    "ComputedVector",
    "Perturbation",
    "RandomVector",
    "StoredTensors",
    "VectorSpec",
    "direction_seed",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomVector:
    """A Gaussian direction in weight space, determined by its seed and the checkpoint's tensor names and shapes.

    Source: Peng et al. 2024, Section 3 and Eq. 2 (`layer`); Li et al. 2018, Section 4 (`filter`).
    """

    seed: int
    """64-bit seed of this one vector, see `direction_seed`."""
    normalization: Normalization
    """How the vector is scaled against the weights."""
    excluded: tuple[str, ...]
    """Regular expressions searched in tensor names; the vector is zero on tensors that match."""
    included: tuple[str, ...] = ()
    """Regular expressions searched in tensor names; the vector is zero on tensors that match none. Empty: all match."""

    @property
    def identity(self) -> dict[str, Any]:
        """What makes it this vector, as plain JSON types, for keys of results.

        What has its default is left out where it came later than the first results, so that their keys stay.
        """
        identity: dict[str, Any] = {
            "seed": self.seed,
            "normalization": self.normalization,
            "excluded": list(self.excluded),
        }
        return {**identity, "included": list(self.included)} if self.included else identity


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointDelta:
    """The difference of another checkpoint from the base, `theta' - theta`. Two are equal if their contents are.

    Source: Peng et al. 2024, Eq. 1 (interpolation) and Eq. 4.
    """

    fingerprint: str
    """Content of the checkpoint, or of the adapter that is merged into the base."""
    location: str = field(compare=False)
    """Folder, or Hub id: where it lies, no part of what it is."""
    revision: str | None = field(compare=False)
    """Commit on the Hub; None for a folder."""

    @property
    def identity(self) -> dict[str, Any]:
        """What makes it this vector, as plain JSON types, for keys of results."""
        return {"fingerprint": self.fingerprint}


STORED_FILE = "tensors.safetensors"
"""In the folder of stored tensors: these, by the names of the checkpoint's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTensors(CheckpointDelta):
    """Tensors that an engine computed before the sweep, stored beside its results under the hash of their content.

    They lie and travel as a further checkpoint does, but a vector says what they mean: they are no model's weights.
    """

    @classmethod
    def of(cls, digest: str) -> "StoredTensors":
        """Return the tensors whose file has this SHA-256; their location is that in the results folder."""
        return cls(fingerprint=f"tensors:{digest}", location=f"directions/{digest}", revision=None)

    @property
    def digest(self) -> str:
        """SHA-256 of the file."""
        return self.fingerprint.partition(":")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputedVector:
    """What all vectors have in common whose tensors are computed; each kind adds fields, which make it what it is."""

    normalization: Normalization = "none"
    """`none`: as it is; else how its tensors are scaled against the weights."""
    included: tuple[str, ...] = ()
    """Regular expressions searched in tensor names; the vector is zero on tensors that match none. Empty: all match."""
    excluded: tuple[str, ...] = ()
    """Regular expressions searched in tensor names; the vector is zero on tensors that match."""

    @property
    def identity(self) -> dict[str, Any]:
        """What makes it this vector, as plain JSON types, for keys of results."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}

    @property
    def checkpoints(self) -> tuple[CheckpointDelta, ...]:
        """The checkpoints beside the model that its tensors are computed from."""
        values = (getattr(self, field.name) for field in fields(self))
        return tuple(value for value in values if isinstance(value, CheckpointDelta))


def _plain(value: Any) -> Any:
    if isinstance(value, CheckpointDelta):
        return value.identity
    return list(value) if isinstance(value, tuple) else value


VectorSpec: TypeAlias = RandomVector | CheckpointDelta | ComputedVector


@dataclass(frozen=True, slots=True, kw_only=True)
class Perturbation:
    """The sum of coefficients times vectors that is added to the base weights.

    Every landscape kind is such a sum. Terms with coefficient 0 are dropped, so the origin has no terms and is the
    same perturbation whatever the directions are.
    """

    terms: tuple[tuple[VectorSpec, float], ...]
    """Vectors with their non-zero coefficients, in axis order."""

    @classmethod
    def of(cls, terms: Iterable[tuple[VectorSpec, float]]) -> "Perturbation":
        """Return the perturbation with the zero terms dropped."""
        return cls(terms=tuple((vector, coefficient) for vector, coefficient in terms if coefficient != 0))


ORIGIN = Perturbation(terms=())


def direction_seed(seed: int, draw: int, axis: int) -> int:
    """Return the 64-bit seed of the vector of one draw along one axis.

    A hash, so that draws are unrelated, and so that adding draws or an axis leaves the others as they are.
    """
    digest = hashlib.blake2b(f"landscape-ray/direction/{seed}/{draw}/{axis}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")
