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

__all__ = ["ENVIRONMENT_PREFIX", "change", "load_config", "read_yaml", "sweep_of"]


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
    data = read_yaml(Path(path))
    if "models" in data:
        msg = (
            f"{path} lists `models`, so it is a campaign of several sweeps; only `landscape-ray run` and `plan` take "
            "such files. Give a file with one `model` here."
        )
        raise ConfigError(msg)
    return sweep_of(data, str(path), overrides, environment)


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping that a file holds.

    Raises:
        ConfigError: The file cannot be read, or holds none.
    """
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
    return data


def sweep_of(
    data: dict[str, Any], origin: str, overrides: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> SweepConfig:
    """Return the sweep that a mapping describes, changed in place by the environment and `--set`, see `load_config`.

    Args:
        data: What the file holds.
        origin: The file, for messages.
        overrides: As for `load_config`.
        environment: As for `load_config`.

    Raises:
        ConfigError: It describes no valid sweep.
    """
    variables = os.environ if environment is None else environment
    for name in sorted(variables):
        if name.startswith(ENVIRONMENT_PREFIX):
            dotted = name.removeprefix(ENVIRONMENT_PREFIX).lower().replace("__", ".")
            source = f"environment variable {name}"
            change(data, dotted, _parsed(variables[name], source), origin=source)
    for override in overrides:
        dotted, equals, value = override.partition("=")
        if not equals:
            msg = (
                f"--set {override!r} has no '='; write --set key.sub=value, for example --set landscape.axes.0.num=11."
            )
            raise ConfigError(msg)
        change(data, dotted, _parsed(value, f"--set {override}"), origin=f"--set {override}")
    try:
        return SweepConfig.model_validate(data)
    except ValidationError as error:
        msg = f"{origin} does not describe a valid sweep:\n{problems_of(error)}"
        raise ConfigError(msg) from error


def _parsed(value: str, origin: str) -> Any:
    try:
        return yaml.safe_load(value)
    except yaml.YAMLError as error:
        msg = f"{origin}: the value is not valid YAML: {in_brief(error)}."
        raise ConfigError(msg) from error


def change(data: dict[str, Any], dotted: str, value: Any, *, origin: str) -> None:
    """Put a value at a dotted place of nested mappings and lists, in place.

    Raises:
        ConfigError: There is no such place.
    """
    keys = dotted.split(".")
    node: Any = data
    for depth, key in enumerate(keys):
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
        if depth == len(keys) - 1:
            node[index] = value
            return
        if isinstance(node, dict) and node.get(index) is None:
            if keys[depth + 1].isdigit():
                place = ".".join(keys[: depth + 1])
                msg = f"{origin}: {place} has no items to change; set the whole list, as in {place}='[...]'."
                raise ConfigError(msg)
            node[index] = {}
        node = node[index]
