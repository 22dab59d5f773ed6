"""The commands of `landscape-ray`: the same verbs as the library's, for people and for scripts."""

import landscape_ray.cli.certifying
import landscape_ray.cli.commands
import landscape_ray.cli.comparing
import landscape_ray.cli.configs
import landscape_ray.cli.dequantize
import landscape_ray.cli.judges
import landscape_ray.cli.live
import landscape_ray.cli.publishing
import landscape_ray.cli.report
import landscape_ray.cli.tabling
import landscape_ray.cli.verify  # noqa: F401 - these register their commands
from landscape_ray.cli.app import main

__all__ = ["main"]
