"""docs/configuration.md shows each section by its docstrings, and its example is a sweep."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from landscape_ray.config import SweepConfig

DOCS = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
SCHEMA = SweepConfig.model_json_schema()
(EXAMPLE,) = re.findall(r"^```yaml\n(.*?)^```", DOCS, flags=re.DOTALL | re.MULTILINE)


def sections() -> Iterator[tuple[str, dict[str, Any]]]:
    yield "SweepConfig", SCHEMA
    yield from SCHEMA["$defs"].items()


def test_the_page_shows_exactly_the_sections_that_there_are() -> None:
    shown = re.findall(r"^::: landscape_ray\.config\.(\w+)$", DOCS, flags=re.MULTILINE)
    assert sorted(shown) == sorted(name for name, _ in sections())


@pytest.mark.parametrize(("name", "section"), list(sections()))
def test_each_key_has_a_meaning_to_show(name: str, section: dict[str, Any]) -> None:
    assert [f"{name}.{key}" for key, field in section["properties"].items() if not field.get("description")] == []


def test_the_example_is_a_sweep_with_the_defaults_that_it_writes_out() -> None:
    example = yaml.safe_load(EXAMPLE)
    config = SweepConfig.model_validate(example)
    example["benchmarks"][0].pop("limit")
    chosen = {"model": example["model"], "benchmarks": [{"name": "advbench", "prompts": {"source": "advbench"}}]}
    plain = SweepConfig.model_validate(chosen)
    assert config.model_copy(update={"benchmarks": (), "run": plain.run}) == plain.model_copy(update={"benchmarks": ()})
    assert SweepConfig.model_validate(example).benchmarks == plain.benchmarks
