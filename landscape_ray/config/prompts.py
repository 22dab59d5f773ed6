"""`prompts`: where prompts come from."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from landscape_ray.config.section import Section

__all__ = ["AdvBenchPrompts", "DemoPrompts", "FilePrompts", "HubPrompts", "PromptsConfig", "Where"]


class DemoPrompts(Section):
    """Prompts written for the embedded model."""

    source: Literal["demo"] = "demo"
    """Marks this kind of source."""
    name: Literal["harmful", "harmless", "choices", "answers"] = "harmful"
    """Which of the shipped sets: requests for `asr` and `over_refusal`, questions for `accuracy`, or answers to
    requests for `perplexity`."""


class AdvBenchPrompts(Section):
    """AdvBench harmful behaviours (Zou et al. 2023, MIT licence, 520 rows), fetched at run time, never shipped."""

    source: Literal["advbench"] = "advbench"
    """Marks this kind of source."""
    path: str | None = None
    """A local copy of harmful_behaviors.csv; null: fetch from the pinned address. Its sha256 is checked either way."""


Where: TypeAlias = dict[str, str | int | float | bool]
"""Values of columns, as YAML reads them; see `evaluation.row_filter` for what equals them in a file."""


class FilePrompts(Section):
    """Prompts from a file of the user."""

    source: Literal["file"] = "file"
    """Marks this kind of source."""
    path: str = Field(min_length=1)
    """A .csv, .jsonl or .parquet file; relative to the working directory."""
    column: str = "prompt"
    """Column (or JSON key) that holds the prompt text."""
    id_column: str | None = None
    """Column with a unique id per prompt; null: the row number."""
    where: Where = {}
    """Take only the rows whose columns have these values, such as `{label: safe}`."""


class HubPrompts(Section):
    """Prompts from a data set on the Hugging Face Hub."""

    source: Literal["hub"] = "hub"
    """Marks this kind of source."""
    id: str = Field(min_length=1)
    """Data set id, such as `JailbreakBench/JBB-Behaviors`."""
    config: str = "default"
    """Configuration (subset) of the data set."""
    split: str = "train"
    """Split of the configuration."""
    files: str | None = None
    """Path of the file to read, or a pattern of several, where no configuration of the data set names it; null: the
    files of `config` and `split`."""
    revision: str = Field(pattern=r"^[0-9a-f]{40}$")
    """Commit of the data set, 40 hexadecimal digits: measurements must not move with a branch."""
    column: str = "prompt"
    """Column that holds the prompt text."""
    id_column: str | None = None
    """Column with a unique id per prompt; null: the row number."""
    where: Where = {}
    """Take only the rows whose columns have these values, such as `{label: safe}`."""


PromptsConfig = Annotated[DemoPrompts | AdvBenchPrompts | FilePrompts | HubPrompts, Field(discriminator="source")]
