"""How a chat template writes a conversation: a pure function of the benchmark, whatever the clock says."""

import json
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
from jinja2 import meta, nodes

from landscape_ray.errors import BenchmarkError, in_brief
from landscape_ray.evaluation import Benchmark, Prompt

__all__ = ["ChatTemplate", "Clock", "check_template_file", "fixed_clock"]

Clock = Callable[[str], str]
"""What a template asks for the date: from a format of `strftime` to text."""

# transformers' mark of what the model says; no tag of Jinja's own.
GENERATION_TAG = re.compile(r"\{%-?\s*(?:end)?generation\s*-?%\}")
PARSER = jinja2.Environment(extensions=["jinja2.ext.loopcontrols"])  # noqa: S701 - it renders nothing
TEMPLATE_FILES = ("chat_template.jinja", "additional_chat_templates/*.jinja")
PROBE = "landscape-ray asks where this ends"
QUESTION = Prompt(id="0", text="?")


def check_template_file(folder: Path, benchmark: Benchmark) -> None:
    """Refuse a benchmark that needs the model's chat template where no file holds one; no tokenizer is loaded for it.

    Args:
        folder: The model's folder.
        benchmark: The benchmark.

    Raises:
        BenchmarkError: There is no template.
    """
    settings = folder / "tokenizer_config.json"
    # A tokenizer without settings may be one of another library, which brings its template along.
    if benchmark.chat_template is not None or not settings.is_file() or (folder / "tekken.json").is_file():
        return
    stated = json.loads(settings.read_text(encoding="utf-8")).get("chat_template")
    if stated is None and not any(any(folder.glob(pattern)) for pattern in TEMPLATE_FILES):
        raise _no_template(benchmark)


def _no_template(benchmark: Benchmark) -> BenchmarkError:
    msg = (
        f"Benchmark {benchmark.name!r}: the model's tokenizer has no chat template. Give the model's own format as "
        "benchmarks.N.chat_template (Jinja)."
    )
    return BenchmarkError(msg)


class ChatTemplate:
    """The chat template that a benchmark is put to a model with: its own, or else the tokenizer's."""

    def __init__(self, tokenizer: Any, benchmark: Benchmark) -> None:
        """Find the template.

        Raises:
            BenchmarkError: There is none.
        """
        if benchmark.chat_template is None and tokenizer.chat_template is None:
            raise _no_template(benchmark)
        self._tokenizer = tokenizer
        self._benchmark = benchmark
        self._arguments: dict[str, Any] = json.loads(benchmark.template_arguments)

    @property
    def source(self) -> str:
        """The template, in Jinja."""
        return str(self._tokenizer.get_chat_template(self._benchmark.chat_template))

    def messages(self, prompt: Prompt) -> list[dict[str, str]]:
        """Return the conversation that a prompt is."""
        system = self._benchmark.system_prompt
        turns = [(turn.role, turn.content) for turn in prompt.turns] or [("user", prompt.text)]
        before = [] if system is None else [("system", system)]
        return [{"role": role, "content": content} for role, content in (*before, *turns)]

    def render(self, messages: list[dict[str, str]], clock: Clock, *, asks: bool = True) -> str:
        """Return a conversation as text; where it `asks`, up to where the model's answer begins.

        Raises:
            BenchmarkError: The template cannot render it.
        """
        try:
            text: str = self._tokenizer.apply_chat_template(
                messages,
                chat_template=self._benchmark.chat_template,
                add_generation_prompt=asks,
                tokenize=False,
                **(self._arguments | {"strftime_now": clock}),
            )
        except (jinja2.TemplateError, ValueError, TypeError) as error:
            roles = " and ".join(dict.fromkeys(message["role"] for message in messages))
            msg = (
                f"Benchmark {self._benchmark.name!r}: the chat template cannot render a conversation of {roles}: "
                f"{in_brief(error)}. Set system_prompt to null if the model takes none, or give another chat_template."
            )
            raise BenchmarkError(msg) from error
        return text

    def prompt(self, prompt: Prompt, clock: Clock) -> str:
        """Return a prompt as text, up to where the model's answer begins, or to the end of what it is begun with.

        Raises:
            BenchmarkError: The template cannot render it, or leaves something out.
        """
        messages = self.messages(prompt)
        rendered = self.render(messages, clock)
        if dropped := _left_out(messages, rendered):
            msg = (
                f"Benchmark {self._benchmark.name!r}: the chat template leaves out the {' and the '.join(dropped)} "
                "message; the model would answer something else. Set system_prompt to null if the model takes none, "
                "or give another chat_template."
            )
            raise BenchmarkError(msg)
        if prompt.prefill:
            return f"{rendered}{self._before_answer(messages, rendered, clock)}{prompt.prefill}"
        return rendered

    def _before_answer(self, messages: list[dict[str, str]], rendered: str, clock: Clock) -> str:
        """Return the white space that a template such as Llama 2's leaves for the model to say before its answer."""
        try:
            answered = self.render([*messages, {"role": "assistant", "content": PROBE}], clock, asks=False)
        except BenchmarkError:
            return ""
        begun, probe, _ = answered.rpartition(PROBE)
        between = begun.removeprefix(rendered)
        return between if probe and begun.startswith(rendered) and not between.strip() else ""

    def tells_turns_from_prompts(self, clock: Clock) -> bool:
        """Tell whether the template writes the beginning of an answer only where it is asked to."""
        messages = self.messages(QUESTION)
        return self.render(messages, clock, asks=False) != self.render(messages, clock)

    def after_answer(self, clock: Clock) -> str | None:
        """Return what the template writes after an answer of the model; None if it writes no answers."""
        messages = [*self.messages(QUESTION), {"role": "assistant", "content": PROBE}]
        try:
            _, probe, rest = self.render(messages, clock, asks=False).rpartition(PROBE)
        except BenchmarkError:
            return None
        return rest if probe else None

    def check_arguments(self) -> None:
        """Refuse arguments that the template never looks at, and templates that throw dice.

        Raises:
            BenchmarkError: There is one.
        """
        try:
            tree = PARSER.parse(GENERATION_TAG.sub("", self.source))
        except jinja2.TemplateError:
            return  # rendering says what is wrong with it
        known = meta.find_undeclared_variables(tree)
        if unknown := sorted(self._arguments.keys() - known):
            msg = (
                f"Benchmark {self._benchmark.name!r}: the chat template never looks at {unknown[0]!r} of "
                "chat_template_kwargs, so it would have no effect. The names that it looks at are: "
                f"{', '.join(sorted(known))}."
            )
            raise BenchmarkError(msg)
        names = {each.name for each in tree.find_all(nodes.Name)}
        if "lipsum" in names or any(each.name == "random" for each in tree.find_all(nodes.Filter)):
            msg = (
                f"Benchmark {self._benchmark.name!r}: the chat template throws dice (Jinja's random or lipsum), so no "
                "prompt is the same twice. Give another chat_template."
            )
            raise BenchmarkError(msg)


def _left_out(messages: list[dict[str, str]], rendered: str) -> list[str]:
    """Return the roles of messages that a text does not hold; user and assistant speak in turn, each after the other.

    A system message may stand anywhere: some templates put it into one of the user's.
    """
    found, dropped = 0, []
    for message in messages:
        content, role = message["content"].strip(), message["role"]
        place = rendered.find(content, 0 if role == "system" else found)
        if place < 0:
            dropped.append(role)
        elif role != "system":
            found = place + len(content)
    return list(dict.fromkeys(dropped))


def fixed_clock(benchmark: Benchmark) -> Clock:
    """Return the clock of a benchmark: midnight of its day, and no other time."""

    def strftime_now(form: str) -> str:
        if benchmark.settled.date is None:
            msg = (
                f"Benchmark {benchmark.name!r}: the chat template asks for the date, and the benchmark has none. Set "
                "benchmarks.N.date."
            )
            raise BenchmarkError(msg)
        return datetime.fromisoformat(benchmark.settled.date).strftime(form)

    return strftime_now
