"""Directions that an engine computes: once, before the engines of a sweep; found again, and never exchanged."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from landscape_ray.config import SweepConfig
from landscape_ray.errors import CheckpointError, OutputError
from landscape_ray.sweep import computed, prepare, run_sweep
from landscape_ray.sweep.folder import check_folder

ABLATION = {"kind": "refusal_ablation", "harmful": "harmful", "harmless": "harmless", "layer": 1}
GRADIENT = {"kind": "gradient", "prompts": "harmful", "refusal": "NO!"}

pytestmark = pytest.mark.usefixtures("local_ray")


def sweep(folder: Path, *directions: dict[str, Any], limit: int = 2) -> SweepConfig:
    return SweepConfig.model_validate(
        {
            "model": {"id": str(folder)},
            "engine": "transformers",
            "dtype": "float32",
            "landscape": {"axes": [{"start": 0, "stop": 1, "num": 2}], "origin_repeats": 1},
            "directions": directions,
            "benchmarks": [
                {
                    "name": name,
                    "prompts": {"source": "demo", "name": name},
                    "limit": limit,
                    "decoding": {"max_new_tokens": 2},
                }
                for name in ("harmful", "harmless")
            ],
            "run": {"engines": 1},
        }
    )


def stored_in(out: Path) -> list[str]:
    return sorted(path.name for path in (out / "directions").iterdir())


@pytest.fixture(scope="module")
def computed_once(tmp_path_factory: pytest.TempPathFactory, untied_checkpoint: Path, local_ray: None) -> Path:  # noqa: ARG001
    """Prepare a sweep along both directions, for which an engine is started and computes them."""
    folder = tmp_path_factory.mktemp("once") / "out"
    prepared = prepare(sweep(untied_checkpoint, ABLATION, GRADIENT), str(folder))
    prepared.store.write_manifest(prepared.manifest)
    return folder


@pytest.fixture
def out(computed_once: Path, tmp_path: Path) -> Path:
    """A folder of the prepared sweep for one test alone."""
    return Path(shutil.copytree(computed_once, tmp_path / "out"))


def test_what_is_stored_is_found_again_and_what_has_gone_comes_out_the_same(
    out: Path, untied_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = sweep(untied_checkpoint, ABLATION, GRADIENT)
    first = prepare(config, str(out))
    assert first.manifest.geometry is not None
    ablation, gradient = first.manifest.geometry.computed
    assert stored_in(out) == sorted([ablation, gradient])
    shutil.rmtree(out / "directions" / gradient)
    again = prepare(config, str(out))
    assert stored_in(out) == sorted([ablation, gradient])
    assert (again.keys, again.manifest.geometry) == (first.keys, first.manifest.geometry)
    # The same again by another one: neither Ray nor an engine is needed for what is there.
    monkeypatch.setattr(computed, "connection", None)
    assert prepare(config, str(out)).keys == first.keys
    more = sweep(untied_checkpoint, ABLATION, GRADIENT, {"kind": "pruning", "share": 0.5})
    keys = prepare(more, str(out)).keys
    assert {label: keys[label] for label in first.keys} == first.keys


def test_what_comes_out_otherwise_is_refused(
    out: Path, untied_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = sweep(untied_checkpoint, ABLATION, GRADIENT)
    geometry = prepare(config, str(out)).manifest.geometry
    assert geometry is not None
    digest = geometry.computed[1]
    file = out / "directions" / digest / "tensors.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"0")
    with pytest.raises(OutputError, match="is damaged"):
        prepare(config, str(out))
    file.unlink()
    monkeypatch.setattr(computed, "_computed", lambda *_: ("f" * 64,))
    with pytest.raises(OutputError, match=rf"directions/{digest}, and it came out otherwise .*, as f{{64}}: other"):
        prepare(config, str(out))


def test_keys_depend_on_what_was_computed(out: Path, untied_checkpoint: Path, tmp_path: Path) -> None:
    one = prepare(sweep(untied_checkpoint, ABLATION, GRADIENT, limit=1), str(tmp_path / "1"))
    other = prepare(sweep(untied_checkpoint, ABLATION, GRADIENT, limit=2), str(out))
    assert not set(stored_in(tmp_path / "1")) & set(stored_in(out))
    assert one.plan.points[1].perturbation != other.plan.points[1].perturbation
    # Another run has begun in the meantime, with a direction of its own.
    check_folder(other)
    changed = other.manifest.geometry
    assert changed is not None
    theirs = replace(other.manifest, geometry=replace(changed, computed=("f" * 64, changed.computed[1])))
    other.store.write_manifest(theirs)
    with pytest.raises(OutputError, match=r"Another run into .* has computed the directions of this sweep"):
        check_folder(other)


def test_what_an_engine_refuses_is_told_before_the_sweep(untied_checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="after layer 9, and the model has 2 layers") as caught:
        run_sweep(sweep(untied_checkpoint, ABLATION | {"layer": 9}), str(tmp_path / "out"))
    assert caught.value.exit_code == 2
    assert not (tmp_path / "out").exists()
