"""Shares of points are disjoint, complete, even, and the same for every driver and version."""

import pytest

from landscape_ray.errors import ConfigError
from landscape_ray.store import Shard

LABELS = [f"d{draw}_a{alpha / 100:+g}" for draw in range(10) for alpha in range(-50, 50)]


@pytest.mark.parametrize("num", [1, 2, 7])
def test_each_point_is_in_one_share_and_shares_are_even(num: int) -> None:
    shares = [{label for label in LABELS if Shard(number, num).owns(label)} for number in range(1, num + 1)]
    assert sorted(label for share in shares for label in share) == sorted(LABELS)
    assert all(abs(len(share) - len(LABELS) / num) < 5 * (len(LABELS) / num) ** 0.5 for share in shares)


def test_shares_stay_as_they_are() -> None:
    labels = ("origin-r0", "origin-r1", "d0_a+0.1", "d0_a-0.1", "d1_a+0.1", "d1_a-0.1")
    assert [next(each.number for each in Shard(1, 3).and_others() if each.owns(label)) for label in labels] == [
        *(2, 3, 1, 3, 1, 2),  # by b2sum of the coreutils
    ]


def test_each_driver_looks_after_all_others_once() -> None:
    assert list(map(str, Shard(2, 3).and_others())) == ["2/3", "3/3", "1/3"]
    assert Shard.parse("2/3") == Shard(2, 3)


@pytest.mark.parametrize("text", ["0/2", "3/2", "2", "a/b", "1/0", "-1/2", "1/2/3", ""])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--shard '.*' is no share\. Give i/n"):
        Shard.parse(text)
