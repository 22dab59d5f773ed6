"""A results folder becomes landscapes, with nothing but the folder at hand."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from landscape_ray.config import DirectionsConfig, SweepConfig
from landscape_ray.errors import OutputError
from landscape_ray.evaluation import Verdict
from landscape_ray.planning import PlannedPoint
from landscape_ray.report.results import load_results


def basin(name: str, point: PlannedPoint, index: int) -> Verdict:
    """Benchmark `harmful` has a basin of 3 points on 5; `other` complies with its first prompt everywhere."""
    outside = abs(point.coordinates[0]) > 0.3
    return Verdict.COMPLIED if (outside if name == "harmful" else index == 0) else Verdict.REFUSED


def test_each_benchmark_becomes_a_landscape(tmp_path: Path, config: SweepConfig, publish: Callable[..., None]) -> None:
    publish(tmp_path, config, basin)
    results = load_results(str(tmp_path))
    assert results.config == config
    assert list(results.landscapes) == ["harmful", "other"]
    assert results.landscapes["harmful"].num_success.tolist() == [[4, 0, 0, 0, 4]] * 2
    assert results.landscapes["other"].num_success.tolist() == [[1] * 5] * 2
    assert results.landscapes["harmful"].prompt_ids == ("p0", "p1", "p2", "p3")
    assert not results.landscapes["harmful"].missing.any()
    assert results.landscapes["harmful"].origin_values.tolist() == [0.0, 0.0]


def test_an_unfinished_sweep_has_missing_points(
    tmp_path: Path, config: SweepConfig, publish: Callable[..., None]
) -> None:
    publish(tmp_path, config, basin, there=lambda point: point.draw != 1 or point.coordinates[0] < 0)
    landscape = load_results(str(tmp_path)).landscapes["harmful"]
    assert landscape.missing.tolist() == [[False] * 5, [False, False, False, True, True]]


def test_a_sweep_of_which_nothing_was_measured_loads(
    tmp_path: Path, config: SweepConfig, publish: Callable[..., None]
) -> None:
    publish(tmp_path, config, basin, there=lambda _: False)
    landscape = load_results(str(tmp_path)).landscapes["harmful"]
    assert landscape.missing.all()
    assert np.isnan(landscape.origin_values).all()


def test_parts_of_a_wider_sweep_in_the_same_folder_stay_out(
    tmp_path: Path, config: SweepConfig, publish: Callable[..., None]
) -> None:
    axis = config.landscape.axes[0].model_copy(update={"num": 3})
    coarse = config.model_copy(
        update={
            "landscape": config.landscape.model_copy(update={"axes": (axis,)}),
            "directions": DirectionsConfig(draws=1),
        }
    )
    publish(tmp_path, config, basin)
    publish(tmp_path, coarse, basin, there=lambda _: False)
    landscape = load_results(str(tmp_path)).landscapes["harmful"]
    assert landscape.num_success.tolist() == [[4, 0, 4]]
    assert not landscape.missing.any()


def test_a_folder_without_a_sweep_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="holds no sweep"):
        load_results(str(tmp_path))
