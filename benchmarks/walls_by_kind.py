"""How far the wall is along each kind of direction, on a model of the 135M class; prints a table.

    python benchmarks/walls_by_kind.py                    # about ten minutes on two cores
    python benchmarks/walls_by_kind.py --model FOLDER --finetuned FOLDER

Without `--model` both checkpoints are the embedded ones, built into a Llama of 135 million weights (`model_135m.py`).
They answer as these do, but most of their weights are zero, and noise reaches the zeros: so this shows that all kinds
run at that size, not what a model trained at that size would show. Give one and its finetune to see that.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from model_135m import write_model
from timing import timed

from landscape_ray.config import SweepConfig
from landscape_ray.report.kinds_table import COLUMNS, kinds_tables
from landscape_ray.report.results import load_results
from landscape_ray.report.scores import score
from landscape_ray.sweep import progress_for, run_sweep
from landscape_ray.weights import BaseWeights

# Directions without an end of their own are as long as this share of the weights.
LENGTH = 0.5


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="checkpoint folder of an aligned model")
    parser.add_argument("--finetuned", type=Path, help="checkpoint folder of the same model, finetuned")
    parser.add_argument("--prune", type=float, help="share of weights to prune; the built model is mostly zeros")
    parser.add_argument("--prompts", type=int, default=16, help="how many of the shipped prompts")
    parser.add_argument("--points", type=int, default=5, help="coordinates from 0 to 1")
    arguments = parser.parse_args()
    if (arguments.model is None) != (arguments.finetuned is None):
        parser.error("give --model and --finetuned together, or neither")
    with tempfile.TemporaryDirectory() as scratch:
        model, finetuned = arguments.model, arguments.finetuned
        prune = arguments.prune or (0.96 if model is None else 0.5)
        if model is None:
            model, finetuned = Path(scratch, "aligned"), Path(scratch, "finetuned")
            write_model(model)
            write_model(finetuned, "demo:finetuned")
        config = _config(model, finetuned, prune=prune, num_prompts=arguments.prompts, num_points=arguments.points)
        out = str(Path(scratch, "out"))
        took_s, outcome = timed(lambda: run_sweep(config, out, progress=progress_for(sys.stderr)))
        if outcome.exit_code:
            sys.exit(outcome.exit_code)
        results = load_results(out)
        (table,) = kinds_tables(results, score(results))
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for row in table["rows"]:
        print(f"| {' | '.join(row)} |")
    print(f"\n{outcome.num_done} visits in {took_s:.0f} s.")


def _config(model: Path, finetuned: Path, *, prune: float, num_prompts: int, num_points: int) -> SweepConfig:
    """Return a sweep along all kinds; the finetune and its largest components lie at coordinate 1."""
    length: dict[str, Any] = {"displacement": LENGTH * _norm(model)}
    aligned, other = ({"id": str(folder), "name": folder.name} for folder in (model, finetuned))
    return SweepConfig.model_validate(
        {
            "model": {"id": str(model)},
            "dtype": "float32",
            "landscape": {"kind": "random", "axes": [{"start": 0, "stop": 1, "num": num_points}]},
            "directions": [
                {"kind": "random", "draws": 3, **length},
                {"kind": "low_rank", "rank": 4, "draws": 1, **length},
                {"kind": "complement", "to": other, "draws": 1, **length},
                {"kind": "task_vector", "minus": aligned, "plus": other},
                {"kind": "svd", "to": other, "rank": 4, "included": ["proj"]},
                {"kind": "quantization_error", "format": "int4", **length},
                {"kind": "pruning", "share": prune, "excluded": ["embed"], **length},
            ],
            "benchmarks": [
                {
                    "name": "harmful",
                    "prompts": {"source": "demo", "name": "harmful"},
                    "limit": num_prompts,
                    "decoding": {"max_new_tokens": 24, "early_verdict": True},
                }
            ],
            "run": {"engines": 1, "kv_cache_gib": 0.25},
        }
    )


def _norm(folder: Path) -> float:
    """Return the Frobenius norm of all weights."""
    base = BaseWeights.load(folder, device=torch.device("cpu"), location="host", tied_head=True)
    return float(sum(base.tensor(name).to(torch.float64).square().sum() for name in base.names) ** 0.5)


if __name__ == "__main__":
    main()
