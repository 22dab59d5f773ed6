"""Anatomies as they are run: killed and resumed, continued with more draws, adaptive, and the recipes."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from landscape_ray.config import SweepConfig, load_config
from landscape_ray.errors import OutputError
from landscape_ray.report.folder import write_report
from landscape_ray.report.results import load_results
from landscape_ray.report.scores import score
from landscape_ray.sweep import prepare, run_sweep

RECIPES = Path(__file__).parents[2] / "jobs" / "configs" / "anatomy"
Measured = Callable[[Path], list[tuple[str, ...]]]
MakeAnatomy = Callable[..., SweepConfig]


pytestmark = pytest.mark.usefixtures("local_ray")


@pytest.fixture
def anatomy(untied_checkpoint: Path) -> MakeAnatomy:
    """Make an anatomy by layer of a model of two layers, with the transformers engine."""

    def make(**changes: Any) -> SweepConfig:
        return SweepConfig.model_validate(
            {
                "model": {"id": str(untied_checkpoint)},
                "engine": "transformers",
                "dtype": "float32",
                "landscape": {"kind": "anatomy", "axes": [{"start": 0, "num": 4}], "origin_repeats": 1},
                "directions": {"draws": 1, "displacement": 8.0},
                "benchmarks": [
                    {"name": "b", "prompts": {"source": "demo"}, "limit": 2, "decoding": {"max_new_tokens": 4}}
                ],
                "run": {"engines": 1},
                **changes,
            }
        )

    return make


def parts(out: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (out / "parts").glob("*.parquet")}


def test_an_anatomy_that_is_killed_resumes_to_the_same_rows(
    anatomy: MakeAnatomy, killed_after: Callable[[int, SweepConfig, Path], None], measured: Measured, tmp_path: Path
) -> None:
    axes = [{"start": 0, "num": 3}]
    config = anatomy(landscape={"kind": "anatomy", "by": "layer-and-module", "axes": axes, "origin_repeats": 1})
    num_points = 1 + (2 + 2 * 7) * 2
    assert run_sweep(config, str(tmp_path / "undisturbed")).exit_code == 0
    killed_after(5, config, tmp_path / "disturbed")
    assert 5 <= len(parts(tmp_path / "disturbed")) < num_points
    assert run_sweep(config, str(tmp_path / "disturbed")).exit_code == 0
    rows = measured(tmp_path / "undisturbed")
    assert len(rows) == num_points * 2
    assert measured(tmp_path / "disturbed") == rows
    # Every point of every group is another one.
    assert len({row[-1] for row in rows}) == num_points


def test_more_draws_and_coordinates_extend_an_anatomy_and_other_groups_are_another_sweep(
    anatomy: MakeAnatomy, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert run_sweep(anatomy(), str(out)).num_points == 1 + 4 * 3
    before = parts(out)
    finer = {"kind": "anatomy", "axes": [{"start": 0, "num": 7}], "origin_repeats": 1}
    more = anatomy(landscape=finer, directions={"draws": 2, "displacement": 8.0})
    assert run_sweep(more, str(out)).num_points == 1 + 8 * 6
    after = parts(out)
    assert {name: after[name] for name in before} == before
    assert len(after) == 1 + 8 * 6
    results = load_results(str(out))
    assert not np.asarray(results.landscapes["b"].missing).any()
    assert list(results.plan.draws_by_label) == ["embedding", "layer 0", "layer 1", "head"]
    for changed in ({"kind": "anatomy", "by": "module"}, {"kind": "random"}):
        with pytest.raises(OutputError, match=r"landscape\.(by|groups|kind)"):
            prepare(anatomy(landscape=changed), str(out))
    with pytest.raises(OutputError, match=r"directions.displacement: 8.0 in the folder, 9.0 requested"):
        prepare(anatomy(directions={"displacement": 9.0}), str(out))


def test_an_adaptive_anatomy_measures_less_and_looks_where_walls_are(
    synthetic_config: Callable[..., SweepConfig], tmp_path: Path
) -> None:
    groups = [{"name": name, "included": [name]} for name in ("mlp", "attn", "embed")]
    landscape = {"kind": "anatomy", "by": "groups", "groups": groups, "axes": [{"start": 0, "stop": 1, "num": 33}]}
    directions = {"draws": 2, "displacement": 1.0}
    changes = {"landscape": landscape, "directions": directions, "adaptive": {"fraction": 0.55}}
    config = SweepConfig.model_validate(synthetic_config().model_dump(mode="json") | changes)
    assert run_sweep(config, str(tmp_path / "part")).exit_code == 0
    partly = load_results(str(tmp_path / "part"))
    num_measured = int((~partly.landscapes["harmful"].missing).sum())
    assert num_measured == 6 * 19
    full = SweepConfig.model_validate(config.model_dump(mode="json") | {"adaptive": None})
    assert run_sweep(full, str(tmp_path / "full")).exit_code == 0
    found, wanted = (score(load_results(str(tmp_path / name)))["harmful"].anatomy for name in ("part", "full"))
    assert found is not None
    assert wanted is not None
    for one, other in zip(found.groups, wanted.groups, strict=True):
        assert one.loss.value == pytest.approx(other.loss.value, abs=3)
        assert one.wall.value == pytest.approx(other.wall.value, abs=0.03)
    assert found.holding == wanted.holding
    assert any("anatomy" in path.name for path in write_report(str(tmp_path / "part"), tmp_path / "report").files)


def test_what_no_group_moves_is_told_and_a_head_that_is_the_embedding_is_none_of_it(
    anatomy: MakeAnatomy, tied_checkpoint: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It moves with the embedding, also where the file holds it a second time."""
    tensors = load_file(tied_checkpoint / "model.safetensors")
    head = {"lm_head.weight": tensors["model.embed_tokens.weight"].clone()}
    shutil.copytree(tied_checkpoint, tmp_path / "twice")
    save_file({**tensors, **head}, tmp_path / "twice" / "model.safetensors", metadata={"format": "pt"})
    config = anatomy(model={"id": str(tmp_path / "twice")})
    prepare(config, str(tmp_path / "out"))
    assert "No group of the anatomy" not in caplog.text
    queries = {"kind": "anatomy", "by": "module", "modules": ["q"], "axes": [{"start": 0, "num": 4}]}
    prepare(anatomy(model={"id": str(tmp_path / "twice")}, landscape=queries), str(tmp_path / "queries"))
    assert f"No group of the anatomy moves {1 + 2 * 6} tensors: " in caplog.text
    assert "lm_head" not in caplog.text


@pytest.mark.parametrize("recipe", ["layers", pytest.param("modules", marks=pytest.mark.long)])
def test_each_recipe_runs_at_small_scale(recipe: str, tmp_path: Path) -> None:
    few = ("landscape.axes.0.num=2", "directions.draws=1", "benchmarks.0.limit=8")
    short = ("engine=transformers", "landscape.origin_repeats=1", "benchmarks.0.decoding.max_new_tokens=4")
    config = load_config(RECIPES / f"{recipe}.demo.yaml", [*few, *short], environment={})
    assert run_sweep(config, str(tmp_path)).exit_code == 0
    found = score(load_results(str(tmp_path)))["harmful"].anatomy
    assert found is not None
    assert found.groups[0].label == "embedding"
    assert len(write_report(str(tmp_path), tmp_path / "report").files) == 2 + 2 * 3
