"""Sweeps of every kind of landscape: planned, run on a local Ray cluster, resumed, and read back."""

import hashlib
import json
import math
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from landscape_ray.config import SweepConfig
from landscape_ray.errors import OutputError
from landscape_ray.planning import direction_seed
from landscape_ray.report.results import load_results
from landscape_ray.report.status import load_status
from landscape_ray.store import ResultStore
from landscape_ray.sweep import PreparedSweep, prepare, run_sweep

MakeSibling = Callable[..., Path]

LINE = [{"start": -0.2, "stop": 1.2, "num": 8}]
AXES = [{"start": -0.2, "stop": 0.4, "num": 4}] * 2
KINDS: dict[str, dict[str, Any]] = {
    "interpolation": {"to": {"id": "other"}, "axes": LINE, "marked": [{"id": "epoch", "name": "e1"}]},
    "interpolation-random": {"to": {"id": "other"}, "axes": AXES},
    "plane": {"through": [{"id": "other"}, {"id": "third", "revision": "v2"}], "axes": AXES},
    "random": {"axes": AXES},
}


@pytest.fixture
def synthetic(tmp_path: Path) -> Callable[..., SweepConfig]:
    """Make the configuration of a sweep of the synthetic engine over a kind of landscape."""
    (tmp_path / "prompts.csv").write_text("prompt\n" + "".join(f"request {i}\n" for i in range(12)))

    def make(kind: str, *, displacement: Any = None, **changes: Any) -> SweepConfig:
        return SweepConfig.model_validate(
            {
                "model": {"id": "model"},
                "engine": "synthetic",
                "landscape": {"kind": kind, **KINDS[kind], **changes},
                "directions": {"draws": 2, "displacement": displacement},
                "benchmarks": [
                    {"name": "harmful", "prompts": {"source": "file", "path": str(tmp_path / "prompts.csv")}}
                ],
                "run": {"engines": 1},
            }
        )

    return make


def uniform(text: str) -> float:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") / 2**64


def num_complied(steps: list[tuple[object, float]]) -> int:
    """The formula of the synthetic engine: each step goes along one vector."""
    distance = math.hypot(*(c / (0.2 + 0.2 * uniform(f"wall/{word}")) for word, c in steps))
    return sum(distance >= 0.5 + uniform(f"threshold/{i}") for i in range(12))


@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_landscape_is_the_closed_form(
    kind: str, synthetic: Callable[..., SweepConfig], tmp_path: Path
) -> None:
    config = synthetic(kind, displacement=None if kind in {"interpolation", "plane"} else 0.5)
    assert run_sweep(config, str(tmp_path / "out")).exit_code == 0
    results = load_results(str(tmp_path / "out"))
    assert load_status(str(tmp_path / "out")).exit_code == 0
    landscape = results.landscapes["harmful"]
    assert landscape.num_draws == (2 if "random" in kind else 1)
    assert not landscape.missing.any()
    first, second = "synthetic:other@main", "synthetic:third@v2"
    seen = set()
    for point in results.plan.points:
        if point.draw is None:
            continue
        alpha, *beta = point.coordinates
        seeds = [direction_seed(0, point.draw, axis) for axis in (0, 1)]
        formulas: dict[str, list[tuple[object, float]]] = {
            "interpolation": [(first, alpha)],
            "interpolation-random": [(first, alpha), (seeds[1], 0.5 * sum(beta))],
            "plane": [(first, alpha - 0.5 * sum(beta)), (second, sum(beta))],  # p = 1/2 by the engine's definition
            "random": [(seeds[0], 0.5 * alpha), (seeds[1], 0.5 * sum(beta))],
        }
        index = tuple(
            axis.coordinates.index(c) for axis, c in zip(results.plan.grid.axes, point.coordinates, strict=True)
        )
        complied = int(landscape.num_success[point.draw, *index])
        assert complied == num_complied(formulas[kind])
        seen.add(complied)
    assert len(seen) >= 3
    places = {mark.label: mark.coordinates for mark in results.plan.marks}
    assert (
        places
        == {
            "interpolation": {"other": (1.0,), "e1": (0.5,)},
            "interpolation-random": {"other": (1.0, 0.0)},
            "plane": {"other": (1.0, 0.0), "third@v2": (0.5, 1.0)},
            "random": {},
        }[kind]
    )
    assert results.manifest.geometry is not None


@pytest.mark.usefixtures("local_ray")
def test_checkpoints_can_be_marked_when_all_is_measured(synthetic: Callable[..., SweepConfig], tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    run_sweep(synthetic("interpolation", marked=[], axes=[{"num": 3}]), out)
    parts = sorted((tmp_path / "out" / "parts").glob("*.parquet"))
    more = synthetic("interpolation", marked=[{"id": "e1"}, {"id": "e2"}], axes=[{"num": 3}])
    assert run_sweep(more, out).exit_code == 0
    assert sorted((tmp_path / "out" / "parts").glob("*.parquet")) == parts
    assert [mark.label for mark in load_results(out).plan.marks] == ["other", "e1", "e2"]


# --- what is compared, and what is measured again ---------------------------------------------------------------------


def sweep_over(model: Path, landscape: dict[str, Any], **directions: Any) -> SweepConfig:
    return SweepConfig.model_validate(
        {
            "model": {"id": str(model)},
            "engine": "transformers",
            "landscape": landscape,
            "directions": directions,
            "benchmarks": [{"name": "b", "prompts": {"source": "demo"}, "limit": 2}],
        }
    )


def begin(config: SweepConfig, out: Path) -> PreparedSweep:
    sweep = prepare(config, str(out))
    sweep.store.write_manifest(sweep.manifest)
    return sweep


def test_a_resumed_sweep_takes_the_geometry_from_the_manifest(
    untied_checkpoint: Path, make_sibling: MakeSibling, tmp_path: Path
) -> None:
    first, second, third = (make_sibling(untied_checkpoint, seed=seed) for seed in (1, 2, 3))
    landscape = {
        "kind": "plane",
        "through": [{"id": str(first)}, {"id": str(second)}],
        "axes": [{"num": 3}, {"num": 3}],
    }
    config = sweep_over(untied_checkpoint, landscape)
    sweep = begin(config, tmp_path / "out")
    assert sweep.manifest.geometry is not None

    # A measurement that none would make shows where the numbers come from.
    planted = replace(sweep.manifest.geometry, inner_products=((4.0, 3.0), (3.0, 9.0)))
    store, manifest = ResultStore(str(tmp_path / "out")), sweep.manifest
    store.write_manifest(replace(manifest, geometry=planted))
    resumed = prepare(config, str(tmp_path / "out"))
    assert resumed.manifest.geometry == planted
    assert resumed.plan.marks[1].coordinates == (0.75, 1.0)

    # The same contents elsewhere are the same landscape, and are read from there.
    moved = shutil.copytree(first, tmp_path / "moved")
    relocated = prepare(
        sweep_over(
            untied_checkpoint, {**landscape, "through": [{"id": str(moved), "name": "e9"}, {"id": str(second)}]}
        ),
        str(tmp_path / "out"),
    )
    assert relocated.manifest.geometry == planted
    assert relocated.keys == resumed.keys
    assert [delta.location for delta in relocated.spec.deltas] == [str(moved), str(second)]

    # A further mark must be measured.
    marked = prepare(
        sweep_over(untied_checkpoint, {**landscape, "marked": [{"id": str(third)}]}), str(tmp_path / "out")
    )
    assert marked.keys == sweep.keys
    assert marked.manifest.geometry is not None
    assert marked.manifest.geometry.inner_products[0][:2] == sweep.manifest.geometry.inner_products[0]
    assert marked.spec.deltas == sweep.spec.deltas  # engines need no marked ones


def test_resuming_loads_no_torch(untied_checkpoint: Path, make_sibling: MakeSibling, tmp_path: Path) -> None:
    landscape = {"kind": "interpolation", "to": {"id": str(make_sibling(untied_checkpoint, seed=1))}}
    config = sweep_over(untied_checkpoint, landscape)
    begin(config, tmp_path / "out")
    script = (
        "import sys; from landscape_ray.config import SweepConfig; from landscape_ray.sweep import prepare, survey\n"
        "sweep = prepare(SweepConfig.model_validate_json(sys.argv[1]), sys.argv[2])\n"
        "print(len(survey(sweep)[1]), sorted({'torch', 'transformers', 'vllm'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", script, config.model_dump_json()]
    resumed = subprocess.run([*command, str(tmp_path / "out")], capture_output=True, text=True, check=True)  # noqa: S603
    assert resumed.stdout.strip() == "22 []"
    # Without a manifest it must be measured, and that takes torch.
    fresh = subprocess.run([*command, str(tmp_path / "new")], capture_output=True, text=True, check=True)  # noqa: S603
    assert fresh.stdout.strip() == "22 ['torch', 'transformers']"


@pytest.mark.parametrize(
    ("kind", "change"),
    [("interpolation", "to"), ("plane", "through"), ("random", "displacement")],
)
def test_another_checkpoint_is_another_sweep(
    kind: str, change: str, untied_checkpoint: Path, make_sibling: MakeSibling, tmp_path: Path
) -> None:
    first, second, other = ({"id": str(make_sibling(untied_checkpoint, seed=seed))} for seed in (1, 2, 3))

    def sweep(a: Any, b: Any) -> SweepConfig:
        landscape = {"interpolation": {"to": a}, "plane": {"through": [a, b]}, "random": {}}[kind]
        directions = {"displacement": a} if kind == "random" else {}
        return sweep_over(untied_checkpoint, {"kind": kind, **landscape}, **directions)

    begin(sweep(first, second), tmp_path / "out")
    with pytest.raises(OutputError, match="content of the further checkpoints") as caught:
        prepare(sweep(other, second), str(tmp_path / "out"))
    assert change in str(caught.value)
    assert other["id"] in str(caught.value)


def test_a_checkpoint_overwritten_in_place_is_noticed(
    untied_checkpoint: Path, make_sibling: MakeSibling, tmp_path: Path
) -> None:
    to = make_sibling(untied_checkpoint, seed=1)
    config = sweep_over(untied_checkpoint, {"kind": "interpolation", "to": {"id": str(to)}})
    begin(config, tmp_path / "out")
    shutil.copy(make_sibling(untied_checkpoint, seed=2) / "model.safetensors", to / "model.safetensors")
    with pytest.raises(OutputError, match="content of the further checkpoints"):
        prepare(config, str(tmp_path / "out"))


def test_the_manifest_says_what_was_measured(
    untied_checkpoint: Path, make_sibling: MakeSibling, tmp_path: Path
) -> None:
    to = make_sibling(untied_checkpoint, seed=1)
    landscape = {"kind": "interpolation-random", "to": {"id": str(to)}}
    begin(sweep_over(untied_checkpoint, landscape, displacement=2.0, draws=2), tmp_path / "out")
    written = json.loads((tmp_path / "out" / "manifest.json").read_text())
    ((product,),) = written["geometry"]["inner_products"]
    assert product > 0
    assert written["geometry"]["random_norm"] > 0
    assert written["geometry"]["deltas"][0]["location"] == str(to)
    assert written["direction_seeds"] == [[direction_seed(0, 0, 1)], [direction_seed(0, 1, 1)]]
