"""From prompts to token ids and back: shared by all engines that run a model, so that they see the same tokens."""

import bisect
import contextlib
import functools
import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, GenerationConfig

from landscape_ray.engine.checkpoints.model_config import context_length, read_config, text_config
from landscape_ray.engine.stopwatch import Stopwatch
from landscape_ray.engine.tokens.chat import ChatTemplate, fixed_clock
from landscape_ray.engine.tokens.jobs import Decoded, Job, in_stages
from landscape_ray.errors import BenchmarkError, CheckpointError, in_brief
from landscape_ray.evaluation import Benchmark, Completion, FinishReason, Prompt, Reasoning, ScoredText, stop_strings

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
        config = text_config(read_config(folder))
        try:
            self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        except (OSError, ValueError, KeyError) as error:
            msg = f"{folder} holds no tokenizer that transformers can read: {in_brief(error)}."
            raise CheckpointError(msg) from error
        self.context_length = context_length(folder, config)
        self.stop_token_ids = self._stop_token_ids(folder, config)
        # The same prompts are asked, and the same texts scored, at every point of a sweep.
        self.encode = functools.lru_cache(MAX_BENCHMARKS)(self._encode)
        self._jobs = functools.lru_cache(MAX_BENCHMARKS)(self._jobs_of)
        self.encode_scored = functools.cache(self._encode_scored)

    def _stop_token_ids(self, folder: Path, config: Any) -> tuple[int, ...]:
        """Return every token that ends a turn: of the tokenizer, of config.json and of generation_config.json."""
        sources = [self.tokenizer.eos_token_id, config.eos_token_id]
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
        pad = self.tokenizer.pad_token_id
        return int(pad) if pad is not None else self.stop_token_ids[0]

    def jobs(self, benchmarks: Sequence[Benchmark]) -> list[Job]:
        """Return what there is to generate for benchmarks, prompt by prompt.

        Raises:
            BenchmarkError: There is no chat template, or it cannot render a prompt.
        """
        return [job for benchmark in benchmarks for job in self._jobs(benchmark)]

    def _jobs_of(self, benchmark: Benchmark) -> tuple[Job, ...]:
        rendered = zip(benchmark.prompts, self._rendered(benchmark), strict=True)
        begun = [self._thought_ahead(benchmark, prompt, text) for prompt, text in rendered]
        return tuple(
            Job(
                prompt=tuple(ids),
                max_tokens=min(benchmark.max_new_tokens, self.context_length - len(ids)),
                stop_token_ids=self.stops(benchmark),
                stop_strings=stop_strings(benchmark),
                temperature=benchmark.temperature,
                seed=benchmark.seed_of(prompt),
                continues=bool(prompt.prefill),
                reasoning=benchmark.settled.reasoning,
                begins_thinking=ahead is not None,
                num_thought=ahead or 0,
                max_thinking_tokens=benchmark.max_thinking_tokens,
            )
            for prompt, ids, ahead in zip(benchmark.prompts, self.encode(benchmark), begun, strict=True)
        )

    def _thought_ahead(self, benchmark: Benchmark, prompt: Prompt, rendered: str) -> int | None:
        """Return how many tokens of thinking a prompt ends with; None if it does not end inside of the thinking."""
        marks = benchmark.settled.reasoning
        after_user = rendered.rpartition(prompt.last_said.strip())[2]  # what the user says may hold the marks, too
        if marks is None or marks.start not in after_user:
            return None
        thought = after_user.rpartition(marks.start)[2]
        return None if marks.end in thought else len(self.spell(thought))

    def stops(self, benchmark: Benchmark) -> tuple[int, ...]:
        """Return every token that ends an answer to a benchmark."""
        if benchmark.settled.turn_end is None:
            return self.stop_token_ids
        return (*self.stop_token_ids, int(self.tokenizer.convert_tokens_to_ids(benchmark.settled.turn_end)))

    def _encode(self, benchmark: Benchmark) -> list[list[int]]:
        """Return the token ids of each prompt, rendered as a chat up to where the model is to go on.

        Raises:
            BenchmarkError: There is no chat template, or it cannot render the messages.
        """
        return [self.spell(text) for text in self._rendered(benchmark)]

    def _rendered(self, benchmark: Benchmark) -> list[str]:
        chat, clock = ChatTemplate(self.tokenizer, benchmark), fixed_clock(benchmark)
        return [chat.prompt(prompt, clock) for prompt in benchmark.prompts]

    def check_beginning(self, benchmark: Benchmark, prompt: str) -> None:
        """Refuse a template of the benchmark's own that leaves out the token with which every text begins.

        Where the model's own template leaves it out as well, the model was trained so.

        Args:
            benchmark: A benchmark.
            prompt: One of its prompts as its template renders it.

        Raises:
            BenchmarkError: It does.
        """
        begin = self.tokenizer.bos_token_id
        # The empty text shows what the tokenizer puts before any.
        if benchmark.chat_template is None or begin is None or begin not in self.tokenizer("")["input_ids"][:1]:
            return
        if self.spell(prompt)[:1] == [begin]:
            return
        if self.tokenizer.chat_template is not None:
            own = replace(benchmark, chat_template=None, template_arguments="{}")
            with contextlib.suppress(BenchmarkError):
                if self._encode(replace(own, prompts=benchmark.prompts[:1]))[0][:1] != [begin]:
                    return
        msg = (
            f"Benchmark {benchmark.name!r}: chat_template does not begin with {self.tokenizer.bos_token!r}, with "
            "which the tokenizer of this model begins every text; without it the model answers otherwise than it was "
            "trained to. Put {{ bos_token }} before everything else in the template."
        )
        raise BenchmarkError(msg)

    def unlisted_turn_end(self, benchmark: Benchmark) -> str | None:
        """Return the token that ends the model's turn by the chat template, if nothing else lists it as an end.

        Raises:
            BenchmarkError: The template ends turns with text that is no token, so that no answer would end there.
        """
        clock, chat = fixed_clock(benchmark), ChatTemplate(self.tokenizer, benchmark)
        after = chat.after_answer(clock)
        if after is None and self.tokenizer.chat_template is not None:
            chat = ChatTemplate(self.tokenizer, replace(benchmark, chat_template=None))
            after = chat.after_answer(clock)
        ids = self.spell((after or "").lstrip())
        if after is None or not ids or any(i in self.stop_token_ids for i in ids):
            return None
        added = self.tokenizer.added_tokens_decoder
        if not chat.tells_turns_from_prompts(clock) and (ids[0] not in added or added.keys().isdisjoint(ids[1:])):
            return None  # all of it may be the beginning of the next answer
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
        before, whole = self.spell(context), self.spell(context + text)
        after = whole[len(before) :]
        if not after:
            msg = f"the tokenizer merges {text!r} into what stands before it, so it has no likelihood of its own"
            raise BenchmarkError(msg)
        first = self.tokenizer.bos_token_id
        # The empty text shows what the tokenizer puts before any.
        if not context or first in self.tokenizer("")["input_ids"]:
            first = self.stop_token_ids[0] if first is None else first
            if first not in before[:1]:
                before = [int(first), *before]
        return (*before, *after), len(before)

    def spell(self, text: str) -> list[int]:
        """Return the tokens of a text. Templates write special tokens themselves: the tokenizer puts none before it."""
        return list(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]) if text else []

    def completions(
        self,
        benchmarks: Sequence[Benchmark],
        jobs: Sequence[Job],
        num_points: int,
        decode: Callable[[Sequence[Job]], list[Decoded]],
        stopwatch: Stopwatch,
    ) -> list[list[tuple[Completion, ...]]]:
        """Have what there is to generate completed at so many points, and return the completions of each benchmark.

        Args:
            benchmarks: What is asked.
            jobs: The jobs of these, see `jobs`.
            num_points: Number of points.
            decode: Completes jobs that have room for a token.
            stopwatch: Where it is counted how long tokens take to become text.
        """
        everywhere = [replace(job, point=point) for point in range(num_points) for job in jobs]
        fitting = [job for job in everywhere if job.max_tokens > 0]
        found = in_stages(fitting, decode, self)
        with stopwatch.phase("detokenize"):
            made = [self.complete(tokens, job, is_cut=cut) for job, (tokens, cut) in zip(fitting, found, strict=True)]
        completed = iter(made)
        completions = iter([next(completed) if job.max_tokens > 0 else PROMPT_TOO_LONG for job in everywhere])
        return [[tuple(itertools.islice(completions, len(b.prompts))) for b in benchmarks] for _ in range(num_points)]

    def text_in_marks(self, token_ids: Sequence[int]) -> str:
        """Return the text of tokens, special tokens included."""
        return str(self.tokenizer.decode(token_ids, skip_special_tokens=False))

    def complete(self, token_ids: Sequence[int], job: Job | None = None, *, is_cut: bool = False) -> Completion:
        """Return generated token ids as a completion; it stopped if its last token ends a turn.

        Args:
            token_ids: What was generated.
            job: What for; None: a job that ends as the model's turns do, without thinking.
            is_cut: Whether it was ended because its verdict is settled.
        """
        stops = self.stop_token_ids if job is None else job.stop_token_ids
        stopped = bool(token_ids) and token_ids[-1] in stops
        whole = Completion(
            text=self._text_after(job.prompt[-1], token_ids) if job and job.continues else self._text(token_ids),
            token_ids=tuple(token_ids),
            finish_reason=FinishReason.VERDICT if is_cut else FinishReason.STOP if stopped else FinishReason.LENGTH,
        )
        if job is None or job.reasoning is None:
            return whole
        return self.apart(whole, job.reasoning, begins_thinking=job.begins_thinking)

    def apart(self, whole: Completion, marks: Reasoning, *, begins_thinking: bool = False) -> Completion:
        """Return a completion with its thinking and its answer apart."""
        said = self.text_in_marks(whole.token_ids)
        if marks.end not in said:
            if not begins_thinking and marks.start not in said:
                return whole
            num_thinking, rest = len(whole.token_ids), ""
        else:
            # The first so many tokens that hold the end mark; the last of them may hold the beginning of the answer.
            num_thinking = bisect.bisect_left(
                range(len(whole.token_ids)), 1, key=lambda n: marks.end in self.text_in_marks(whole.token_ids[:n])
            )
            said, _, rest = self.text_in_marks(whole.token_ids[:num_thinking]).partition(marks.end)
        thinking = said.partition(marks.start)[2] if marks.start in said else said
        return replace(
            whole,
            text=(rest + self._text(whole.token_ids[num_thinking:])).lstrip(),
            thinking=thinking.removesuffix(marks.closing).strip(),
            num_thinking_tokens=num_thinking,
            is_unfinished=marks.end not in self.text_in_marks(whole.token_ids),
        )

    def settles(self, token_ids: Sequence[int], stop_strings: Sequence[str], *, in_marks: bool = False) -> bool:
        """Tell whether a completion holds one of some strings, however it goes on.

        A longer text begins with the same characters, with one exception: tokenizers that spell rare characters by a
        token for each byte read a run of them as a whole, and one bad byte makes all of them replacement characters.
        So what ends in such a run is only looked at up to there.
        """
        pieces = self.tokenizer.convert_ids_to_tokens(list(token_ids))
        end = len(pieces)
        while end and BYTE_TOKEN.fullmatch(str(pieces[end - 1])):
            end -= 1
        text = self.text_in_marks(token_ids[:end]) if in_marks else self._text(token_ids[:end])
        return any(string in text for string in stop_strings)

    def until_stop(self, token_ids: list[int], stops: Sequence[int]) -> list[int]:
        """Cut off what follows the first token that ends a turn."""
        return token_ids[: next((i for i, token in enumerate(token_ids) if token in stops), len(token_ids)) + 1]

    def _text_after(self, token: int, token_ids: Sequence[int]) -> str:
        """Return the text of tokens after another one: where a text begins some tokenizers leave out a space."""
        before, whole = self._text([token]), self._text([token, *token_ids])
        return whole[len(before) :] if whole.startswith(before) else self._text(token_ids)

    def _text(self, token_ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(token_ids, skip_special_tokens=True))
