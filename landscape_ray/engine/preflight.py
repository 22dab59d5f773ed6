"""What can be known to be wrong with a model and its prompts before an engine starts: found on the driver, in seconds.

Each check reads files of a few megabytes: configuration, tokenizer, chat template. Weights are not fetched for it.
"""

import importlib.util
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from landscape_ray.config import SweepConfig
from landscape_ray.engine.checkpoints.geometry import resolve_checkpoints
from landscape_ray.engine.checkpoints.model_config import has_tied_head, read_config
from landscape_ray.engine.checkpoints.quantized import check_unquantized
from landscape_ray.engine.checkpoints.resolution import (
    ResolvedModel,
    can_be_had,
    checkpoint_folder,
    has_weights,
    resolve,
)
from landscape_ray.engine.checkpoints.tensor_listing import decided_by_names, list_tensors
from landscape_ray.engine.hf.registry import generative_classes
from landscape_ray.engine.tokens.settling import settled
from landscape_ray.engine.vllm.registry import generative_architectures
from landscape_ray.errors import BenchmarkError, CheckpointError, few_of
from landscape_ray.evaluation import Benchmark, scored_texts
from landscape_ray.planning import CheckpointDelta

READING_S = 20.0
STAND_IN = re.compile(r"(image|video|audio|vision)_token_(id|index)")

__all__ = ["as_run", "check_ahead", "check_architecture", "check_checkpoints", "check_numbers", "check_room"]


def check_ahead(config: SweepConfig, benchmarks: Sequence[Benchmark]) -> tuple[SweepConfig, str | None]:
    """Check a request as a run would, as far as its checkpoints can be had where it is planned.

    Returns:
        The request with what its model decides, see `as_run`; and why not all of it was looked at, None if it was.

    Raises:
        UserError: It cannot be carried out as written.
    """
    if config.engine == "synthetic":
        return config, None
    if (reason := can_be_had(config.model)) is not None:
        return config, reason
    model = resolve(config.model)
    config = decided_by_names(config, model, list_tensors(model))
    for checkpoint in config.checkpoints:
        if (reason := can_be_had(checkpoint)) is not None:
            return config, reason
    check_checkpoints(model, resolve_checkpoints(config))
    if importlib.util.find_spec("transformers") is None:
        return config, "transformers is not installed here"
    check_architecture(config.engine, model)
    today = datetime.now(UTC).date().isoformat()
    check_room(model, settled(config.benchmarks, benchmarks, model, today=today))
    return config, None


def as_run(config: SweepConfig) -> SweepConfig:
    """Return a request as a run remembers it: with what its model decides, as far as it can be had where this is asked.

    Raises:
        CheckpointError: The model is none.
        TransientError: The Hub is out of reach.
    """
    if config.engine == "synthetic" or can_be_had(config.model) is not None:
        return config
    model = resolve(config.model)
    return decided_by_names(config, model, list_tensors(model))


def check_checkpoints(model: ResolvedModel, deltas: Sequence[CheckpointDelta]) -> None:
    """Refuse checkpoints that hold no plain weights: those of the model, and those that axes lead to.

    Raises:
        CheckpointError: One is quantised, or its configuration cannot be had.
    """
    places = [(model.location, model.revision), *((delta.location, delta.revision) for delta in deltas)]
    for location, revision in places:
        check_unquantized(checkpoint_folder(location, revision, weights=False), location)


def check_architecture(engine: str, model: ResolvedModel) -> None:
    """Refuse what no library here generates text with; vLLM also runs models of transformers that it does not have.

    Raises:
        CheckpointError: No library here does.
    """
    folder = checkpoint_folder(model.location, model.revision, weights=False)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    names, model_type = config.get("architectures") or [], config.get("model_type")
    classes = generative_classes()
    if classes is None:
        return  # reading the tokenizer says what to install
    if engine == "transformers":
        known = model_type in classes
    else:
        own = generative_architectures()
        known = own is None or not own.union(classes.values()).isdisjoint(names)
    if not known:
        msg = (
            f"The {engine} engine has no way to generate text with {folder}: its config.json says architectures "
            f"{few_of(names) or 'none'} and model_type {model_type!r}. Give a causal language model, such as a "
            "...ForCausalLM, that the installed libraries know."
        )
        raise CheckpointError(msg)


def check_room(model: ResolvedModel, benchmarks: Sequence[Benchmark]) -> None:
    """Refuse a benchmark none of whose prompts fits the model's context; a single one that does not is a row's fate.

    And refuse prompts that hold something else than text.

    Raises:
        BenchmarkError: There is one.
    """
    from landscape_ray.engine.tokens.encoding import PromptEncoder  # noqa: PLC0415 - heavy

    folder = checkpoint_folder(model.location, model.revision, weights=False)
    encoder, images = PromptEncoder(folder), _stand_ins(read_config(folder))
    for benchmark in benchmarks:
        _check_room(encoder, benchmark)
        _check_text_only(encoder, benchmark, images)


def check_numbers(model: ResolvedModel, clock: Callable[[], float] = time.monotonic) -> None:
    """Refuse weights that are no finite numbers, if they are in files here; nothing is fetched for it.

    It reads on for 20 seconds at the most: 30 GB from a disk of 1.5 GB/s, and 140 GB that are in memory already. An
    engine that comes up looks at all weights in any case, but that is later.

    Raises:
        CheckpointError: There are such weights.
    """
    folder = checkpoint_folder(model.location, model.revision, weights=False)
    if not has_weights(folder) or importlib.util.find_spec("torch") is None:
        return
    from landscape_ray.weights import CheckpointFiles, check_finite  # noqa: PLC0415 - heavy

    end = clock() + READING_S
    for name, tensor in CheckpointFiles.open(folder, tied_head=has_tied_head(folder)).all_tensors():
        check_finite(name, tensor, folder)
        if clock() > end:
            return


def _stand_ins(config: Any) -> dict[int, str]:
    """Return the tokens that stand for images and the like in a multimodal model's prompts, with their settings."""
    settings = config.to_dict()
    return {settings[key]: key for key in settings if STAND_IN.fullmatch(key) and isinstance(settings[key], int)}


def _check_text_only(encoder: Any, benchmark: Benchmark, stand_ins: Mapping[int, str]) -> None:
    """Refuse prompts that would show a model something else than text, of which it would see nothing.

    Raises:
        BenchmarkError: A prompt holds a token that stands for an image or the like.
    """
    prompts = [] if benchmark.is_scored or not stand_ins else encoder.encode(benchmark)
    for number, tokens in enumerate(prompts, start=1):
        if (found := next((token for token in tokens if token in stand_ins), None)) is not None:
            msg = (
                f"Benchmark {benchmark.name!r}: prompt {number} holds token {found}, which stands for what is no text "
                f"({stand_ins[found]} in the model's config.json). Only the language model is measured, so no image "
                "can be shown to it; give prompts of text."
            )
            raise BenchmarkError(msg)


def _check_room(encoder: Any, benchmark: Benchmark) -> None:
    if benchmark.is_scored:
        lengths = (len(encoder.encode_scored(text)[0]) for text in scored_texts(benchmark))
    else:
        lengths = (len(prompt) for prompt in encoder.encode(benchmark))
    shortest = None
    for length in lengths:
        if length < encoder.context_length:
            return
        shortest = length if shortest is None else min(shortest, length)
    msg = (
        f"Benchmark {benchmark.name!r}: no prompt fits the model's context of {encoder.context_length} tokens; the "
        f"shortest takes {shortest}. Give a model with a longer context, or shorter prompts."
    )
    raise BenchmarkError(msg)
