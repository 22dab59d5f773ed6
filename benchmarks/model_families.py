"""Which families of models are measured right: `docs/models.json`, from which `docs/models.md` is made.

    python benchmarks/model_families.py [--only NAME ...]

For each family a tiny random checkpoint is moved to two points and back. What vLLM computes with weights placed in a
live model is compared with what it computes after loading the same weights from files: greedy tokens, which must be
equal, and log-likelihoods. The same within transformers; and what both libraries make of one file. vLLM is imported
once; every family then has processes of its own, because vLLM changes classes of transformers for the process.
"""

import argparse
import contextlib
import gc
import importlib
import json
import multiprocessing
import re
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from model_page import PAGE, RESULTS, page
from tiny_models import FAMILIES, make_checkpoint

from landscape_ray import __version__
from landscape_ray.config import RunConfig
from landscape_ray.engine import EngineSpec
from landscape_ray.engine.factory import create_engine, create_loaded_engine
from landscape_ray.errors import LandscapeError
from landscape_ray.evaluation import Benchmark, Prompt, ScoredText
from landscape_ray.planning import ORIGIN, Perturbation, RandomVector

ALPHAS = (0.1, 0.3)
# Nothing is left out, so that every tensor moves.
VECTOR = RandomVector(seed=5, normalization="layer", excluded=())
POINTS = tuple(Perturbation.of([(VECTOR, alpha)]) for alpha in ALPHAS)
PROMPTS = [
    f"{verb} the {noun} of {i} old towns"
    for i, (verb, noun) in enumerate(
        (verb, noun) for verb in ("Tell me", "Write down") for noun in ("name", "story", "law", "colour")
    )
]
# What reloading may change of a text's log-likelihood in float32; texts have 12 tokens or so.
NATS = 1e-3
LIMIT_S = 900
# So many families import by themselves what they need in less time than it takes to find out.
FEW = 3

Read = tuple[list[tuple[int, ...]], list[float]]
"""Greedy tokens after each prompt, and log-likelihoods of texts."""


def spec(folder: Path, engine: Any, **settings: Any) -> EngineSpec:
    """Return what an engine for a tiny model is built from."""
    run = RunConfig(kv_cache_gib=0.25, max_num_seqs=16)
    return EngineSpec(
        engine=engine, model=str(folder), revision=None, dtype="float32", run=run, benchmarks=(benchmark(),), **settings
    )


def benchmark() -> Benchmark:
    """Return the prompts; whatever the embedded model's template makes of them."""
    prompts = tuple(Prompt(id=str(i), text=text) for i, text in enumerate(PROMPTS))
    return Benchmark(
        name="probe",
        prompts=prompts,
        system_prompt=None,
        chat_template=None,
        max_new_tokens=16,
        metric="asr",
        judge="keyword",
        early_verdict=False,
    )


def texts() -> list[ScoredText]:
    """Return texts to score."""
    return [ScoredText(context=text[:9], text=text[9:]) for text in PROMPTS]


def read(engine: Any) -> Read:
    """Return what an engine answers with the weights in place."""
    (completions,) = engine.generate([benchmark()])
    return [completion.token_ids for completion in completions], [s.total for s in engine.log_likelihoods(texts()) if s]


def difference(found: Sequence[Read], fresh: Sequence[Read]) -> dict[str, Any]:
    """Compare what was read at points with what was read after fresh loads of them."""
    tokens = [(a, b) for (x, _), (y, _) in zip(found, fresh, strict=True) for a, b in zip(x, y, strict=True)]
    nats = max(abs(a - b) for (_, x), (_, y) in zip(found, fresh, strict=True) for a, b in zip(x, y, strict=True))
    equal = sum(a == b for a, b in tokens)
    right = equal == len(tokens) and nats <= NATS
    # Texts that are alike, or that no point changes, could not tell.
    (first, _), (last, _) = fresh[0], fresh[len(ALPHAS)]
    tells = (
        len(set(first)) >= len(first) // 2 and sum(a != b for a, b in zip(first, last, strict=True)) > len(first) // 2
    )
    state = ("right" if tells else "blind") if right else "wrong"
    return {"state": state, "texts": f"{equal}/{len(tokens)}", "nats": float(f"{nats:.1g}")}


def attempt(measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what was measured, or why it was refused; what is no refusal of ours is an error."""
    try:
        return measure()
    except LandscapeError as error:
        return {"state": "refused", "why": _said(error)}
    except Exception as error:  # noqa: BLE001 - whatever a library says of a model that it cannot run
        traceback.print_exc()
        return {"state": "error", "why": f"{type(error).__name__}: {_said(error)}"}


def _said(error: Exception) -> str:
    """Return an error on one line, without the folder that the model happens to lie in."""
    return re.sub(r"\S*/tmp\w+/(model|at-[\d.]+)", "MODEL", " ".join(str(error).split()))


def write_points(folder: Path, targets: Sequence[Path]) -> int:
    """Write the checkpoint at each point beside it, and return how many tensors move."""
    import torch  # noqa: PLC0415
    from safetensors.torch import load_file, save_file  # noqa: PLC0415

    from landscape_ray.engine.checkpoints.model_config import has_tied_head  # noqa: PLC0415
    from landscape_ray.weights import CheckpointFiles, Perturber  # noqa: PLC0415

    base = CheckpointFiles.open(folder, tied_head=has_tied_head(folder))
    perturber = Perturber(base, dtype=torch.float32, device=torch.device("cpu"))
    for point, target in zip(POINTS, targets, strict=True):
        shutil.copytree(folder, target)
        tensors = load_file(folder / "model.safetensors") | dict(perturber.tensors(point))
        save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    return len(base.names)


def at_points(engine: Any) -> list[Read]:
    """Return what an engine answers at the origin, at each point, and at the origin again."""
    found = []
    for point in (ORIGIN, *POINTS, ORIGIN):
        engine.place(point)
        found.append(read(engine))
    return found


def in_vllm(folder: Path, targets: Sequence[Path]) -> dict[str, Any]:
    """Measure a family in vLLM: fresh loads, reloaded, along lines, in place."""
    import vllm  # noqa: PLC0415

    from landscape_ray.engine.vllm.engine import VllmEngine  # noqa: PLC0415
    from landscape_ray.engine.vllm.line_engine import VllmLineEngine  # noqa: PLC0415

    fresh: list[Read] = []

    def load_afresh() -> dict[str, Any]:
        for target in (folder, *targets):
            engine = create_loaded_engine(spec(target, "vllm"))
            fresh.append(read(engine))
            engine.close()
        fresh.append(fresh[0])
        return {}

    def reload() -> dict[str, Any]:
        engine = VllmEngine(spec(folder, "vllm"))
        engine._llm.collective_rpc("stay_with_reloading")  # noqa: SLF001
        found = at_points(engine)
        engine.close()
        return difference(found, fresh)

    def write_in_place() -> dict[str, Any]:
        vllm._custom_ops._supports_onednn = False  # noqa: SLF001 - it packs weights; on a GPU they are as they were
        engine = VllmEngine(spec(folder, "vllm"))
        (in_place,) = engine._llm.collective_rpc(lambda worker: bool(worker._regions))  # noqa: SLF001
        found = difference(at_points(engine), fresh) if in_place else {"state": "not used"}
        engine.close()
        return found

    def along_lines() -> dict[str, Any]:
        engine = VllmLineEngine(spec(folder, "vllm", batching="line", num_directions=1))
        engine.place_points([ORIGIN, *POINTS])
        tokens = engine.generate_points([benchmark()])
        scores = engine.log_likelihoods_points(texts())
        found = [
            ([c.token_ids for c in of_point[0]], [s.total for s in of_texts if s])
            for of_point, of_texts in zip(tokens, scores, strict=True)
        ]
        engine.close()
        return difference(found, fresh[:-1])

    if failure := attempt(load_afresh):
        return {"in place": failure, "reload": failure, "lines": failure}
    found = {"fresh": fresh, "reload": attempt(reload), "lines": attempt(along_lines)}
    return found | {"in place": attempt(write_in_place)}


def in_transformers(folder: Path, targets: Sequence[Path]) -> dict[str, Any]:
    """Measure a family in transformers: fresh loads, and placed."""
    from landscape_ray.engine.hf.engine import TransformersEngine  # noqa: PLC0415

    fresh = [read(TransformersEngine(spec(target, "transformers"))) for target in (folder, *targets, folder)]
    found = difference(at_points(TransformersEngine(spec(folder, "transformers"))), fresh)
    return {**found, "fresh": fresh}


def apart(work: Callable[..., Any], *args: Any) -> Any:
    """Run a function in a forked process, and return what it returns or how it ended."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()

    def run() -> None:
        theirs.send(attempt(lambda: work(*args)))

    process = context.Process(target=run)
    process.start()
    theirs.close()
    try:
        found = ours.recv() if ours.poll(LIMIT_S) else {"state": "error", "why": f"no answer in {LIMIT_S} s"}
    except EOFError:
        process.join()
        found = {"state": "error", "why": f"the process ended with {process.exitcode}"}
    process.kill()
    process.join()
    return found


def import_for_all() -> None:
    """Import here what engines import on their way, so that no family has to; and keep it from garbage collection."""

    def imported(engine: Any, folder: Path) -> dict[str, Any]:
        read(create_engine(spec(folder, engine)))
        return {"names": sorted(sys.modules)}

    with tempfile.TemporaryDirectory() as folder:
        first = Path(folder) / "model"
        apart(make, "Llama", first)
        for engine in ("vllm", "transformers"):
            for name in apart(imported, engine, first)["names"]:
                if name.startswith(("vllm.", "transformers.", "compressed_tensors.", "landscape_ray.")):
                    with contextlib.suppress(Exception):
                        importlib.import_module(name)
    # Engines collect whenever they start and end; of all that is imported here nothing would be found.
    gc.collect = lambda *_: 0


def make(name: str, folder: Path) -> dict[str, Any]:
    """Make a family's checkpoint, and where it is at the points."""
    make_checkpoint(name, folder)
    (architecture,) = json.loads((folder / "config.json").read_text())["architectures"]
    return {"architecture": architecture}


def measure(name: str, folder: Path) -> dict[str, Any]:
    """Measure a family."""
    targets = [folder.with_name(f"at-{alpha}") for alpha in ALPHAS]
    made = apart(make, name, folder)
    if "state" in made:
        return {"architecture": name, "vllm": dict.fromkeys(WAYS, made), "transformers": made}
    count = apart(write_points, folder, targets)
    vllm = apart(in_vllm, folder, targets)
    oracle = apart(in_transformers, folder, targets)
    pair = vllm.pop("fresh", None), oracle.pop("fresh", None)
    if "state" in vllm:
        vllm = dict.fromkeys(WAYS, vllm)
    agreement = difference(*pair) if all(pair) else None
    return {**made, "tensors": count, "vllm": vllm, "transformers": oracle, "agreement": agreement}


WAYS = ("in place", "reload", "lines")


def main() -> None:
    """Measure families, and write their results and the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=list(FAMILIES), help="families to measure anew")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    import torch  # noqa: PLC0415
    import transformers  # noqa: PLC0415
    import vllm  # noqa: PLC0415

    from landscape_ray.engine.vllm.library import import_vllm  # noqa: PLC0415

    import_vllm(RunConfig())
    from vllm.model_executor.models import registry  # noqa: PLC0415

    # Each family has a process of its own already: its class need not be looked at in one more.
    registry._run_in_subprocess = lambda inspect: inspect()  # noqa: SLF001
    if len(options.only) > FEW:
        import_for_all()
    results = json.loads(options.results.read_text()) if options.results.exists() else {"families": {}}
    for name in options.only:
        with tempfile.TemporaryDirectory() as folder:
            found = measure(name, Path(folder) / "model")
        earlier: Mapping[str, Any] = results["families"].get(name, {})
        results["families"][name] = {**found, "since": earlier.get("since", __version__)}
        print(name, json.dumps(found), flush=True)
        results["versions"] = {
            "landscape_ray": __version__,
            "vllm": vllm.__version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        }
        options.results.write_text(json.dumps(results, indent=1) + "\n")
    if options.results == RESULTS:
        PAGE.write_text(page(results))


if __name__ == "__main__":
    main()
