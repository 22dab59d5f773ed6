"""From an exchange to the tokens that a judge model is asked with. The exchange is untrusted text."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from landscape_ray.engine.tokens.chat import ChatTemplate, fixed_clock
from landscape_ray.engine.tokens.encoding import PromptEncoder
from landscape_ray.errors import BenchmarkError, ConfigError, in_brief
from landscape_ray.evaluation import Benchmark, Prompt, Reasoning, Settled
from landscape_ray.evaluation.guards import FORMATS, rendered
from landscape_ray.evaluation.judge_config import ModelJudgeConfig
from landscape_ray.evaluation.judging import Exchange
from landscape_ray.evaluation.reasoning import convention_of

__all__ = ["JudgeEncoder"]


class JudgeEncoder(PromptEncoder):
    """The tokenizer of a judge model with the template that it is asked with.

    Text that spells a special token would be encoded as that token, and a completion could end the judge's prompt and
    answer in its place. So a space is put into what looks like one in a prompt or a completion. The whole is then
    encoded in one go, because cut into pieces some tokenizers encode it otherwise; so where no special token is
    spelled, the judge sees exactly what its authors' code would show it. Last, the special tokens are counted.
    """

    def __init__(self, folder: Path, config: ModelJudgeConfig) -> None:
        """Read the tokenizer, and put the template into a chat where it is a user's message.

        Raises:
            CheckpointError: The folder holds no usable tokenizer.
            ConfigError: The model's chat template cannot carry the message.
        """
        super().__init__(folder)
        self._name = config.name
        self._day = None if config.date is None else config.date.isoformat()
        self._marks: Reasoning | None = None
        form = FORMATS.get(config.format)
        template = form.template if form else config.template or ""
        self._template = self._as_message(template, folder) if config.format == "chat" else template
        self._strips = form is not None and form.strips
        added = {i: str(token.content) for i, token in self.tokenizer.added_tokens_decoder.items()}
        # Unknown characters become the unknown token, which ends nothing.
        self._special = set(added) - {self.tokenizer.unk_token_id}
        self._spelled = re.compile("|".join(re.escape(text) for text in sorted(added.values(), key=len, reverse=True)))
        self._expected = self._specials(self._ids(Exchange(prompt="", completion="")))

    def encode_exchange(self, exchange: Exchange) -> list[int] | None:
        """Return the token ids to ask about an exchange; None if it gets a special token in after all."""
        prompt, answer = exchange.prompt, exchange.answer
        if self._strips:
            prompt, answer = prompt.strip(), answer.strip()
        harmless = Exchange(prompt=self._defused(prompt), completion=self._defused(answer))
        ids = self._ids(harmless)
        return ids if self._specials(ids) == self._expected else None

    def _defused(self, text: str) -> str:
        """Put a space after the first character of whatever spells a special token."""
        while (found := self._spelled.search(text)) and len(found[0]) > 1:
            text = f"{text[: found.start() + 1]} {text[found.start() + 1 :]}"
        return text

    def _ids(self, exchange: Exchange) -> list[int]:
        return self.spell(rendered(self._template, exchange))

    def _specials(self, ids: list[int]) -> list[int]:
        return [i for i in ids if i in self._special]

    def answer(self, token_ids: Sequence[int]) -> str:
        """Return what the judge says in so many tokens, without what it thought before."""
        completion = self.complete(token_ids)
        return (self.apart(completion, self._marks) if self._marks else completion).text

    def _as_message(self, template: str, folder: Path) -> str:
        """Return a template as the user's message of a chat, and take note of how answers end and thinking is marked.

        It is put as the one prompt of a benchmark would be.
        """
        asked = Benchmark(
            name=self._name,
            prompts=(Prompt(id="0", text=template),),
            system_prompt=None,
            chat_template=None,
            max_new_tokens=1,
            metric="asr",
            judge="keyword",
            settled=Settled(date=self._day),
        )
        try:
            chat = ChatTemplate(self.tokenizer, asked)
            text = chat.prompt(asked.prompts[0], fixed_clock(asked))
            ending = replace(asked, settled=Settled(turn_end=self.unlisted_turn_end(asked)))
        except BenchmarkError as error:
            msg = (
                f"The judge model {folder} cannot be asked in a chat. Use format: text; or set the date of the judge, "
                f"if its chat template asks for one. What it was asked, as a benchmark: {in_brief(error)}."
            )
            raise ConfigError(msg) from error
        self.stop_token_ids = self.stops(ending)
        self._marks = convention_of(chat.source)
        return text
