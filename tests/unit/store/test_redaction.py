"""No credentials of URLs in anything shown or stored."""

import pytest

from landscape_ray.store.redaction import redacted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("sftp://me:pa55@host:22/x", "sftp://***@host:22/x"),
        ("two: ftp://a@h and http://b:c@h", "two: ftp://***@h and http://***@h"),
        (
            "https://h/x?X-Amz-Credential=AK&X-Amz-Signature=b1&part=2",
            "https://h/x?X-Amz-Credential=***&X-Amz-Signature=***&part=2",
        ),
        ("az://c/x?sv=1&sig=abc%2B", "az://c/x?sv=1&sig=***"),
        ("https://h/x?access_token=t&a=b#f", "https://h/x?access_token=***&a=b#f"),
        ("s3://bucket/folder@v2/x", "s3://bucket/folder@v2/x"),
        ("/data/me@home/results", "/data/me@home/results"),
        ("mail me@host", "mail me@host"),
    ],
)
def test_redacted(text: str, shown: str) -> None:
    assert redacted(text) == shown
