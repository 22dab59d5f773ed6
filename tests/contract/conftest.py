"""Tiny checkpoints with what trips engines up: fused projections, grouped heads, padded vocabulary, a tied head."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from landscape_ray.config import RunConfig, SyntheticFaults
from landscape_ray.engine import Engine, EngineSpec
from landscape_ray.engine.factory import create_engine
from landscape_ray.evaluation import Benchmark, Prompt

# Not a multiple of 64, so that vLLM pads the vocabulary.
LETTERS = [chr(ord("!") + i) for i in range(90)]
SPECIAL = ["<s>", "</s>", "<unk>"]
CONTEXT = 96


def save_checkpoint(folder: Path, *, tied: bool) -> Path:
    """Write a random two-layer Llama; its weights are large, so that outputs differ between prompts and points."""
    torch.manual_seed(0)
    vocabulary = {token: i for i, token in enumerate(SPECIAL + LETTERS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        chat_template="{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}[{{ m.content }}]"
        "{% else %}{{ m.content }}{% endif %}{% endfor %}:",
    ).save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=tied,
        initializer_range=0.25,
        bos_token_id=0,
        eos_token_id=1,
    )
    model = LlamaForCausalLM(config)
    # Sampling defaults that would change every output if they reached an engine.
    model.generation_config.update(do_sample=True, temperature=0.7, repetition_penalty=1.3)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tied_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp("tied"), tied=True)


@pytest.fixture(scope="session")
def untied_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp("untied"), tied=False)


def make_spec(engine: Any, folder: Path) -> EngineSpec:
    return EngineSpec(
        engine=engine,
        model=str(folder),
        revision=None,
        dtype="float32",
        run=RunConfig(kv_cache_gib=0.0625, max_num_seqs=16, synthetic=SyntheticFaults()),
    )


@pytest.fixture(scope="session")
def make_engine() -> Iterator[Any]:
    """Build an engine once per session and checkpoint; vLLM takes long to start."""
    engines: dict[tuple[str, Path], Engine] = {}

    def make(engine: str, folder: Path) -> Engine:
        if (engine, folder) not in engines:
            engines[engine, folder] = create_engine(make_spec(engine, folder))
        return engines[engine, folder]

    yield make
    for engine in engines.values():
        engine.close()


@pytest.fixture(scope="session")
def make_benchmark() -> Any:
    """Make a benchmark of 24 prompts of different lengths."""

    def make(
        name: str = "letters", *, shift: int = 0, num: int = 24, max_new_tokens: int = 24, **settings: Any
    ) -> Benchmark:
        texts = ["".join(LETTERS[(7 * i + 3 * j + shift) % 90] for j in range(3 + i % 9)) for i in range(num)]
        return Benchmark(
            name=name,
            prompts=tuple(Prompt(id=str(i), text=text) for i, text in enumerate(texts)),
            system_prompt=settings.get("system_prompt"),
            chat_template=settings.get("chat_template"),
            max_new_tokens=max_new_tokens,
            metric="asr",
            judge="keyword",
        )

    return make
