"""Names of points as Inspect's models."""

import pytest

from landscape_ray.errors import ConfigError
from landscape_ray.inspecting.names import PointName, point_name


@pytest.mark.parametrize(
    ("name", "source", "coordinates", "draw"),
    [
        ("results/demo@0", "results/demo", (0.0,), 0),
        ("results/demo@-0.25/draw11", "results/demo", (-0.25,), 11),
        ("/abs/my@home.yaml@1e-05:+.5", "/abs/my@home.yaml", (1e-05, 0.5), 0),
        ("s3://bucket/llama@0.1:-0/draw2", "s3://bucket/llama", (0.1, 0.0), 2),
    ],
)
def test_names_are_taken_apart(name: str, source: str, coordinates: tuple[float, ...], draw: int) -> None:
    found = PointName.parse(name)
    assert (found.source, found.coordinates, found.draw) == (source, coordinates, draw)
    # Exactly the same floats come back.
    assert PointName.parse(point_name(source, coordinates, draw).partition("/")[2]) == found


def test_the_origin_is_of_no_draw() -> None:
    assert point_name("out", (-0.0, 0.0), None) == "landscape/out@0:0"


@pytest.mark.parametrize(
    "name", ["results/demo", "out@", "@0", "out@a", "out@0:1:2", "out@0/draw", "out@nan", "out@0/1"]
)
def test_other_names_are_refused_with_the_form_of_one(name: str) -> None:
    with pytest.raises(ConfigError, match=r"names no point.*SOURCE@ALPHA:BETA.*/drawN"):
        PointName.parse(name)
