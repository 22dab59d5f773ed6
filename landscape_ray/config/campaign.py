"""A campaign: several sweeps of one request, from files beside each other or a list of `models` in a file."""

import copy
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from landscape_ray.config.loading import change, read_yaml, sweep_of
from landscape_ray.config.model import ModelConfig
from landscape_ray.config.sweep import SweepConfig
from landscape_ray.errors import ConfigError

__all__ = ["CampaignSweep", "is_campaign", "load_campaign"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignSweep:
    """One sweep of a campaign."""

    name: str
    """Name of its folder within that of the campaign, from the id of its model."""
    config: SweepConfig
    """The sweep."""


def is_campaign(paths: Sequence[Path]) -> bool:
    """Tell whether files describe a campaign: they are several, or the only one lists `models`.

    Raises:
        ConfigError: That one cannot be read.
    """
    (path, *more) = paths
    return bool(more) or (path.is_file() and "models" in read_yaml(path))  # a pipe can be read only once


def load_campaign(paths: Sequence[Path], overrides: Sequence[str] = ()) -> tuple[CampaignSweep, ...]:
    """Read the sweeps of a campaign, those of one model one after the other: they can share engines.

    The first sweep of a model bears the model's name, and a further one that of its file as well, so that folders keep
    their names when files or models are added at the end.

    Args:
        paths: YAML files. In place of `model` one may have `models`: a list of ids, or of mappings of changes by dotted
            keys, such as `{model.id: org/name, dtype: float16}`.
        overrides: `key.sub=value` strings for all of them.

    Raises:
        ConfigError: A file cannot be read, describes no valid sweep, or two sweeps would have one folder.
    """
    found: dict[str, SweepConfig] = {}
    for path in paths:
        for data, origin in _requests(path):
            config = sweep_of(data, origin, overrides)
            if config.sweep_id in {each.sweep_id for each in found.values()}:
                msg = f"{origin} asks for the sweep of {config.model.id!r} a second time. Leave one of the two out."
                raise ConfigError(msg)
            model = _name(config.model)
            taken = {name.casefold() for name in found}
            name = next((each for each in (model, f"{model}-{path.stem}") if each.casefold() not in taken), None)
            if name is None:
                msg = (
                    f"{origin} is one more sweep of the model {config.model.id!r}, and folders are named by models and "
                    "files, so it would share one. Put it into a file of another name, and give that as well."
                )
                raise ConfigError(msg)
            found[name] = config
    models = list(dict.fromkeys(config.model for config in found.values()))
    sweeps = (CampaignSweep(name=name, config=config) for name, config in found.items())
    return tuple(sorted(sweeps, key=lambda sweep: models.index(sweep.config.model)))


def _requests(path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield what each sweep of a file would be asked with, and where that stands."""
    data = read_yaml(path)
    if "models" not in data:
        yield data, str(path)
        return
    models = data.pop("models")
    if not isinstance(models, list) or not models or "model" in data:
        wrong = "has `model` as well" if "model" in data else f"is {models!r}"
        msg = (
            f"{path}: `models` {wrong}. Give a list of model ids or of changes to the rest of the file, and no `model`."
        )
        raise ConfigError(msg)
    for number, each in enumerate(models):
        request, origin = copy.deepcopy(data), f"{path}, models.{number}"
        changes = {"model.id": each} if isinstance(each, str) else each
        if not isinstance(changes, dict):
            msg = f"{origin} is {each!r}. Give a model id, or changes such as {{model.id: org/name, dtype: float16}}."
            raise ConfigError(msg)
        for key, value in changes.items():
            change(request, str(key), value, origin=origin)
        yield request, origin


def _name(model: ModelConfig) -> str:
    """Return the name of a folder that tells a model: the last part of a path, or a Hub id, with its revision."""
    is_path = model.id.startswith(("/", ".", "~")) or Path(model.id).is_dir()
    name = Path(model.id).expanduser().resolve().name if is_path else model.id.replace("/", "--")
    return re.sub(r"[^\w.-]+", "-", f"{name}@{model.revision}" if model.revision else name, flags=re.ASCII).strip(".-")
