"""From prompts to token ids and back: shared by all engines that run a model, so that they see the same tokens."""

import contextlib
import functools
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoTokenizer, GenerationConfig

from landscape_ray.engine.chat import ChatTemplate, fixed_clock
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

    @property
    def tokenizer(self) -> Any:
        """The tokenizer of transformers."""
        return self._tokenizer

    def stops(self, benchmark: Benchmark) -> tuple[int, ...]:
        """Return every token that ends an answer to a benchmark."""
        if benchmark.settled.turn_end is None:
            return self.stop_token_ids
        return (*self.stop_token_ids, int(self._tokenizer.convert_tokens_to_ids(benchmark.settled.turn_end)))

    def _encode(self, benchmark: Benchmark) -> list[list[int]]:
        """Return the token ids of each prompt, rendered as a chat up to where the model's answer begins.

        Raises:
            BenchmarkError: There is no chat template, or it cannot render the messages.
        """
        chat, clock = ChatTemplate(self._tokenizer, benchmark), fixed_clock(benchmark)
        # Templates write the special tokens themselves; the tokenizer must not add a second beginning-of-text.
        return [self._tokens(chat.prompt(prompt.text, clock)) for prompt in benchmark.prompts]

    def check_beginning(self, benchmark: Benchmark, prompt: str) -> None:
        """Refuse a template of the benchmark's own that leaves out the token with which every text begins.

        Where the model's own template leaves it out as well, the model was trained so.

        Args:
            benchmark: A benchmark.
            prompt: One of its prompts as its template renders it.

        Raises:
            BenchmarkError: It does.
        """
        begin = self._tokenizer.bos_token_id
        # The empty text shows what the tokenizer puts before any.
        if benchmark.chat_template is None or begin is None or begin not in self._tokenizer("")["input_ids"][:1]:
            return
        if self._tokens(prompt)[:1] == [begin]:
            return
        if self._tokenizer.chat_template is not None:
            own = replace(benchmark, chat_template=None, template_arguments="{}")
            with contextlib.suppress(BenchmarkError):
                if self._encode(replace(own, prompts=benchmark.prompts[:1]))[0][:1] != [begin]:
                    return
        msg = (
            f"Benchmark {benchmark.name!r}: chat_template does not begin with {self._tokenizer.bos_token!r}, with "
            "which the tokenizer of this model begins every text; without it the model answers otherwise than it was "
            "trained to. Put {{ bos_token }} before everything else in the template."
        )
        raise BenchmarkError(msg)

    def unlisted_turn_end(self, benchmark: Benchmark) -> str | None:
        """Return the token that ends the model's turn by the chat template, if nothing else lists it as an end.

        Raises:
            BenchmarkError: The template ends turns with text that is no token, so that no answer would end there.
        """
        own = None if self._tokenizer.chat_template is None else replace(benchmark, chat_template=None)
        for each in (benchmark, own):
            after = None if each is None else ChatTemplate(self._tokenizer, each).after_answer(fixed_clock(benchmark))
            if after is not None:
                break
        else:
            return None  # neither template writes answers
        ids = self._tokens(after.lstrip())
        if not ids or any(i in self.stop_token_ids for i in ids):
            return None
        added = self._tokenizer.added_tokens_decoder
        if ids[0] in added:
            return str(added[ids[0]].content)
        msg = (
            f"Benchmark {benchmark.name!r}: the chat template ends the model's turn with {after.strip()[:40]!r}, which "
            "is no token of the tokenizer and no end of text that the checkpoint lists, so answers would run on into "
            "invented turns. Use the chat template that the model was trained with, or one that ends the assistant's "
            "message with {{ eos_token }}."
        )
        raise BenchmarkError(msg)

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
