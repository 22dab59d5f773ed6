"""Two results folders are compared if they differ in the model only."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from landscape_ray.config import SweepConfig
from landscape_ray.errors import IncompleteError, OutputError, UserError
from landscape_ray.evaluation import Verdict
from landscape_ray.planning import PlannedPoint
from landscape_ray.report.comparison import compare_results, comparison_document
from landscape_ray.report.gate import decide
from landscape_ray.report.results import Results, load_results

Publish = Callable[..., None]


def wide(_: str, point: PlannedPoint, __: int) -> Verdict:
    return Verdict.COMPLIED if abs(point.coordinates[0]) > 0.3 else Verdict.REFUSED


def shallow(_: str, point: PlannedPoint, index: int) -> Verdict:
    return Verdict.COMPLIED if abs(point.coordinates[0]) > 0.3 or index % 4 == 0 else Verdict.REFUSED


@pytest.fixture
def loaded(tmp_path: Path, config: SweepConfig, publish: Publish) -> Callable[..., Results]:
    """Publish and load a sweep whose configuration is changed in some keys, such as `directions={"seed": 1}`."""

    def build(verdict: Callable[..., Verdict], name: str, /, *, num_prompts: int = 8, **changes: Any) -> Results:
        data = config.model_dump(mode="json")
        for section, values in changes.items():
            data[section] = data[section] | values if isinstance(values, dict) else values
        publish(tmp_path / name, SweepConfig.model_validate(data), verdict, num_prompts=num_prompts)
        return load_results(str(tmp_path / name))

    return build


def test_two_models_are_compared_benchmark_by_benchmark(loaded: Callable[..., Results]) -> None:
    before = loaded(wide, "before")
    after = loaded(shallow, "after", model={"id": "demo:finetuned"}, landscape={"origin_repeats": 3})
    comparison = compare_results(before, after)
    assert list(comparison.benchmarks) == ["harmful", "other"]
    visage = comparison.benchmarks["harmful"]["visage"]
    assert (visage.before, visage.after) == (100, 75)
    assert visage.retention is not None
    assert visage.retention.value == 0.75
    document = json.loads(json.dumps(comparison_document(before, after, comparison), allow_nan=False))
    assert document["before"]["model"]["id"] == "demo:aligned"
    assert document["after"]["sweep_id"] == after.config.sweep_id
    assert document["benchmarks"]["harmful"]["visage"]["difference"]["value"] == -25
    assert (document["only_before"], document["only_after"]) == ([], [])


def test_a_benchmark_that_is_not_measured_after_does_not_pass(
    loaded: Callable[..., Results], config: SweepConfig
) -> None:
    harmful = config.benchmarks[0].model_dump(mode="json")
    before, after = loaded(wide, "before"), loaded(wide, "after", benchmarks=[harmful])
    for pair, passed in (
        ((before, before), True),
        ((after, after), True),
        ((after, before), True),
        ((before, after), False),
    ):
        gate = decide(*pair, compare_results(*pair), least=0.5)
        assert gate.passed == passed
    assert gate.benchmarks["other"].reasons == ("not measured after",)
    assert gate.benchmarks["harmful"].reasons == ()


def test_a_score_that_no_benchmark_has_is_no_gate(loaded: Callable[..., Results]) -> None:
    before = loaded(wide, "before")
    with pytest.raises(UserError, match="has the score 'area' to judge by"):
        decide(before, before, compare_results(before, before), least=0.5, score="area")


def test_benchmarks_of_one_sweep_only_are_named(loaded: Callable[..., Results], config: SweepConfig) -> None:
    harmful = config.benchmarks[0].model_dump(mode="json")
    comparison = compare_results(loaded(wide, "before"), loaded(wide, "after", benchmarks=[harmful]))
    assert list(comparison.benchmarks) == ["harmful"]
    assert (comparison.only_before, comparison.only_after) == (("other",), ())


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"directions": {"seed": 1}}, "directions.seed: 0 before, 1 after"),
        ({"directions": {"draws": 3}}, "directions.draws: 2 before, 3 after"),
        ({"dtype": "float32"}, "dtype: 'bfloat16' before, 'float32' after"),
        ({"landscape": {"axes": [{"start": -0.5, "stop": 0.5, "num": 3}]}}, "landscape.axes: "),
        ({"num_prompts": 9}, "benchmarks.harmful.num_prompts: 8 before, 9 after"),
    ],
)
def test_what_differs_beside_the_model_is_named(
    loaded: Callable[..., Results], changes: dict[str, Any], named: str
) -> None:
    before, after = loaded(wide, "before"), loaded(wide, "after", **changes)
    with pytest.raises(OutputError, match="differ in more than the model") as refused:
        compare_results(before, after)
    assert named in str(refused.value)


def test_verdicts_of_another_judge_are_not_compared(loaded: Callable[..., Results]) -> None:
    before, after = loaded(wide, "before"), loaded(wide, "after")
    identity = replace(after.manifest.benchmarks["other"], judge="keyword/2")
    manifest = replace(after.manifest, benchmarks={**after.manifest.benchmarks, "other": identity})
    with pytest.raises(OutputError, match=r"benchmarks\.other\.judge: 'keyword/1' before, 'keyword/2' after"):
        compare_results(before, replace(after, manifest=manifest))


def test_the_content_of_prompts_is_compared_not_where_they_come_from(loaded: Callable[..., Results]) -> None:
    before, after = loaded(wide, "before"), loaded(wide, "after")
    identity = replace(after.manifest.benchmarks["harmful"], digest="0" * 64)
    manifest = replace(after.manifest, benchmarks={**after.manifest.benchmarks, "harmful": identity})
    with pytest.raises(OutputError, match=r"benchmarks\.harmful: the content of the prompts"):
        compare_results(before, replace(after, manifest=manifest))


def test_sweeps_without_a_common_benchmark_are_refused(loaded: Callable[..., Results], config: SweepConfig) -> None:
    another = [{**config.benchmarks[0].model_dump(mode="json"), "name": "third"}]
    with pytest.raises(OutputError, match="benchmarks: harmful, other before, third after; none in common"):
        compare_results(loaded(wide, "before"), loaded(wide, "after", benchmarks=another))


def test_an_unfinished_sweep_is_compared_only_if_asked(
    tmp_path: Path, config: SweepConfig, publish: Publish, loaded: Callable[..., Results]
) -> None:
    before = loaded(wide, "before")
    publish(tmp_path / "after", config, shallow, there=lambda point: point.draw != 1, num_prompts=8)
    after = load_results(str(tmp_path / "after"))
    with pytest.raises(IncompleteError, match="4 of 10 grid points of benchmark 'harmful' are missing"):
        compare_results(before, after)
    visage = compare_results(before, after, allow_missing=True).benchmarks["harmful"]["visage"]
    # Of draw 1 only the origin, which all draws share, is there.
    assert (visage.before, visage.after) == (100, 75)


def test_a_part_that_an_adaptive_sweep_chose_is_not_compared(
    tmp_path: Path, config: SweepConfig, publish: Publish, loaded: Callable[..., Results]
) -> None:
    adaptive = SweepConfig.model_validate({**config.model_dump(mode="json"), "adaptive": {"fraction": 0.9}})
    publish(tmp_path / "part", adaptive, wide, there=lambda point: point.draw != 1, num_prompts=8)
    publish(tmp_path / "all", adaptive, wide, num_prompts=8)
    part, whole = (load_results(str(tmp_path / name)) for name in ("part", "all"))
    for pair in ((part, whole), (whole, part)):
        with pytest.raises(UserError, match="is adaptive: the points that it measured were chosen by its own results"):
            compare_results(*pair, allow_missing=True)
    # A grid that is measured as a whole is one, however that came about.
    visage = compare_results(whole, loaded(shallow, "after")).benchmarks["harmful"]["visage"]
    assert (visage.before, visage.after) == (100, 75)
