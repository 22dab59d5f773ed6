"""What a library's source says, read without importing it: that takes seconds, and some libraries set variables."""

import ast
import importlib.util
from collections.abc import Collection
from pathlib import Path

__all__ = ["assigned"]


def assigned(library: str, file: str, names: Collection[str]) -> dict[str, ast.expr]:
    """Return what a file of a library assigns to names; without those that are not there, or all of them.

    Args:
        library: Name of the package.
        file: Path of the module within it.
        names: Names of the module.
    """
    spec = importlib.util.find_spec(library)
    path = None if spec is None or spec.origin is None else Path(spec.origin).parent / file
    if path is None or not path.is_file():
        return {}
    return {
        target.id: node.value
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name) and target.id in names
    }
