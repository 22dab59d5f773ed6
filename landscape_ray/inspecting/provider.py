"""What Inspect finds of landscape-ray: the entry point of the group `inspect_ai`. Imported whenever Inspect starts."""

from inspect_ai.model import ModelAPI, modelapi

from landscape_ray.inspecting.names import PROVIDER

__all__ = ["landscape"]


@modelapi(name=PROVIDER)
def landscape() -> type[ModelAPI]:
    """Return the class of models; what engines need is imported only when one is asked for."""
    from landscape_ray.inspecting.model import LandscapeModel  # noqa: PLC0415

    return LandscapeModel
