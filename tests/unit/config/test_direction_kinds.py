"""A list of `directions`: what is accepted, what is told, and that a mapping is the sweep that it was."""

import re
from typing import Any

import pytest
from pydantic import ValidationError

from landscape_ray.config import RandomDirections, SweepConfig, leaves_norms, problems_of

BENCHMARKS: list[dict[str, Any]] = [
    {"name": "b", "prompts": {"source": "demo"}},
    {"name": "harmless", "metric": "over_refusal", "prompts": {"source": "demo", "name": "harmless"}},
    {"name": "ppl", "metric": "perplexity", "prompts": {"source": "demo", "name": "answers"}},
]
TASK: dict[str, Any] = {"kind": "task_vector", "minus": {"id": "base"}, "plus": {"id": "tuned"}}

ABLATION: dict[str, Any] = {"kind": "refusal_ablation", "harmful": "b", "harmless": "harmless", "layer": 4}
GRADIENT: dict[str, Any] = {"kind": "gradient", "prompts": "b"}
QUANTIZED: dict[str, Any] = {"kind": "quantization_error", "format": "int4"}


def sweep(directions: Any, **changes: Any) -> SweepConfig:
    return SweepConfig.model_validate(
        {"model": {"id": "m"}, "directions": directions, "benchmarks": BENCHMARKS, **changes}
    )


def test_the_id_of_a_mapping_is_what_it_was_before_there_were_lists() -> None:
    alone = {"benchmarks": BENCHMARKS[:1]}
    assert sweep({}, **alone).sweep_id == "9abc22d5d2f3a673"
    changed = {"draws": 2, "displacement": 2.5, "included": ["mlp"]}
    assert sweep(changed, **alone).sweep_id == "95c38b2369f54a6c"


def test_a_list_holds_its_kinds_in_their_order() -> None:
    config = sweep([{"kind": "random", "draws": 2, "seed": 7}, TASK | {"displacement": {"id": "far"}}])
    random, _ = config.kinds
    assert isinstance(random, RandomDirections)
    assert config.random_directions is random
    assert (config.num_draws, config.seed) == (3, 7)
    assert [entry.label for entry in config.kinds] == ["random", "tuned minus base"]
    assert [checkpoint.id for checkpoint in config.checkpoints] == ["base", "tuned", "far"]
    assert SweepConfig.model_validate(config.model_dump(mode="json")) == config
    others: list[Any] = [[TASK], [TASK | {"normalization": "layer"}], [TASK | {"name": "t"}], {}]
    assert len({sweep(each).sweep_id for each in others}) == 4
    assert sweep([TASK]).random_directions is None


def test_kinds_say_what_they_are() -> None:
    to = {"to": {"id": "tuned"}}
    config = sweep(
        [
            {"kind": "low_rank", "rank": 8},
            {"kind": "complement", **to},
            {"kind": "svd", "rank": 4, **to},
            {"kind": "svd", "rank": 4, "part": "rest", **to},
            QUANTIZED,
            QUANTIZED | {"by": "group", "format": "nf4"},
            {"kind": "pruning", "share": 0.25},
            ABLATION,
            GRADIENT,
        ]
    )
    assert [(entry.label, entry.draws, entry.normalization, entry.excluded) for entry in config.kinds] == [
        ("random of rank 8", 3, "layer", ("norm",)),
        ("random, orthogonal to tuned", 3, "layer", ("norm",)),
        ("tuned, top of rank 4", 1, "none", ()),
        ("tuned, rest of rank 4", 1, "none", ()),
        ("int4 by channel", 1, "none", ()),
        ("nf4 by group of 64", 1, "none", ()),
        ("pruned by 25 %", 1, "none", ()),
        ("refusal of layer 4 ablated", 1, "none", ()),
        ("gradient of refusals, b", 1, "layer", ("norm",)),
    ]
    assert config.num_draws == 13
    assert [entry.benchmarks for entry in config.computed_directions] == [("b", "harmless"), ("b",)]


def test_only_kinds_that_leave_norms_alone_let_the_model_say_which_these_are() -> None:
    config = sweep([{"kind": "random"}, {"kind": "random", "name": "all", "excluded": []}, TASK])
    assert [leaves_norms(entry) for entry in config.kinds] == [True, False, False]
    assert ["excluded" in entry for entry in config.as_written()["directions"]] == [False, True, True]


@pytest.mark.parametrize(
    ("directions", "changes", "message"),
    [
        ([], {}, "directions: cannot be .*at least 1 item"),
        (
            [{"kind": "spiral"}],
            {},
            r"directions.0: cannot be .*'spiral'.*'random', 'low_rank', 'complement', 'task_vector'",
        ),
        ([{"draws": 2}], {}, "directions.0: cannot be .*unable to extract tag"),
        ([TASK, {"kind": "task_vector", "minus": {"id": "a"}}], {}, "directions.1.plus: is needed, and is not there"),
        ([TASK | {"rank": 2}], {}, "directions.0: unknown key 'rank'; valid keys here: .*minus, plus"),
        ([TASK | {"excluded": ["("]}], {}, r"directions.0: excluded has '\(', which is not a regular expression"),
        (
            [{"kind": "low_rank", "rank": 0}],
            {},
            "directions.0.rank: cannot be 0: input should be greater than or equal",
        ),
        ([{"kind": "pruning", "share": 0}], {}, "directions.0.share: cannot be 0: input should be greater than 0"),
        ([{"kind": "pruning", "share": 1}], {}, "directions.0.share: cannot be 1: input should be less than 1"),
        ([QUANTIZED | {"format": "int3"}], {}, "directions.0.format: cannot be 'int3': input should be 'int8', 'int4'"),
        ([QUANTIZED | {"group_size": 32}], {}, "group_size 32 says nothing where by is 'channel'; set by to group"),
        ([QUANTIZED | {"draws": 2}], {}, "unknown key 'draws'"),
        (
            [ABLATION | {"harmless": "c"}],
            {},
            r"prompts of the benchmark 'c', which is not there; name one .*\(b, harmless\)",
        ),
        (
            [ABLATION | {"harmless": "ppl"}],
            {},
            "the benchmark 'ppl', which is of metric 'perplexity'; name one .*harmless",
        ),
        (
            [ABLATION | {"harmless": "b"}],
            {},
            "compares the benchmark 'b' with itself; name one of harmful prompts, and",
        ),
        ([{"kind": "refusal_ablation", "harmful": "b", "layer": 1}], {}, "directions.0.harmless: is needed"),
        ([ABLATION | {"layer": 0}], {}, "directions.0.layer: cannot be 0: input should be greater than or equal to 1"),
        (
            [ABLATION],
            {"engine": "synthetic"},
            "'refusal_ablation' is computed by a model, and the synthetic engine has",
        ),
        ([GRADIENT], {"engine": "synthetic"}, "'gradient' is computed by a model, and the synthetic engine has none"),
        (
            [GRADIENT | {"prompts": "c"}],
            {},
            "'gradient of refusals, c' is computed from the prompts of the benchmark 'c'",
        ),
        (
            [GRADIENT],
            {"benchmarks": [{"name": "b", "prompts": {"source": "demo"}, "prefill": "Sure"}]},
            "is computed where answers begin, and those of the benchmark 'b' have begun with its prefill",
        ),
        ([GRADIENT | {"refusal": ""}], {}, "directions.0.refusal: cannot be ''"),
        ([TASK, TASK], {}, "used more than once: tuned minus base; give one of them another `name`"),
        ([TASK], {"landscape": {"axes": [{}, {}]}}, "one axis, each direction by itself, and this landscape has 2"),
        (
            [TASK],
            {"landscape": {"kind": "interpolation", "to": {"id": "a"}}},
            "is of kind 'interpolation'; set landscape.kind to random",
        ),
    ],
)
def test_a_bad_list_says_where_and_what_is_valid(directions: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        sweep(directions, **changes)
    assert re.search(message, problems_of(caught.value))
