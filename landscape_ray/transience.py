"""Which errors of libraries may pass by themselves. None of those libraries is imported for it."""

import errno
import http.client
import socket
import ssl
from typing import Any

from landscape_ray.errors import TransientError

__all__ = ["is_transient"]

# Time-out, too early, too many requests; besides these all that a server says of itself, from 500 on.
TRANSIENT_STATUSES = frozenset({408, 425, 429})
TRANSIENT_CODES = frozenset(
    {errno.EAGAIN, errno.EBUSY, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH, errno.ESTALE, errno.ETIMEDOUT}
)
TRANSIENT_CLASSES = (ConnectionError, TimeoutError, socket.gaierror, http.client.HTTPException, ssl.SSLEOFError)
# Base classes of lost connections and time-outs in libraries that are not ours to import: httpx, requests, aiohttp,
# botocore, and the Hub's client.
TRANSIENT_NAMES = frozenset(
    {
        *("TransportError", "ConnectionError", "Timeout", "ChunkedEncodingError"),
        *("ClientConnectionError", "ClientPayloadError", "HTTPClientError", "XetDownloadError"),
    }
)
# No network, and no certificate that is trusted, however often one tries.
LASTING_NAMES = frozenset({"OfflineModeIsEnabled", "SSLCertVerificationError", "UnsupportedProtocol"})


def is_transient(error: BaseException | None) -> bool:
    """Tell whether a library's error, or the cause that it names, may pass by itself.

    What is lasting says so before what it caused: a certificate that is refused is no lost connection.
    """
    chain = []
    while error is not None and error not in chain:
        chain.append(error)
        reason = getattr(error, "reason", None)  # of urllib
        error = reason if isinstance(reason, BaseException) else error.__cause__
    if any(LASTING_NAMES & _names(error) for error in chain):
        return False
    return next((verdict for verdict in map(_is_transient, chain) if verdict is not None), False)


def _is_transient(error: BaseException) -> bool | None:
    """Judge one error alone; None if it says nothing of it."""
    if isinstance(error, TransientError):
        return True
    status = _http_status(error)
    if status is not None:
        return status in TRANSIENT_STATUSES or status >= http.client.INTERNAL_SERVER_ERROR
    passing = (
        isinstance(error, TRANSIENT_CLASSES)
        or getattr(error, "errno", None) in TRANSIENT_CODES
        or TRANSIENT_NAMES & _names(error)
    )
    return True if passing else None


def _http_status(error: BaseException) -> int | None:
    """Return the status that a server answered, wherever a library keeps it."""
    response: Any = getattr(error, "response", None)
    if isinstance(response, dict):  # of botocore
        found: list[Any] = [response.get("ResponseMetadata", {}).get("HTTPStatusCode")]
    else:
        names = ("status_code", "status", "code")
        found = [getattr(holder, name, None) for holder in (response, error) for name in names]
    return next((status for status in found if isinstance(status, int)), None)


def _names(error: BaseException) -> set[str]:
    return {cls.__name__ for cls in type(error).__mro__}
