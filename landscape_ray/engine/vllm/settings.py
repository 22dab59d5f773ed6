"""Settings that vLLM is started with: how long sequences get, and how much memory it may plan with."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from landscape_ray.engine.protocol import EngineSpec
from landscape_ray.engine.tokens.encoding import PromptEncoder
from landscape_ray.errors import ResourceError
from landscape_ray.evaluation import Benchmark, scored_texts

__all__ = ["context_needed", "memory_settings"]

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


def memory_settings(spec: EngineSpec, folder: Path, *, on_cpu: bool) -> dict[str, Any]:
    """Return the settings that bound vLLM's memory, so that cache and base weights fit side by side.

    Raises:
        ResourceError: They do not fit.
    """
    if spec.run.kv_cache_gib is not None:
        return {"kv_cache_memory_bytes": int(spec.run.kv_cache_gib * GIB)}
    if on_cpu:
        return {"kv_cache_memory_bytes": int(CPU_KV_CACHE_GIB * GIB)}
    share = spec.run.gpu_memory_utilization
    if spec.run.base_location == "device":
        from vllm.platforms import current_platform  # noqa: PLC0415

        base_bytes = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
        share -= base_bytes / spec.run.tensor_parallel / current_platform.get_device_total_memory()
    if share <= 0:
        msg = (
            f"The base weights of {folder} do not fit the GPU beside the model. Keep them in host memory: "
            "--set run.base_location=host."
        )
        raise ResourceError(msg)
    return {"gpu_memory_utilization": share}
