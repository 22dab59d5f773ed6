"""Groups of an anatomy: which tensors they hold, whatever a family calls them, and how far each is moved."""

import itertools
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from landscape_ray.config import AnatomyLandscape, SweepConfig
from landscape_ray.errors import CheckpointError, ConfigError
from landscape_ray.planning import (
    CheckpointDelta,
    Geometry,
    RandomVector,
    SweepPlan,
    cell_of_group,
    direction_seed,
    left_by_groups,
    members,
    with_groups,
)

LLAMA = [
    "lm_head.weight",
    "model.embed_tokens.weight",
    "model.norm.weight",
    *(
        f"model.layers.{layer}.{tensor}.weight"
        for layer in (0, 1, 2, 10)
        for tensor in (
            *(f"self_attn.{x}_proj" for x in "qkvo"),
            *(f"mlp.{x}_proj" for x in ("gate", "up", "down")),
            "input_layernorm",
        )
    ),
    "model.layers.1.self_attn.q_proj.bias",
]
FAMILIES = {
    "gpt2": (
        [
            "transformer.wte.weight",
            *(f"transformer.h.0.{t}.weight" for t in ("attn.c_attn", "attn.c_proj", "mlp.c_fc")),
            "transformer.h.0.mlp.c_proj.bias",
        ],
        ["embedding", "qkv", "o", "up", "down"],
    ),
    "neox": (
        [
            "gpt_neox.embed_in.weight",
            *(f"gpt_neox.layers.3.attention.{t}.weight" for t in ("query_key_value", "dense")),
            *(f"gpt_neox.layers.3.mlp.{t}.bias" for t in ("dense_h_to_4h", "dense_4h_to_h")),
            "embed_out.weight",
        ],
        ["embedding", "qkv", "o", "up", "down", "head"],
    ),
    "phi3, fused in the checkpoint": (
        [f"model.layers.0.{t}.weight" for t in ("self_attn.qkv_proj", "self_attn.o_proj", "mlp.gate_up_proj")],
        ["qkv", "o", "gate_up"],
    ),
    "mixtral": (
        [
            "model.layers.0.block_sparse_moe.gate.weight",
            *(f"model.layers.0.block_sparse_moe.experts.{e}.w{w}.weight" for e in (0, 11) for w in (1, 2, 3)),
        ],
        ["gate", "up", "down", "router"],
    ),
    "stacked experts": (
        [f"model.layers.0.mlp.{t}" for t in ("router.weight", "experts.gate_up_proj", "experts.gate_up_proj_bias")]
        + ["model.layers.0.mlp.experts.down_proj", "model.layers.0.mlp.experts.down_proj_bias"],
        ["gate_up", "down", "router"],
    ),
    "qwen's experts": (
        [f"model.layers.0.mlp.{t}.weight" for t in ("gate", "experts.1.gate_proj", "shared_expert.up_proj")]
        + ["model.layers.0.mlp.shared_expert_gate.weight"],
        ["gate", "up", "router"],
    ),
    "deepseek": (
        [f"model.layers.0.self_attn.{t}.weight" for t in ("q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj")],
        ["q", "kv"],
    ),
    "opt and phi": (
        [f"model.decoder.layers.0.{t}.weight" for t in ("self_attn.q_proj", "self_attn.out_proj", "fc1", "fc2")]
        + ["model.layers.1.self_attn.dense.weight"],
        ["q", "o", "up", "down"],
    ),
}


def landscape(**settings: Any) -> AnatomyLandscape:
    return AnatomyLandscape.model_validate({"kind": "anatomy", **settings})


def grouped(names: Sequence[str], excluded: Sequence[str] = ("norm",), **settings: Any) -> dict[str, tuple[str, ...]]:
    found = with_groups(landscape(**settings), excluded, names)
    return {group.name: members(group, names, excluded) for group in found.groups}


def test_by_layer_each_layer_has_its_tensors_and_what_lies_in_none_its_module() -> None:
    found = grouped(LLAMA)
    assert list(found) == ["embedding", "layer 0", "layer 1", "layer 2", "layer 10", "head"]
    assert found["embedding"] == ("model.embed_tokens.weight",)
    assert found["head"] == ("lm_head.weight",)
    # Layer 1 is not layer 10, and norms are not moved.
    assert found["layer 1"] == tuple(n for n in LLAMA if n.startswith("model.layers.1.") and "norm" not in n)
    assert len(found["layer 1"]) == 8
    assert len(found["layer 10"]) == 7


def test_by_module_each_module_has_that_of_all_layers() -> None:
    found = grouped(LLAMA, by="module")
    assert list(found) == ["embedding", "q", "k", "v", "o", "gate", "up", "down", "head"]
    assert found["q"] == tuple(name for name in LLAMA if ".q_proj." in name)
    assert len(found["q"]) == 5
    assert list(grouped(LLAMA, by="module", modules=["down", "q"])) == ["q", "down"]


def test_by_layer_and_module_each_cell_has_its_place() -> None:
    found = grouped(LLAMA, by="layer-and-module")
    assert len(found) == 1 + 4 * 7 + 1
    assert found["layer 1 q"] == ("model.layers.1.self_attn.q_proj.weight", "model.layers.1.self_attn.q_proj.bias")
    assert [cell_of_group(name) for name in ("embedding", "layer 10 up")] == [("", "embedding"), ("layer 10", "up")]
    assert list(grouped(LLAMA, by="layer-and-module", modules=["v"])) == [f"layer {i} v" for i in (0, 1, 2, 10)]


@pytest.mark.parametrize("by", ["layer", "module", "layer-and-module"])
@pytest.mark.parametrize("family", ["llama", *FAMILIES])
def test_groups_are_disjoint_and_together_all_that_may_be_moved(by: str, family: str) -> None:
    names = LLAMA if family == "llama" else FAMILIES[family][0]
    found = grouped(names, ("norm",) if family == "llama" else (), by=by)
    for (_, one), (_, other) in itertools.combinations(found.items(), 2):
        assert not set(one) & set(other)
    assert {name for its in found.values() for name in its} == {name for name in names if "norm" not in name}
    assert all(found.values())


@pytest.mark.parametrize("family", FAMILIES)
def test_modules_are_known_by_their_names_in_many_families(family: str) -> None:
    names, modules = FAMILIES[family]
    assert list(grouped(names, (), by="module")) == modules


def test_what_belongs_to_no_group_is_told() -> None:
    names = [*LLAMA, "model.layers.0.self_attn.sinks", "model.position.weight"]
    modules = with_groups(landscape(by="module"), ("norm",), names)
    assert left_by_groups(modules, names, ("norm",)) == ("model.layers.0.self_attn.sinks", "model.position.weight")
    assert left_by_groups(with_groups(landscape(), ("norm",), names), names, ("norm",)) == ("model.position.weight",)


def test_patterns_of_a_user_make_groups() -> None:
    groups = [
        {"name": "early attention", "included": [r"layers\.[01]\.self_attn", "embed"]},
        {"name": "mlp", "included": ["mlp"]},
    ]
    found = grouped(LLAMA, by="groups", groups=groups)
    assert list(found) == ["early attention", "mlp"]
    assert len(found["early attention"]) == 2 * 4 + 1 + 1
    assert len(found["mlp"]) == 4 * 3


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        (
            {"by": "groups", "groups": [{"name": "a", "included": ["self_atn.q"]}]},
            CheckpointError,
            r"'a' .* 'self_atn.q', which matches none of the model's 36 tensors.*nearest names .*self_attn.q_proj",
        ),
        (
            {"by": "groups", "groups": [{"name": "a", "included": ["layernorm"]}]},
            CheckpointError,
            "'layernorm', which matches only tensors that directions.excluded leaves out",
        ),
        (
            {"by": "groups", "groups": [{"name": n, "included": [n]} for n in ("mlp", "up_proj")]},
            ConfigError,
            "groups 'mlp' and 'up_proj' .* share the tensor model.layers.0.mlp.up_proj.weight",
        ),
        ({"by": "module", "modules": ["qkv", "q"]}, CheckpointError, "names qkv, and no tensor .* embedding, q, k, v,"),
        (
            {"by": "layer", "groups": [{"name": "mlp", "included": ["mlp"]}]},
            ConfigError,
            "by is 'layer', by which the model's are others: embedding, layer 0, layer 1 and 3 more",
        ),
    ],
)
def test_groups_that_do_not_fit_the_model_are_refused(settings: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        with_groups(landscape(**settings), ("norm",), LLAMA)


def test_a_model_without_known_names_is_told_to_list_groups() -> None:
    with pytest.raises(CheckpointError, match=r"None of the model's 1 tensors .*\(a.b.weight\) is in a layer"):
        with_groups(landscape(), (), ["a.b.weight"])


def test_a_resolved_anatomy_stays_as_it_is() -> None:
    once = with_groups(landscape(), ("norm",), LLAMA)
    assert with_groups(AnatomyLandscape.model_validate(once.model_dump()), ("norm",), LLAMA) == once


# --- the plan -------------------------------------------------------------------------------------------------------


def sweep(draws: int = 2, displacement: Any = 3.0, **settings: Any) -> SweepConfig:
    groups = [{"name": name, "included": [name]} for name in ("mlp", "attn", "embed")]
    return SweepConfig.model_validate(
        {
            "model": {"id": "m"},
            "landscape": {"kind": "anatomy", "by": "groups", "groups": groups, "axes": [{"start": 0, "num": 3}]},
            "directions": {"draws": draws, "displacement": displacement, "seed": 7, **settings},
            "benchmarks": [{"name": "b", "prompts": {"source": "demo"}}],
        }
    )


def geometry(config: SweepConfig) -> Geometry:
    return replace(Geometry.assumed(config), direction_norms=(10.0, 6.0, 2.0), weights_norm=12.0)


def test_each_group_goes_equally_far_whatever_its_norm() -> None:
    config = sweep()
    plan = SweepPlan.from_config(config, geometry(config))
    assert [each.displacement for each in plan.directions] == pytest.approx([3.0] * 6)
    assert [each.scale for each in plan.directions[:3]] == pytest.approx([0.3, 0.5, 1.5])
    assert plan.grid.shape == (3,)
    assert len(plan.points) == 2 + 6 * 2
    assert plan.scored_draws == tuple(range(6))


def test_draws_come_draw_by_draw_so_that_more_of_them_extend_an_anatomy() -> None:
    config = sweep()
    plan = SweepPlan.from_config(config, geometry(config))
    assert [each.label for each in plan.directions] == ["mlp", "attn", "embed"] * 2
    assert plan.draws_by_label == {"mlp": (0, 3), "attn": (1, 4), "embed": (2, 5)}
    more = SweepPlan.from_config(sweep(3), geometry(sweep(3)))
    assert more.points[: len(plan.points)] == plan.points
    # One draw of all groups is one random direction, taken apart.
    assert [each.seed for each in plan.directions] == [direction_seed(7, draw, 0) for draw in (0, 0, 0, 1, 1, 1)]
    vectors = [each.vector for each in plan.directions]
    assert all(isinstance(vector, RandomVector) for vector in vectors)
    assert vectors[1] == RandomVector(
        seed=direction_seed(7, 0, 0), normalization="layer", excluded=("norm",), included=("attn",)
    )


def test_a_checkpoint_gives_all_groups_its_displacement() -> None:
    config = sweep(displacement={"id": "tuned"})
    delta = CheckpointDelta(fingerprint="t", location="tuned", revision=None)
    far = replace(geometry(config), deltas=(delta,), inner_products=((25.0,),))
    plan = SweepPlan.from_config(config, far)
    assert [each.displacement for each in plan.directions] == pytest.approx([5.0] * 6)
    assert plan.deltas == ()


def test_before_the_model_is_asked_there_is_no_plan() -> None:
    config = sweep()
    unasked = config.model_copy(update={"landscape": landscape()})
    with pytest.raises(ConfigError, match=r"groups of an anatomy by layer follow from .* 'm' cannot be had here"):
        SweepPlan.from_config(unasked, geometry(config))


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        ("directions", {"draws": 2}, "directions.displacement, which says how far"),
        ("directions", {"displacement": 1, "included": ["mlp"]}, "so do the groups of an anatomy"),
        ("directions", [{"kind": "random"}], "of kind 'anatomy'"),
        ("landscape", {"kind": "anatomy", "axes": [{"start": -1, "stop": 1}]}, "axis of 21 from -1 to 1 does not lead"),
        ("landscape", {"kind": "anatomy", "axes": [{"start": 0, "stop": 0, "num": 1}]}, "axis of 1 from 0 to 0"),
        ("landscape", {"kind": "anatomy", "by": "groups"}, "by is 'groups', and there are none"),
        ("landscape", {"kind": "anatomy", "modules": ["q"]}, "modules say nothing where by is 'layer'"),
        ("landscape", {"kind": "anatomy", "by": "module", "modules": ["query"]}, "should be 'embedding', 'q', 'k'"),
        (
            "landscape",
            {"kind": "anatomy", "by": "groups", "groups": [{"name": "a", "included": ["x"]}] * 2},
            "used more than once: a",
        ),
        ("certify", {"radius": 0.5}, "of kind 'anatomy'"),
    ],
)
def test_what_is_no_anatomy_is_told(where: str, value: Any, message: str) -> None:
    written = sweep().model_dump(mode="json", exclude_unset=True)
    with pytest.raises(ValueError, match=re.escape(message)):
        SweepConfig.model_validate({**written, where: value})
