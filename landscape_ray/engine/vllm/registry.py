"""Which architectures vLLM has, read from its source: importing it takes ten seconds, and sets variables."""

import ast
import importlib.util
from pathlib import Path

__all__ = ["generative_architectures"]

# The tables of models that generate; others are of embeddings, rewards and classes.
TABLES = ("_TEXT_GENERATION_MODELS", "_MULTIMODAL_MODELS")


def generative_architectures() -> frozenset[str] | None:
    """Return the names of architectures that vLLM has code of its own for, as `config.json` calls them.

    Others may run through transformers' code. None where vLLM is not installed, or keeps its list elsewhere.
    """
    spec = importlib.util.find_spec("vllm")
    if spec is None or spec.origin is None:
        return None
    file = Path(spec.origin).parent / "model_executor" / "models" / "registry.py"
    if not file.is_file():
        return None
    names = {
        key.value
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Dict)
        if any(isinstance(name, ast.Name) and name.id in TABLES for name in _targets(node))
        for key in node.value.keys
        if isinstance(key, ast.Constant) and isinstance(key.value, str)
    }
    return frozenset(names) or None


def _targets(node: ast.Assign | ast.AnnAssign) -> list[ast.expr]:
    return node.targets if isinstance(node, ast.Assign) else [node.target]
