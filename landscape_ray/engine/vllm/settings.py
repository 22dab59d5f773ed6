"""Settings that vLLM is started with: how long sequences get, and how much memory it may plan with."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from landscape_ray.config import RunConfig
from landscape_ray.engine.tokens.encoding import PromptEncoder
from landscape_ray.errors import ResourceError
from landscape_ray.evaluation import Benchmark, scored_texts

__all__ = ["common_settings", "context_needed"]

GIB = 1 << 30
CPU_KV_CACHE_GIB = 1.0


def context_needed(encoder: PromptEncoder, benchmarks: Sequence[Benchmark]) -> int:
    """Return the longest sequence that the benchmarks can lead to, at most the model's context, in tokens.

    A shorter context needs less cache per sequence and changes no completion.
    """
    context = encoder.context_length
    needed = [
        length
        for benchmark in benchmarks
        for prompt_length, length in _lengths(encoder, benchmark)
        if prompt_length < context
    ]
    return min(max(needed, default=context), context)


def _lengths(encoder: PromptEncoder, benchmark: Benchmark) -> Iterator[tuple[int, int]]:
    """Yield the length of each prompt alone, and with all that may follow: vLLM always generates a token."""
    if benchmark.is_scored:
        for text in scored_texts(benchmark):
            ids, _ = encoder.encode_scored(text)
            yield len(ids), len(ids) + 1
    else:
        for prompt in encoder.encode(benchmark):
            yield len(prompt), len(prompt) + benchmark.max_new_tokens


def common_settings(
    folder: Path, *, dtype: str, run: RunConfig, context: int, has_base: bool = False
) -> dict[str, Any]:
    """Return the settings that all models have in common which vLLM runs here: those measured, and judges.

    Args:
        folder: Folder of the model.
        dtype: Type of weights and computation.
        run: How it is to be run.
        context: Longest sequence, in tokens.
        has_base: Whether a copy of the weights, the base, lies beside the model.

    Raises:
        ResourceError: Cache and base weights do not fit side by side.
    """
    from vllm.platforms import current_platform  # noqa: PLC0415 - which is imported by now

    return {
        "model": str(folder),
        "dtype": dtype,
        "load_format": "safetensors",
        "trust_remote_code": False,
        "tensor_parallel_size": run.tensor_parallel,
        "distributed_executor_backend": "uni" if run.tensor_parallel == 1 else "mp",
        "max_model_len": context,
        "max_num_seqs": run.max_num_seqs,
        "enforce_eager": run.enforce_eager or current_platform.is_cpu(),
        # The checkpoint's sampling defaults must not reach the measurement.
        "generation_config": "vllm",
        "seed": 0,
        "disable_log_stats": True,
        **_memory_settings(folder, run, current_platform, has_base=has_base),
    }


def _memory_settings(folder: Path, run: RunConfig, platform: Any, *, has_base: bool) -> dict[str, Any]:
    if cache_gib := run.kv_cache_gib or (CPU_KV_CACHE_GIB if platform.is_cpu() else None):
        return {"kv_cache_memory_bytes": int(cache_gib * GIB)}
    share = run.gpu_memory_utilization
    if has_base and run.base_location == "device":
        base_bytes = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
        share -= base_bytes / run.tensor_parallel / platform.get_device_total_memory()
    if share <= 0:
        msg = (
            f"The base weights of {folder} do not fit the GPU beside the model. Keep them in host memory: "
            "--set run.base_location=host."
        )
        raise ResourceError(msg)
    return {"gpu_memory_utilization": share}
