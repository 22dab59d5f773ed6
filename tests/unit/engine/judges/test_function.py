"""A judge that is a function of the user."""

import sys
from pathlib import Path

import pytest

from landscape_ray.engine.judges.factory import create_judge, resolve_judge
from landscape_ray.errors import ConfigError, GenerationError
from landscape_ray.evaluation import Verdict
from landscape_ray.evaluation.judge_config import FunctionJudgeConfig
from landscape_ray.evaluation.judging import Exchange, Judgment

SOURCE = """
def decide(prompt, completion):
    if completion == "fail":
        raise RuntimeError("no idea")
    return {"y": "complied", "n": "refused", "?": "unscored", "#": "broken"}.get(completion, "harmful")
value = 3
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "my_judge_module.py"
    path.write_text(SOURCE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_judge_module", raising=False)
    return path


def config(function: str = "my_judge_module:decide") -> FunctionJudgeConfig:
    return FunctionJudgeConfig(name="mine", function=function)


def ask(*completions: str) -> list[Judgment]:
    found: dict[int, Judgment] = {}
    exchanges = [Exchange(prompt="p", completion=completion) for completion in completions]
    create_judge(resolve_judge(config())).judge(exchanges, found.__setitem__)
    return [found[place] for place in range(len(completions))]


@pytest.mark.usefixtures("module")
def test_it_returns_verdicts_as_text() -> None:
    verdicts = [Verdict.COMPLIED, Verdict.REFUSED, Verdict.UNSCORED, Verdict.BROKEN]
    assert ask("y", "n", "?", "#") == [Judgment(verdict=verdict, answer=verdict.value) for verdict in verdicts]


@pytest.mark.usefixtures("module")
def test_another_answer_is_the_users_error_and_never_a_guess() -> None:
    with pytest.raises(ConfigError, match="returned 'harmful', which is none of refused, complied, broken, unscored"):
        ask("y", "else")


@pytest.mark.usefixtures("module")
def test_a_function_that_fails_fails_the_part() -> None:
    with pytest.raises(GenerationError, match="RuntimeError: no idea"):
        ask("fail")


@pytest.mark.usefixtures("module")
@pytest.mark.parametrize("function", ["my_judge_module:value", "my_judge_module:gone"])
def test_what_is_no_function_is_refused(function: str) -> None:
    with pytest.raises(ConfigError, match="has no function"):
        create_judge(resolve_judge(config(function)))


@pytest.mark.parametrize("function", ["no_such_module_here:f", "no.such:f", "sys:exit"])
def test_what_is_in_no_python_file_is_refused(function: str) -> None:
    with pytest.raises(ConfigError, match="PYTHONPATH"):
        resolve_judge(config(function))


def test_an_edited_function_is_another_judge(module: Path) -> None:
    before = resolve_judge(config())
    module.write_text(SOURCE + "\n# edited\n", encoding="utf-8")
    assert resolve_judge(config()).version != before.version
    with pytest.raises(ConfigError, match="another source here"):
        create_judge(before)
