"""Whether Inspect is there; it is no dependency of its own accord."""

from landscape_ray.errors import ResourceError, in_brief

__all__ = ["require_inspect"]


def require_inspect() -> None:
    """Import Inspect.

    Raises:
        ResourceError: It is not installed.
    """
    try:
        import inspect_ai.log  # noqa: F401, PLC0415
    except ImportError as error:
        msg = (
            "Eval logs and tasks of Inspect take its own package, which cannot be imported here. Install "
            f"landscape-ray[inspect] (inspect-ai>=0.3.200). Python says: {in_brief(error)}."
        )
        raise ResourceError(msg) from error
