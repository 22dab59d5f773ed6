"""The commands about configurations: `config schema` and `config show`."""

import json
import sys

import yaml

from landscape_ray.cli.app import ConfigFile, Overrides, config_app
from landscape_ray.config import SweepConfig, load_config

__all__ = ["config_schema", "config_show"]


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
