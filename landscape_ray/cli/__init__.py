"""The commands of `landscape-ray`: the same verbs as the library's, for people and for scripts."""

from landscape_ray.cli.commands import main

__all__ = ["main"]
