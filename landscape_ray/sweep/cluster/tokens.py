"""Tokens of Ray clusters: `ray start` asks for one where there is one, and Ray sends it to no address it is given."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from ray._raylet import Config  # type: ignore[attr-defined]  # of a compiled module

from landscape_ray.errors import ResourceError

__all__ = ["sent_where_asked", "token_of_this_machine"]

MODE = "RAY_AUTH_MODE"
ASK_WITHIN_S = 5.0
QUESTION = "/ray.rpc.NodeInfoGcsService/GetClusterId"
"""The first thing that Ray itself asks a cluster. It would ask for 20 seconds and then not tell why it was refused."""


def token_of_this_machine() -> str:
    """Return the token of this machine, from where Ray looks for it; empty if there is none."""
    if token := os.environ.get("RAY_AUTH_TOKEN"):
        return token
    file = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    return file.read_text(encoding="utf-8").strip() if file.is_file() else ""


@contextlib.contextmanager
def sent_where_asked(address: str) -> Iterator[None]:
    """Let Ray send this machine's token to a cluster that asks for one, unless RAY_AUTH_MODE decides.

    It is sent to no other: a driver with a token takes no answers from a cluster without. Ray does so by itself for the
    address `auto`.

    Args:
        address: What `ray.init` is given.

    Raises:
        ResourceError: The cluster asks, and this machine has none.
    """
    if MODE in os.environ or not _asks_for_a_token(address):
        yield
        return
    if not token_of_this_machine():
        msg = (
            f"The Ray cluster at RAY_ADDRESS={address} asks for a token, and there is none here. Put that of its head "
            "node (`ray get-auth-token`) into ~/.ray/auth_token or RAY_AUTH_TOKEN."
        )
        raise ResourceError(msg)
    os.environ[MODE] = "token"
    Config.initialize("")  # what Ray has read of the environment
    try:
        yield
    finally:
        del os.environ[MODE]
        Config.initialize("")


def _asks_for_a_token(address: str) -> bool:
    host, _, port = address.rpartition(":")
    if "/" in address or not host or not port.isdecimal():
        return False
    import grpc  # type: ignore[import-untyped]  # noqa: PLC0415  (comes with ray[default]; engines need none of it)

    with grpc.insecure_channel(address) as channel:
        try:
            channel.unary_unary(QUESTION)(b"", timeout=ASK_WITHIN_S)
        except grpc.RpcError as refusal:
            return bool(refusal.code() == grpc.StatusCode.UNAUTHENTICATED)
    return False
