import pytest

from landscape_ray.planning import default_excluded, is_scale, left_out, name_alone

PLAIN = {"model_type": "llama", "num_hidden_layers": 2}
FURTHER = {"model_type": "deepseek_v3", "num_hidden_layers": 2, "num_nextn_predict_layers": 1}
WRAPPER = {"model_type": "gemma3", "text_config": {"num_hidden_layers": 2}, "vision_config": {}}


@pytest.mark.parametrize(
    ("name", "config", "kind"),
    [
        ("model.layers.0.self_attn.rotary_emb.inv_freq", PLAIN, "buffers"),
        ("gpt_neox.layers.0.attention.masked_bias", PLAIN, "buffers"),
        ("gpt_neox.layers.0.attention.bias", PLAIN, "buffers"),
        ("transformer.h.1.attn.bias", PLAIN, "buffers"),
        ("mtp.fc.weight", PLAIN, "heads that predict further tokens"),
        ("model.mtp.layers.0.mlp.up_proj.weight", PLAIN, "heads that predict further tokens"),
        ("model.layers.2.eh_proj.weight", FURTHER, "heads that predict further tokens"),
        ("vision_tower.encoder.layers.0.mlp.fc1.weight", WRAPPER, "parts of the model that read no text"),
        ("model.visual.blocks.0.norm1.weight", WRAPPER, "parts of the model that read no text"),
        ("visual.blocks.0.norm1.weight", WRAPPER, "parts of the model that read no text"),
        ("multi_modal_projector.linear_1.weight", WRAPPER, "parts of the model that read no text"),
    ],
)
def test_what_no_answer_is_computed_with_is_left_out(name: str, config: dict[str, object], kind: str) -> None:
    assert left_out(name, config) == kind


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("model.layers.2.mlp.up_proj.weight", PLAIN),  # the configuration does not say that it is no layer of the model
        ("model.layers.1.mlp.up_proj.weight", FURTHER),
        ("model.layers.0.self_attn.q_proj.bias", PLAIN),
        ("transformer.h.0.attn.c_attn.bias", PLAIN),
        ("vision_tower.layers.0.mlp.weight", PLAIN),
        ("language_model.model.layers.0.mlp.up_proj.weight", WRAPPER),
        ("model.language_model.embed_tokens.weight", WRAPPER),
        ("model.layers.0.mlp.up_proj.weight", WRAPPER),  # as Qwen2.5-VL calls them
        ("lm_head.weight", WRAPPER),
        ("language_model.lm_head.weight", WRAPPER),
    ],
)
def test_weights_of_the_language_model_are_kept(name: str, config: dict[str, object]) -> None:
    assert left_out(name, config) is None


@pytest.mark.parametrize(
    ("name", "alone"),
    [
        ("model.language_model.layers.0.mlp.up_proj.weight", "model.layers.0.mlp.up_proj.weight"),
        ("language_model.model.layers.0.mlp.up_proj.weight", "model.layers.0.mlp.up_proj.weight"),
        ("language_model.lm_head.weight", "lm_head.weight"),
        ("lm_head.weight", "lm_head.weight"),
        ("model.layers.0.mlp.up_proj.weight", "model.layers.0.mlp.up_proj.weight"),
        ("transformer.h.0.mlp.c_fc.weight", "transformer.h.0.mlp.c_fc.weight"),
    ],
)
def test_a_wrapped_language_model_has_the_names_of_one_by_itself(name: str, alone: str) -> None:
    assert name_alone(name) == alone


def test_norms_are_excluded_by_whatever_names_they_have() -> None:
    called_norm = ["model.embed_tokens.weight", "model.layers.0.input_layernorm.weight", "model.norm.weight"]
    assert default_excluded(called_norm) == ("norm",)
    gpt2 = ["transformer.wte.weight", "transformer.h.0.ln_1.weight", "transformer.ln_f.bias"]
    assert default_excluded(gpt2) == (r"(^|\.)ln(_[a-z0-9]+)?\.",)
    bert = ["embeddings.LayerNorm.weight", "encoder.layer.0.output.LayerNorm.bias"]
    assert default_excluded(bert) == ("Norm",)
    falcon_with_both = ["transformer.h.0.ln_attn.weight", "transformer.h.0.input_layernorm.weight"]
    assert default_excluded(falcon_with_both) == ("norm", r"(^|\.)ln(_[a-z0-9]+)?\.")
    without_weights = ["model.embed_tokens.weight", "model.layers.0.mlp.up_proj.weight"]  # OLMo
    assert default_excluded(without_weights) == ()
    nothing_of_norms = ["model.layers.0.self_attn.kln_proj.weight", "model.vulnerable.weight"]
    assert default_excluded(nothing_of_norms) == ()


@pytest.mark.parametrize(
    "name",
    [
        "model.layers.0.mlp.up_proj.weight_scale",
        "model.layers.0.mlp.up_proj.weight_scale_inv",
        "model.layers.0.mlp.up_proj.scales",
        "model.layers.0.mlp.experts.gate_up_proj_scales",
        "model.layers.0.self_attn.k_scale",
    ],
)
def test_scales_are_told_by_name(name: str) -> None:
    assert is_scale(name)


def test_weights_that_are_called_scale_are_no_scales() -> None:
    assert not is_scale("model.layers.0.layer_scale.weight")
    assert not is_scale("model.layers.0.router.scale")
