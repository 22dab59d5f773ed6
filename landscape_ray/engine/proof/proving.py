"""The proof that a placed point computes what its weights compute when a fresh engine loads them from files.

Digests and counts say what was handed to an engine, not what it computes with. So the weights of some points are
written as checkpoints, one engine after the other loads them as it loads any checkpoint, and tells how likely probe
texts are and how it goes on. Then an engine that starts at the origin is placed at these points, and at the origin
again, and must say the same. Two engines are needed: in one that has started at the point, a tensor that never moves
would agree.
"""

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

import torch

from landscape_ray.engine.checkpoints.model_config import has_tied_head
from landscape_ray.engine.factory import create_engine, create_loaded_engine
from landscape_ray.engine.protocol import IN_LINES, IN_PLACE, Engine, EngineSpec, LineEngine
from landscape_ray.evaluation import Benchmark, Completion, LogLikelihood, Prompt, ScoredText
from landscape_ray.planning import ORIGIN, CheckpointDelta, Perturbation, RandomVector
from landscape_ray.weights import CheckpointFiles, Perturber, open_endpoint, write_checkpoint

__all__ = ["Comparison", "compare_with_fresh_loads"]

NATS = {"float32": 1e-4, "bfloat16": 1e-2, "float16": 1e-2}
"""By how much a text's mean log-likelihood a token may differ. Equal weights give equal bits on the engines tried."""
NATS_IN_LINES = {"float32": 1e-3, "bfloat16": 0.05, "float16": 0.05}
"""The same where points are sums of products instead of weights."""
KV_CACHE_GIB = 0.25

# In many letters, so that a small vocabulary is used widely.
TEXTS = (
    "The river rose by 12 metres in 1987, and nobody in the village slept that night.",
    "Write down what you need: apples, (ripe) plums, 3 jars of quince jelly & a zip fastener!",
    "def fox(x): return [x * 2 + 7 for _ in range(40)]",
    "How do I keep bees? Begin with a warm box, out of the wind, and a veil.",
)
PROBES = Benchmark(
    name="probes",
    prompts=tuple(Prompt(id=str(i), text=text) for i, text in enumerate(TEXTS)),
    system_prompt=None,
    chat_template="{{ messages[0].content }}",
    max_new_tokens=6,
    metric="asr",
    judge="keyword",
)
SCORED = tuple(ScoredText(context=text[:8], text=text[8:]) for text in TEXTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How an engine at a point differs from one that has loaded the point's weights."""

    way: str
    """How the point was placed: `in place`, `reloading` or `in lines`."""
    point: str
    """Which point, in words."""
    difference: float
    """Largest difference of a text's mean log-likelihood a token, in nats."""
    tolerance: float
    """How large it may be."""
    num_equal: int
    """Answers of equal tokens."""
    num_answers: int
    """Of so many; all must be equal in float32."""
    must_be_equal: bool
    """Whether answers count: they do in float32."""

    @property
    def holds(self) -> bool:
        """Whether the engine computes with the point's weights; a difference that is no number is one."""
        alike = self.num_equal == self.num_answers or not self.must_be_equal
        return self.difference <= self.tolerance and alike


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answers:
    """What an engine says of the probes."""

    means: tuple[float, ...]
    """Mean log-likelihood a token of each text, in nats."""
    tokens: tuple[tuple[int, ...], ...]
    """How it goes on after each text, decoded greedily."""

    @classmethod
    def of(cls, likelihoods: Sequence[LogLikelihood | None], completions: Sequence[Completion]) -> "_Answers":
        """Take what an engine gave for the texts; none of them fills a context."""
        return cls(
            means=tuple(each.total / len(each.token_ids) for each in likelihoods if each),
            tokens=tuple(completion.token_ids for completion in completions),
        )


@runtime_checkable
class _Reloads(Protocol):
    """An engine that can be told to reload where it writes in place."""

    def stay_with_reloading(self) -> None:
        """Reload from now on."""
        ...


def compare_with_fresh_loads(spec: EngineSpec, folder: Path) -> list[Comparison]:
    """Compare an engine's points with fresh loads of their weights, for each way of placing that the engine has.

    Args:
        spec: The engine: library, type, batching, devices.
        folder: The checkpoint, such as a small twin.

    Raises:
        LandscapeError: An engine could not be built, or did not take a point's weights.
    """
    with tempfile.TemporaryDirectory(prefix="landscape-ray-proof-") as scratch:
        points, expected = _expected(spec, folder, Path(scratch))
        engine = create_engine(_to_place(spec, folder, points))
        try:
            return _compared(engine, spec, points, expected)
        finally:
            engine.close()


def _expected(spec: EngineSpec, folder: Path, scratch: Path) -> tuple[dict[str, Perturbation], dict[str, _Answers]]:
    """Return points, and what engines say that have loaded their weights from files."""
    # The first point's weights serve as the checkpoint that a difference leads to.
    end = scratch / "end"
    delta = CheckpointDelta(fingerprint="the first point's weights", location=str(end), revision=None)
    points, expected = _points(delta), {}
    for name, point in points.items():
        loaded = folder
        if point != ORIGIN:
            loaded = scratch / "point" if end.exists() else end
            _write_point(folder, point, {delta: end}, loaded, spec.dtype)
        expected[name] = _loaded_answers(spec, loaded)
    return points, expected


def _points(delta: CheckpointDelta) -> dict[str, Perturbation]:
    """Return the points by what they are; all but the origin move every tensor."""
    one, other = (RandomVector(seed=seed, normalization="layer", excluded=()) for seed in (1, 2))
    return {
        "origin": ORIGIN,
        "a direction": Perturbation.of([(one, 0.3)]),
        "two directions and a checkpoint": Perturbation.of([(one, -0.2), (other, 0.3), (delta, 0.6)]),
    }


def _for_probes(spec: EngineSpec, folder: Path) -> EngineSpec:
    run = spec.run.model_copy(update={"kv_cache_gib": KV_CACHE_GIB, "max_num_seqs": 4 * len(TEXTS)})
    return replace(spec, model=str(folder), revision=None, run=run, benchmarks=(PROBES,))


def _to_place(spec: EngineSpec, folder: Path, points: Mapping[str, Perturbation]) -> EngineSpec:
    vectors = {vector for point in points.values() for vector, _ in point.terms}
    deltas = tuple(vector for vector in vectors if isinstance(vector, CheckpointDelta))
    num_directions = len(vectors) if spec.batching == "line" else 0
    return _for_probes(replace(spec, deltas=deltas, num_directions=num_directions), folder)


def _loaded_answers(spec: EngineSpec, folder: Path) -> _Answers:
    """Return what an engine says that has loaded a checkpoint and done nothing else."""
    engine = create_loaded_engine(_for_probes(replace(spec, batching="point", num_directions=0, deltas=()), folder))
    try:
        return _Answers.of(engine.log_likelihoods(SCORED), engine.generate([PROBES])[0])
    finally:
        engine.close()


def _write_point(
    folder: Path, point: Perturbation, endpoints: Mapping[CheckpointDelta, Path], out: Path, dtype: str
) -> None:
    """Write a checkpoint with the weights of a point, tensor by tensor, and with all else of the base checkpoint."""
    tied_head = has_tied_head(folder)
    base = CheckpointFiles.open(folder, tied_head=tied_head)
    opened = {delta: open_endpoint(at, base) for delta, at in endpoints.items() if at.exists()}
    perturber = Perturber(base, dtype=getattr(torch, dtype), device=torch.device("cpu"), endpoints=opened)
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(folder, out, ignore=shutil.ignore_patterns("*.safetensors", "*.safetensors.index.json"))
    write_checkpoint(out, perturber.tensors(point))


def _compared(
    engine: Engine, spec: EngineSpec, points: Mapping[str, Perturbation], expected: Mapping[str, _Answers]
) -> list[Comparison]:
    """Place points into an engine that started at the origin, and compare, for each of its ways."""
    if spec.batching == "line":
        return [_comparison(spec, IN_LINES, *of, expected) for of in _on_lines(cast("LineEngine", engine), points)]
    found = [_comparison(spec, engine.facts.way, *of, expected) for of in _one_by_one(engine, points)]
    if engine.facts.way == IN_PLACE and isinstance(engine, _Reloads):
        engine.stay_with_reloading()
        found += [_comparison(spec, engine.facts.way, *of, expected) for of in _one_by_one(engine, points)]
    return found


def _one_by_one(engine: Engine, points: Mapping[str, Perturbation]) -> Iterator[tuple[str, _Answers]]:
    """Yield what an engine says at points, after coming back to one of them, and to the origin."""
    for name in (*points, "a direction", "origin"):
        engine.place(points[name])
        yield name, _Answers.of(engine.log_likelihoods(SCORED), engine.generate([PROBES])[0])


def _on_lines(engine: LineEngine, points: Mapping[str, Perturbation]) -> Iterator[tuple[str, _Answers]]:
    """Yield what an engine says at points that share a batch, along one vector and along all."""
    first, *_ = names = list(points)
    for batch in (names[:2], names, [first]):
        engine.place_points([points[name] for name in batch])
        found = zip(engine.log_likelihoods_points(SCORED), engine.generate_points([PROBES]), strict=True)
        for name, (likelihoods, (completions,)) in zip(batch, found, strict=True):
            yield name, _Answers.of(likelihoods, completions)


def _comparison(spec: EngineSpec, way: str, name: str, found: _Answers, expected: Mapping[str, _Answers]) -> Comparison:
    answers = list(zip(found.tokens, expected[name].tokens, strict=True))
    # `max` of what is no number would depend on the order.
    differences = torch.tensor(found.means, dtype=torch.float64) - torch.tensor(
        expected[name].means, dtype=torch.float64
    )
    return Comparison(
        way=way,
        point=name,
        difference=float(differences.abs().max()),
        tolerance=(NATS_IN_LINES if way == IN_LINES else NATS)[spec.dtype],
        num_equal=sum(one == other for one, other in answers),
        num_answers=len(answers),
        must_be_equal=spec.dtype == "float32",
    )
