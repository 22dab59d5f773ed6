"""A share of a sweep's points, for one of several drivers that write into the same folder."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from landscape_ray.errors import ConfigError

__all__ = ["Shard"]

TEXT = re.compile(r"([0-9]{1,3})/([0-9]{1,3})")


@dataclass(frozen=True, slots=True)
class Shard:
    """Share `number` (from 1) of `num`. Points are dealt by a hash of their labels, the same for every driver."""

    number: int
    num: int

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Read `2/3`.

        Raises:
            ConfigError: It is no such text.
        """
        found = TEXT.fullmatch(text)
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            msg = f"--shard {text!r} is no share. Give i/n, where i is 1 for the first of n drivers and n for the last."
            raise ConfigError(msg)
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.num}"

    @property
    def name(self) -> str:
        """Its name in the names of files."""
        return f"{self.number}-of-{self.num}"

    def owns(self, label: str) -> bool:
        """Tell whether the point of a label is in this share."""
        digest = hashlib.blake2b(label.encode(), digest_size=8).digest()
        return int.from_bytes(digest, "little") % self.num == self.number - 1

    def and_others(self) -> Iterator["Shard"]:
        """Yield this share and then the others, those of each driver in another order."""
        for step in range(self.num):
            yield Shard((self.number - 1 + step) % self.num + 1, self.num)
