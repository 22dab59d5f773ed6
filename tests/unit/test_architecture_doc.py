"""The path that newcomers read exists, is short enough to be read, and rooms are where the page says."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "landscape_ray"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
LIFE = PAGE.partition("## The life of a visit")[2].partition("\n## ")[0]
STEPS = re.split(r"^\d+\. ", LIFE, flags=re.MULTILINE)[1:]
VISITED = [re.findall(r"`([\w.]+)`\s+in\s+`([\w/]+\.py)`", step) for step in STEPS]
FUNCTIONS = [pair for step in VISITED for pair in step]


def names_in(tree: ast.Module | ast.ClassDef, prefix: str = "") -> set[str]:
    """The functions and classes of a module, methods with their class before them."""
    found: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(prefix + node.name)
        if isinstance(node, ast.ClassDef):
            found |= names_in(node, f"{prefix}{node.name}.")
    return found


def test_a_visit_takes_ten_steps_and_each_names_a_function() -> None:
    assert len(STEPS) == 10
    assert all(VISITED)


@pytest.mark.parametrize(("function", "file"), FUNCTIONS)
def test_each_function_of_the_path_is_where_the_page_says(function: str, file: str) -> None:
    assert function in names_in(ast.parse((PACKAGE / file).read_text(encoding="utf-8")))


def test_the_path_can_be_read_in_an_hour() -> None:
    files = {file for _, file in FUNCTIONS}
    assert len(files) <= 25
    assert sum(len((PACKAGE / file).read_text(encoding="utf-8").splitlines()) for file in files) <= 3000


def test_each_file_and_folder_on_the_page_exists() -> None:
    paths = re.findall(r"`((?:[\w.-]+/)+[\w.-]*|[\w-]+\.(?:py|toml))`", PAGE)
    assert len(paths) > 60
    assert [path for path in paths if not (PACKAGE / path).exists() and not (ROOT / path).exists()] == []


def test_each_room_of_the_package_is_on_the_page() -> None:
    rooms = {str(file.parent.relative_to(PACKAGE)) for file in PACKAGE.rglob("__init__.py")} - {"."}
    assert {room for room in rooms if f"`{room}/" not in PAGE} == set()
