"""From a specification to an engine; what an engine needs is imported only when it is asked for."""

from landscape_ray.engine.protocol import Engine, EngineSpec
from landscape_ray.errors import ResourceError

__all__ = ["create_engine"]


def create_engine(spec: EngineSpec) -> Engine:
    """Build the engine that a specification describes, in this process.

    Raises:
        UserError: It cannot be built as specified; the message says what to change.
    """
    try:
        match spec.engine:
            case "vllm":
                from landscape_ray.engine.vllm_engine import VllmEngine  # noqa: PLC0415

                return VllmEngine(spec)
            case "transformers":
                from landscape_ray.engine.transformers_engine import TransformersEngine  # noqa: PLC0415

                return TransformersEngine(spec)
            case "synthetic":
                from landscape_ray.engine.synthetic import SyntheticEngine  # noqa: PLC0415

                return SyntheticEngine(spec.run.synthetic)
    except ImportError as error:
        msg = (
            f"The {spec.engine} engine cannot be imported here ({error}). Install landscape-ray[gpu] on a GPU machine, "
            "or run `make install` in a clone for the CPU build. Where vLLM does not install, the slower fallback is "
            "--set engine=transformers."
        )
        raise ResourceError(msg) from error
