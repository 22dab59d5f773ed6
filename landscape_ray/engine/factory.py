"""From a specification to an engine; what an engine needs is imported only when it is asked for."""

from landscape_ray.engine.protocol import Engine, EngineSpec

__all__ = ["create_engine"]


def create_engine(spec: EngineSpec) -> Engine:
    """Build the engine that a specification describes, in this process.

    Raises:
        UserError: It cannot be built as specified; the message says what to change.
    """
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
