"""The examples of docs/benchmarks.md are valid."""

import re
from pathlib import Path

import pytest
import yaml

from landscape_ray.config import SweepConfig
from landscape_ray.evaluation.system_prompts import shipped_system_prompts

PAGE = (Path(__file__).parents[2] / "docs" / "benchmarks.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("example", EXAMPLES)
def test_each_example_is_a_list_of_benchmarks(example: str) -> None:
    config = SweepConfig.model_validate({"model": {"id": "m"}, **yaml.safe_load(example)})
    for benchmark in config.benchmarks:
        assert f"`{benchmark.metric}`" in PAGE


def test_the_page_has_examples_of_every_metric_and_names_every_shipped_system_prompt() -> None:
    metrics = {
        benchmark.get("metric", "asr") for example in EXAMPLES for benchmark in yaml.safe_load(example)["benchmarks"]
    }
    assert metrics == {"asr", "over_refusal", "accuracy", "perplexity", "first_token_kl", "task_accuracy"}
    paragraph = PAGE[PAGE.index("Shipped are") : PAGE.index("**Jailbreaks.**")]
    assert all(f"`{name}`" in paragraph for name in shipped_system_prompts())
