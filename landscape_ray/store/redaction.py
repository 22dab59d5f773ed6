"""Text without the credentials that URLs carry, so that it may be shown and stored."""

import re

__all__ = ["redacted"]

USER_INFO = re.compile(r"(?<=://)[^/\s@'\"?#]+@")
QUERY_VALUE = re.compile(
    r"(?P<name>[?&][^=&?\s'\"]{0,64}(?:key|token|secret|sig|signature|password|credential|auth)[^=&?\s'\"]{0,64}=)[^&\s'\"#]+",
    re.IGNORECASE,
)


def redacted(text: str) -> str:
    """Return a text with user names, passwords and signed query values of URLs replaced by `***`."""
    return QUERY_VALUE.sub(r"\g<name>***", USER_INFO.sub("***@", text))
