"""One engine per actor: puts perturbed weights in place and generates."""

from landscape_ray.engine.protocol import Engine, EngineFacts, EngineSpec, LineEngine

__all__ = ["Engine", "EngineFacts", "EngineSpec", "LineEngine"]
