"""A point of a landscape as a model of Inspect."""

from dataclasses import replace
from typing import Any

import anyio
from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessage,
    ChatMessageAssistant,
    GenerateConfig,
    ModelAPI,
    ModelOutput,
    ModelUsage,
)
from inspect_ai.tool import ToolChoice, ToolInfo

from landscape_ray.engine.checkpoints.resolution import checkpoint_folder
from landscape_ray.engine.tokens.encoding import PromptEncoder
from landscape_ray.errors import ConfigError
from landscape_ray.evaluation import Benchmark, Completion, Prompt
from landscape_ray.evaluation.conversations import as_text
from landscape_ray.evaluation.inspect_task import check_settings, turns_of
from landscape_ray.inspecting.asking import shared_engine
from landscape_ray.inspecting.logs import STOP_REASONS, content_of
from landscape_ray.inspecting.names import PROVIDER, PointName
from landscape_ray.inspecting.points import find_point

__all__ = ["LandscapeModel"]


class LandscapeModel(ModelAPI):
    """`landscape/SOURCE@ALPHA[:BETA][/drawN]`: answers greedily with the weights of one point.

    Points of one sweep share one engine in this process, also when they are asked at the same time.
    """

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig = GenerateConfig(),  # noqa: B008 - as Inspect declares it; it is not changed
        benchmark: str | None = None,
        **model_args: Any,
    ) -> None:
        """Prepare the sweep and start its engine.

        Args:
            model_name: Name of the point, see `PointName`.
            base_url: Of no use here.
            api_key: Of no use here.
            config: Settings of all requests.
            benchmark: Name of the benchmark whose chat template and reasoning apply.
            **model_args: There are no others.

        Raises:
            UserError: The point cannot be had as named; the message says what to change.
            LandscapeError: No engine could be started.
        """
        super().__init__(model_name, base_url, api_key, [], config)
        if model_args:
            msg = f"Models {PROVIDER}/... take no argument {next(iter(model_args))!r}, only -M benchmark=NAME."
            raise ConfigError(msg)
        check_settings(config)
        self._at = find_point(PointName.parse(model_name), benchmark)
        self._engine = shared_engine(self._at.spec)
        folder = checkpoint_folder(self._at.spec.model, self._at.spec.revision, weights=False)
        self._encoder = PromptEncoder(folder)

    def max_tokens(self) -> int:
        """Return the limit of answers where none is asked for: that of the sweep's benchmark."""
        return self._at.pattern.max_new_tokens

    def max_connections(self) -> int:
        """Return how many requests may be under way: as many as the engine takes into a batch."""
        return self._at.spec.run.max_num_seqs

    async def generate(
        self,
        input: list[ChatMessage],  # noqa: A002 - as Inspect calls it
        tools: list[ToolInfo],
        tool_choice: ToolChoice,  # noqa: ARG002 - there are no tools
        config: GenerateConfig,
    ) -> ModelOutput:
        """Answer a conversation.

        Raises:
            ConfigError: A setting or tools are asked for that would change the answer, and cannot be had.
            BenchmarkError: The conversation is not one of texts that ends with the user's, or the chat template does
                not write it.
            LandscapeError: The engine failed, or is not where it should be.
        """
        if tools:
            msg = f"{PROVIDER}/{self.model_name} calls no tools, and the task gives it {tools[0].name!r}."
            raise ConfigError(msg)
        check_settings(config)
        asked = self._asked(input, config.max_tokens or self.max_tokens())
        completion = await anyio.to_thread.run_sync(
            self._engine.ask, self._at, asked, limiter=anyio.CapacityLimiter(1), abandon_on_cancel=True
        )
        return self._output(completion, len(self._encoder.encode(asked)[0]))

    def _asked(self, messages: list[ChatMessage], max_new_tokens: int) -> Benchmark:
        """Return the benchmark of one prompt that a conversation is; the sweep's own system prompt is not in it."""
        turns = turns_of(messages)
        return replace(
            self._at.pattern,
            name="inspect",
            prompts=(Prompt(id="0", text=as_text(turns), turns=turns),),
            system_prompt=None,
            max_new_tokens=max_new_tokens,
            early_verdict=False,
            temperature=0.0,
        )

    def _output(self, completion: Completion, num_asked: int) -> ModelOutput:
        content = content_of(completion.text, completion.thinking)
        message = ChatMessageAssistant(content=content, model=self.model_name, source="generate")
        num_tokens = len(completion.token_ids)
        return ModelOutput(
            model=self.model_name,
            choices=[ChatCompletionChoice(message=message, stop_reason=STOP_REASONS[completion.finish_reason])],
            usage=ModelUsage(
                input_tokens=num_asked,
                output_tokens=num_tokens,
                total_tokens=num_asked + num_tokens,
                reasoning_tokens=completion.num_thinking_tokens,
            ),
        )
