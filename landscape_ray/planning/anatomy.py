"""Which tensors each group of an anatomy moves, told by their names."""

import difflib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from types import MappingProxyType

from landscape_ray.config import AnatomyLandscape, GroupConfig, Module
from landscape_ray.errors import CheckpointError, ConfigError, few_of
from landscape_ray.planning.tensor_names import is_moved

__all__ = ["cell_of_group", "groups_of", "left_by_groups", "members", "with_groups"]

# A layer is the first number of its name that follows one of these; those of experts come later.
LAYERS = "layers|h|blocks|layer"
LAYER = re.compile(rf"(?:^|\.)(?:{LAYERS})\.(\d+)\.")
OUTSIDE = rf"^(?!(?:.*\.)?(?:{LAYERS})\.\d+\.).*"
# What a module is called, by families: Llama's names first.
MODULES: Mapping[Module, str] = MappingProxyType(
    {
        "embedding": r"embed_tokens|wte|word_embeddings|embed_in|tok_embeddings",
        "q": r"q_proj|q_a_proj|q_b_proj|wq",
        "k": r"k_proj|wk",
        "v": r"v_proj|wv",
        "qkv": r"qkv_proj|query_key_value|c_attn|Wqkv|att_proj",
        "kv": r"kv_a_proj_with_mqa|kv_b_proj",
        "o": r"o_proj|out_proj|wo|attn\.c_proj|\w*(?:attn|attention)\.dense",
        "gate": r"gate_proj|w1",
        "up": r"up_proj|w3|fc1|c_fc|dense_h_to_4h",
        "gate_up": r"gate_up_proj(?:_bias)?",
        "down": r"down_proj(?:_bias)?|w2|fc2|mlp\.c_proj|dense_4h_to_h",
        "router": r"mlp\.gate|block_sparse_moe\.gate|router|shared_expert_gate",
        "head": r"lm_head|embed_out",
    }
)


def with_groups(landscape: AnatomyLandscape, excluded: Sequence[str], names: Sequence[str]) -> AnatomyLandscape:
    """Return an anatomy that says its groups, when they are found in order.

    Args:
        landscape: As asked.
        excluded: Patterns of tensors that are not moved, whatever their group.
        names: Those of the model's tensors.

    Raises:
        CheckpointError: A group has no tensor of the model.
        ConfigError: Two groups share a tensor, or groups are listed that are not those that `by` makes.
    """
    moved = [name for name in names if is_moved(name, excluded=excluded)]
    groups = landscape.groups
    if landscape.by != "groups":
        groups = tuple(groups_of(landscape, moved))
        if landscape.groups and landscape.groups != groups:
            msg = (
                f"landscape.groups lists groups, and by is {landscape.by!r}, by which the model's are others: "
                f"{few_of([group.name for group in groups])}. Set by to groups, or leave the list out."
            )
            raise ConfigError(msg)
    _check(groups, moved, names)
    return landscape.model_copy(update={"groups": groups})


def groups_of(landscape: AnatomyLandscape, names: Sequence[str]) -> Iterator[GroupConfig]:
    """Yield the groups of a model with such tensors: layer by layer, what lies in no layer before or behind.

    Raises:
        CheckpointError: A module that is asked for is none of the model's.
    """
    found = {_module(name) for name in names}
    if missing := [module for module in landscape.modules if module not in found]:
        there = [module for module in MODULES if module in found]
        msg = (
            f"landscape.modules names {few_of(missing)}, and no tensor of the model is one. Its modules are "
            f"{', '.join(there) or 'none that are known'}: q, k and v are one tensor where it has qkv, and there is no "
            "head where it is the embedding. Name those, or list landscape.groups by patterns of your own."
        )
        raise CheckpointError(msg)
    places = {(_layer(name), _module(name)) for name in names}
    modules: list[Module] = [module for module in MODULES if not landscape.modules or module in landscape.modules]
    if landscape.by == "module":
        yield from (_group(module, _of_module(module)) for module in modules if module in found)
        return
    outside = [module for module in modules if (None, module) in places]
    yield from (_group(module, OUTSIDE + _of_module(module)) for module in outside if module != "head")
    for layer in sorted({layer for layer, _ in places if layer is not None}):
        prefix = rf"(?:^|\.)(?:{LAYERS})\.{layer}\."
        if landscape.by == "layer":
            yield _group(f"layer {layer}", prefix)
        else:
            for module in modules:
                if (layer, module) in places:
                    yield _group(f"layer {layer} {module}", f"{prefix}.*{_of_module(module)}")
    yield from (_group(module, OUTSIDE + _of_module(module)) for module in outside if module == "head")


def cell_of_group(name: str) -> tuple[str, str]:
    """Return layer and module of a group of an anatomy by layer and module; no layer is an empty text."""
    layer, _, module = name.rpartition(" ")
    return layer, module


def members(group: GroupConfig, names: Collection[str], excluded: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the tensors that a group moves."""
    return tuple(name for name in names if is_moved(name, included=group.included, excluded=excluded))


def left_by_groups(landscape: AnatomyLandscape, names: Collection[str], excluded: Sequence[str]) -> tuple[str, ...]:
    """Return the tensors that may be moved, and that no group moves."""
    moved = {name for group in landscape.groups for name in members(group, names, excluded)}
    return tuple(name for name in names if name not in moved and is_moved(name, excluded=excluded))


def _layer(name: str) -> int | None:
    found = LAYER.search(name)
    return None if found is None else int(found[1])


def _module(name: str) -> Module | None:
    return next((module for module in MODULES if re.search(_of_module(module), name)), None)


def _group(name: str, pattern: str) -> GroupConfig:
    return GroupConfig(name=name, included=(pattern,))


def _of_module(module: Module) -> str:
    """Return the pattern of whole parts of a name."""
    return rf"(?<![^.])(?:{MODULES[module]})(?![^.])"


def _check(groups: Sequence[GroupConfig], moved: Sequence[str], names: Sequence[str]) -> None:
    if not groups:
        msg = (
            f"None of the model's {len(moved)} tensors that can be moved ({few_of(moved)}) is in a layer or a module "
            "that is known by its name. List landscape.groups by patterns of your own, with landscape.by: groups."
        )
        raise CheckpointError(msg)
    owner: dict[str, str] = {}
    for group in groups:
        for pattern in group.included:
            if not any(re.search(pattern, name) for name in moved):
                raise _matches_none(group, pattern, moved, names)
        for name in members(group, moved):
            if name in owner:
                msg = (
                    f"The groups {owner[name]!r} and {group.name!r} of the anatomy share the tensor {name}, so what is "
                    "lost with it would count twice. Narrow the patterns of one of them."
                )
                raise ConfigError(msg)
            owner[name] = group.name


def _matches_none(group: GroupConfig, pattern: str, moved: Sequence[str], names: Sequence[str]) -> CheckpointError:
    if any(re.search(pattern, name) for name in names):
        why = "matches only tensors that directions.excluded leaves out"
    else:
        why = f"matches none of the model's {len(names)} tensors"
    near = difflib.get_close_matches(pattern, moved, n=3, cutoff=0.0)
    return CheckpointError(
        f"The group {group.name!r} of the anatomy has the pattern {pattern!r}, which {why}. The nearest names of "
        f"tensors that can be moved are {', '.join(near) or 'none'}. Give a pattern that matches."
    )
