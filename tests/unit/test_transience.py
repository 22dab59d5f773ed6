"""Which errors of libraries may pass by themselves, each made by the library that raises it."""

import email.message
import errno
import http.client
import pickle
import ssl
import urllib.error

import aiohttp
import botocore.exceptions  # type: ignore[import-untyped]
import httpx
import pytest
import requests
from huggingface_hub import errors as hub
from s3fs.errors import translate_boto_error  # type: ignore[import-untyped]

from landscape_ray.errors import DefectError, TransientError
from landscape_ray.transience import is_transient

REQUEST = httpx.Request("GET", "http://hub")


def answered(status: int) -> httpx.HTTPStatusError:
    return httpx.HTTPStatusError("refused", request=REQUEST, response=httpx.Response(status, request=REQUEST))


def from_urllib(status: int) -> urllib.error.HTTPError:
    return urllib.error.HTTPError("http://x", status, "", email.message.Message(), None)


def from_s3(status: int, code: str) -> Exception:
    answer = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    error: Exception = translate_boto_error(botocore.exceptions.ClientError(answer, "PutObject"))
    return error


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error",
    [
        answered(429),
        answered(503),
        from_urllib(500),
        from_s3(503, "SlowDown"),
        from_s3(500, "InternalError"),
        from_s3(429, "TooManyRequests"),
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
        httpx.RemoteProtocolError("half an answer"),
        urllib.error.URLError(ConnectionResetError("reset")),
        http.client.IncompleteRead(b"half"),
        requests.ConnectionError("refused"),
        requests.exceptions.ChunkedEncodingError("half"),
        aiohttp.ServerDisconnectedError(),
        botocore.exceptions.EndpointConnectionError(endpoint_url="http://s3"),
        botocore.exceptions.ReadTimeoutError(endpoint_url="http://s3"),
        TimeoutError("slow"),
        OSError(errno.ESTALE, "a mount that came back"),
        caused(hub.LocalEntryNotFoundError("not in the cache"), answered(502)),
        caused(OSError("RuntimeError: in words of the store"), from_s3(503, "ServiceUnavailable")),
    ],
    ids=repr,
)
def test_what_may_pass(error: Exception) -> None:
    assert is_transient(error)


@pytest.mark.parametrize(
    "error",
    [
        answered(401),
        answered(404),
        from_urllib(403),
        from_s3(403, "ExpiredToken"),
        from_s3(404, "NoSuchBucket"),
        caused(hub.LocalEntryNotFoundError("not in the cache"), hub.OfflineModeIsEnabled("offline")),
        caused(httpx.ConnectError("certificate"), ssl.SSLCertVerificationError("self-signed")),
        urllib.error.URLError(ssl.SSLCertVerificationError("self-signed")),
        httpx.UnsupportedProtocol("htp://"),
        hub.HFValidationError("no id"),
        OSError(errno.ENOSPC, "full"),
        PermissionError("no rights"),
        FileNotFoundError("gone"),
        ValueError("HTTP 503"),
        None,
    ],
    ids=repr,
)
def test_what_lasts_or_is_not_known(error: Exception | None) -> None:
    assert not is_transient(error)


@pytest.mark.parametrize("cls", [TransientError, DefectError])
def test_what_kind_an_error_is_survives_the_way_between_processes(cls: type[Exception]) -> None:
    error = pickle.loads(pickle.dumps(cls("why")))  # noqa: S301  (what Ray does between processes)
    assert (type(error), str(error), error.exit_code) == (cls, "why", 1)
