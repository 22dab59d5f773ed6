"""What is wrong with data that came from a store, in one line that may be shown."""

from pydantic import ValidationError

from landscape_ray.store.redaction import redacted

__all__ = ["problems"]

MAX_PROBLEMS = 5
MAX_VALUE_CHARS = 80


def problems(error: ValidationError) -> str:
    """Return the first problems, each as `field: what is wrong (got value)`; values are shortened and escaped."""
    found = error.errors(include_url=False, include_context=False)
    lines = [
        f"{'.'.join(map(str, e['loc'])) or 'content'}: {e['msg']} (got {redacted(ascii(e['input']))[:MAX_VALUE_CHARS]})"
        for e in found[:MAX_PROBLEMS]
    ]
    if len(found) > MAX_PROBLEMS:
        lines.append(f"and {len(found) - MAX_PROBLEMS} more")
    return "; ".join(lines)
