"""The manifest, and whether a request continues what is in a folder."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from landscape_ray.config import SweepConfig
from landscape_ray.errors import OutputError
from landscape_ray.evaluation import Benchmark
from landscape_ray.store import BenchmarkIdentity, Manifest, ResultStore, check_same_sweep

ManifestOf = Callable[..., Manifest]


def config_of(**changes: Any) -> SweepConfig:
    science: dict[str, Any] = {
        "model": {"id": "a/model"},
        "benchmarks": [{"name": "advbench", "prompts": {"source": "demo"}, "limit": 2}],
    }
    return SweepConfig.model_validate(science | changes)


@pytest.fixture
def manifest_of(benchmark: Benchmark) -> ManifestOf:
    def build(config: SweepConfig | None = None, **changes: Any) -> Manifest:
        config = config or config_of()
        manifest = Manifest(
            sweep_id=config.sweep_id,
            config=config.model_dump(mode="json"),
            fingerprint="base-1",
            model_location="a/model",
            model_revision=None,
            benchmarks={"advbench": BenchmarkIdentity.of(benchmark)},
            direction_seeds=((1, 2**64 - 1), (3, 4)),
            versions={"landscape_ray": "0.1.0", "ray": "2.60.0"},
            hardware={"num_gpus": 0, "nodes": [{"cpu": "a CPU"}]},
            created_at="2026-01-02T03:04:05+00:00",
        )
        return replace(manifest, **changes)

    return build


def test_a_manifest_comes_back(store: ResultStore, manifest_of: ManifestOf) -> None:
    store.write_manifest(manifest_of())
    assert store.read_manifest() == manifest_of()
    assert manifest_of().request() == config_of()


def test_it_remembers_what_a_benchmark_is(benchmark: Benchmark) -> None:
    assert BenchmarkIdentity.of(benchmark) == BenchmarkIdentity(
        name="advbench", digest=benchmark.digest, metric="asr", judge="keyword/1", num_prompts=2
    )


def test_a_later_run_keeps_the_begin_and_the_other_benchmarks(
    store: ResultStore, benchmark: Benchmark, manifest_of: ManifestOf
) -> None:
    other = BenchmarkIdentity.of(replace(benchmark, name="other"))
    store.write_manifest(manifest_of())
    store.write_manifest(manifest_of(created_at="2027-01-01T00:00:00+00:00", benchmarks={"other": other}, versions={}))
    found = store.read_manifest()
    assert found is not None
    assert found.created_at == "2026-01-02T03:04:05+00:00"
    assert found.benchmarks == {"advbench": BenchmarkIdentity.of(benchmark), "other": other}
    assert found.versions == {}


def test_no_credentials_are_written(store: ResultStore, folder: Path, manifest_of: ManifestOf) -> None:
    prompts = {"source": "file", "path": "https://me:pa55word@host/p.csv?sig=s3cret"}
    config = config_of(benchmarks=[{"name": "advbench", "prompts": prompts}])
    store.write_manifest(manifest_of(config, model_location="s3://me:pa55word@host/model"))
    text = (folder / "manifest.json").read_text()
    assert "pa55word" not in text
    assert "s3cret" not in text
    assert "https://***@host/p.csv?sig=***" in text


@pytest.mark.parametrize(
    "change", [{"sweep_id": "../x"}, {"fingerprint": 1}, {"benchmarks": {"advbench": {}}}, {"config": None}]
)
def test_a_damaged_manifest_is_refused(
    change: dict[str, Any], store: ResultStore, folder: Path, manifest_of: ManifestOf
) -> None:
    store.write_manifest(manifest_of())
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(OutputError, match=rf"manifest.json is damaged: {next(iter(change))}"):
        store.read_manifest()
    with pytest.raises(OutputError, match="is damaged"):
        store.write_manifest(manifest_of())


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 100_000, b"\xff"])
def test_other_content_is_no_manifest(content: bytes, store: ResultStore, folder: Path) -> None:
    folder.mkdir()
    (folder / "manifest.json").write_bytes(content)
    with pytest.raises(OutputError, match="is damaged"):
        store.read_manifest()


def test_a_configuration_of_another_version_is_explained(manifest_of: ManifestOf) -> None:
    config = manifest_of().config | {"colour": "red"}
    with pytest.raises(OutputError, match=r"does not accept: .*colour.*0\.1\.0"):
        replace(manifest_of(), config=config).request()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"landscape": {"axes": [{"start": -1, "stop": 1, "num": 9}, {"num": 3}], "origin_repeats": 9}},
        {"directions": {"draws": 7}},
        {"run": {"engines": 2, "max_attempts": 9}},
        {"model": {"id": "/another/place", "revision": "main"}},
    ],
)
def test_what_only_adds_points_or_moves_files_continues_a_sweep(
    changes: dict[str, Any], benchmark: Benchmark, manifest_of: ManifestOf
) -> None:
    check_same_sweep(manifest_of(), config_of(**changes), "base-1", [benchmark])


def test_benchmarks_may_be_added_and_left_out(benchmark: Benchmark, manifest_of: ManifestOf) -> None:
    names = ["advbench", "second"]
    both = config_of(benchmarks=[{"name": name, "prompts": {"source": "demo"}, "limit": 2} for name in names])
    check_same_sweep(manifest_of(), both, "base-1", [benchmark, replace(benchmark, name="second", max_new_tokens=9)])
    identity = BenchmarkIdentity.of(replace(benchmark, name="second"))
    manifest = manifest_of(both, benchmarks={"advbench": BenchmarkIdentity.of(benchmark), "second": identity})
    check_same_sweep(manifest, config_of(), "base-1", [benchmark])


def refusal(manifest: Manifest, config: SweepConfig, fingerprint: str, *benchmarks: Benchmark) -> list[str]:
    """Return the lines that name differences."""
    with pytest.raises(OutputError) as caught:
        check_same_sweep(manifest, config, fingerprint, benchmarks)
    first, *lines, last = str(caught.value).split("\n")
    assert f"holds sweep {manifest.sweep_id}" in first
    assert config.sweep_id in first
    assert "--out" in last
    return [line.strip() for line in lines]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"dtype": "float32"}, "dtype: 'bfloat16' in the folder, 'float32' requested"),
        ({"engine": "transformers"}, "engine: 'vllm' in the folder, 'transformers' requested"),
        ({"directions": {"seed": 1, "draws": 9}}, "directions.seed: 0 in the folder, 1 requested"),
        ({"directions": {"excluded": []}}, "directions.excluded: ['norm'] in the folder, [] requested"),
        (
            {"directions": {"normalization": "filter"}},
            "directions.normalization: 'layer' in the folder, 'filter' requested",
        ),
    ],
)
def test_changed_science_is_refused_field_by_field(
    changes: dict[str, Any], line: str, benchmark: Benchmark, manifest_of: ManifestOf
) -> None:
    assert refusal(manifest_of(), config_of(**changes), "base-1", benchmark) == [line]


def test_several_differences_are_all_named(benchmark: Benchmark, manifest_of: ManifestOf) -> None:
    config = config_of(dtype="float16", directions={"seed": 3})
    assert refusal(manifest_of(), config, "base-1", benchmark) == [
        "directions.seed: 0 in the folder, 3 requested",
        "dtype: 'bfloat16' in the folder, 'float16' requested",
    ]


def test_a_model_is_compared_by_its_content(benchmark: Benchmark, manifest_of: ManifestOf) -> None:
    assert refusal(manifest_of(), config_of(model={"id": "b/model"}), "base-2", benchmark) == [
        "model.id: 'a/model' in the folder, 'b/model' requested",
        "content of the checkpoint: 'base-1' in the folder, 'base-2' requested",
    ]
    assert refusal(manifest_of(), config_of(), "base-2", benchmark) == [
        "content of the checkpoint: 'base-1' in the folder, 'base-2' requested",
    ]


def test_prompts_are_compared_by_their_content(benchmark: Benchmark, manifest_of: ManifestOf) -> None:
    moved = config_of(benchmarks=[{"name": "advbench", "prompts": {"source": "file", "path": "moved.csv"}, "limit": 9}])
    check_same_sweep(manifest_of(), moved, "base-1", [benchmark])
    other = replace(benchmark, prompts=benchmark.prompts[:1])
    digests = f"'{benchmark.digest}' in the folder, '{other.digest}' requested"
    assert refusal(manifest_of(), config_of(), "base-1", other) == [
        f"benchmarks.advbench.digest: {digests}",
        "benchmarks.advbench.num_prompts: 2 in the folder, 1 requested",
    ]
    limited = config_of(benchmarks=[{"name": "advbench", "prompts": {"source": "demo"}, "limit": 1}])
    assert refusal(manifest_of(), limited, "base-1", other)[0] == (
        "benchmarks.advbench.limit: 2 in the folder, 1 requested"
    )


def test_another_version_of_the_judge_is_refused(benchmark: Benchmark, manifest_of: ManifestOf) -> None:
    identity = replace(BenchmarkIdentity.of(benchmark), judge="keyword/0")
    assert refusal(manifest_of(benchmarks={"advbench": identity}), config_of(), "base-1", benchmark) == [
        "benchmarks.advbench.judge: 'keyword/0' in the folder, 'keyword/1' requested"
    ]
