"""The former name of `landscape_ray.planning`, for scripts that import it: `landscape_ray.plan` is a function now."""

from landscape_ray.planning import *  # noqa: F403
