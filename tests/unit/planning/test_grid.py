import itertools
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landscape_ray.config import AxisConfig
from landscape_ray.planning import Axis, Grid


def axis(start: float, stop: float, num: int) -> tuple[float, ...]:
    return Axis.from_config(AxisConfig(start=start, stop=stop, num=num)).coordinates


def test_the_papers_axis_holds_the_decimals_as_written() -> None:
    assert axis(-0.5, 0.5, 21) == (
        *(-0.5, -0.45, -0.4, -0.35, -0.3, -0.25, -0.2, -0.15, -0.1, -0.05),
        *(0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5),
    )


@pytest.mark.parametrize(
    ("start", "stop", "num", "zero_at"),
    [
        (-0.5, 0.5, 21, 10),
        (-0.7, 0.7, 15, 7),
        (-0.3, 0.3, 7, 3),  # -0.3 + 3 * 0.1 is 5.6e-17 in floats
        (-0.1, 0.2, 4, 1),  # asymmetric
        (-0.25, 0.5, 16, 5),
        (0.0, 1.0, 11, 0),
        (-1.0, 0.0, 3, 2),
        (0.0, 0.0, 1, 0),
        (-0.5, 0.5, 20, None),  # an even symmetric axis steps over it
        (-0.5, 0.4, 9, None),
        (0.1, 0.5, 5, None),
    ],
)
def test_zero_is_exactly_zero_where_the_axis_meets_it(start: float, stop: float, num: int, zero_at: int | None) -> None:
    coordinates = axis(start, stop, num)
    assert (coordinates.index(0.0) if 0.0 in coordinates else None) == zero_at
    assert len(coordinates) == num
    assert (coordinates[0], coordinates[-1]) == (start, stop)


def test_axes_share_the_floats_of_the_coordinates_they_share() -> None:
    papers = set(axis(-0.5, 0.5, 21))
    assert papers <= set(axis(-1.0, 1.0, 41))  # wider
    assert papers <= set(axis(-0.5, 0.5, 101))  # finer
    assert papers <= set(axis(-0.5, 1.5, 41))  # wider on one side
    assert len(papers & set(axis(-0.5, 0.5, 11))) == 11  # coarser


decimals = st.integers(-1000, 1000).map(lambda hundredths: Decimal(hundredths) / 100)


@given(start=decimals, step=st.integers(1, 300).map(lambda n: Decimal(n) / 1000), num=st.integers(2, 60))
def test_each_coordinate_is_the_float_of_its_exact_decimal(start: Decimal, step: Decimal, num: int) -> None:
    stop = start + step * (num - 1)
    exact = [start + step * i for i in range(num)]  # Decimal: another arithmetic than the code's
    assert axis(float(start), float(stop), num) == tuple(float(value) for value in exact)


@given(start=decimals, width=st.integers(1, 500), num=st.integers(2, 60))
def test_coordinates_increase_and_hold_zero_if_and_only_if_the_exact_axis_does(
    start: Decimal, width: int, num: int
) -> None:
    coordinates = axis(float(start), float(start + width), num)
    assert all(a < b for a, b in itertools.pairwise(coordinates))
    steps_to_zero = -Fraction(start) * (num - 1) / width
    assert (0.0 in coordinates) == (steps_to_zero.denominator == 1 and 0 <= steps_to_zero < num)


def test_a_grid_is_the_product_of_its_axes_and_need_not_be_square() -> None:
    grid = Grid(axes=(Axis(coordinates=(-1.0, 0.0, 1.0)), Axis(coordinates=(-0.5, 0.5))))
    assert grid.shape == (3, 2)
    assert [(grid.place(coordinates), coordinates) for coordinates in grid] == [
        ((0, 0), (-1.0, -0.5)),
        ((0, 1), (-1.0, 0.5)),
        ((1, 0), (0.0, -0.5)),
        ((1, 1), (0.0, 0.5)),
        ((2, 0), (1.0, -0.5)),
        ((2, 1), (1.0, 0.5)),
    ]


def test_a_grid_knows_where_the_origin_is() -> None:
    odd, even = Axis(coordinates=(-1.0, 0.0, 1.0)), Axis(coordinates=(-0.5, 0.5))
    assert Grid(axes=(odd,)).zero == (1,)
    assert Grid(axes=(odd, even)).zero is None
    with pytest.raises(ValueError, match="not in tuple"):
        Grid(axes=(odd, even)).place((0.0, 0.0))
