"""Which model is meant, exactly: from a name to a folder or a commit. No torch: the driver runs this."""

import hashlib
import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from landscape_ray.config import CheckpointConfig, ModelConfig
from landscape_ray.errors import CheckpointError, LandscapeError, TransientError, few_of, in_brief
from landscape_ray.planning import CheckpointDelta
from landscape_ray.transience import is_transient

__all__ = [
    "INDEX_FILE",
    "ResolvedModel",
    "can_be_had",
    "check_same_computation",
    "checkpoint_folder",
    "has_weights",
    "header_on_hub",
    "resolve",
    "resolve_delta",
]

DEMO_PREFIX = "demo:"
# Everything that decides tokens besides the weights, and what is fetched of a repository: no code, no pickles.
TEXT_FILES = ("*.json", "*.jinja", "*.txt", "*.model")
FETCHED = (*TEXT_FILES, "*.safetensors")
# Left out of what is fetched: subfolders and the second copy of the weights that some repositories carry.
NOT_FETCHED = ("*/*", "consolidated*")
# A weights file is identified by its header and by this many evenly spaced samples of its content: 16 MiB, so that
# small models are covered whole, and large ones in a fraction of a second.
NUM_SAMPLES, SAMPLE_BYTES = 256, 1 << 16
INDEX_FILE = "model.safetensors.index.json"
ADAPTER_CONFIG = "adapter_config.json"
GGUF = ".gguf"
FROM_GGUF = (
    "GGUF holds weights in llama.cpp's layout, and mostly quantised. Give the checkpoint in safetensors that it was "
    "made from; the page from which it comes names it."
)
HUB_TIMEOUT_S, PROBE_TIMEOUT_S = 30, 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedModel:
    """A model that can no longer move."""

    location: str
    """Folder, or Hub id."""
    revision: str | None
    """Commit on the Hub; None for a folder."""
    fingerprint: str
    """`hub:<id>@<commit>` or `folder:<hash of its content>`: the same wherever the model lies."""


def resolve(model: ModelConfig) -> ResolvedModel:
    """Find the model and pin it.

    A folder's fingerprint covers its configuration and tokenizer files whole, and of each safetensors file its size,
    its header and 16 MiB of evenly spaced samples. Files up to 16 MiB are covered whole; of larger ones a finetuned or
    requantized model differs nearly everywhere, but an edit of a few weights between the samples goes unseen.

    On the Hub a branch or tag is resolved to its commit; where the Hub is out of reach, to the commit in the local
    cache.

    Raises:
        CheckpointError: There is no such model, it has no safetensors, or it is gated.
        TransientError: The Hub is out of reach.
    """
    return _resolve(model, may_be_adapter=False)


def resolve_delta(checkpoint: CheckpointConfig) -> CheckpointDelta:
    """Find a further checkpoint, which may be a LoRA adapter, and pin it; see `resolve`.

    Raises:
        CheckpointError: As for `resolve`.
    """
    found = _resolve(checkpoint, may_be_adapter=True)
    return CheckpointDelta(fingerprint=found.fingerprint, location=found.location, revision=found.revision)


def _resolve(model: ModelConfig | CheckpointConfig, *, may_be_adapter: bool) -> ResolvedModel:
    if model.id.startswith(DEMO_PREFIX):
        name = model.id.removeprefix(DEMO_PREFIX)
        folder = Path(str(resources.files("landscape_ray"))) / "demo" / name
        if name not in {"aligned", "finetuned", *(("adapter",) if may_be_adapter else ())}:
            msg = (
                f"The id {model.id!r} is no embedded model; there are 'demo:aligned' and 'demo:finetuned', and as a "
                "further checkpoint of a landscape 'demo:adapter'."
            )
            raise CheckpointError(msg)
        return _resolve_folder(folder, may_be_adapter=may_be_adapter)
    path = Path(model.id).expanduser()
    if path.is_dir():
        if model.revision is not None:
            msg = f"The revision {model.revision!r} is given, but {path} is a folder; folders have no revisions."
            raise CheckpointError(msg)
        return _resolve_folder(path, may_be_adapter=may_be_adapter)
    if path.suffix == GGUF:
        msg = f"The id {model.id!r} is of a GGUF file. {FROM_GGUF}"
        raise CheckpointError(msg)
    if _is_path(model.id):
        msg = f"The id {model.id!r} is no folder here. Give the path of a checkpoint folder, or a Hub id."
        raise CheckpointError(msg)
    return _resolve_on_hub(model, may_be_adapter=may_be_adapter)


def can_be_had(model: ModelConfig | CheckpointConfig) -> str | None:
    """Return None for a checkpoint that can be looked at now, here or on the Hub; else the reason that it cannot."""
    path = Path(model.id).expanduser()
    if model.id.startswith(DEMO_PREFIX) or path.is_dir() or path.suffix == GGUF:
        return None
    if _is_path(model.id):
        return f"{model.id} is no folder here"
    import huggingface_hub as hub  # noqa: PLC0415 - heavy, and needed here only

    if isinstance(hub.try_to_load_from_cache(model.id, "config.json", revision=model.revision), str):
        return None
    try:
        hub.get_hf_file_metadata(
            hub.hf_hub_url(model.id, "config.json", revision=model.revision), timeout=PROBE_TIMEOUT_S
        )
    except hub.errors.EntryNotFoundError:
        return None  # an adapter, perhaps
    except Exception as error:  # noqa: BLE001 - the client raises errors of several libraries
        return str(_hub_error(model.id, model.revision, error))
    return None


def checkpoint_folder(location: str, revision: str | None, *, weights: bool = True) -> Path:
    """Return the local folder of a resolved model, fetching it from the Hub where it is not there yet.

    Args:
        location: Folder, or Hub id.
        revision: Commit on the Hub; None for a folder.
        weights: Fetch all of it; or else, where only its configuration and tokenizer are needed, these.

    Raises:
        CheckpointError: It cannot be had.
        TransientError: The Hub is out of reach.
    """
    if revision is None:
        folder = Path(location)
        if not folder.is_dir():
            msg = (
                f"The checkpoint folder {folder} is not on this node. Put it on storage that every node of the cluster "
                "sees under the same path, or give a Hub id instead."
            )
            raise CheckpointError(msg)
        return folder
    from huggingface_hub import constants, snapshot_download  # noqa: PLC0415 - heavy, and needed here only

    try:
        folder = Path(
            snapshot_download(
                location,
                revision=revision,
                allow_patterns=list(FETCHED if weights else TEXT_FILES),
                ignore_patterns=list(NOT_FETCHED),
                etag_timeout=HUB_TIMEOUT_S,
            )
        )
    except Exception as error:  # the client raises errors of several libraries
        raise _hub_error(location, revision, error) from error
    # Where the Hub is out of reach its client gives what there is of a checkpoint, if it does not know the whole.
    if weights and (missing := _missing_weights(folder)):
        msg = f"Of the model {location!r} only a part is in the local cache: {few_of(missing)} must be fetched first."
        raise (CheckpointError if constants.HF_HUB_OFFLINE else TransientError)(msg)
    return folder


def has_weights(folder: Path) -> bool:
    """Tell whether a model's files of weights are in its folder, all of them."""
    return not _missing_weights(folder)


def header_on_hub(location: str, revision: str, file: str) -> set[str]:
    """Return the names of the tensors in a safetensors file on the Hub, of which only the header is fetched.

    Raises:
        CheckpointError: It cannot be had.
    """
    from huggingface_hub import HfApi  # noqa: PLC0415

    try:
        return set(HfApi().parse_safetensors_file_metadata(location, file, revision=revision).tensors)
    except Exception as error:  # the client raises errors of several libraries
        raise _hub_error(location, revision, error) from error


# Settings of a model that decide what its weights compute. Absence may stand for any default, and so may `null`, but
# where it means that there is no such thing.
COMPUTATION = (
    *("model_type", "hidden_act", "hidden_activation", "activation_function", "mlp_bias", "attention_bias"),
    *("num_attention_heads", "num_key_value_heads", "head_dim", "sliding_window", "layer_types"),
    *("rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "norm_epsilon", "tie_word_embeddings"),
    *("rope_theta", "rope_scaling", "rope_parameters", "partial_rotary_factor", "num_experts_per_tok"),
    *("attn_logit_softcapping", "final_logit_softcapping", "query_pre_attn_scalar", "logits_scaling"),
    *("embedding_multiplier", "attention_multiplier", "residual_multiplier", "logit_scale"),
)
NULL_MEANS_NONE = frozenset({"rope_scaling", "sliding_window", "attn_logit_softcapping", "final_logit_softcapping"})


def check_same_computation(model: Path, checkpoint: Path) -> None:
    """Make sure that a checkpoint's weights mean in the model what they mean in itself; both are local folders.

    Raises:
        CheckpointError: Their configurations differ in a setting that decides what weights compute.
    """
    if (checkpoint / ADAPTER_CONFIG).is_file():
        return
    ours, theirs = (json.loads((folder / "config.json").read_text(encoding="utf-8")) for folder in (model, checkpoint))
    differences = [
        f"{key} {theirs[key]!r} instead of {ours[key]!r}"
        for key in COMPUTATION
        if key in ours and key in theirs and ours[key] != theirs[key]
        if key in NULL_MEANS_NONE or None not in (ours[key], theirs[key])
    ]
    if differences:
        msg = (
            f"The checkpoint {checkpoint} computes something else than the model {model} with equal weights, by its "
            f"config.json: {few_of(differences)}. On the way from one to the other only weights may change; give a "
            "checkpoint of the same configuration."
        )
        raise CheckpointError(msg)


def _is_path(name: str) -> bool:
    return name.startswith((".", "/", "~")) or name.count("/") > 1


def _resolve_folder(folder: Path, *, may_be_adapter: bool) -> ResolvedModel:
    names = [file.name for file in folder.iterdir()] if folder.is_dir() else []
    _check_files(names, str(folder), may_be_adapter=may_be_adapter)
    if missing := _missing_weights(folder):
        msg = f"{folder} lacks {few_of(missing)}, which its {INDEX_FILE} lists; fetch the checkpoint again."
        raise CheckpointError(msg)
    return ResolvedModel(location=str(folder.resolve()), revision=None, fingerprint=_fingerprint(folder))


def _missing_weights(folder: Path) -> list[str]:
    """Return which files of weights are not there: of those that an index lists, or else any."""
    index, found = folder / INDEX_FILE, {file.name for file in folder.glob("*.safetensors")}
    if index.is_file():
        return sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()) - found)
    return [] if found else ["*.safetensors"]


def _resolve_on_hub(model: ModelConfig | CheckpointConfig, *, may_be_adapter: bool) -> ResolvedModel:
    from huggingface_hub import HfApi, errors, hf_hub_download  # noqa: PLC0415 - heavy, and needed here only

    def fetched(name: str) -> Path:
        return Path(hf_hub_download(model.id, name, revision=model.revision, etag_timeout=HUB_TIMEOUT_S))

    try:
        # Fetching a file, unlike asking about the repository, proves that a gated model may be read, and falls back
        # to the cache where the Hub is out of reach. The cache names its folders by commit.
        try:
            config = fetched("config.json")
        except errors.EntryNotFoundError:
            if not may_be_adapter:
                raise
            config = fetched(ADAPTER_CONFIG)
        commit = config.parent.name
        names = [file.name for file in config.parent.iterdir()]
        if not any(name.endswith(".safetensors") for name in names):  # not fetched yet
            names = HfApi().list_repo_files(model.id, revision=commit)
    except Exception as error:  # the client raises errors of several libraries
        raise _hub_error(model.id, model.revision, error) from error
    _check_files(names, f"{model.id} on the Hub", may_be_adapter=may_be_adapter)
    return ResolvedModel(location=model.id, revision=commit, fingerprint=f"hub:{model.id}@{commit}")


def _hub_error(model_id: str, revision: str | None, error: Exception) -> LandscapeError:
    """Say what a failure of the Hub client means, and what to do."""
    where = f"model {model_id!r}" + (f" at revision {revision!r}" if revision else "")
    if is_transient(error):
        msg = (
            f"The {where} cannot be fetched at the moment: the Hub is out of reach or overloaded, and not all of it is "
            f"in the local cache ({in_brief(error.__cause__ or error)}). Try again later, check the network, or give a "
            "folder."
        )
        return TransientError(msg)
    from huggingface_hub import errors  # noqa: PLC0415

    match error:
        case errors.GatedRepoError():
            reason = "is gated: accept its licence on its page, then set HF_TOKEN (or run `hf auth login`)"
        case errors.RevisionNotFoundError():
            reason = "has no such revision; check it"
        case errors.RepositoryNotFoundError():
            reason = "is neither a folder here nor on the Hub, or it is private; check the id, or set HF_TOKEN"
        case errors.LocalEntryNotFoundError() | errors.OfflineModeIsEnabled():
            reason = "is not in the local cache, and the Hub is out of reach or HF_HUB_OFFLINE is set; fetch it first"
        case errors.EntryNotFoundError():
            reason = (
                "has no config.json; a checkpoint in the layout of transformers is needed, or an adapter's of PEFT (of "
                "GGUF files: the checkpoint that they were made from)"
            )
        case _:
            reason = f"cannot be had ({type(error).__name__}: {in_brief(error)}); check the network, or give a folder"
    return CheckpointError(f"The {where} {reason}.")


def _check_files(names: list[str], where: str, *, may_be_adapter: bool) -> None:
    top = [name for name in names if "/" not in name]
    weights = [name for name in top if name.endswith(".safetensors") and not name.startswith("adapter_")]
    if ADAPTER_CONFIG in top and weights:
        msg = (
            f"{where} is two things: a model ({few_of(sorted(weights))}) and an adapter ({ADAPTER_CONFIG}). If the "
            f"adapter is meant, give a folder that holds its {ADAPTER_CONFIG} and adapter_model.safetensors alone; if "
            "the model is meant, one without these two."
        )
        raise CheckpointError(msg)
    if ADAPTER_CONFIG in top and not may_be_adapter:
        msg = (
            f"{where} is an adapter, which cannot be the model at the origin. Give the model that it was trained on, "
            "and the adapter as a checkpoint of the landscape (kind interpolation or plane)."
        )
        raise CheckpointError(msg)
    if any(name.endswith(GGUF) for name in top) and not any(name.endswith(".safetensors") for name in top):
        msg = f"{where} holds GGUF files and no safetensors. {FROM_GGUF}"
        raise CheckpointError(msg)
    if "config.json" not in names and not (may_be_adapter and ADAPTER_CONFIG in names):
        msg = f"{where} has no config.json; a checkpoint in the layout of transformers is needed."
        raise CheckpointError(msg)
    if not any(name.endswith(".safetensors") for name in names):
        others = sorted(name for name in names if name.endswith((".bin", ".pt", ".pth")))
        found = f" (there is {few_of(others)})" if others else ""
        msg = (
            f"{where} has no *.safetensors file{found}. Only safetensors are read, because other formats can run code; "
            "convert the checkpoint with `model.save_pretrained(folder, safe_serialization=True)`."
        )
        raise CheckpointError(msg)


def _fingerprint(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted({file for pattern in FETCHED for file in folder.glob(pattern)}):
        digest.update(f"{file.name} {file.stat().st_size}\n".encode())
        if file.suffix == ".safetensors":
            _sample(file, digest)
        else:
            digest.update(file.read_bytes())
    return f"folder:{digest.hexdigest()[:32]}"


def _sample(file: Path, digest: Any) -> None:
    """Add a safetensors file's header and evenly spaced samples of its content to a hash."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        header_bytes = int.from_bytes(stream.read(8), "little")
        if header_bytes > size - 8:
            msg = (
                f"{file} is no whole safetensors file: it has {size} bytes, its header alone claims {header_bytes}. "
                "The download broke off, or it is a git-lfs pointer; fetch the checkpoint again."
            )
            raise CheckpointError(msg)
        digest.update(stream.read(header_bytes))
        content = 8 + header_bytes
        step = max((size - content) // NUM_SAMPLES, SAMPLE_BYTES)
        for start in range(content, size, step):
            stream.seek(start)
            digest.update(stream.read(SAMPLE_BYTES))
