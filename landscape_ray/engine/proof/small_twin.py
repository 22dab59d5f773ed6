"""A small twin of a model: its architecture with all its switches, a layer of each kind, small widths, random weights.

What is proven of where the twin's weights go (fused, packed, sliced, tied) holds for the model, because libraries load
both by the same code. Kinds of layers are read off the modules that transformers builds, not off a table of the ways in
which configurations name them. The twin keeps the model's first layers, up to where every kind has occurred, so periods
and lists keep their meaning. Heads keep their width, by which kernels are chosen and rotary settings have their length;
there are fewer of them.
"""

import copy
import json
import shutil
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import torch
import transformers

from landscape_ray.engine.checkpoints.model_config import read_config
from landscape_ray.errors import CheckpointError, in_brief

__all__ = ["write_small_twin"]

# The twin's vocabulary is that of the embedded model's tokenizer, whose special tokens have these ids.
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
NUM_TOKENS = 640
SPECIAL_TOKENS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
# Vocabularies are padded to multiples of this by engines; the twin's needs as much padding as the model's.
PADDED_TO = 64
MAX_CONTEXT = 1 << 17  # tables of rotary embeddings have a row for each position
FEW_LAYERS = 2  # so that an exchange of layers shows

# How configurations call their numbers, beside the names that transformers itself maps.
HEADS, KV_HEADS, LAYERS = "num_attention_heads", "num_key_value_heads", "num_hidden_layers"
ALIASES = {
    "hidden_size": ("n_embd", "d_model"),
    HEADS: ("n_head", "n_heads", "num_heads"),
    KV_HEADS: ("num_kv_heads", "n_head_kv", "multi_query_group_num"),
    LAYERS: ("n_layer", "n_layers", "num_layers", "depth"),
}
WIDTHS = (
    *("hidden_size", "intermediate_size", "ffn_dim", "n_inner", "ffn_hidden_size", "intermediate_size_mlp"),
    *("moe_intermediate_size", "shared_expert_intermediate_size", "shared_intermediate_size", "expert_ffn_hidden_size"),
    *("moe_shared_expert_intermediate_size", "dense_intermediate_size", "block_ff_dim", "q_lora_rank", "lru_width"),
    *("word_embed_proj_dim", "attention_hidden_size", "out_hidden_size", "text_hidden_size"),
)
EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
CHOSEN_EXPERTS = ("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_k", "top_k_experts")
CONTEXTS = ("max_position_embeddings", "n_positions", "max_seq_len")
VOCABULARIES = ("vocab_size", "vocab_size_per_layer_input")
NUM_EXPERTS, NUM_CHOSEN = 4, 2
# Heads of state-space and linear layers, the width of each, and by what factor together they are wider than the model.
STATE_SPACES = (
    ("num_heads", "head_dim", "expand"),
    ("mamba_n_heads", "mamba_d_head", "mamba_expand"),
    ("mamba_num_heads", "mamba_head_dim", "expand"),
)
GROUPS = ("n_groups", "mamba_n_groups", "mamba_ngroups")
LINEAR_HEADS = {"linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_num_heads": 2}
# Standard deviation by which norms, biases and other vectors are moved from where a new model has them.
MOVED = 0.1


def write_small_twin(folder: Path, out: Path, *, tensor_parallel: int = 1) -> None:
    """Write a checkpoint that an engine loads by the code by which it loads the model.

    The same configuration gives the same twin, to the bit. It has the embedded model's tokenizer.

    Args:
        folder: A model's folder; only its `config.json` is read, so it need not hold weights.
        out: Folder for the twin, which is made: `config.json`, safetensors under checkpoint names in the type that the
            configuration names (float32 where it names none), and a tokenizer.
        tensor_parallel: Over how many devices an engine must be able to spread the twin's heads and widths.

    Raises:
        CheckpointError: transformers lacks the architecture, or cannot build it small.
    """
    config = read_config(folder)
    name = (config.architectures or ["none"])[0]
    architecture = getattr(transformers, name, None)
    if architecture is None:
        msg = (
            f"{folder}/config.json names the architecture {name}, which transformers {transformers.__version__} has "
            "not, so no small twin of the model can be made. Prove the model itself: `landscape-ray verify --full`."
        )
        raise CheckpointError(msg)
    try:
        narrow = _narrowed(config, tensor_parallel)
        twin = _shortened(narrow, _num_layers_needed(architecture, narrow))
        model = _with_random_weights(architecture, twin)
    except Exception as error:  # whatever transformers' own code says of numbers that it does not expect
        msg = (
            f"No small twin of {name} can be made from {folder}/config.json. Prove the model itself: `landscape-ray "
            f"verify --full`. transformers says: {type(error).__name__}: {in_brief(error)}."
        )
        raise CheckpointError(msg) from error
    transformers.logging.disable_progress_bar()
    out.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(out)
    for file in TOKENIZER_FILES:
        source = resources.files("landscape_ray").joinpath("demo", "aligned", file)
        with resources.as_file(source) as path:
            shutil.copyfile(path, out / file)


def _narrowed(config: Any, tensor_parallel: int) -> Any:
    """Return the configuration with small widths, and the model's own number of layers."""
    settings = config.to_dict()
    for name in ("quantization_config", "auto_map"):
        settings.pop(name, None)
    text = _text(settings, config)
    widths: dict[int, int] = {}
    for part in (text, *(part for part in _parts(settings) if part is not text)):
        hidden_name = _name(part, "hidden_size")
        _narrow_attention(part, widths, hidden_name, tensor_parallel)
        for name in dict.fromkeys((hidden_name, *WIDTHS)):
            if isinstance(width := part.get(name), int) and width > 0:
                part[name] = widths.setdefault(width, _small(width, set(widths.values()), tensor_parallel))
        _narrow_mixture(part)
        _narrow_state_space(part, hidden_name, tensor_parallel)
        _narrow_tokens(part)
    return type(config).from_dict(settings)


def _parts(settings: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the configuration and those within it: of a text model, of a vision tower."""
    yield settings
    for name, value in settings.items():
        if name.endswith("_config") and isinstance(value, dict):
            yield from _parts(value)


def _text(settings: dict[str, Any], config: Any) -> dict[str, Any]:
    """Return the part that is the language model's, which may be all."""
    text = config.get_text_config()
    inner = (name for name in settings if name.endswith("_config") and getattr(config, name, None) is text)
    return settings if text is config else settings[next(inner)]


def _narrow_attention(settings: dict[str, Any], widths: dict[int, int], hidden_name: str, tensor_parallel: int) -> None:
    """Leave few heads; `widths` holds what became of widths so far: equal ones stay equal, different ones different."""
    heads_name, kv_name = _name(settings, HEADS), _name(settings, KV_HEADS)
    if not (heads := settings.get(heads_name)):
        return
    head_dim = settings.get("head_dim") or settings[hidden_name] // heads
    num_heads, num_kv = _num_heads(heads, settings.get(kv_name) or heads, tensor_parallel)
    widths.setdefault(heads * head_dim, num_heads * head_dim)
    settings[heads_name] = num_heads
    if settings.get(kv_name):
        settings[kv_name] = num_kv


def _narrow_tokens(settings: dict[str, Any]) -> None:
    """Fit vocabulary and context to the embedded model's tokenizer and to small tables."""
    for name in VOCABULARIES:
        if settings.get(name):
            settings[name] = NUM_TOKENS + settings[name] % PADDED_TO
    for name in CONTEXTS:
        if settings.get(name):
            settings[name] = min(settings[name], MAX_CONTEXT)
    # Tokens that stand for images and the like must differ, and be none of those that are asked for.
    for i, name in enumerate(name for name in settings if name.endswith(("_token_id", "_token_index"))):
        if settings[name] is not None:
            settings[name] = SPECIAL_TOKENS.get(name, NUM_TOKENS - 1 - i)


def _name(settings: dict[str, Any], name: str) -> str:
    return next((alias for alias in (name, *ALIASES[name]) if settings.get(alias) is not None), name)


def _num_heads(heads: int, kv_heads: int, tensor_parallel: int) -> tuple[int, int]:
    """Return few heads of queries, and of keys and values: as many, or one for all, or for some, as in the model."""
    if kv_heads in (1, heads):
        few = min(heads, max(2, tensor_parallel))
        return few, few if kv_heads == heads else 1
    few = kv_heads if kv_heads < tensor_parallel else max(2, tensor_parallel)
    return max(2 * few, tensor_parallel), few


def _small(width: int, taken: set[int], tensor_parallel: int) -> int:
    """Return a small width that no other width has become."""
    step = PADDED_TO * max(1, tensor_parallel // 2)
    return min(width, next(small for small in range(2 * step, 100 * step, step) if small not in taken))


def _narrow_mixture(settings: dict[str, Any]) -> None:
    """Leave few experts, in few groups."""
    for names, most in ((EXPERTS, NUM_EXPERTS), (CHOSEN_EXPERTS, NUM_CHOSEN), (("n_group",), 2), (("topk_group",), 1)):
        for name in names:
            if isinstance(settings.get(name), int):
                settings[name] = min(settings[name], most)


def _narrow_state_space(settings: dict[str, Any], hidden_name: str, tensor_parallel: int) -> None:
    """Fit the heads of state-space layers to the width of the model, and leave few of linear attention."""
    for heads, width, factor in STATE_SPACES:
        if all(settings.get(name) for name in (heads, width, factor)):
            settings[heads] = max(1, int(settings[factor] * settings[hidden_name]) // settings[width])
            if settings.get("mamba_d_ssm"):
                settings["mamba_d_ssm"] = settings[heads] * settings[width]
    for name in GROUPS:
        if settings.get(name):
            settings[name] = min(settings[name], max(2, tensor_parallel))
    for name, few in LINEAR_HEADS.items():
        if settings.get(name):
            settings[name] = max(few, tensor_parallel)


def _num_layers_needed(architecture: Any, config: Any) -> int:
    """Return how many of the first layers have all kinds that there are among all."""
    text = config.get_text_config()
    with torch.device("meta"):
        model = architecture._from_config(copy.deepcopy(config))  # noqa: SLF001  (as AutoModel's own from_config does)
    layers = next(
        module
        for module in model.modules()
        if isinstance(module, torch.nn.ModuleList) and len(module) == text.num_hidden_layers
    )
    kinds = [_kind(layer, _listed(text, i)) for i, layer in enumerate(layers)]
    needed = 1 + max(kinds.index(kind) for kind in kinds)
    return min(max(needed, FEW_LAYERS), len(kinds))


def _kind(layer: torch.nn.Module, listed: str) -> str:
    """Return what makes a layer the kind that it is: its modules, with their settings, and what lists say of it."""
    settings = [
        f"{path} {name} {value}"
        for path, module in layer.named_modules()
        for name, value in sorted(vars(module).items())
        if isinstance(value, bool | int | str) and "idx" not in name and "index" not in name and name != "layer_id"
    ]
    return "\n".join([repr(layer), *settings, listed])


def _listed(text: Any, layer: int) -> str:
    """Return the items of a layer in lists that have one for each layer."""
    lists = _lists_of_layers(text.to_dict(), text.num_hidden_layers)
    return json.dumps({name: items[layer] for name, items in lists.items()})


def _lists_of_layers(settings: dict[str, Any], num_layers: int) -> dict[str, Any]:
    """Return what has an item for each layer: lists, but for those of layers' numbers, and patterns of letters."""
    return {
        name: value
        for name, value in settings.items()
        if (isinstance(value, list) and not _is_selection(value)) or (isinstance(value, str) and "pattern" in name)
        if len(value) == num_layers
    }


def _is_selection(items: list[Any]) -> bool:
    """Tell whether a list holds numbers of layers."""
    return all(type(item) is int for item in items) and items == sorted(set(items))


def _shortened(config: Any, num_layers: int) -> Any:
    """Return the configuration with the first layers only."""
    settings = config.to_dict()
    text = _text(settings, config)
    lists = _lists_of_layers(text, config.get_text_config().num_hidden_layers)
    text |= {name: items[:num_layers] for name, items in lists.items()}
    if (name := _name(text, LAYERS)) in text:  # it may follow from a list
        text[name] = num_layers
    return type(config).from_dict(settings)


def _with_random_weights(architecture: Any, config: Any) -> Any:
    """Return a model whose tensors all differ from each other and from what a new model has."""
    dtype = config.get_text_config().dtype or config.dtype or torch.float32
    model = architecture._from_config(config)  # noqa: SLF001
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in model.state_dict(keep_vars=True).values():
            if not tensor.is_floating_point():
                continue
            noise = torch.randn(tensor.shape, generator=draw)
            if tensor.ndim < 2:
                tensor.add_(MOVED * noise)
            elif tensor.shape[0] == config.get_text_config().vocab_size:  # so that some tokens are likely
                tensor.copy_(noise * 2 / tensor.shape[-1] ** 0.5)
            else:  # so that a layer's output is about as large as its input
                tensor.copy_(noise * (2 / sum(tensor.shape[-2:])) ** 0.5)
    return model.to(dtype)
