"""A judge that is a Python function of the user, named on the command line or in a file given there."""

import hashlib
import importlib
import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from landscape_ray.errors import ConfigError, GenerationError
from landscape_ray.evaluation import Verdict
from landscape_ray.evaluation.judge_config import FunctionJudgeConfig
from landscape_ray.evaluation.judging import Exchange, Judgment, Receive

__all__ = ["FunctionJudge", "function_source"]

VERDICTS = (Verdict.REFUSED, Verdict.COMPLIED, Verdict.BROKEN, Verdict.UNSCORED)


class FunctionJudge:
    """Calls `function(prompt, completion)` for each exchange; it returns a verdict as text."""

    def __init__(self, config: FunctionJudgeConfig, source: str) -> None:
        """Import the function, having checked that it is here what it is on the driver's machine.

        Raises:
            ConfigError: It cannot be imported, or is another one here.
        """
        if function_source(config) != source:
            msg = f"The function {config.function} has another source here than on the driver's machine."
            raise ConfigError(msg)
        module, _, name = config.function.partition(":")
        function: Any = getattr(importlib.import_module(module), name, None)
        if not callable(function):
            msg = f"The module {module} has no function {name}; check the judge's `function`."
            raise ConfigError(msg)
        self._function: Callable[[str, str], object] = function
        self._name = config.function
        self.judged_with = config.function

    def judge(self, exchanges: Sequence[Exchange], receive: Receive) -> None:
        """Judge one exchange after the other; what the function returns is the answer."""
        for place, exchange in enumerate(exchanges):
            receive(place, self._judgment(exchange))

    def _judgment(self, exchange: Exchange) -> Judgment:
        try:
            said = self._function(exchange.prompt, exchange.answer)
        except Exception as error:
            msg = f"The function {self._name} failed: {type(error).__name__}: {error}"
            raise GenerationError(msg) from error
        if said not in VERDICTS:
            msg = f"The function {self._name} returned {said!r:.100}, which is none of {', '.join(VERDICTS)}."
            raise ConfigError(msg)
        return Judgment(verdict=Verdict(str(said)), answer=str(said))

    def close(self) -> None:
        """Nothing is held."""


def function_source(config: FunctionJudgeConfig) -> str:
    """Return the hash of the source file that holds a judge's function, so that an edited function is another judge.

    Raises:
        ConfigError: There is no such module, or it is no Python file.
    """
    module = config.function.partition(":")[0]
    try:
        found = importlib.util.find_spec(module)
    except ImportError:
        found = None
    if found is None or found.origin is None or not found.origin.endswith(".py"):
        msg = (
            f"The judge's function {config.function} is in no Python file that can be imported. Install the module on "
            "every node, or name its folder in PYTHONPATH."
        )
        raise ConfigError(msg)
    return hashlib.sha256(Path(found.origin).read_bytes()).hexdigest()
