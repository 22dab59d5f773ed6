"""`prompts`: where prompts come from."""

from types import MappingProxyType
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, model_validator

from landscape_ray.config.section import Section

__all__ = [
    "NAMED_SETS",
    "AdvBenchPrompts",
    "DemoPrompts",
    "FilePrompts",
    "HubPrompts",
    "InspectPrompts",
    "NamedPrompts",
    "PromptsConfig",
    "Where",
]


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


_JAILBREAKBENCH = HubPrompts(
    id="JailbreakBench/JBB-Behaviors", revision="d8d87b8fdcb7806e3b4e45fffb2bc24aa6b17f32", column="Goal"
)
_HARMBENCH = HubPrompts(id="walledai/HarmBench", revision="71c5e5411366e2ffff9b3a55fc47493d3aa56dfb")
_STRONGREJECT = HubPrompts(id="walledai/StrongREJECT", revision="df54272b395ce9e584d2f8140519935425d8549f")
_XSTEST = HubPrompts(id="Paul/XSTest", revision="f600c994b256f12867dfa5b3eb3d545a3e62f8b5", files="xstest_prompts.csv")
_OR_BENCH = HubPrompts(id="bench-llm/or-bench", revision="e36d8b80e81837c8a8f264bbb2a49f1b32c7e272")


def _part(of: HubPrompts, **changes: str | dict[str, str]) -> HubPrompts:
    return HubPrompts.model_validate(of.model_dump() | changes)


NAMED_SETS = MappingProxyType(
    {
        "harmbench": {"standard": _part(_HARMBENCH, files="standard/train-*.parquet")},
        "jailbreakbench": {
            "harmful": _part(_JAILBREAKBENCH, files="data/harmful-behaviors.csv"),
            "benign": _part(_JAILBREAKBENCH, files="data/benign-behaviors.csv"),
        },
        "or-bench": {
            "hard-1k": _part(_OR_BENCH, files="or-bench-hard-1k.csv"),
            "80k": _part(_OR_BENCH, files="or-bench-80k.csv"),
            "toxic": _part(_OR_BENCH, files="or-bench-toxic.csv"),
        },
        "strongreject": {"all": _part(_STRONGREJECT, files="data/train-*.parquet")},
        "xstest": {
            "safe": _part(_XSTEST, where={"label": "safe"}),
            "unsafe": _part(_XSTEST, where={"label": "unsafe"}),
        },
    }
)
"""Published prompt sets on the Hub, by name and part; the first part is the default. docs/benchmarks.md has sizes,
papers and licences. HarmBench and StrongREJECT publish on GitHub; these are the copies of the same rows on the Hub."""


class NamedPrompts(Section):
    """A published prompt set at a pinned commit of the Hub, fetched at run time, never shipped."""

    source: Literal["harmbench", "jailbreakbench", "or-bench", "strongreject", "xstest"]
    """Its name."""
    part: str | None = None
    """Which part of it: of `harmbench` standard; of `jailbreakbench` harmful or benign; of `or-bench` hard-1k, 80k or
    toxic; of `strongreject` all; of `xstest` safe or unsafe. null: the one said first."""

    @model_validator(mode="after")
    def _has_part(self) -> "NamedPrompts":
        parts = NAMED_SETS[self.source]
        if self.part is not None and self.part not in parts:
            msg = f"{self.source} has no part {self.part!r}; it has {', '.join(parts)}"
            raise ValueError(msg)
        return self

    def on_hub(self) -> HubPrompts:
        """Return where it lies."""
        parts = NAMED_SETS[self.source]
        return parts[self.part or next(iter(parts))]


class InspectPrompts(Section):
    """The samples of a task of Inspect, as its solver asks them; for the metric `task_accuracy`."""

    source: Literal["inspect"] = "inspect"
    """Marks this kind of source."""
    task: str = Field(pattern=r"^[^@]+@\w+$")
    """`FILE.py@TASK` or `MODULE@TASK`; every node must have the file or module. Its code is run."""


PromptsConfig = Annotated[
    DemoPrompts | AdvBenchPrompts | FilePrompts | HubPrompts | NamedPrompts | InspectPrompts,
    Field(discriminator="source"),
]
