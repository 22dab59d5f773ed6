"""What a results folder is about: `Manifest`, and whether a request continues it."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Annotated, Any

from pydantic import Field, JsonValue, TypeAdapter, ValidationError

from landscape_ray.config import Metric, SweepConfig
from landscape_ray.errors import OutputError
from landscape_ray.evaluation import Benchmark, Settled, judge_version
from landscape_ray.planning import CheckpointDelta, Geometry
from landscape_ray.store.redaction import redacted
from landscape_ray.store.validation import problems

__all__ = ["MAX_MANIFEST_BYTES", "BenchmarkIdentity", "Manifest", "check_same_sweep", "continued", "decode", "encode"]

MAX_MANIFEST_BYTES = 16 << 20
"""Larger files are no manifests."""

MAY_DIFFER = (
    "landscape.axes",
    "landscape.origin_repeats",
    "landscape.wall_repeats",
    "landscape.marked",
    "directions.draws",
    "adaptive",
    "certify",
)
"""What may change between runs into one folder: it adds or leaves out points, and changes none."""
CHECKPOINTS = ("landscape.to.", "landscape.through", "directions.displacement.")
"""What names checkpoints: they are compared by their content."""
CHECKPOINTS_OF_KINDS = re.compile(r"directions\.\d+\.(to|plus|minus|displacement)\.(id|revision|name)")
"""The same in a list of directions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkIdentity:
    """What makes a benchmark the same one: enough to find and score its parts without its prompts."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,47}$")]
    """As configured."""
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """`Benchmark.digest`: hash of prompts, system prompt, chat template and decoding."""
    metric: Metric
    """What is measured, see `BenchmarkConfig.metric`."""
    judge: str
    """Name and version of the judge, such as `keyword/1`."""
    num_prompts: Annotated[int, Field(ge=1)]
    """Number of prompts."""
    settled: Settled | None = None
    """What the model's tokenizer and chat template decide; null in folders of earlier versions."""

    @classmethod
    def of(cls, benchmark: Benchmark) -> "BenchmarkIdentity":
        """Return the identity of a loaded benchmark."""
        return cls(
            name=benchmark.name,
            digest=benchmark.digest,
            metric=benchmark.metric,
            judge=judge_version(benchmark),
            num_prompts=benchmark.num_prompts,
            settled=benchmark.settled if benchmark.settled.asked else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What the results in a folder are about: the file `manifest.json`, as the latest run left it."""

    sweep_id: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    """Hash of the science fields of the configuration."""
    config: dict[str, JsonValue]
    """The whole configuration, science and run fields."""
    fingerprint: str
    """Content of the base checkpoint."""
    model_location: str
    """Folder or Hub id that the checkpoint was loaded from."""
    model_revision: str | None
    """Commit on the Hub; null for a folder."""
    benchmarks: dict[str, BenchmarkIdentity]
    """Every benchmark that was ever measured into the folder, by name."""
    direction_seeds: tuple[tuple[int, ...], ...]
    """Seed of the random vector of each draw along each axis."""
    versions: dict[str, str]
    """Versions of python, landscape_ray, ray and, where they are installed, torch and vllm."""
    hardware: dict[str, JsonValue]
    """What the cluster offered when the run was started."""
    created_at: str
    """When the folder was begun, ISO 8601, UTC."""
    geometry: Geometry | None = None
    """How the checkpoints of the configuration lie to each other; null where the plan does not depend on it."""
    date: str | None = None
    """The day that chat templates are told which print the date, ISO 8601; null in folders of earlier versions."""
    proven: tuple[str, ...] = ()
    """What was proven of how engines place points, a line for each combination of library, device and way."""
    left_out: dict[str, int] = field(default_factory=dict)
    """What the checkpoint holds beside the weights that are measured, by kind, and how many tensors each."""

    def request(self) -> SweepConfig:
        """Return the configuration that the folder was measured with.

        Raises:
            OutputError: This version of landscape-ray does not accept it.
        """
        try:
            return SweepConfig.model_validate(self.config)
        except ValidationError as error:
            msg = (
                f"The output folder holds sweep {self.sweep_id}, whose configuration this version of landscape-ray "
                f"does not accept: {problems(error)}. Give another output folder (--out), or use the version that "
                f"wrote the folder: {self.versions.get('landscape_ray', 'unknown')}."
            )
            raise OutputError(msg) from error


_MANIFEST = TypeAdapter(Manifest)


def encode(manifest: Manifest) -> bytes:
    """Return a manifest as JSON, without credentials."""
    text = json.dumps(_without_credentials(asdict(manifest)), indent=2)
    return f"{text}\n".encode()


def decode(content: bytes) -> Manifest:
    """Return the manifest that a file holds.

    Raises:
        ValidationError: The file holds no manifest.
    """
    return _MANIFEST.validate_json(content, strict=True)


def continued(manifest: Manifest, earlier: Manifest) -> Manifest:
    """Return the manifest of a later run into a folder: begin, other benchmarks and what was proven are kept."""
    return replace(
        manifest,
        created_at=earlier.created_at,
        date=earlier.date or manifest.date,
        benchmarks=earlier.benchmarks | manifest.benchmarks,
        proven=tuple(dict.fromkeys((*earlier.proven, *manifest.proven))),
    )


def check_same_sweep(
    manifest: Manifest,
    config: SweepConfig,
    fingerprint: str,
    benchmarks: Sequence[Benchmark],
    deltas: Sequence[CheckpointDelta] = (),
) -> None:
    """Refuse a configuration whose results would not belong with those in the folder.

    Checkpoints are compared by content, prompts by digest and judges by version, so a moved file is no difference
    and a changed one is. Axes, draws, repeats of the origin and marked checkpoints may differ, and benchmarks may be
    added or left out. So may entries at the end of a list of directions, and draws of the last one before them: draws
    are numbered through, and rows bear their numbers.

    Args:
        manifest: What is in the folder.
        config: What is requested.
        fingerprint: Content of its model.
        benchmarks: Its benchmarks.
        deltas: Its further checkpoints, in the order of `SweepConfig.checkpoints`.

    Raises:
        OutputError: Science fields differ; the message names each with both values.
    """
    differences = list(_differences(manifest, config, fingerprint, benchmarks, deltas))
    if differences:
        listing = "".join(f"\n  {line}" for line in differences)
        msg = (
            f"The output folder holds sweep {manifest.sweep_id}, which measures something else than the requested "
            f"{config.sweep_id}. These fields differ:{listing}\nGive another output folder (--out) for the new "
            "configuration, or go back to the old one."
        )
        raise OutputError(msg)


def _differences(
    manifest: Manifest,
    config: SweepConfig,
    fingerprint: str,
    benchmarks: Sequence[Benchmark],
    deltas: Sequence[CheckpointDelta],
) -> Iterator[str]:
    request = manifest.request()
    old, new = _fields(request), _fields(config)
    same_model = manifest.fingerprint == fingerprint
    earlier_deltas = () if manifest.geometry is None else manifest.geometry.deltas
    old_content, new_content = _contents(request, earlier_deltas), _contents(config, deltas)
    if request.kinds and config.kinds:  # the longer list may name more of them, at its end
        num_common = min(len(old_content), len(new_content))
        old_content, new_content = old_content[:num_common], new_content[:num_common]
    same_checkpoints = old_content == new_content
    ignored = (
        "benchmarks.",
        *MAY_DIFFER,
        *(["model."] if same_model else []),
        *(CHECKPOINTS if same_checkpoints else []),
    )
    compared = [name for name in sorted(old.keys() | new.keys()) if not name.startswith(ignored)]
    if request.kinds and config.kinds:
        added = _added(min(len(request.kinds), len(config.kinds)), compared)
        compared = [name for name in compared if name not in added]
    if same_checkpoints:
        compared = [name for name in compared if not CHECKPOINTS_OF_KINDS.fullmatch(name)]
    yield from _changed(old, new, compared)
    if not same_model:
        yield _line("content of the checkpoint", manifest.fingerprint, fingerprint)
    if not same_checkpoints:
        yield _line("content of the further checkpoints", old_content, new_content)
    for benchmark in benchmarks:
        if benchmark.name in manifest.benchmarks:
            place = f"benchmarks.{benchmark.name}"
            earlier, requested = asdict(manifest.benchmarks[benchmark.name]), asdict(BenchmarkIdentity.of(benchmark))
            if earlier["digest"] != requested["digest"]:
                yield from _changed(old, new, [name for name in sorted({*old, *new}) if name.startswith(f"{place}.")])
            else:
                del earlier["settled"]  # what of it decides anything is in the digest
            for line in _changed(earlier, requested, sorted(earlier)):
                yield f"{place}.{line}"


def _added(num_common: int, names: Iterable[str]) -> set[str]:
    """Return the fields of lists of directions that may differ, because they only add draws at the end.

    These are all of entries that one of the lists has beyond those in common, and the draws of the last one in common.
    """
    of_directions = (name for name in names if name.startswith("directions."))
    return {
        name
        for name in of_directions
        if int(name.split(".")[1]) >= num_common or name == f"directions.{num_common - 1}.draws"
    }


def _contents(config: SweepConfig, deltas: Sequence[CheckpointDelta]) -> list[str]:
    """Return the fingerprints of the checkpoints that decide points, without those that are only marked."""
    return [delta.fingerprint for delta in deltas[: len(config.checkpoints) - len(config.marked)]]


def _changed(old: Mapping[str, Any], new: Mapping[str, Any], names: Iterable[str]) -> Iterator[str]:
    for name in names:
        if old.get(name) != new.get(name):
            yield _line(name, old.get(name), new.get(name))


def _fields(config: SweepConfig) -> dict[str, Any]:
    """Return the science fields by their dotted names, benchmarks by name and entries of directions by number."""
    science = _without_credentials(config.science())
    by_name = {benchmark["name"]: benchmark for benchmark in science["benchmarks"]}
    directions = science["directions"]
    if config.kinds:
        directions = {str(number): entry for number, entry in enumerate(directions)}
    return dict(_flat({**science, "benchmarks": by_name, "directions": directions}))


def _flat(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in node.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _line(name: str, old: Any, new: Any) -> str:
    return f"{name}: {old!r} in the folder, {new!r} requested"


def _without_credentials(value: Any) -> Any:
    """Return JSON data with credentials taken out of every text."""
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, Mapping):
        return {name: _without_credentials(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_credentials(item) for item in value]
    return value
