"""From prompts to token ids and back: shared by all engines that run a model, so that they see the same tokens."""

import functools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
from transformers import AutoConfig, AutoTokenizer, GenerationConfig

from landscape_ray.errors import BenchmarkError, CheckpointError, in_brief
from landscape_ray.evaluation import Benchmark, Completion, FinishReason, ScoredText

__all__ = ["PROMPT_TOO_LONG", "PromptEncoder"]

PROMPT_TOO_LONG = Completion(text="", token_ids=(), finish_reason=FinishReason.PROMPT_TOO_LONG)
"""What becomes of a prompt that leaves no room for a token."""

MAX_BENCHMARKS = 64
"""Prompts of so many benchmarks, or shares of them, are kept as tokens."""
BYTE_TOKEN = re.compile("<0x[0-9A-F]{2}>")


class PromptEncoder:
    """The tokenizer of a checkpoint with its chat template, its end-of-turn tokens and the length of its context."""

    def __init__(self, folder: Path) -> None:
        """Read tokenizer and configuration; no code of the checkpoint is run.

        Raises:
            CheckpointError: The folder holds no usable tokenizer or configuration.
        """
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            config = AutoConfig.from_pretrained(folder, trust_remote_code=False).get_text_config()
        except (OSError, ValueError, KeyError) as error:
            msg = f"{folder} holds no tokenizer and configuration that transformers can read: {in_brief(error)}."
            raise CheckpointError(msg) from error
        self.context_length = _context_length(folder, config)
        self.stop_token_ids = self._stop_token_ids(folder, config)
        # The same prompts are asked, and the same texts scored, at every point of a sweep.
        self.encode = functools.lru_cache(MAX_BENCHMARKS)(self._encode)
        self.encode_scored = functools.cache(self._encode_scored)

    def _stop_token_ids(self, folder: Path, config: Any) -> tuple[int, ...]:
        """Return every token that ends a turn: of the tokenizer, of config.json and of generation_config.json."""
        sources = [self._tokenizer.eos_token_id, config.eos_token_id]
        if (folder / "generation_config.json").is_file():
            sources.append(GenerationConfig.from_pretrained(folder).eos_token_id)
        ids = {
            i for source in sources if source is not None for i in (source if isinstance(source, list) else [source])
        }
        if not ids:
            msg = (
                f"{folder} names no end-of-text token, so no completion would end; add eos_token_id to its config.json."
            )
            raise CheckpointError(msg)
        return tuple(sorted(ids))

    @property
    def pad_token_id(self) -> int:
        """A token to fill batches with; it is never attended to."""
        pad = self._tokenizer.pad_token_id
        return int(pad) if pad is not None else self.stop_token_ids[0]

    def _encode(self, benchmark: Benchmark) -> list[list[int]]:
        """Return the token ids of each prompt, rendered as a chat up to where the model's answer begins.

        Raises:
            BenchmarkError: There is no chat template, or it cannot render the messages.
        """
        if benchmark.chat_template is None and self._tokenizer.chat_template is None:
            msg = (
                f"Benchmark {benchmark.name!r}: the model's tokenizer has no chat template. Give the model's own "
                "format as benchmarks.N.chat_template (Jinja)."
            )
            raise BenchmarkError(msg)
        system = [] if benchmark.system_prompt is None else [{"role": "system", "content": benchmark.system_prompt}]
        return [self._render(benchmark, [*system, {"role": "user", "content": p.text}]) for p in benchmark.prompts]

    def _render(self, benchmark: Benchmark, messages: list[dict[str, str]]) -> list[int]:
        try:
            text: str = self._tokenizer.apply_chat_template(
                messages, chat_template=benchmark.chat_template, add_generation_prompt=True, tokenize=False
            )
        except (jinja2.TemplateError, ValueError, TypeError) as error:
            roles = " and ".join(message["role"] for message in messages)
            msg = (
                f"Benchmark {benchmark.name!r}: the chat template cannot render a conversation of {roles}: "
                f"{in_brief(error)}. Set system_prompt to null if the model takes none, or give another chat_template."
            )
            raise BenchmarkError(msg) from error
        if dropped := [message["role"] for message in messages if message["content"].strip() not in text]:
            msg = (
                f"Benchmark {benchmark.name!r}: the chat template leaves out the {' and the '.join(dropped)} message; "
                "the model would answer something else. Set system_prompt to null if the model takes none, or give "
                "another chat_template."
            )
            raise BenchmarkError(msg)
        # Templates write the special tokens themselves; the tokenizer must not add a second beginning-of-text.
        return self._tokens(text)

    def _encode_scored(self, scored: ScoredText) -> tuple[tuple[int, ...], int]:
        """Return the tokens of a context and the text after it, and the number of those that are not scored.

        Source: lm-evaluation-harness, `TemplateLM._encode_pair` and `loglikelihood`.
        Differs from reference: a beginning-of-text token stands first if and only if the tokenizer itself puts one.

        Raises:
            BenchmarkError: The text has no token of its own.
        """
        context = scored.context.rstrip()
        text = scored.context[len(context) :] + scored.text
        before, whole = self._tokens(context), self._tokens(context + text)
        after = whole[len(before) :]
        if not after:
            msg = f"the tokenizer merges {text!r} into what stands before it, so it has no likelihood of its own"
            raise BenchmarkError(msg)
        first = self._tokenizer.bos_token_id
        # The empty text shows what the tokenizer puts before any.
        if not context or first in self._tokenizer("")["input_ids"]:
            first = self.stop_token_ids[0] if first is None else first
            if first not in before[:1]:
                before = [int(first), *before]
        return (*before, *after), len(before)

    def _tokens(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]) if text else []

    def complete(self, token_ids: Sequence[int], *, is_cut: bool = False) -> Completion:
        """Return generated token ids as a completion; it stopped if its last token ends a turn.

        Args:
            token_ids: What was generated.
            is_cut: Whether it was ended because its verdict is settled.
        """
        stopped = bool(token_ids) and token_ids[-1] in self.stop_token_ids
        return Completion(
            text=self._text(token_ids),
            token_ids=tuple(token_ids),
            finish_reason=FinishReason.VERDICT if is_cut else FinishReason.STOP if stopped else FinishReason.LENGTH,
        )

    def settles(self, token_ids: Sequence[int], stop_strings: Sequence[str]) -> bool:
        """Tell whether a completion holds one of some strings, of printable ASCII, however it goes on.

        A longer text begins with the same characters, with one exception: tokenizers that spell rare characters by a
        token for each byte read a run of them as a whole, and one bad byte makes all of them replacement characters.
        So what ends in such a run is only looked at up to there.
        """
        pieces = self._tokenizer.convert_ids_to_tokens(list(token_ids))
        end = len(pieces)
        while end and BYTE_TOKEN.fullmatch(str(pieces[end - 1])):
            end -= 1
        text = self._text(token_ids[:end])
        return any(string in text for string in stop_strings)

    def until_stop(self, token_ids: list[int]) -> list[int]:
        """Cut off what follows the first token that ends a turn."""
        stops = (i for i, token in enumerate(token_ids) if token in self.stop_token_ids)
        return token_ids[: next(stops, len(token_ids)) + 1]

    def _text(self, token_ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(token_ids, skip_special_tokens=True))


def _context_length(folder: Path, config: Any) -> int:
    context = getattr(config, "max_position_embeddings", None)
    if context is None:
        msg = f"{folder}/config.json states no max_position_embeddings, the length of the context; add it."
        raise CheckpointError(msg)
    return int(context)
