"""Checkpoints whose differences from the base are directions: full checkpoints, and LoRA adapters merged into it.

Whatever it is, an endpoint gives the tensors that the checkpoint would hold as a model of its own, one at a time.
"""

import json
import math
import re
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from landscape_ray.errors import CheckpointError, few_of
from landscape_ray.planning import STORED_FILE, name_alone
from landscape_ray.weights.files import HEAD, CheckpointFiles, TensorSource

__all__ = ["ADAPTER_CONFIG", "open_endpoint"]

ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def open_endpoint(folder: Path, base: TensorSource) -> TensorSource:
    """Open a checkpoint that is to be compared with the base, tensor by tensor.

    Args:
        folder: Folder with `*.safetensors`; an adapter where it holds `adapter_config.json`; stored tensors of a
            direction, which are by the base's names, where it holds these.
        base: The weights at the origin. Without a head tensor its model shares the head with the embedding.

    Raises:
        CheckpointError: It does not hold the base's tensors, name by name and shape by shape, or it is an adapter of
            a kind that cannot be merged exactly; the message names what does not fit.
    """
    if (folder / STORED_FILE).is_file():
        return CheckpointFiles.read([folder / STORED_FILE])
    if (folder / ADAPTER_CONFIG).is_file():
        return _MergedAdapter.open(folder, base)
    files = CheckpointFiles.open(folder, tied_head=False)
    if HEAD not in base.names and HEAD in files.names and files.has_redundant_head:
        files = CheckpointFiles.open(folder, tied_head=True)
    own_names = _own_names(files.names, base.names)
    _check_names(folder, files, base, own_names)
    return files if own_names.keys() == set(own_names.values()) else _Renamed(files=files, own_names=own_names)


def _own_names(names: Collection[str], base_names: Collection[str]) -> dict[str, str]:
    """Return what another checkpoint calls each tensor of the base, as far as it has it.

    A language model may lie by itself, or in a multimodal wrapper, of which there are several forms.
    """
    alone: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        alone[name_alone(name)].append(name)
    own = set(names)
    found = {name: [name] if name in own else alone.get(name_alone(name), []) for name in base_names}
    return {name: candidates[0] for name, candidates in found.items() if len(candidates) == 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Renamed:
    """A checkpoint whose tensors have other names than those of the base."""

    files: CheckpointFiles
    """The checkpoint."""
    own_names: Mapping[str, str]
    """Its own names, by those of the base."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names that the base has for them."""
        return tuple(self.own_names)

    def tensor(self, name: str) -> torch.Tensor:
        """Return one tensor in the checkpoint's dtype, in host memory. Do not write to it."""
        return self.files.tensor(self.own_names[name])


def _check_names(folder: Path, files: CheckpointFiles, base: TensorSource, own_names: Mapping[str, str]) -> None:
    misshaped = [
        f"{name} {files.shapes[own]} instead of {tuple(base.tensor(name).shape)}"
        for name, own in own_names.items()
        if files.shapes[own] != tuple(base.tensor(name).shape)
    ]
    missing = [name for name in base.names if name not in own_names]
    surplus = [name for name in files.names if name not in set(own_names.values())]
    problems = [
        f"{problem} {few_of(names)}"
        for problem, names in (("it lacks", missing), ("only it has", surplus), ("of another shape are", misshaped))
        if names
    ]
    if HEAD in missing + surplus:
        which = "the model" if HEAD in surplus else "the checkpoint"
        problems.append(f"{which} shares its head with the embedding and the other does not")
    if any("emb" in name or "wte" in name or name.startswith(HEAD) for name in misshaped):
        problems.append("one of the two vocabularies was resized")
    if problems:
        msg = (
            f"The checkpoint {folder} and the model at the origin do not hold the same tensors, so there is no "
            f"difference between them: {'; '.join(problems)}. Give a checkpoint of the same architecture, vocabulary "
            "and layout."
        )
        raise CheckpointError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Factors:
    """The low-rank factors of one tensor's difference."""

    a: str
    """Name of the factor A, (rank, inputs)."""
    b: str
    """Name of the factor B, (outputs, rank)."""
    scaling: float
    """What their product is multiplied by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _MergedAdapter:
    """The base with a LoRA adapter merged into it, as PEFT merges by default.

    A tensor is `base + scaling * (B @ A)`, computed in float32 on the CPU and rounded once to the base's type. So it is
    the tensor of the merged checkpoint, to the bit where the same library multiplies the matrices.

    Source: Hu et al. 2021, "LoRA", Section 4.1; the scaling `alpha / sqrt(rank)` is of Kalajdzievski 2023 (rsLoRA).
    """

    base: TensorSource
    """What the adapter is merged into."""
    files: CheckpointFiles
    """The adapter."""
    factors: Mapping[str, _Factors]
    """Factors by the name of the base's tensor."""
    transposed: bool
    """The base stores weights as (inputs, outputs)."""

    @classmethod
    def open(cls, folder: Path, base: TensorSource) -> "_MergedAdapter":
        """Read an adapter's configuration and the headers of its tensors.

        Raises:
            CheckpointError: The adapter is of a kind that is not merged exactly, or does not fit the base.
        """
        config = _adapter_config(folder)
        files = CheckpointFiles.read([folder / ADAPTER_WEIGHTS])
        adapter = cls(
            base=base,
            files=files,
            factors=MappingProxyType(_factors(folder, config, files, set(base.names))),
            transposed=bool(config.get("fan_in_fan_out")),
        )
        adapter._check_shapes(folder)
        return adapter

    @property
    def names(self) -> tuple[str, ...]:
        """Checkpoint names of the tensors, layer by layer."""
        return self.base.names

    def tensor(self, name: str) -> torch.Tensor:
        """Return one merged tensor in the base's dtype. Do not write to it."""
        base = self.base.tensor(name)
        if name not in self.factors:
            return base
        factors = self.factors[name]
        product = self.files.tensor(factors.b).float() @ self.files.tensor(factors.a).float()
        difference = (product.T if self.transposed else product) * factors.scaling
        return (base.to(device="cpu", dtype=torch.float32) + difference).to(base.dtype)

    def _check_shapes(self, folder: Path) -> None:
        for name, factors in self.factors.items():
            (rank, inputs), (outputs, rank_b) = self.files.shapes[factors.a], self.files.shapes[factors.b]
            shape = (inputs, outputs) if self.transposed else (outputs, inputs)
            if rank != rank_b or shape != tuple(self.base.tensor(name).shape):
                msg = (
                    f"The adapter {folder} does not fit the model at the origin: {factors.b} {(outputs, rank_b)} times "
                    f"{factors.a} {(rank, inputs)} is no difference of {name} {tuple(self.base.tensor(name).shape)}. "
                    "Give an adapter that was trained on this model."
                )
                raise CheckpointError(msg)


# Settings of an adapter that do not change what merging means, whatever their value.
WITHOUT_EFFECT = frozenset(
    {
        *("auto_mapping", "base_model_name_or_path", "inference_mode", "peft_version", "revision", "task_type"),
        *("exclude_modules", "layers_pattern", "layers_to_transform", "target_modules"),  # the tensors' names tell
        *("lora_dropout", "megatron_core", "qalora_group_size", "runtime_config", "eva_config"),
    }
)
UNDERSTOOD = frozenset(
    {"alpha_pattern", "fan_in_fan_out", "lora_alpha", "peft_type", "r", "rank_pattern", "use_rslora"}
)
# Ways to begin a training that leave the base as it is; others (pissa, olora, loftq, ...) train against another base.
PLAIN_INITIALIZATIONS = (True, False, "gaussian", "eva", "orthogonal", None)
TENSOR = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<factor>[AB])\.weight")


def _adapter_config(folder: Path) -> dict[str, Any]:
    """Read an adapter's settings and refuse what `_MergedAdapter` would not merge exactly."""
    try:
        config: dict[str, Any] = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
        kind, rank, alpha = config["peft_type"], int(config["r"]), float(config["lora_alpha"])
    except (ValueError, KeyError, TypeError) as error:
        msg = f"{folder / ADAPTER_CONFIG} does not describe a LoRA adapter: {type(error).__name__}: {error}."
        raise CheckpointError(msg) from error
    refused = [
        f"{name} {value!r}"
        for name, value in sorted(config.items())
        if value and name not in WITHOUT_EFFECT | UNDERSTOOD and (name, value) != ("bias", "none")
        if name != "init_lora_weights" or value not in PLAIN_INITIALIZATIONS
    ]
    if kind != "LORA":
        refused.insert(0, f"peft_type {kind!r}")
    if rank < 1 or not math.isfinite(alpha):
        refused.append(f"r {rank} with lora_alpha {alpha}")
    if refused:
        msg = (
            f"The adapter {folder} has settings that cannot be merged exactly here: {few_of(refused)}. Merge it "
            "with PEFT (`merge_and_unload`, then `save_pretrained`), and give the folder of the merged checkpoint."
        )
        raise CheckpointError(msg)
    return config


def _factors(
    folder: Path, config: Mapping[str, Any], files: CheckpointFiles, base_names: set[str]
) -> dict[str, _Factors]:
    """Find the two factors of each adapted tensor of the base."""
    matches = {name: TENSOR.fullmatch(name) for name in files.names}
    modules = {match["module"] for match in matches.values() if match}
    in_base = _own_names(base_names, [f"{module}.weight" for module in modules])
    strange = [name for name, match in matches.items() if match is None]
    strange += [
        f"{module} (of which the model has no weight)"
        for module in sorted(modules)
        if f"{module}.weight" not in in_base
    ]
    halves = {module: [f"base_model.model.{module}.lora_{factor}.weight" for factor in "AB"] for module in modules}
    strange += [
        f"{module} (without its other factor)"
        for module, names in sorted(halves.items())
        if not all(name in files.files for name in names)
    ]
    if strange:
        msg = (
            f"The adapter {folder} holds tensors that cannot be merged exactly here: {few_of(strange)}"
            f". Only plain LoRA factors of weights that the model's "
            "checkpoint holds by the same name can. Merge it with PEFT (`merge_and_unload`, then `save_pretrained`), "
            "and give the folder of the merged checkpoint."
        )
        raise CheckpointError(msg)
    return {
        in_base[f"{module}.weight"]: _Factors(a=a, b=b, scaling=_scaling(folder, config, module, files.shapes[a][0]))
        for module, (a, b) in sorted(halves.items())
    }


def _scaling(folder: Path, config: Mapping[str, Any], module: str, rank: int) -> float:
    """Return what the product of a module's factors is multiplied by, patterns of ranks and alphas considered."""
    settled = int(_by_pattern(config.get("rank_pattern"), module, config["r"]))
    alpha = float(_by_pattern(config.get("alpha_pattern"), module, config["lora_alpha"]))
    if settled != rank:
        msg = f"The adapter {folder} states rank {settled} for {module}, but its factors have rank {rank}."
        raise CheckpointError(msg)
    return alpha / math.sqrt(rank) if config.get("use_rslora") else alpha / rank


def _by_pattern(patterns: Mapping[str, Any] | None, module: str, default: Any) -> Any:
    """Return the value of the first pattern that matches the end of a module's name, at a dot."""
    for pattern, value in (patterns or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return value
    return default
