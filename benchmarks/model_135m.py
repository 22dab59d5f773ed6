"""Write a model of the 135M class that behaves like the embedded one: something to measure speed with, offline.

    python benchmarks/model_135m.py --out FOLDER

Speed depends on how large a model is and on how long its answers are, and so on its behaviour. `demo:aligned` is built
into a larger Llama (30 layers of width 576, 9 heads, 1,280 hidden units, a vocabulary of 49,152, tied: 134.5 million
weights) whose function at the origin is the same:

- Every matrix fills the upper left corner of a larger one; zeros elsewhere. Layers past the eighth add nothing.
- RMSNorm divides by the root of a mean over more elements: norm weights shrink, and so does its epsilon.
- Heads are 64 wide instead of 32. The rotation of pair i is that of the wider head's pair 2 i, so rows of queries and
  keys move there; queries grow by the root of two, against the smaller scale of wider heads.
- Tokens past the 640 have no embedding and a text of their own, which no prompt holds.

Perturbed, it is a landscape of its own: noise reaches the zeros of a matrix, too.
"""

import argparse
import json
import math
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from landscape_ray.config import ModelConfig
from landscape_ray.engine.checkpoints.resolution import resolve

__all__ = ["write_model", "write_tokenizer"]

WIDTH, NUM_LAYERS, NUM_HEADS, HEAD_WIDTH, NUM_HIDDEN, VOCABULARY = 576, 30, 9, 64, 1280, 49_152


def write_model(folder: Path, source_id: str = "demo:aligned") -> None:
    """Write the checkpoint made of an embedded model, with its tokenizer, into a folder, which is made."""
    source = _source(source_id)
    small = json.loads((source / "config.json").read_text(encoding="utf-8"))
    write_tokenizer(folder, VOCABULARY)
    shutil.copy(source / "generation_config.json", folder)
    large = small | {
        "hidden_size": WIDTH,
        "num_hidden_layers": NUM_LAYERS,
        "num_attention_heads": NUM_HEADS,
        "num_key_value_heads": NUM_HEADS,
        "head_dim": HEAD_WIDTH,
        "intermediate_size": NUM_HIDDEN,
        "vocab_size": VOCABULARY,
        "rms_norm_eps": small["rms_norm_eps"] * small["hidden_size"] / WIDTH,
    }
    (folder / "config.json").write_text(json.dumps(large, indent=2), encoding="utf-8")
    save_file(_weights(load_file(source / "model.safetensors"), small), folder / "model.safetensors", {"format": "pt"})


def write_tokenizer(folder: Path, size: int) -> None:
    """Write the embedded model's tokenizer into a folder, which is made, with a text for each of so many tokens."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("chat_template.jinja", "tokenizer_config.json"):
        shutil.copy(_source() / name, folder)
    tokenizer = json.loads((_source() / "tokenizer.json").read_text(encoding="utf-8"))
    known = tokenizer["model"]["vocab"]
    tokenizer["model"]["vocab"] = known | {f"<{i}>": i for i in range(len(known), size)}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")


def _source(source_id: str = "demo:aligned") -> Path:
    return Path(resolve(ModelConfig(id=source_id)).location)


def _weights(small: dict[str, torch.Tensor], config: dict[str, int]) -> dict[str, torch.Tensor]:
    shrink = math.sqrt(config["hidden_size"] / WIDTH)
    heads, head_width = config["num_attention_heads"], config["head_dim"]
    # Where the rows of a head go: values to the front, rotated pairs (i, i + half) to (2 i, 2 i + half).
    pairs = torch.arange(head_width // 2) * 2
    rotated = torch.cat((pairs, pairs + HEAD_WIDTH // 2))
    plain = torch.arange(head_width)
    starts = torch.arange(heads).unsqueeze(1) * HEAD_WIDTH

    def corner(matrix: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
        out = torch.zeros(rows, columns)
        out[: matrix.shape[0], : matrix.shape[1]] = matrix
        return out

    def spread(matrix: torch.Tensor, within_head: torch.Tensor) -> torch.Tensor:
        out = torch.zeros(NUM_HEADS * HEAD_WIDTH, WIDTH)
        out[(starts + within_head).flatten(), : matrix.shape[1]] = matrix
        return out

    def norm(name: str) -> torch.Tensor:
        out = torch.full((WIDTH,), shrink)
        if name in small:
            out[: config["hidden_size"]] = small[name].float() * shrink
        return out

    def matrix(name: str, rows: int, columns: int) -> torch.Tensor:
        return small[name].float() if name in small else torch.zeros(rows, columns)

    weights = {"model.embed_tokens.weight": corner(small["model.embed_tokens.weight"].float(), VOCABULARY, WIDTH)}
    for layer in range(NUM_LAYERS):
        prefix = f"model.layers.{layer}."
        for name in ("input_layernorm.weight", "post_attention_layernorm.weight"):
            weights[prefix + name] = norm(prefix + name)
        for name, rows, columns in (
            *(("mlp.gate_proj.weight", NUM_HIDDEN, WIDTH), ("mlp.up_proj.weight", NUM_HIDDEN, WIDTH)),
            ("mlp.down_proj.weight", WIDTH, NUM_HIDDEN),
        ):
            weights[prefix + name] = corner(matrix(prefix + name, rows, columns), rows, columns)
        attention = prefix + "self_attn."
        blocks: tuple[torch.Tensor, ...]
        if attention + "q_proj.weight" in small:
            q, k, v, o = (small[f"{attention}{name}_proj.weight"].float() for name in "qkvo")
            q = q * math.sqrt(HEAD_WIDTH / head_width)
            blocks = (spread(q, rotated), spread(k, rotated), spread(v, plain), spread(o.T, plain).T.contiguous())
        else:
            blocks = tuple(torch.zeros(WIDTH, WIDTH) for _ in range(4))
        weights |= {f"{attention}{name}_proj.weight": block for name, block in zip("qkvo", blocks, strict=True)}
    weights["model.norm.weight"] = norm("model.norm.weight")
    return {name: tensor.to(torch.bfloat16) for name, tensor in weights.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, type=Path, help="folder to write")
    write_model(parser.parse_args().out)
