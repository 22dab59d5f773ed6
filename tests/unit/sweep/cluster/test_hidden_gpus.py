"""What an engine's libraries see of GPUs when they are imported, in a process of its own."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

# The first import of such a library tells what it would see, and goes no further.
SCRIPT = """
import os, sys

class Witness:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "vllm", "transformers"}:
            seen = [os.environ.get(f"{kind}_VISIBLE_DEVICES") for kind in ("CUDA", "HIP", "ROCR")]
            print("imported with", *seen, flush=True)
            os._exit(0)

sys.meta_path.insert(0, Witness())

from landscape_ray.config import RunConfig
from landscape_ray.engine import EngineSpec
from landscape_ray.sweep.actor import EngineActor

spec = EngineSpec(
    engine=sys.argv[1], model="/no", revision=None, dtype="float32", run=RunConfig(), benchmarks=(), batching="point"
)
on_gpu = sys.argv[2] == "gpu"
actor = EngineActor(spec=spec, on_gpu=on_gpu, out="/no", sweep_id="x", fingerprint="x", environment={})
print(actor.load())
"""


@pytest.mark.parametrize("engine", ["vllm", "transformers"])
@pytest.mark.parametrize(("device", "seen"), [("cpu", "-1 -1 -1"), ("gpu", "3 None None")])
def test_gpus_are_hidden_from_engines_on_cpu_cores_before_anything_looks_for_them(
    engine: str, device: str, seen: str
) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.endswith("_VISIBLE_DEVICES")}
    said = subprocess.run(  # noqa: S603  (our own interpreter and code)
        [sys.executable, "-c", SCRIPT, engine, device],
        env=kept | {"CUDA_VISIBLE_DEVICES": "3"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert said.stdout.strip() == f"imported with {seen}", said.stderr
