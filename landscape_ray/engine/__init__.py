"""One engine per actor: puts perturbed weights in place and generates."""

from landscape_ray.engine.protocol import Engine, EngineFacts, EngineSpec

__all__ = ["Engine", "EngineFacts", "EngineSpec"]
