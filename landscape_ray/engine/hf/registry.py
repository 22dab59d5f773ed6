"""Which models transformers generates text with, read from its source: importing it takes seconds."""

import ast
import importlib.util
from pathlib import Path

__all__ = ["generative_classes"]

# The tables of models that generate: of text, and of text and images.
TABLES = ("MODEL_FOR_CAUSAL_LM_MAPPING_NAMES", "MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES")


def generative_classes() -> dict[str, str] | None:
    """Return the class of each model that generates text, by its `model_type`; None without transformers."""
    spec = importlib.util.find_spec("transformers")
    if spec is None or spec.origin is None:
        return None
    file = Path(spec.origin).parent / "models" / "auto" / "modeling_auto.py"
    found = _tables(ast.parse(file.read_text(encoding="utf-8"))) if file.is_file() else {}
    if found.keys() != set(TABLES):  # a version that writes them otherwise
        from transformers.models.auto import modeling_auto  # noqa: PLC0415 - heavy

        found = {name: getattr(modeling_auto, name) for name in TABLES}
    return {model_type: name for table in TABLES for model_type, name in found[table].items()}


def _tables(module: ast.Module) -> dict[str, dict[str, str]]:
    """Return the tables that a module writes as `NAME = OrderedDict([(key, value), ...])`."""
    return {
        name.id: dict(ast.literal_eval(node.value.args[0]))
        for node in module.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and len(node.value.args) == 1
        for name in node.targets
        if isinstance(name, ast.Name) and name.id in TABLES
    }
