"""vLLM itself, imported with the variables that it reads on import."""

import os
from typing import Any

from landscape_ray.config import RunConfig
from landscape_ray.engine.hardware import cpu_name
from landscape_ray.engine.importing import without_collections
from landscape_ray.errors import ResourceError

__all__ = ["import_vllm", "vllm_device"]


@without_collections()
def import_vllm(run: RunConfig) -> Any:
    """Import vLLM with all that its engine needs, and return it; takes most of a small engine's start.

    Raises:
        ResourceError: `run.strict` where vLLM has no kernels for it.
    """
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    # Cores are leased to the engine as a whole. Left to itself, vLLM asks for a memory node of a CPU per worker.
    os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
    # Large pages: on a CPU every point of packed weights takes fresh memory, which is slow to map by small ones.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    # Only now, because the variables above are read on import.
    import vllm  # noqa: PLC0415
    from vllm.platforms import current_platform  # noqa: PLC0415

    if current_platform.is_cpu():
        import torch  # noqa: PLC0415 - after vLLM, which sets variables for it
        from vllm.model_executor.models import registry  # noqa: PLC0415

        # What an architecture can do is asked of a process of its own, which takes as long as this import and is for
        # CUDA only: a process that has begun to use it cannot be forked.
        registry._run_in_subprocess = lambda ask: ask()  # noqa: SLF001 - there is no setting for it
        # Models run as they are on CPUs. What else would be compiled counts ranks of tokens, for ten seconds of g++.
        torch.compiler.set_stance("force_eager")
        os.environ.setdefault("TORCH_COMPILE_DISABLE", "1")  # the same for workers of tensor parallelism
    if run.strict:
        if current_platform.is_cpu():
            msg = (
                "run.strict asks for kernels whose results do not depend on the batch, which vLLM has for GPUs only. "
                "Leave it out: a CPU repeats a visit to the last bit without it, with the same engine settings."
            )
            raise ResourceError(msg)
        os.environ["VLLM_BATCH_INVARIANT"] = "1"
    _ = vllm.LLM  # which imports the rest: the package itself is lazy
    return vllm


def vllm_device() -> str:
    """Return the GPU's name, or the CPU's model."""
    from vllm.platforms import current_platform  # noqa: PLC0415

    return cpu_name() if current_platform.is_cpu() else str(current_platform.get_device_name())
