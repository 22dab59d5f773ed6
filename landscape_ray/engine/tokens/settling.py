"""What of a benchmark only the model's tokenizer and chat template can say, said once, before an engine starts.

What is settled here is part of the benchmark, and so of its key: every engine, today or after an interruption, renders
the same prompts and ends answers at the same tokens.
"""

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from landscape_ray.config import BenchmarkConfig
from landscape_ray.engine.checkpoints.resolution import ResolvedModel, checkpoint_folder
from landscape_ray.engine.tokens.chat import ChatTemplate, check_template_file, fixed_clock
from landscape_ray.errors import BenchmarkError, ResourceError, in_brief
from landscape_ray.evaluation import Benchmark, Reasoning, Settled
from landscape_ray.evaluation.reasoning import convention_of, named

if TYPE_CHECKING:
    from landscape_ray.engine.tokens.encoding import PromptEncoder

__all__ = ["settled"]


def settled(
    configs: Sequence[BenchmarkConfig],
    benchmarks: Sequence[Benchmark],
    model: ResolvedModel,
    *,
    today: str,
    known: Mapping[str, Settled] | None = None,
) -> tuple[Benchmark, ...]:
    """Return benchmarks with everything that decides completions.

    Args:
        configs: As asked.
        benchmarks: The same with their prompts.
        model: The model that they are put to.
        today: The day of the sweep, ISO 8601.
        known: By name what was settled before, for the same model; it stands where the same is asked, and then no
            tokenizer is loaded.

    Raises:
        UserError: A benchmark cannot be put to the model as asked; the message says what to change.
    """
    folder = functools.cache(lambda: checkpoint_folder(model.location, model.revision, weights=False))
    encoder = functools.cache(lambda: _encoder(folder()))
    found = []
    for config, benchmark in zip(configs, benchmarks, strict=True):
        chat, asked = (known or {}).get(config.name, Settled()), _asked(config, benchmark)
        if chat.asked != asked and not benchmark.is_scored:
            check_template_file(folder(), benchmark)
            chat = replace(_settled(config, benchmark, encoder(), today), asked=asked)
        found.append(benchmark if benchmark.is_scored else replace(benchmark, settled=chat))
    return tuple(found)


def _asked(config: BenchmarkConfig, benchmark: Benchmark) -> str:
    later = config.model_dump(mode="json", include={"date", "reasoning"})
    request = [benchmark.digest, benchmark.max_thinking_tokens, later]
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()


def _encoder(folder: Path) -> "PromptEncoder":
    try:
        from landscape_ray.engine.tokens.encoding import PromptEncoder  # noqa: PLC0415 - heavy, and often not needed
    except ImportError as error:
        msg = (
            "A sweep is begun where the model's tokenizer can be read, and transformers cannot be imported here. "
            f"Install landscape-ray[gpu] or landscape-ray[cpu]. Python says: {in_brief(error)}."
        )
        raise ResourceError(msg) from error
    return PromptEncoder(folder)


def _settled(config: BenchmarkConfig, benchmark: Benchmark, encoder: "PromptEncoder", today: str) -> Settled:
    chat = ChatTemplate(encoder.tokenizer, benchmark)
    chat.check_arguments()
    date = today if config.date is None else config.date.isoformat()
    dated = replace(benchmark, settled=Settled(date=date))
    asked: list[str] = []
    clock = fixed_clock(dated)

    def watched(form: str) -> str:
        asked.append(form)
        return clock(form)

    prompts = [chat.prompt(prompt, watched) for prompt in benchmark.prompts]
    if not asked and config.date is not None:
        msg = f"Benchmark {benchmark.name!r}: the chat template asks for no date, so date has no effect; leave it out."
        raise BenchmarkError(msg)
    encoder.check_beginning(dated, prompts[0])
    reasoning = _reasoning(config, chat, encoder)
    if reasoning is not None and config.prefill is not None:
        msg = (
            f"Benchmark {config.name!r}: the model thinks between {reasoning.start!r} and {reasoning.end!r} before it "
            "answers, and prefill would stand in the place of its thinking. Set reasoning to null to begin all that it "
            "says so, best with the chat_template_kwargs that turn its thinking off."
        )
        raise BenchmarkError(msg)
    return Settled(
        reasoning=reasoning,
        date=date if asked else None,
        rendered=hashlib.sha256(json.dumps(prompts).encode()).hexdigest() if asked else None,
        turn_end=encoder.unlisted_turn_end(dated),
    )


def _reasoning(config: BenchmarkConfig, chat: ChatTemplate, encoder: "PromptEncoder") -> Reasoning | None:
    """Return the marks around the model's thinking: those that are asked for, or known from its templates."""
    own = encoder.tokenizer.chat_template
    templates = (chat.source, *([] if own is None else [str(encoder.tokenizer.get_chat_template())]))
    if config.reasoning == "auto":
        marks = convention_of(*templates)
    elif config.reasoning is None:
        marks = None
    else:
        asked = config.reasoning
        for mark in (asked.start, asked.end):
            token = encoder.tokenizer.added_tokens_decoder.get(encoder.spell(mark)[0])
            is_token = token is not None and mark.startswith(token.content)
            if not is_token and not any(mark in template for template in templates):
                msg = (
                    f"Benchmark {config.name!r}: the mark {mark!r} of reasoning occurs neither in the chat template "
                    "nor among the tokens of the model, so no thinking would ever be found. Take the marks from the "
                    "model's chat template, or leave reasoning out if it does not think."
                )
                raise BenchmarkError(msg)
        marks = named(asked.start, asked.end)
    if marks is None and config.decoding.max_thinking_tokens is not None:
        msg = (
            f"Benchmark {config.name!r}: max_thinking_tokens has no effect, because the chat template knows no "
            "thinking. Leave it out, or give the marks of the model's thinking as reasoning."
        )
        raise BenchmarkError(msg)
    return marks
