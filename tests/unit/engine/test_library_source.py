"""What a library's source says is read without running it."""

import ast
import sys
from pathlib import Path

import pytest

from landscape_ray.engine.library_source import assigned


def test_assignments_are_read_and_nothing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "some_library"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "tables.py").write_text("A = {'x': 1}\nB: dict[str, int] = {'y': 2}\nC: int\nD = 4\nA.update(D=4)\n")
    monkeypatch.syspath_prepend(tmp_path)
    found = assigned("some_library", "tables.py", ("A", "B", "C", "missing"))
    assert {name: ast.literal_eval(value) for name, value in found.items()} == {"A": {"x": 1}, "B": {"y": 2}}
    assert "some_library" not in sys.modules
    assert assigned("some_library", "elsewhere.py", ("A",)) == {}
    assert assigned("no_such_library", "tables.py", ("A",)) == {}
