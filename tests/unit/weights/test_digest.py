"""The digest of placed weights sees every change."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from landscape_ray.weights import WeightsDigest, digest


def digest_of(**tensors: torch.Tensor) -> str:
    weights_digest = WeightsDigest()
    for name, tensor in tensors.items():
        weights_digest.update(name, tensor)
    return weights_digest.hexdigest()


def test_sum_is_the_documented_one() -> None:
    tensor = torch.randn(7, 5).to(torch.bfloat16)  # 70 bytes: the last word is padded
    content = tensor.view(torch.uint8).numpy().tobytes() + b"\0\0"
    words = np.frombuffer(content, dtype="<i8").tolist()
    total = sum(word * (2 * i + 1) for i, word in enumerate(words)) % 2**64
    weights_digest = WeightsDigest()
    weights_digest.update("w", tensor)
    (entry,) = weights_digest._entries
    assert int(entry.split()[-1]) % 2**64 == total


def test_does_not_depend_on_order_or_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = torch.randn(9, 9), torch.randn(3)
    expected = digest_of(a=a, b=b)
    monkeypatch.setattr(digest, "CHUNK_WORDS", 8)
    assert digest_of(b=b, a=a) == expected


@given(index=st.integers(0, 99), bit=st.integers(0, 31))
def test_one_flipped_bit_changes_it(index: int, bit: int) -> None:
    a = torch.arange(100, dtype=torch.float32)
    b = a.clone()
    b.view(torch.int32)[index] ^= (1 << bit) if bit < 31 else -(2**31)
    assert digest_of(w=a) != digest_of(w=b)


def test_exchanged_elements_names_shapes_and_types_change_it() -> None:
    a = torch.tensor([1.0, 2.0, 3.0, 4.0])
    others = [
        digest_of(w=a[[1, 0, 2, 3]]),
        digest_of(w=a[[2, 3, 0, 1]]),
        digest_of(v=a),
        digest_of(w=a.view(2, 2)),
        digest_of(w=a.view(torch.int32)),
        digest_of(w=a, v=a),
    ]
    assert len({digest_of(w=a), *others}) == 7
