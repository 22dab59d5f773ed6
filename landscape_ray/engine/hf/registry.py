"""Which models transformers generates text with, read from its source: importing it takes seconds."""

import ast
import importlib.util

from landscape_ray.engine.library_source import assigned

__all__ = ["generative_classes"]

# The tables of models that generate: of text, and of text and images. Each is `OrderedDict([(key, value), ...])`.
TABLES = ("MODEL_FOR_CAUSAL_LM_MAPPING_NAMES", "MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES")


def generative_classes() -> dict[str, str] | None:
    """Return the class of each model that generates text, by its `model_type`; None without transformers."""
    if importlib.util.find_spec("transformers") is None:
        return None
    found = {
        name: dict(ast.literal_eval(table.args[0]))
        for name, table in assigned("transformers", "models/auto/modeling_auto.py", TABLES).items()
        if isinstance(table, ast.Call) and len(table.args) == 1
    }
    if found.keys() != set(TABLES):  # a version that writes them otherwise
        from transformers.models.auto import modeling_auto  # noqa: PLC0415 - heavy

        found = {name: getattr(modeling_auto, name) for name in TABLES}
    return {model_type: name for table in TABLES for model_type, name in found[table].items()}
