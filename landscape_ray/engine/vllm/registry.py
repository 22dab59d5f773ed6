"""Which architectures vLLM has, read from its source: importing it takes ten seconds, and sets variables."""

import ast

from landscape_ray.engine.library_source import assigned

__all__ = ["generative_architectures"]

# The tables of models that generate; others are of embeddings, rewards and classes.
TABLES = ("_TEXT_GENERATION_MODELS", "_MULTIMODAL_MODELS")


def generative_architectures() -> frozenset[str] | None:
    """Return the names of architectures that vLLM has code of its own for, as `config.json` calls them.

    Others may run through transformers' code. None where vLLM is not installed, or keeps its list elsewhere.
    """
    names = {
        key.value
        for table in assigned("vllm", "model_executor/models/registry.py", TABLES).values()
        if isinstance(table, ast.Dict)
        for key in table.keys
        if isinstance(key, ast.Constant) and isinstance(key.value, str)
    }
    return frozenset(names) or None
