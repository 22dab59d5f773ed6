"""The commands about configurations: `config keys`, `config schema` and `config show`."""

import json
import sys
import textwrap
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer
import yaml

from landscape_ray.cli.app import ConfigFile, Overrides, config_app
from landscape_ray.config import SweepConfig, load_config
from landscape_ray.errors import UserError

__all__ = ["config_keys", "config_schema", "config_show"]

Schema = Mapping[str, Any]


@config_app.command("keys")
def config_keys(
    section: Annotated[str, typer.Argument(help="Only keys that begin so, such as run or benchmarks.N.decoding.")] = "",
) -> None:
    """Print every key with its default and its meaning.

    ```
    landscape-ray config keys run
    landscape-ray config keys benchmarks.N.prompts
    ```

    N stands for the number of an item of a list. Where a section is of several kinds, the kind follows in brackets.
    """
    schema = SweepConfig.model_json_schema()
    shown = [each for each in _keys(schema, schema["$defs"], "") if each[0].startswith(section)]
    if not shown:
        sections = ", ".join(schema["properties"])
        msg = f"No key begins with {section!r}. The sections are {sections}."
        raise UserError(msg)
    for name, default, meaning in shown:
        typer.echo(f"{name}{default}")
        typer.echo(textwrap.indent(textwrap.fill(meaning, 108, break_on_hyphens=False), "    "))


def _keys(schema: Schema, definitions: Schema, prefix: str) -> Iterator[tuple[str, str, str]]:
    """Yield the name, the default in words and the meaning of each key of a section, and of the sections within it."""
    for name, key in schema["properties"].items():
        if "const" in key:  # what kind of section this is; its name says it
            continue
        types = list(_types(key))
        choices = [choice for each, _ in types for choice in each.get("enum", ())]
        meaning = [
            *key.get("description", "").split(),
            *([f"One of {', '.join(map(str, choices))}."] if choices else []),
        ]
        has_plain = "default" in key and not isinstance(key["default"], dict)
        yield f"{prefix}{name}", f"  (default: {json.dumps(key['default'])})" if has_plain else "", " ".join(meaning)
        sections = [(definitions[each["$ref"].rpartition("/")[2]], item) for each, item in types if "$ref" in each]
        for section, item in sections:
            kinds = [field["const"] for field in section["properties"].values() if "const" in field]
            kind = f"[{kinds[0]}]" if kinds else ""
            yield from _keys(section, definitions, f"{prefix}{name}{item}{kind}.")


def _types(key: Schema, item: str = "") -> Iterator[tuple[Schema, str]]:
    """Yield the types that a key may have, and those that items may have of the lists among them, with `.N`."""
    for of in (key, *key.get("anyOf", ()), *key.get("oneOf", ())):
        yield of, item
        for items in (*([of["items"]] if "items" in of else []), *of.get("prefixItems", ())[:1]):
            yield from _types(items, ".N")


@config_app.command("schema")
def config_schema() -> None:
    """Print the JSON Schema of configurations, for completion and checks in an editor.

    For the YAML extension of an editor, write it beside your files and start them with a line that names it:

    ```
    landscape-ray config schema > sweep.schema.json
    # yaml-language-server: $schema=sweep.schema.json
    ```
    """
    sys.stdout.write(json.dumps(SweepConfig.model_json_schema(), indent=2) + "\n")


@config_app.command("show")
def config_show(config: ConfigFile, *, set_: Overrides = None) -> None:
    """Print a configuration with every default, variable and --set in it. The output is a configuration, too."""
    sweep = load_config(config, set_ or ())
    shown = yaml.safe_dump(sweep.as_written(), sort_keys=False, allow_unicode=True, width=120)
    sys.stdout.write(f"# sweep {sweep.sweep_id}\n{shown}")
