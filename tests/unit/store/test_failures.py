"""Failure files: bounded, printable, without credentials."""

import pytest

from landscape_ray.errors import PartError
from landscape_ray.store import PointFailure
from landscape_ray.store.failures import decode, encode

KEY = "ab" * 16


def failure(error: str, label: str = "d0_a+0.1") -> PointFailure:
    return PointFailure(
        key=KEY, label=label, benchmark="advbench", error=error, attempts=3, at="2026-01-02T03:04:05+00:00"
    )


def stored(error: str) -> str:
    return decode(f"{KEY}.json", encode(failure(error))).error


def test_a_failure_comes_back() -> None:
    assert decode(f"{KEY}.json", encode(failure("out of memory\nat 3 GiB"))) == failure("out of memory\nat 3 GiB")


def test_a_long_error_is_shortened() -> None:
    assert len(stored("x" * 1_000_000)) == 4000
    assert stored("x" * 1_000_000).endswith("x ...")
    assert stored("x" * 4000) == "x" * 4000


def test_an_error_cannot_write_to_a_terminal_or_hold_a_half_character() -> None:
    assert stored("\x1b[31mred\x07 \ud800") == " [31mred   "


def test_an_error_holds_no_credentials() -> None:
    assert stored("PUT https://me:pw@host/x?X-Amz-Signature=abc failed") == (
        "PUT https://***@host/x?X-Amz-Signature=*** failed"
    )


def test_a_malformed_failure_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="label"):
        encode(failure("out of memory", label="../../x"))


@pytest.mark.parametrize("content", [b"", b"null", b"{}", b"[" * 100_000, b"\xff"])
def test_other_content_is_refused(content: bytes) -> None:
    with pytest.raises(PartError, match="not a failure file"):
        decode(f"{KEY}.json", content)
