from typing import Any

import pytest

from landscape_ray.config import SweepConfig
from landscape_ray.planning import SweepEstimate, SweepPlan, estimate


def estimated(num_prompts: dict[str, int], *, limits: dict[str, int] | None = None, **science: Any) -> SweepEstimate:
    config = SweepConfig.model_validate(
        {
            "model": {"id": "m"},
            "benchmarks": [
                {
                    "name": name,
                    "prompts": {"source": "demo"},
                    "decoding": {"max_new_tokens": (limits or {}).get(name, 512)},
                }
                for name in num_prompts
            ],
            **science,
        }
    )
    return estimate(config, SweepPlan.from_config(config), num_prompts)


def test_the_papers_1d_sweep_by_hand() -> None:
    result = estimated({"advbench": 80})
    assert result.num_points == 61  # 3 draws of 20, and the origin
    assert result.num_visits == 62  # which is measured twice
    assert result.num_generations == 4_960
    assert result.max_tokens == 2_539_520
    assert result.seconds == pytest.approx((62 * 0.44, 62 * 4.8))


def test_benchmarks_add_up_in_tokens_while_time_follows_the_longest() -> None:
    result = estimated({"a": 80, "b": 20}, limits={"a": 512, "b": 32})
    assert result.num_generations == 62 * 100
    assert result.max_tokens == 62 * (80 * 512 + 20 * 32)
    assert result.seconds == estimated({"a": 80}).seconds


def test_answers_that_are_drawn_to_one_prompt_are_generations_of_their_own() -> None:
    drawn = {"name": "a", "prompts": {"source": "demo"}, "decoding": {"temperature": 1, "samples": 3}}
    result = estimated({"a": 80}, benchmarks=[drawn])
    assert (result.num_generations, result.num_scored) == (62 * 240, 0)
    assert result.max_tokens == 62 * 240 * 512


def test_likelihoods_are_counted_apart_and_have_no_time() -> None:
    config = SweepConfig.model_validate(
        {
            "model": {"id": "m"},
            "benchmarks": [
                {"name": "a", "prompts": {"source": "demo"}},
                {"name": "b", "metric": "accuracy", "prompts": {"source": "demo", "name": "choices"}},
                {"name": "c", "metric": "perplexity", "prompts": {"source": "demo", "name": "answers"}},
            ],
        }
    )
    result = estimate(config, SweepPlan.from_config(config), {"a": 80, "b": 30, "c": 12})
    assert (result.num_generations, result.num_scored) == (62 * 80, 62 * 42)
    assert result.max_tokens == 62 * 80 * 512
    assert result.seconds is None


def test_engines_share_the_visits_and_prompts_beyond_one_batch_take_another_round() -> None:
    four = estimated({"a": 80}, run={"engines": 4})
    assert four.seconds == pytest.approx((16 * 0.44, 16 * 4.8))  # 62 visits: two engines make 16, two 15
    small = estimated({"a": 80}, run={"max_num_seqs": 32})
    assert small.seconds == pytest.approx((3 * 62 * 0.44, 3 * 62 * 4.8))


def test_a_limit_below_a_refusals_length_bounds_both_ends() -> None:
    least, most = estimated({"a": 80}, limits={"a": 8}).seconds or (0.0, 0.0)
    assert least == most < 62 * 0.44


@pytest.mark.parametrize(
    "science",
    [
        {"model": {"id": "demo:aligned"}},
        {"engine": "synthetic"},
        {"engine": "transformers"},
        {"dtype": "float32"},
        {"run": {"tensor_parallel": 2}},
    ],
)
def test_no_time_is_given_where_its_assumptions_do_not_hold(science: dict[str, Any]) -> None:
    assert estimated({"a": 80}, **science).seconds is None
