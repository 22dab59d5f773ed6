"""Sweeps along every kind of direction: killed and resumed, continued with more of them, refused before they start."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from landscape_ray.config import SweepConfig, load_config
from landscape_ray.errors import CheckpointError, OutputError
from landscape_ray.report.folder import write_report
from landscape_ray.report.results import load_results
from landscape_ray.report.scores import score
from landscape_ray.sweep import prepare, run_sweep

RECIPES = Path(__file__).parents[2] / "jobs" / "configs" / "directions"
# That of all kinds runs each of the others' directions, but for those that an engine computes.
LONG_RECIPES = {
    *("complement", "gradient", "low-rank", "pruning", "quantization", "refusal-ablation", "svd", "task-vector"),
}


def named(path: Path) -> Any:
    name = path.name.split(".")[0]
    return pytest.param(path, id=name, marks=[pytest.mark.long] if name in LONG_RECIPES else [])


MakeKinds = Callable[..., SweepConfig]


@pytest.fixture
def all_kinds(untied_checkpoint: Path, make_sibling: Callable[..., Path]) -> list[dict[str, Any]]:
    first, second = ({"id": str(make_sibling(untied_checkpoint, seed=seed)), "name": f"s{seed}"} for seed in (1, 2))
    return [
        {"kind": "random", "draws": 2},
        {"kind": "low_rank", "rank": 2, "draws": 1},
        {"kind": "complement", "to": first, "draws": 1},
        {"kind": "task_vector", "minus": first, "plus": second},
        {"kind": "svd", "to": first, "rank": 3},
        {"kind": "quantization_error", "format": "int4"},
        {"kind": "pruning", "share": 0.5},
        {"kind": "refusal_ablation", "harmful": "b", "harmless": "harmless", "layer": 1},
        {"kind": "gradient", "prompts": "b", "refusal": "NO!", "displacement": 1.5},
    ]


@pytest.fixture
def sweep_along(untied_checkpoint: Path) -> MakeKinds:
    """Make the configuration of a sweep of the transformers engine along a list of directions."""

    def make(directions: list[dict[str, Any]], **changes: Any) -> SweepConfig:
        return SweepConfig.model_validate(
            {
                "model": {"id": str(untied_checkpoint)},
                "engine": "transformers",
                "dtype": "float32",
                "landscape": {"axes": [{"start": -1, "stop": 1, "num": 5}], "origin_repeats": 1},
                "directions": directions,
                "benchmarks": [
                    {
                        "name": "b",
                        "prompts": {"source": "demo"},
                        "limit": 2,
                        "decoding": {"max_new_tokens": 4},
                    },
                    {
                        "name": "harmless",
                        "metric": "first_token_kl",
                        "prompts": {"source": "demo", "name": "harmless"},
                        "limit": 2,
                    },
                ],
                "run": {"engines": 1},
                **changes,
            }
        )

    return make


@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize("batching", ["point", pytest.param("line", marks=pytest.mark.long)])
def test_a_sweep_of_all_kinds_that_is_killed_resumes_to_the_same_rows(  # noqa: PLR0917  (pytest passes them by name)
    batching: str,
    all_kinds: list[dict[str, Any]],
    sweep_along: MakeKinds,
    measured: Callable[[Path], list[tuple[str, ...]]],
    killed_after: Callable[[int, SweepConfig, Path], None],
    tmp_path: Path,
) -> None:
    axes = [{"start": -1, "stop": 1, "num": 3}]
    config = sweep_along(all_kinds, batching=batching, landscape={"axes": axes, "origin_repeats": 1})
    assert run_sweep(config, str(tmp_path / "undisturbed")).exit_code == 0
    killed_after(3, config, tmp_path / "disturbed")
    num_before = len(list((tmp_path / "disturbed" / "parts").glob("*.parquet")))
    assert 3 <= num_before < 2 * (1 + 10 * 2)
    stored = {path: path.stat().st_mtime_ns for path in (tmp_path / "disturbed" / "directions").rglob("*.safetensors")}
    assert len(stored) == 2
    assert run_sweep(config, str(tmp_path / "disturbed")).exit_code == 0
    rows = measured(tmp_path / "undisturbed")
    assert len(rows) == 2 * (1 + 10 * 2) * 2
    assert measured(tmp_path / "disturbed") == rows
    # Every point along every direction is another one.
    assert len({row[-1] for row in rows}) == 1 + 10 * 2
    # What an engine had computed was found again.
    assert stored == {path: path.stat().st_mtime_ns for path in stored}
    results = load_results(str(tmp_path / "disturbed"))
    assert [each.kind for each in results.plan.directions] == [
        *("random", "random", "low_rank", "complement", "task_vector", "svd", "quantization_error", "pruning"),
        *("refusal_ablation", "gradient"),
    ]


@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize("recipe", [named(path) for path in sorted(RECIPES.glob("*.demo.yaml"))])
def test_each_recipe_runs_at_small_scale(recipe: Path, tmp_path: Path) -> None:
    few = ("landscape.axes.0.num=3", "benchmarks.0.limit=8", "benchmarks.0.decoding.max_new_tokens=4")
    config = load_config(recipe, ["engine=transformers", "landscape.origin_repeats=1", *few], environment={})
    assert run_sweep(config, str(tmp_path)).exit_code == 0
    results = load_results(str(tmp_path))
    walls = score(results)["harmful"].kinds
    assert [each.label for each in walls] == [entry.label for entry in config.kinds]
    assert all(each.wall.value is not None for each in walls)
    figures = [f"{benchmark.name}{which}" for benchmark in config.benchmarks for which in ("", ".kinds")]
    if len(config.benchmarks) > 1:
        figures += ["harmful.against.harmless", "all.benchmarks"]
    expected = {f"{figure}.{form}" for figure in figures for form in ("png", "svg", "pdf")}
    written = {file.name for file in write_report(str(tmp_path), tmp_path / "report").files}
    assert written == {"report.html", "scores.json"} | expected


@pytest.mark.usefixtures("local_ray")
def test_directions_are_added_at_the_end_of_the_list_and_nowhere_else(
    all_kinds: list[dict[str, Any]], sweep_along: MakeKinds, tmp_path: Path
) -> None:
    out, (random, low_rank, *_, pruning, _, gradient) = tmp_path / "out", all_kinds
    assert run_sweep(sweep_along([random, low_rank]), str(out)).exit_code == 0
    parts = {path.name: path.stat().st_mtime_ns for path in (out / "parts").glob("*.parquet")}
    more = sweep_along([random, low_rank | {"draws": 2}, all_kinds[3], pruning, gradient])
    assert run_sweep(more, str(out)).num_points == 1 + 7 * 4
    after = {path.name: path.stat().st_mtime_ns for path in (out / "parts").glob("*.parquet")}
    assert {name: after[name] for name in parts} == parts
    assert len(after) == 2 * (1 + 7 * 4)
    landscape = load_results(str(out)).landscapes["b"]
    assert not np.asarray(landscape.missing).any()
    for changed in ([random | {"draws": 3}, low_rank], [low_rank, random], [random, pruning]):
        with pytest.raises(OutputError, match=r"directions\.\d\."):
            prepare(sweep_along(changed), str(out))


def test_another_checkpoint_in_the_list_is_another_sweep_and_a_moved_one_is_not(
    all_kinds: list[dict[str, Any]], sweep_along: MakeKinds, tmp_path: Path, make_sibling: Callable[..., Path]
) -> None:
    task = all_kinds[3]
    sweep = prepare(sweep_along([task]), str(tmp_path))
    sweep.store.write_manifest(sweep.manifest)
    moved = Path(task["plus"]["id"]).rename(tmp_path / "moved")
    again = prepare(sweep_along([task | {"plus": {"id": str(moved)}}]), str(tmp_path))
    assert again.keys == sweep.keys
    other = make_sibling(moved, seed=9)
    with pytest.raises(OutputError, match="content of the further checkpoints"):
        prepare(sweep_along([task | {"plus": {"id": str(other)}}]), str(tmp_path))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            {"kind": "low_rank", "rank": 1000},
            r"rank 1000 was asked for, and the tensor .* no more than rank \d+\. Lower",
        ),
        ({"kind": "svd", "rank": 1000}, r"1000 largest singular components .* has \d+ on the tensor .*Lower rank"),
        ({"kind": "quantization_error", "format": "int4", "by": "group", "group_size": 7}, "which they do not divide"),
        ({"kind": "pruning", "share": 0.5, "included": ["attention_is"]}, "'attention_is', which matches none"),
        ({"kind": "pruning", "share": 0.5, "included": ["norm"]}, "'pruned by 50 %' is zero on every tensor"),
        ({"kind": "complement", "displacement": {"id": "the model"}}, "'random, orthogonal to s' its displacement"),
        ({"kind": "task_vector"}, "'s minus s' is zero on every tensor of the model"),
    ],
)
def test_what_cannot_be_is_refused_before_an_engine_starts(  # noqa: PLR0917  (pytest passes them by name)
    entry: dict[str, Any],
    message: str,
    sweep_along: MakeKinds,
    untied_checkpoint: Path,
    make_sibling: Callable[..., Path],
    tmp_path: Path,
) -> None:
    sibling = {"id": str(make_sibling(untied_checkpoint, seed=1)), "name": "s"}
    needed = {"svd": {"to": sibling}, "complement": {"to": sibling}, "task_vector": {"plus": sibling, "minus": sibling}}
    entry |= needed.get(entry["kind"], {})
    if "displacement" in entry:
        entry["displacement"] = {"id": str(untied_checkpoint)}
    with pytest.raises(CheckpointError, match=message) as caught:
        prepare(sweep_along([entry]), str(tmp_path / "out"))
    assert caught.value.exit_code == 2


def test_a_checkpoint_of_another_shape_is_refused(
    sweep_along: MakeKinds, untied_checkpoint: Path, make_sibling: Callable[..., Path], tmp_path: Path
) -> None:
    to = make_sibling(untied_checkpoint, seed=1)
    tensors = load_file(to / "model.safetensors")
    name = "model.layers.0.mlp.up_proj.weight"
    save_file({**tensors, name: tensors[name][:-1].contiguous()}, to / "model.safetensors")
    with pytest.raises(CheckpointError, match=rf"not hold the same tensors.*of another shape are {re.escape(name)}"):
        prepare(sweep_along([{"kind": "svd", "rank": 1, "to": {"id": str(to)}}]), str(tmp_path / "out"))
