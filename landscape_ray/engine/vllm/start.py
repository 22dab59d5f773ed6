"""How vLLM starts and ends in this process, and what it means when it does not start."""

import contextlib
import gc
from collections.abc import Iterator, Mapping
from typing import Any

from landscape_ray.errors import GenerationError, LandscapeError, ResourceError, TransientError, in_brief

__all__ = ["start_error", "start_vllm", "stop_vllm"]

HELD_BY_OTHERS = ("used by other processes", "other processes sharing", "busy or unavailable")
"""Words of vLLM and CUDA, where another process has memory or the device, and may be about to leave."""


def start_vllm(settings: Mapping[str, Any], subject: str) -> Any:
    """Return a `vllm.LLM`.

    Args:
        settings: Of vLLM.
        subject: What it is of, for messages.

    Raises:
        ResourceError: vLLM found no room for the model, or does not take it.
        TransientError: Another process holds the memory.
        GenerationError: vLLM did not start, and does not say whether it ever will.
    """
    import vllm  # noqa: PLC0415 - which has been imported with its variables by now

    if gc.get_freeze_count():
        gc.collect()  # what an engine before has left, which would be frozen, too
    gc.freeze()
    try:
        with _nothing_frozen():
            return vllm.LLM(**settings)
    except (ValueError, RuntimeError, AssertionError) as error:
        raise start_error(error, subject) from error


def stop_vllm(llm: Any) -> None:
    """Stop the workers of a `vllm.LLM`, which drop the model."""
    with _nothing_frozen():
        llm.llm_engine.engine_core.shutdown()


@contextlib.contextmanager
def _nothing_frozen() -> Iterator[None]:
    """Keep vLLM from freezing what it builds, and from unfreezing what was imported.

    It collects garbage five times as it starts and ends, which takes up to a second each with all that it has imported.
    So that is frozen for good; and what it builds is not, or it would never be collected.
    """
    freeze, unfreeze = gc.freeze, gc.unfreeze
    gc.freeze = gc.unfreeze = lambda: None
    try:
        yield
    finally:
        gc.freeze, gc.unfreeze = freeze, unfreeze


def start_error(error: Exception, subject: str) -> LandscapeError:
    """Return our error for one of vLLM's."""
    if any(words in str(error) for words in HELD_BY_OTHERS):
        msg = f"vLLM found too little free memory for {subject}; another process holds it. It says: {in_brief(error)}."
        return TransientError(msg)
    # Of a bad request vLLM says so with a ValueError; a RuntimeError may be anything, a device that fails included.
    lasting = isinstance(error, ValueError | NotImplementedError)
    msg = f"vLLM did not start with {subject}. It says: {in_brief(error)}."
    return (ResourceError if lasting else GenerationError)(msg)
