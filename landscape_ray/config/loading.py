"""How a configuration is read: from YAML, the environment and `--set`."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from landscape_ray.config.problems import problems_of
from landscape_ray.config.sweep import SweepConfig
from landscape_ray.errors import ConfigError, in_brief

__all__ = ["ENVIRONMENT_PREFIX", "load_config"]


ENVIRONMENT_PREFIX = "LANDSCAPE_RAY__"


def load_config(
    path: str | Path,
    overrides: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> SweepConfig:
    """Read a configuration; command line beats environment, environment beats the file.

    Args:
        path: A YAML file.
        overrides: `key.sub=value` strings; values are YAML, list items are addressed by number
            (`benchmarks.0.limit=8`).
        environment: Variables such as `LANDSCAPE_RAY__RUN__ENGINES=4`; the process environment by default.

    Raises:
        ConfigError: The file cannot be read, is not YAML, or describes no valid sweep.
    """
    path = Path(path)
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        msg = f"Cannot read the configuration {path}: {error.strerror or error}. Give the path of a YAML file."
        raise ConfigError(msg) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        msg = f"{path} is not valid YAML: {in_brief(error)}. Correct it there."
        raise ConfigError(msg) from error
    if not isinstance(data, dict):
        msg = f"{path} must hold a YAML mapping with the keys 'model' and 'benchmarks', not {type(data).__name__}."
        raise ConfigError(msg)
    variables = os.environ if environment is None else environment
    for name in sorted(variables):
        if name.startswith(ENVIRONMENT_PREFIX):
            keys = name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")
            _set(data, keys, variables[name], origin=f"environment variable {name}")
    for override in overrides:
        dotted, equals, value = override.partition("=")
        if not equals:
            msg = (
                f"--set {override!r} has no '='; write --set key.sub=value, for example --set landscape.axes.0.num=11."
            )
            raise ConfigError(msg)
        _set(data, dotted.split("."), value, origin=f"--set {override}")
    try:
        return SweepConfig.model_validate(data)
    except ValidationError as error:
        msg = f"{path} does not describe a valid sweep:\n{problems_of(error)}"
        raise ConfigError(msg) from error


def _set(data: dict[str, Any], keys: Sequence[str], value: str, *, origin: str) -> None:
    """Put a YAML value at a dotted place of nested mappings and lists, in place."""
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError as error:
        msg = f"{origin}: the value is not valid YAML: {in_brief(error)}."
        raise ConfigError(msg) from error
    node: Any = data
    for depth, key in enumerate(keys):
        last = depth == len(keys) - 1
        if isinstance(node, list):
            if not key.isdigit() or int(key) >= len(node):
                place = ".".join(keys[:depth])
                msg = f"{origin}: {place} is a list of {len(node)} items; {key!r} is not one of 0..{len(node) - 1}."
                raise ConfigError(msg)
            index: Any = int(key)
        elif isinstance(node, dict):
            index = key
        else:
            msg = f"{origin}: {'.'.join(keys[:depth])} is {node!r}, which has no parts."
            raise ConfigError(msg)
        if last:
            node[index] = parsed
        elif isinstance(node, dict):
            if node.get(index) is None:
                if keys[depth + 1].isdigit():
                    place = ".".join(keys[: depth + 1])
                    msg = f"{origin}: {place} has no items to change; set the whole list, as in {place}='[...]'."
                    raise ConfigError(msg)
                node[index] = {}
            node = node[index]
        else:
            node = node[index]
