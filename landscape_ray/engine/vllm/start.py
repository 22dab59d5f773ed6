"""What it means when vLLM does not start."""

from landscape_ray.errors import GenerationError, LandscapeError, ResourceError, TransientError, in_brief

__all__ = ["START_ERRORS", "start_error"]

START_ERRORS = (ValueError, RuntimeError, AssertionError)
"""What vLLM raises when it does not start."""
HELD_BY_OTHERS = ("used by other processes", "other processes sharing", "busy or unavailable")
"""Words of vLLM and CUDA, where another process has memory or the device, and may be about to leave."""


def start_error(error: Exception, subject: str) -> LandscapeError:
    """Return our error for one of vLLM's."""
    if any(words in str(error) for words in HELD_BY_OTHERS):
        msg = f"vLLM found too little free memory for {subject}; another process holds it. It says: {in_brief(error)}."
        return TransientError(msg)
    # Of a bad request vLLM says so with a ValueError; a RuntimeError may be anything, a device that fails included.
    lasting = isinstance(error, ValueError | NotImplementedError)
    msg = f"vLLM did not start with {subject}. It says: {in_brief(error)}."
    return (ResourceError if lasting else GenerationError)(msg)
