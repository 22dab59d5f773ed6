"""A judge behind an OpenAI-compatible chat endpoint: vLLM, a gateway, or a provider."""

import asyncio
import os
from collections.abc import Sequence
from typing import Any

from landscape_ray.errors import ConfigError, GenerationError, LandscapeError, ResourceError, TransientError
from landscape_ray.evaluation import Verdict
from landscape_ray.evaluation.guards import rendered
from landscape_ray.evaluation.judge_config import EndpointJudgeConfig, reader_of
from landscape_ray.evaluation.judging import Exchange, Judgment, Receive
from landscape_ray.transience import is_transient

__all__ = ["EndpointJudge"]

MAX_ERROR_CHARS = 300
REFUSED_REQUEST = (400, 413, 422)
"""The endpoint will not take this request: too long for its context, or filtered."""
WRONG_REQUEST = (401, 403, 404)
"""The endpoint will take no request of this kind."""


class EndpointJudge:
    """Sends each exchange as a request of its own, several at a time."""

    def __init__(self, config: EndpointJudgeConfig) -> None:
        """Read the key from the environment.

        Raises:
            ConfigError: The variable is not set.
            ResourceError: The client is not installed.
        """
        try:
            import openai  # noqa: PLC0415 - comes with vLLM; needed by this judge only
        except ImportError as error:
            msg = "Judges behind an endpoint need the package openai: install landscape-ray[endpoint]."
            raise ResourceError(msg) from error
        self._openai = openai
        self._config = config
        self._key = api_key(config)
        self._read = reader_of(config)
        self.judged_with = config.model
        # What the endpoint may call the bound on tokens; one name, once it took a question with it.
        names: tuple[str, ...] = ("max_completion_tokens", "max_tokens")
        self._bounds = names if config.max_tokens_parameter == "auto" else (config.max_tokens_parameter,)

    def judge(self, exchanges: Sequence[Exchange], receive: Receive) -> None:
        """Judge each exchange; requests that the endpoint refuses one by one are unscored, and say why.

        Raises:
            ConfigError: The endpoint refuses the key or the model.
            TransientError: It could not be reached, or failed, even after retries.
            GenerationError: What it replied is no reply.
        """
        asyncio.run(self._judge_all(exchanges, receive))

    def close(self) -> None:
        """Nothing is held."""

    async def _judge_all(self, exchanges: Sequence[Exchange], receive: Receive) -> None:
        room = asyncio.Semaphore(self._config.concurrency)
        # An explicit key, so that the client looks for none of its own in the environment.
        async with self._openai.AsyncOpenAI(
            api_key=self._key or "none",
            base_url=self._config.base_url,
            timeout=self._config.timeout_s,
            max_retries=self._config.max_retries,
        ) as client:

            async def ask(place: int, exchange: Exchange) -> None:
                async with room:
                    judgment = await self._ask(client, exchange)
                receive(place, judgment)

            asking = [asyncio.create_task(ask(place, exchange)) for place, exchange in enumerate(exchanges)]
            try:
                await asyncio.gather(*asking)
            except LandscapeError:
                # The part fails as a whole; what is still waiting need not be asked.
                for task in asking:
                    task.cancel()
                await asyncio.gather(*asking, return_exceptions=True)
                raise

    async def _ask(self, client: Any, exchange: Exchange) -> Judgment:
        config = self._config
        try:
            reply = await self._reply(client, exchange)
            answer = reply.choices[0].message.content
            self.judged_with = str(reply.model or config.model)[:200]
        except self._openai.APIStatusError as error:
            reason = f"HTTP {error.status_code}: {self._scrubbed(error)}"
            if error.status_code in REFUSED_REQUEST:
                return Judgment(verdict=Verdict.UNSCORED, answer=None, refusal=reason)
            if error.status_code in WRONG_REQUEST:
                msg = f"{self._name} refuses the request: {reason}. Check base_url, model and api_key_variable."
                raise ConfigError(msg) from None
            msg = f"{self._name} failed: {reason}"
            raise (TransientError if is_transient(error) else GenerationError)(msg) from None
        except self._openai.APIConnectionError as error:  # time-outs included
            msg = f"{self._name} does not answer: {type(error).__name__}: {self._scrubbed(error)}"
            raise TransientError(msg) from None
        except (self._openai.OpenAIError, ValueError, LookupError, AttributeError, TypeError) as error:
            # What came back is no reply of this interface.
            msg = f"{self._name} gave no usable reply: {type(error).__name__}: {self._scrubbed(error)}"
            raise GenerationError(msg) from None
        if not isinstance(answer, str):
            return Judgment(verdict=Verdict.UNSCORED, answer=None)
        return Judgment(verdict=self._read(answer), answer=answer)

    async def _reply(self, client: Any, exchange: Exchange) -> Any:
        """Return the endpoint's reply; where it refuses a question, the other name of the bound is tried once."""
        bound, *others = self._bounds
        try:
            reply = await self._request(client, exchange, bound)
        except self._openai.APIStatusError as error:
            if not others or error.status_code not in REFUSED_REQUEST:
                raise
            (bound,) = others
            reply = await self._request(client, exchange, bound)
        self._bounds = (bound,)
        return reply

    async def _request(self, client: Any, exchange: Exchange, bound: str) -> Any:
        config = self._config
        optional = {} if config.temperature is None else {"temperature": config.temperature}
        return await client.chat.completions.create(
            model=config.model,
            messages=self._messages(exchange),
            **{bound: config.max_new_tokens},
            **optional,
        )

    def _messages(self, exchange: Exchange) -> list[dict[str, str]]:
        if self._config.format == "llama-guard-3":
            return [
                {"role": "user", "content": exchange.prompt},
                {"role": "assistant", "content": exchange.answer},
            ]
        return [{"role": "user", "content": rendered(self._config.template or "", exchange)}]

    @property
    def _name(self) -> str:
        return f"The judge {self._config.model} at {self._config.base_url}"

    def _scrubbed(self, error: Exception) -> str:
        """Return an error in one short line without the key, which some endpoints repeat."""
        text = " ".join(str(error).split())
        return (text.replace(self._key, "***") if self._key else text)[:MAX_ERROR_CHARS]


def api_key(config: EndpointJudgeConfig) -> str | None:
    """Return the key from the variable that a judge names, or None if it names none.

    Raises:
        ConfigError: The variable is not set.
    """
    if config.api_key_variable is None:
        return None
    key = os.environ.get(config.api_key_variable, "").strip()
    if not key:
        msg = (
            f"The judge {config.name!r} takes its key from the environment variable {config.api_key_variable}, which "
            "is not set. Set it where this command runs."
        )
        raise ConfigError(msg)
    return key
