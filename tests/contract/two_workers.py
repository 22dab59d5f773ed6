"""Runs vLLM engines of two workers in a process of their own; see `test_tensor_parallel.py`.

A pickled job is its standard input, answers go to the file that it is given. Workers are forked, so that they start
within seconds and with the settings of this process, which no engine may have run in before.
"""

import logging
import multiprocessing
import pickle
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from landscape_ray.engine.factory import create_engine, import_engine
from landscape_ray.planning import Perturbation


def is_placed_as_reloaded(worker: Any, point: Perturbation, other: Perturbation) -> bool:
    """Tell whether writing in place leaves a worker's model as reloading does."""
    from landscape_ray.engine.vllm.layout import model_state  # noqa: PLC0415  (needs torch)

    model = worker.model_runner.get_model()
    worker.place_perturbation(point)
    placed = model_state(model)
    with patch.object(worker, "_fused_pass", None):
        worker.place_perturbation(other)
        is_moved = model_state(model) != placed
        worker.place_perturbation(point)
    return bool(worker._regions) and is_moved and model_state(model) == placed


def both_ways(engine: Any, points: Sequence[Perturbation]) -> dict[str, Any]:
    call = engine._llm.collective_rpc
    as_reloaded = [call(is_placed_as_reloaded, args=(point, points[i - 1])) for i, point in enumerate(points)]
    call("stay_with_reloading")
    return {"as reloaded": as_reloaded, "reloaded": [engine.place(point) for point in points]}


def main() -> None:
    job = pickle.load(sys.stdin.buffer)  # noqa: S301  (of the test)
    logging.basicConfig()
    logging.getLogger("landscape_ray").setLevel(logging.INFO)
    import_engine(job["spec"])
    import vllm._custom_ops  # noqa: PLC0415
    from vllm.v1.executor import multiproc_executor  # noqa: PLC0415

    multiproc_executor.get_mp_context = lambda: multiprocessing.get_context("fork")
    packed = create_engine(job["spec"])
    answers: dict[str, Any] = {"packed": [packed.place(point) for point in job["points"]]}
    packed.close()
    # From here on they compute with their parameters as they are, as on a GPU.
    vllm._custom_ops._supports_onednn = False
    plain = create_engine(job["spec"])
    answers["plain"] = [(plain.place(point), plain.generate([job["benchmark"]])) for point in job["points"]]
    answers |= both_ways(plain, job["points"])
    plain.close()
    line: Any = create_engine(replace(job["spec"], batching="line", num_directions=2))
    answers["line"] = line.place_points(job["line"]), line.generate_points([job["benchmark"]])
    line.close()
    Path(sys.argv[1]).write_bytes(pickle.dumps(answers))


if __name__ == "__main__":
    main()
