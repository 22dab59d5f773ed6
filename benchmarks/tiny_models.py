"""Tiny random checkpoints of the architectures that people run, saved by transformers as on the Hub."""

import importlib.resources
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["FAMILIES", "make_checkpoint"]

VOCABULARY = 640  # of the embedded model's tokenizer
# Wide enough for every kernel of vLLM's CPU build: heads of 32, experts and states in multiples of 32.
DENSE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 128,
    "intermediate_size": 192,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "max_position_embeddings": 256,
    "tie_word_embeddings": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
OWN_HEADS = {name: DENSE[name] for name in DENSE if name not in {"head_dim", "num_key_value_heads"}}
EXPERTS = {"num_experts": 4, "num_local_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 64}
LATENT = {
    # vLLM's attention for these is made for 512 and 64.
    "kv_lora_rank": 512,
    "q_lora_rank": 32,
    "qk_nope_head_dim": 32,
    "qk_rope_head_dim": 64,
    "v_head_dim": 32,
    "head_dim": 64,
    "num_key_value_heads": 4,
    "n_routed_experts": 4,
    "first_k_dense_replace": 1,
    "n_group": 1,
    "topk_group": 1,
}
# As published DeepSeek models have it, in small.
YARN = {
    "rope_parameters": {
        "rope_type": "yarn",
        "rope_theta": 10000.0,
        "factor": 4.0,
        "original_max_position_embeddings": 64,
        "beta_fast": 32,
        "beta_slow": 1,
        "mscale": 1.0,
        "mscale_all_dim": 1.0,
    }
}
SIGMOID = {"topk_method": "noaux_tc", "scoring_func": "sigmoid"}
MAMBA2 = {"mamba_n_heads": 8, "mamba_d_head": 32, "mamba_d_state": 32, "mamba_chunk_size": 64, "mamba_n_groups": 1}
LINEAR = {
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 32,
    "linear_value_head_dim": 32,
    "layer_types": ["linear_attention", "full_attention"],
    "shared_expert_intermediate_size": 64,
}
VISION: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
    "head_dim": 16,
}
QWEN_VISION = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "depth": 1,
    "num_heads": 2,
    "out_hidden_size": 128,
    "patch_size": 14,
    "num_position_embeddings": 16,
    "fullatt_block_indexes": [0],
    "deepstack_visual_indexes": [0],
}
MROPE = {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 6, 6]}}

# Name in the table: model type, and settings that are no defaults of the architecture.
FAMILIES: Mapping[str, tuple[str, dict[str, Any]]] = {
    "Llama": ("llama", DENSE),
    "Llama, tied": ("llama", DENSE | {"tie_word_embeddings": True}),
    "Llama, biases": ("llama", DENSE | {"attention_bias": True, "mlp_bias": True}),
    "Mistral": ("mistral", DENSE),
    "Ministral 3": ("ministral3", DENSE),
    "Qwen2": ("qwen2", DENSE),
    "Qwen3": ("qwen3", DENSE | {"tie_word_embeddings": True}),
    "Gemma": ("gemma", DENSE | {"tie_word_embeddings": True}),
    "Gemma 2": ("gemma2", DENSE | {"tie_word_embeddings": True, "query_pre_attn_scalar": 32}),
    "Gemma 3 (text)": ("gemma3_text", DENSE | {"tie_word_embeddings": True, "query_pre_attn_scalar": 32}),
    "Phi": ("phi", OWN_HEADS),
    "Phi-3, Phi-4": ("phi3", OWN_HEADS),
    "OPT": ("opt", OWN_HEADS | {"ffn_dim": 192, "word_embed_proj_dim": 128, "tie_word_embeddings": True}),
    "GPT-2": (
        "gpt2",
        {**OWN_HEADS, "n_positions": 256, "n_embd": 128, "n_layer": 2, "n_head": 4, "tie_word_embeddings": True},
    ),
    "GPT-J": (
        "gptj",
        {
            "vocab_size": VOCABULARY,
            "n_positions": 256,
            "n_embd": 128,
            "n_layer": 2,
            "n_head": 4,
            "rotary_dim": 16,
            "tie_word_embeddings": False,
            "bos_token_id": 1,
            "eos_token_id": 2,
        },
    ),
    "GPT-BigCode": (
        "gpt_bigcode",
        {
            "vocab_size": VOCABULARY,
            "n_positions": 256,
            "n_embd": 128,
            "n_layer": 2,
            "n_head": 4,
            "bos_token_id": 1,
            "eos_token_id": 2,
        },
    ),
    "GPT-NeoX, Pythia": ("gpt_neox", OWN_HEADS),
    "Falcon": (
        "falcon",
        OWN_HEADS | {"new_decoder_architecture": True, "num_kv_heads": 2, "alibi": False, "tie_word_embeddings": True},
    ),
    "Bloom": (
        "bloom",
        {
            "vocab_size": VOCABULARY,
            "hidden_size": 128,
            "n_layer": 2,
            "n_head": 4,
            "bos_token_id": 1,
            "eos_token_id": 2,
        },
    ),
    "MPT": (
        "mpt",
        {
            "vocab_size": VOCABULARY,
            "d_model": 128,
            "n_layers": 2,
            "n_heads": 4,
            "max_seq_len": 256,
            "bos_token_id": 1,
            "eos_token_id": 2,
        },
    ),
    "StableLM": ("stablelm", OWN_HEADS | {"num_key_value_heads": 2, "use_qkv_bias": True}),
    "Starcoder2": ("starcoder2", OWN_HEADS | {"num_key_value_heads": 2}),
    "OLMo": ("olmo", OWN_HEADS),
    "OLMo 2": ("olmo2", OWN_HEADS),
    "OLMo 3": ("olmo3", OWN_HEADS),
    "Cohere (Command R)": ("cohere", OWN_HEADS | {"tie_word_embeddings": True}),
    "Cohere 2": ("cohere2", DENSE | {"tie_word_embeddings": True}),
    "Granite": ("granite", OWN_HEADS),
    "GLM-4": ("glm4", DENSE),
    "EXAONE 4": ("exaone4", DENSE),
    "SmolLM3": ("smollm3", OWN_HEADS | {"num_key_value_heads": 2}),
    "Nemotron": ("nemotron", DENSE),
    "Seed-OSS": ("seed_oss", DENSE),
    "Arcee": ("arcee", DENSE),
    "Apertus": ("apertus", OWN_HEADS),
    "ERNIE 4.5": ("ernie4_5", DENSE),
    "Hunyuan (dense)": ("hunyuan_v1_dense", DENSE),
    "Mixtral": ("mixtral", DENSE | EXPERTS),
    "Qwen2-MoE": ("qwen2_moe", OWN_HEADS | EXPERTS | {"num_key_value_heads": 2, "shared_expert_intermediate_size": 64}),
    "Qwen3-MoE": ("qwen3_moe", DENSE | EXPERTS),
    "OLMoE": ("olmoe", OWN_HEADS | EXPERTS),
    "Phi-3.5-MoE": ("phimoe", OWN_HEADS | EXPERTS | {"num_key_value_heads": 2}),
    "Granite-MoE": ("granitemoe", OWN_HEADS | EXPERTS),
    "DeepSeek V2": ("deepseek_v2", DENSE | EXPERTS | LATENT | YARN),
    "DeepSeek V3": ("deepseek_v3", DENSE | EXPERTS | LATENT | SIGMOID | YARN),
    "DeepSeek V3, no YaRN": ("deepseek_v3", DENSE | EXPERTS | LATENT | SIGMOID),
    "GLM-4-MoE": ("glm4_moe", DENSE | EXPERTS | {"n_routed_experts": 4, "first_k_dense_replace": 1}),
    "gpt-oss": ("gpt_oss", DENSE | EXPERTS | {"max_position_embeddings": 131072}),
    "Llama 4 (text)": (
        "llama4_text",
        DENSE | EXPERTS | {"intermediate_size_mlp": 192, "num_experts_per_tok": 1, "attention_chunk_size": 128},
    ),
    "ERNIE 4.5-MoE": ("ernie4_5_moe", DENSE | EXPERTS | {"moe_num_experts": 4, "moe_k": 2}),
    "Mamba": (
        "mamba",
        {
            "vocab_size": VOCABULARY,
            "hidden_size": 128,
            "state_size": 16,
            "num_hidden_layers": 2,
            "bos_token_id": 1,
            "eos_token_id": 2,
        },
    ),
    "Mamba 2": (
        "mamba2",
        {
            "vocab_size": VOCABULARY,
            "hidden_size": 128,
            "num_heads": 8,
            "head_dim": 32,
            "state_size": 32,
            "n_groups": 1,
            "num_hidden_layers": 2,
            "chunk_size": 64,
            "bos_token_id": 1,
            "eos_token_id": 2,
        },
    ),
    "Bamba": ("bamba", OWN_HEADS | MAMBA2 | {"num_key_value_heads": 2, "attn_layer_indices": [1]}),
    "Granite 4 (hybrid)": (
        "granitemoehybrid",
        OWN_HEADS
        | EXPERTS
        | MAMBA2
        | {"shared_intermediate_size": 64, "layer_types": ["linear_attention", "full_attention"]},
    ),
    "Jamba": (
        "jamba",
        OWN_HEADS
        | {
            "num_key_value_heads": 2,
            "num_experts": 4,
            "attn_layer_period": 2,
            "attn_layer_offset": 1,
            "mamba_d_state": 16,
            "use_mamba_kernels": False,
            "mamba_dt_rank": 8,
        },
    ),
    "LFM2": ("lfm2", OWN_HEADS | {"num_key_value_heads": 2, "layer_types": ["conv", "full_attention"]}),
    "Qwen3-Next": ("qwen3_next", DENSE | EXPERTS | LINEAR),
    "Qwen3.5 (text)": ("qwen3_5_text", DENSE | LINEAR),
    "Gemma 3": (
        "gemma3",
        {
            "text_config": DENSE
            | {"tie_word_embeddings": True, "query_pre_attn_scalar": 32, "model_type": "gemma3_text"},
            "vision_config": VISION,
            "mm_tokens_per_image": 4,
        },
    ),
    "Qwen2.5-VL": (
        "qwen2_5_vl",
        {"text_config": OWN_HEADS | MROPE | {"num_key_value_heads": 2}, "vision_config": QWEN_VISION},
    ),
    "Qwen3-VL": ("qwen3_vl", {"text_config": DENSE | MROPE, "vision_config": QWEN_VISION}),
    "Mistral 3 (Small 3.1)": (
        "mistral3",
        {
            "text_config": DENSE | {"model_type": "mistral"},
            "vision_config": VISION | {"model_type": "pixtral"},
            "tie_word_embeddings": False,
        },
    ),
    "LLaVA": (
        "llava",
        {"text_config": DENSE | {"model_type": "llama"}, "vision_config": VISION | {"model_type": "clip_vision_model"}},
    ),
    "Llama 4": (
        "llama4",
        {
            "text_config": DENSE
            | EXPERTS
            | {"intermediate_size_mlp": 192, "num_experts_per_tok": 1, "attention_chunk_size": 128},
            "vision_config": VISION | {"vision_output_dim": 32, "projector_input_dim": 32, "projector_output_dim": 32},
        },
    ),
}


def make_checkpoint(name: str, folder: Path) -> None:
    """Write a random checkpoint of a family: weights of standard deviation 0.15, norms moved by 0.1.

    So large that greedy texts differ between prompts and points. Nothing is 0 or 1, as much is in new models.
    """
    import torch  # noqa: PLC0415
    import transformers  # noqa: PLC0415

    model_type, settings = FAMILIES[name]
    config = transformers.AutoConfig.for_model(model_type, **settings)
    is_wrapper = config.get_text_config(decoder=True) is not config
    auto: Any = transformers.AutoModelForImageTextToText if is_wrapper else transformers.AutoModelForCausalLM
    torch.manual_seed(0)
    model = auto.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for path, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape)
            if parameter.ndim == 1 or path.endswith(("A_log", "conv1d.weight")):
                parameter.add_(noise * 0.1)
                # With a head tied to large embeddings, the last token would be repeated.
                if "gemma" in model_type and path.endswith(
                    ("attention_layernorm.weight", "feedforward_layernorm.weight")
                ):
                    parameter.add_(3 * ("post" in path))
                if path.endswith("word_embeddings_layernorm.weight"):
                    parameter.mul_(0.1)
            else:
                parameter.copy_(noise * 0.15)
        for path, buffer in model.named_buffers():
            if path.endswith("e_score_correction_bias"):
                buffer.copy_(torch.randn(buffer.shape) * 0.1)
    model.save_pretrained(folder)
    demo = Path(str(importlib.resources.files("landscape_ray"))) / "demo" / "aligned"
    for file in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(demo / file, folder)
