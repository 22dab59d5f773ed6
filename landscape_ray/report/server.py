"""Serves a live report over HTTP: to this machine, or with a token to others. It only ever reads.

Without a token only requests that name this machine are answered: a page of another site whose name leads here (DNS
rebinding) gets nothing. With one, who has it has a cookie afterwards, so that it stays in no address bar.
"""

import hashlib
import hmac
import ipaddress
import json
import secrets
import socket
import sys
from collections.abc import Mapping
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from landscape_ray.errors import ResourceError
from landscape_ray.report.live import LiveReport

__all__ = ["LiveServer"]

HERE = ("localhost", "127.0.0.1", "::1")
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Type": "text/plain; charset=utf-8",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class LiveServer(ThreadingHTTPServer):
    """One report at one address; `serve_forever` serves it."""

    def __init__(self, report: LiveReport, host: str, port: int) -> None:
        """Listen.

        Args:
            report: What is served.
            host: Name or address of this machine to listen at; any but a loopback one takes a token.
            port: 0: any free one.

        Raises:
            ResourceError: One cannot listen there.
        """
        self.report = report
        self.token = None if _is_loopback(host) else secrets.token_urlsafe(32)
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), _Handler)
        except (OSError, OverflowError) as error:
            msg = f"Cannot listen at {host}, port {port}: {error}. Give another --port or --host."
            raise ResourceError(msg) from error

    @property
    def url(self) -> str:
        """Where the report is, with the token if there is one."""
        host = str(self.server_address[0])
        if ipaddress.ip_address(host).is_unspecified:
            host = socket.gethostname()
        at = f"http://{f'[{host}]' if ':' in host else host}:{self.server_port}/"
        return at if self.token is None else f"{at}?token={self.token}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of browsers that leave amid an answer, as they do when they take the page anew."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _Handler(BaseHTTPRequestHandler):
    server: LiveServer
    server_version, sys_version = "landscape-ray", ""
    timeout = 30

    def do_GET(self) -> None:
        """Answer with the page, or how the sweep goes."""
        path, _, query = self.path.partition("?")
        token, here = self.server.token, (*HERE, self.server.server_address[0])
        if token is None and _host(self.headers.get("Host", "")) not in here:
            self._answer(HTTPStatus.FORBIDDEN, b"This address is not the one that landscape-ray watch printed.\n")
        elif token is not None and any(_same(token, given) for given in parse_qs(query).get("token", [])):
            cookie = f"{self._cookie_name}={token}; Path=/; HttpOnly; SameSite=Lax"
            self._answer(HTTPStatus.SEE_OTHER, headers={"Location": "/", "Set-Cookie": cookie})
        elif token is not None and not _same(token, self._cookie()):
            self._answer(HTTPStatus.FORBIDDEN, b"Open the address that landscape-ray watch printed.\n")
        elif path == "/":
            self._answer(HTTPStatus.OK, self.server.report.look().page, {"Content-Type": "text/html; charset=utf-8"})
        elif path == "/state":
            version, line, _ = self.server.report.look()
            content = json.dumps({"version": version, "line": line}).encode()
            tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
            if self.headers.get("If-None-Match") == tag:
                self._answer(HTTPStatus.NOT_MODIFIED, headers={"ETag": tag})
            else:
                self._answer(HTTPStatus.OK, content, {"Content-Type": "application/json", "ETag": tag})
        else:
            self._answer(HTTPStatus.NOT_FOUND, b"There is nothing here.\n")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (its name in the library)
        """Keep quiet: addresses may hold the token."""

    @property
    def _cookie_name(self) -> str:
        return f"landscape-ray-{self.server.server_port}"  # browsers send cookies to all ports of a machine

    def _cookie(self) -> str:
        try:
            found = SimpleCookie(self.headers.get("Cookie", "")).get(self._cookie_name)
        except CookieError:
            return ""
        return found.value if found else ""

    def _answer(self, status: HTTPStatus, content: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**HEADERS, "Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


def _host(header: str) -> str | None:
    """Return the name of a Host header, without its port."""
    try:
        return urlsplit(f"//{header}").hostname
    except ValueError:
        return None


def _same(token: str, given: str) -> bool:
    return hmac.compare_digest(token.encode(), given.encode("utf-8", "surrogateescape"))
