"""Tasks of Inspect as benchmarks: what their solvers ask, and verdicts by their own scorers.

The solver and the scorer are called as Inspect calls them, with the model's answer in the place of a model.
"""

import asyncio
import copy
import hashlib
import importlib
import itertools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from inspect_ai import Task
from inspect_ai import __version__ as inspect_version
from inspect_ai.dataset import Sample
from inspect_ai.model import ChatMessage, ChatMessageUser, GenerateConfig, ModelName, ModelOutput
from inspect_ai.scorer import CORRECT, INCORRECT, NOANSWER, Score, Target
from inspect_ai.solver import TaskState

from landscape_ray.errors import BenchmarkError, ConfigError, LandscapeError, in_brief
from landscape_ray.evaluation.benchmark import Prompt, Turn
from landscape_ray.evaluation.conversations import as_text, turns_in
from landscape_ray.evaluation.records import Completion, FinishReason, Verdict

__all__ = ["InspectTask", "check_settings", "turns_of"]

IDLE = frozenset(
    {
        *("max_retries", "timeout", "attempt_timeout", "max_connections", "adaptive_connections", "system_message"),
        *("max_tokens", "seed", "top_p", "top_k", "parallel_tool_calls", "internal_tools", "max_tool_output"),
        *("cache", "cache_prompt", "reasoning_history", "fail_on_refusal"),
    }
)
"""Settings of Inspect that are its own affair, heeded elsewhere, or without effect on greedy answers without tools."""
ALLOWED: Mapping[str, Any] = {"temperature": 0, "num_choices": 1, "logprobs": False, "batch": False}
"""Settings that may have this value only."""
NOTHING = Completion(text="", token_ids=(), finish_reason=FinishReason.STOP)


class InspectTask:
    """A task whose model is asked once for each sample, and whose one scorer says right or wrong."""

    def __init__(self, name: str, limit: int | None) -> None:
        """Load the task, ask what its solver would ask, and see what its scorer says to an empty answer.

        Args:
            name: `FILE.py@TASK` or `MODULE@TASK`.
            limit: Number of samples, the first ones; None: all.

        Raises:
            BenchmarkError: There is no such task, or it is more than that.
            ConfigError: It sets what would change answers, and cannot be had.
        """
        self._name = name
        module = _module(name)
        make = getattr(module, name.rpartition("@")[2], None)
        task = make() if callable(make) else None
        if not isinstance(task, Task):
            self._refuse("there is no function of that name that makes a Task of Inspect")
        self._task = task
        check_settings(self._task.config)
        self._samples: Sequence[Sample] = list(itertools.islice(self._task.dataset, limit))
        if self._task.sandbox or self._task.setup or any(s.sandbox or s.setup or s.files for s in self._samples):
            self._refuse("it takes a sandbox, files or a setup")
        scorers = self._task.scorer or []
        if len(scorers) != 1:
            self._refuse(f"it has {len(scorers)} scorers")
        self._scorer = scorers[0]
        places = range(len(self._samples))
        self.prompts = tuple(self._prompt(place) for place in places)
        """What its solver asks, sample by sample."""
        if self.prompts != tuple(self._prompt(place) for place in places):
            self._refuse("its solver does not ask the same twice")
        if len({prompt.id for prompt in self.prompts}) < len(self.prompts):
            self._refuse("some of its samples have the same id")
        self.verdicts([NOTHING] * len(places[:1]))
        self.version = f"inspect/{self._digest(Path(str(module.__file__)))[:12]}"
        """Name and hash of what decides its verdicts: the file of the task, Inspect's version, samples and targets."""

    def _digest(self, file: Path) -> str:
        content = [
            hashlib.sha256(file.read_bytes()).hexdigest(),
            inspect_version,
            [[prompt.id, prompt.text] for prompt in self.prompts],
            [[sample.target, sample.choices, sample.metadata] for sample in self._samples],
        ]
        text = json.dumps(content, default=lambda other: type(other).__name__)
        return hashlib.sha256(text.encode()).hexdigest()

    def verdicts(self, completions: Iterable[Completion]) -> tuple[Verdict, ...]:
        """Return the scorer's verdict on the answer to each prompt, in their order; what was not answered is unscored.

        Raises:
            BenchmarkError: The scorer fails, or says something else than right or wrong.
        """
        return tuple(self._verdict(place, completion) for place, completion in enumerate(completions))

    def _verdict(self, place: int, completion: Completion) -> Verdict:
        if completion.finish_reason in {FinishReason.PROMPT_TOO_LONG, FinishReason.FAILED} or completion.is_unfinished:
            return Verdict.UNSCORED
        score, _ = self._run(place, completion.text)
        value = score.value if isinstance(score, Score) else math.nan
        if isinstance(value, float) and math.isnan(value):
            return Verdict.UNSCORED
        if value in (CORRECT, 1):
            return Verdict.CORRECT
        if value not in (INCORRECT, NOANSWER, 0):
            self._refuse(f"its scorer says {value!r:.60} of sample {place}, which is neither right nor wrong")
        return Verdict.INCORRECT

    def _prompt(self, place: int) -> Prompt:
        _, turns = self._run(place, "")
        given = self._samples[place].id
        prompt_id = str(place + 1 if given is None else given)  # as Inspect counts
        if len(turns) == 1:
            return Prompt(id=prompt_id, text=turns[0].content)
        return Prompt(id=prompt_id, text=as_text(turns), turns=turns)

    def _run(self, place: int, answer: str) -> tuple[Score | None, tuple[Turn, ...]]:
        """Run a sample with an answer given; return its score, and the conversation that was asked."""
        try:
            with ThreadPoolExecutor(max_workers=1) as thread:  # a notebook, or Inspect itself, runs a loop in this one
                return thread.submit(asyncio.run, self._scored(place, answer)).result()
        except LandscapeError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever code of anybody raises
            self._refuse(f"it fails on sample {place}: {in_brief(error)}", error)

    async def _scored(self, place: int, answer: str) -> tuple[Score | None, tuple[Turn, ...]]:
        sample = copy.deepcopy(self._samples[place])  # solvers write into messages
        asked: list[tuple[Turn, ...]] = []
        text = sample.input
        messages: list[ChatMessage] = [ChatMessageUser(content=text)] if isinstance(text, str) else list(text)

        async def generate(state: TaskState, tool_calls: str = "loop", **settings: Any) -> TaskState:  # noqa: ARG001
            if asked or state.tools:
                self._refuse("its solver gives the model tools" if state.tools else "its solver asks more than once")
            check_settings(GenerateConfig(**settings))
            asked.append(turns_of(state.messages))  # now: solvers may change messages later
            state.output = ModelOutput.from_content("landscape", answer)
            state.messages.append(state.output.message)
            return state

        state = TaskState(
            model=ModelName("none/none"),
            sample_id=sample.id or place + 1,
            epoch=1,
            input=sample.input,
            messages=messages,
            target=Target(sample.target),
            choices=sample.choices,
            metadata=dict(sample.metadata or {}),
        )
        state = await self._task.solver(state, generate)
        if not asked:
            self._refuse("its solver never asks the model through `generate`, as agents do not")
        return await self._scorer(state, Target(sample.target)), asked[0]

    def _refuse(self, why: str, error: Exception | None = None) -> NoReturn:
        msg = (
            f"The task {self._name} cannot be run in a visit: {why}. There the model is asked once for each sample, "
            "and one scorer says right or wrong. Run it with `inspect eval --model landscape/...` instead."
        )
        raise BenchmarkError(msg) from error


def turns_of(messages: Iterable[ChatMessage]) -> tuple[Turn, ...]:
    """Return a conversation of Inspect.

    Raises:
        BenchmarkError: It holds something else than texts, or does not end with what a user says.
    """
    messages = list(messages)
    for message in messages:
        kinds = {"text"} if isinstance(message.content, str) else {each.type for each in message.content}
        if kinds - {"text", "reasoning"}:
            msg = f"The models of a landscape read text only, and were given {', '.join(sorted(kinds))}."
            raise BenchmarkError(msg)
    return turns_in([{"role": message.role, "content": message.text} for message in messages])


def check_settings(config: GenerateConfig) -> None:
    """Refuse settings that would change answers, and that no engine of a landscape has: these decode greedily.

    Raises:
        ConfigError: There is one.
    """
    for name, value in config.model_dump(exclude_none=True).items():
        if name not in IDLE and (name not in ALLOWED or value != ALLOWED[name]):
            allowed = f"It may be {ALLOWED[name]} only." if name in ALLOWED else "Leave it out."
            msg = f"The points of a landscape are asked greedily, as in its sweep, and {name} is {value!r}. {allowed}"
            raise ConfigError(msg)


def _module(name: str) -> ModuleType:
    """Import the file or module of a task."""
    where = name.rpartition("@")[0]
    try:
        if not where.endswith(".py"):
            return importlib.import_module(where)
        path = Path(where).expanduser()
        loader = SourceFileLoader(f"landscape_ray_task_{path.stem}", str(path))
        module = module_from_spec(ModuleSpec(loader.name, loader, origin=str(path)))
        module.__file__ = str(path)
        loader.exec_module(module)
    except (ImportError, OSError, SyntaxError, ValueError) as error:
        msg = (
            f"The task {name} cannot be imported: {in_brief(error)}. Write FILE.py@TASK or MODULE@TASK, of a file or "
            "module that every node has."
        )
        raise BenchmarkError(msg) from error
    return module
