"""From a specification to an engine; what an engine needs is imported only when it is asked for."""

from collections.abc import Callable
from typing import cast

from landscape_ray.engine.importing import without_collections
from landscape_ray.engine.lines.point_on_line import PointOnLine
from landscape_ray.engine.protocol import Engine, EngineSpec, LineEngine
from landscape_ray.errors import ResourceError, in_brief

__all__ = ["create_engine", "create_loaded_engine", "create_point_on_line", "device_name", "import_engine"]


def create_engine(spec: EngineSpec) -> Engine:
    """Build the engine that a specification describes, in this process.

    Raises:
        UserError: It cannot be built as specified; the message says what to change.
    """
    return import_engine(spec)(spec)


def create_loaded_engine(spec: EngineSpec) -> Engine:
    """Build an engine with a checkpoint as its library loads it, to compare with; nothing is to be placed into it.

    Raises:
        UserError: It cannot be built as specified; the message says what to change.
    """
    build = import_engine(spec)
    if spec.engine == "vllm":
        from landscape_ray.engine.vllm.engine import LoadedVllm  # noqa: PLC0415

        build = LoadedVllm
    return build(spec)


def create_point_on_line(spec: EngineSpec) -> PointOnLine:
    """Build an engine that can have several points in one batch: `batching` is `line`.

    Raises:
        UserError: It cannot be built as specified; the message says what to change.
    """
    return PointOnLine(cast("LineEngine", create_engine(spec)))


def device_name(spec: EngineSpec) -> str:
    """Return what an engine would compute on: the GPU's name, or the CPU's model.

    Raises:
        ResourceError: A library is missing.
    """
    import_engine(spec)
    if spec.engine == "vllm":
        from landscape_ray.engine.vllm.library import vllm_device  # noqa: PLC0415

        return vllm_device()
    from landscape_ray.engine.hf.engine import transformers_device  # noqa: PLC0415

    return transformers_device()


@without_collections()
def import_engine(spec: EngineSpec) -> Callable[[EngineSpec], Engine]:
    """Import an engine with the libraries it needs, and return what builds it.

    Raises:
        ResourceError: A library is missing, or has not what is asked for.
    """
    try:
        match spec.engine:
            case "vllm":
                from landscape_ray.engine.vllm.engine import VllmEngine  # noqa: PLC0415
                from landscape_ray.engine.vllm.library import import_vllm  # noqa: PLC0415

                import_vllm(spec.run)
                if spec.batching == "point":
                    return VllmEngine
                from landscape_ray.engine.vllm.line_engine import VllmLineEngine  # noqa: PLC0415

                return VllmLineEngine
            case "transformers":
                from landscape_ray.engine.hf.engine import TransformersEngine  # noqa: PLC0415

                return TransformersEngine
            case "synthetic":
                from landscape_ray.engine.synthetic import SyntheticEngine  # noqa: PLC0415

                return lambda spec: SyntheticEngine(spec.run.synthetic)
    except ImportError as error:
        msg = (
            f"The {spec.engine} engine cannot be imported here. Install landscape-ray[gpu] on a GPU machine, or run "
            "`make install` in a clone for the CPU build. Where vLLM does not install, the slower fallback is --set "
            f"engine=transformers. Python says: {in_brief(error)}."
        )
        raise ResourceError(msg) from error
