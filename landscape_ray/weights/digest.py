"""A digest of placed weights, cheap enough to take at every visit."""

import hashlib

import torch

__all__ = ["WeightsDigest"]

WORD_BYTES = 8
CHUNK_WORDS = 1 << 22


class WeightsDigest:
    """Digest of named tensors, the same on every device and for every order of the names.

    Each tensor's bytes, read as 64-bit words w_i, are summed as w_i * (2 i + 1) modulo 2**64 on the tensor's own
    device; names, types, shapes and sums are then hashed. One changed or moved weight changes the sum. It guards
    against accidents, not against forgery.
    """

    def __init__(self) -> None:
        self._entries: list[str] = []

    def update(self, name: str, tensor: torch.Tensor) -> None:
        """Add one tensor."""
        words = _words(tensor)
        total = torch.zeros((), dtype=torch.int64, device=tensor.device)
        for first in range(0, words.numel(), CHUNK_WORDS):
            chunk = words[first : first + CHUNK_WORDS]
            odd = torch.arange(2 * first + 1, 2 * (first + chunk.numel()) + 1, 2, device=tensor.device)
            total += (chunk * odd).sum()
        self.add(name, tensor.dtype, tensor.shape, int(total))

    def add(self, name: str, dtype: torch.dtype, shape: torch.Size, total: int) -> None:
        """Add one tensor by its sum modulo 2**64, taken elsewhere."""
        signed = (total + (1 << 63)) % (1 << 64) - (1 << 63)
        self._entries.append(f"{name} {dtype} {tuple(shape)} {signed}")

    def hexdigest(self) -> str:
        """Return the digest of all tensors added so far: 16 hexadecimal digits."""
        return hashlib.blake2b("\n".join(sorted(self._entries)).encode(), digest_size=8).hexdigest()


def _words(tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor's bytes as int64 words, zero-padded: shape [ceil(bytes / 8)]."""
    content = tensor.detach().contiguous().view(-1).view(torch.uint8)
    if rest := content.numel() % WORD_BYTES:
        content = torch.nn.functional.pad(content, (0, WORD_BYTES - rest))
    return content.view(torch.int64)
