"""What is read from transformers' source is what transformers says."""

from transformers.models.auto import modeling_auto

from landscape_ray.engine.hf.registry import TABLES, generative_classes


def test_the_tables_are_those_of_the_library() -> None:
    text, images = (dict(getattr(modeling_auto, name)) for name in TABLES)
    assert generative_classes() == text | images
    assert text["llama"] == "LlamaForCausalLM"
