"""The reference's way of working, for comparison: one process, transformers, batches of four, cumulative updates.

Written from the description in Peng et al. 2024 and of their published code: the step along the direction is added to
the weights in place from point to point, prompts are padded on the left and decoded greedily four at a time, every
batch runs until its longest output ends. Results are kept in memory until the end.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from landscape_ray.evaluation import Benchmark
from landscape_ray.planning import RandomVector
from landscape_ray.weights import direction

__all__ = ["ReferencePoint", "reference_sweep"]

BATCH_SIZE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferencePoint:
    """One point of the curve."""

    alpha: float
    """Coordinate."""
    texts: tuple[str, ...]
    """Completion of each prompt."""
    seconds: float
    """Seconds of moving the weights and generating."""


def reference_sweep(
    folder: Path, vector: RandomVector, alphas: tuple[float, ...], benchmark: Benchmark, *, device: str = "cpu"
) -> list[ReferencePoint]:
    """Measure a 1-D curve the reference's way, in float32, from one end to the other."""
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).to(device).eval()
    # The whole direction is held in memory, like the reference's stored one.
    moves = {name: direction(vector, name, parameter.detach()) for name, parameter in model.named_parameters()}
    greedy = GenerationConfig(
        max_new_tokens=benchmark.max_new_tokens,
        do_sample=False,
        pad_token_id=tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id,
        eos_token_id=model.generation_config.eos_token_id,
    )
    system = [{"role": "system", "content": benchmark.system_prompt}] if benchmark.system_prompt else []
    prompts = [
        tokenizer.apply_chat_template(
            [*system, {"role": "user", "content": prompt.text}],
            chat_template=benchmark.chat_template,
            tokenize=False,
            add_generation_prompt=True,
        )
        for prompt in benchmark.prompts
    ]
    points, here = [], 0.0
    with torch.inference_mode():
        for alpha in alphas:
            start = time.perf_counter()
            for name, parameter in model.named_parameters():
                parameter.add_(moves[name], alpha=alpha - here)
            here = alpha
            texts: list[str] = []
            for first in range(0, len(prompts), BATCH_SIZE):
                batch = tokenizer(
                    prompts[first : first + BATCH_SIZE], return_tensors="pt", padding=True, add_special_tokens=False
                ).to(device)
                output = model.generate(
                    input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], generation_config=greedy
                )
                texts += tokenizer.batch_decode(output[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
            points.append(ReferencePoint(alpha=alpha, texts=tuple(texts), seconds=time.perf_counter() - start))
    return points
