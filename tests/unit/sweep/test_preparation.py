"""What is to be visited, known before an engine starts."""

from dataclasses import replace
from pathlib import Path

from landscape_ray.config import SweepConfig
from landscape_ray.errors import GenerationError
from landscape_ray.sweep import prepare, survey
from landscape_ray.sweep.folder import give_up


def test_the_longest_visits_are_begun_first_whatever_is_done_already(tmp_path: Path) -> None:
    config = SweepConfig.model_validate(
        {
            "model": {"id": "m"},
            "engine": "synthetic",
            "landscape": {"axes": [{"start": -0.3, "stop": 0.2, "num": 6}], "origin_repeats": 1},
            "directions": {"draws": 2},
            "benchmarks": [{"name": "b", "prompts": {"source": "demo"}, "limit": 2}],
        }
    )
    sweep = prepare(config, str(tmp_path))
    _, tasks = survey(sweep)
    expected = [
        *("d0_a-0.3", "d1_a-0.3"),
        *("d0_a-0.2", "d0_a+0.2", "d1_a-0.2", "d1_a+0.2"),
        *("d0_a-0.1", "d0_a+0.1", "d1_a-0.1", "d1_a+0.1"),
        "origin-r0",
    ]
    assert [task.point.label for task in tasks] == expected
    for task in tasks[1::2]:
        give_up(sweep, task, error=GenerationError("poison"), attempts=1)
    outcome, left = survey(sweep)
    assert [task.point.label for task in left] == expected[::2]
    assert (outcome.num_points, outcome.num_failed) == (11, 5)


def asking_for_the_date(**keys: str) -> SweepConfig:
    template = "{{ bos_token }}{{ strftime_now('%d %b %Y') }} {{ messages[0].content }}"
    return SweepConfig.model_validate(
        {
            "model": {"id": "demo:aligned"},
            "landscape": {"axes": [{"start": 0.0, "stop": 0.0, "num": 1}]},
            "benchmarks": [{"name": "b", "prompts": {"source": "demo"}, "limit": 2, "chat_template": template, **keys}],
        }
    )


def test_a_sweep_keeps_the_day_on_which_it_was_begun(tmp_path: Path) -> None:
    begun = prepare(asking_for_the_date(date="2024-02-29"), str(tmp_path / "other"))
    assert begun.spec.benchmarks[0].settled.date == "2024-02-29"
    # A folder begun without a date of its own on that day, as it looks from every later one.
    sweep = prepare(asking_for_the_date(), str(tmp_path / "out"))
    manifest = sweep.manifest
    assert manifest.date == manifest.created_at[:10]
    known = {"b": replace(manifest.benchmarks["b"], settled=None, digest=begun.spec.benchmarks[0].digest)}
    sweep.store.write_manifest(replace(manifest, date="2024-02-29", benchmarks=known))
    resumed = prepare(asking_for_the_date(), str(tmp_path / "out"))
    assert resumed.spec.benchmarks[0].digest == begun.spec.benchmarks[0].digest
    assert resumed.keys == begun.keys != sweep.keys
    # And a later run into it leaves the day as it is.
    sweep.store.write_manifest(replace(manifest, date="2026-11-27"))
    found = sweep.store.read_manifest()
    assert found is not None
    assert found.date == "2024-02-29"


def test_what_is_settled_is_remembered_and_needs_no_tokenizer_again(tmp_path: Path) -> None:
    sweep = prepare(asking_for_the_date(), str(tmp_path))
    sweep.store.write_manifest(sweep.manifest)
    resumed = prepare(asking_for_the_date(), str(tmp_path))
    assert resumed.spec.benchmarks == sweep.spec.benchmarks
    assert resumed.keys == sweep.keys
