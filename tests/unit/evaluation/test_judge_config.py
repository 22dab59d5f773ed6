"""Which judge: short names, files, what is refused, and what makes a judge another one."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from landscape_ray.config import RunConfig
from landscape_ray.errors import ConfigError
from landscape_ray.evaluation import Verdict
from landscape_ray.evaluation.judge_config import (
    SHORT_NAMES,
    EndpointJudgeConfig,
    JudgeConfig,
    ModelJudgeConfig,
    judge_version,
    load_judge,
    question_of,
    reader_of,
)

ENDPOINT: dict[str, Any] = {
    "kind": "endpoint",
    "name": "mine",
    "base_url": "http://127.0.0.1:1/v1",
    "model": "m",
    "template": "{prompt} -> {completion}?",
    "answers": {"yes": "complied", "no": "refused"},
}
MODEL: dict[str, Any] = {"kind": "model", "name": "guard", "model": {"id": "a/b"}, "format": "wildguard"}
FUNCTION: dict[str, Any] = {"kind": "function", "name": "mine", "function": "module:function"}


def load(tmp_path: Path, data: object) -> JudgeConfig:
    path = tmp_path / "judge.yaml"
    path.write_text(data if isinstance(data, str) else yaml.safe_dump(data), encoding="utf-8")
    return load_judge(str(path))


def test_short_names_are_their_own() -> None:
    assert {name: load_judge(name).name for name in SHORT_NAMES} == {name: name for name in SHORT_NAMES}
    questions = {name: question_of(judge) for name, judge in SHORT_NAMES.items()}
    assert questions == {
        "keyword": "refusal",
        "keyword-2": "refusal",
        "llama-guard-3": "harm",
        "wildguard": "harm",
        "wildguard-refusal": "refusal",
        "harmbench": "harm",
    }


def test_a_file_describes_a_judge(tmp_path: Path) -> None:
    judge = load(tmp_path, ENDPOINT)
    assert isinstance(judge, EndpointJudgeConfig)
    assert (judge.run.engines, judge.concurrency, question_of(judge)) == (1, 8, "harm")
    assert [reader_of(judge)(answer) for answer in ("YES", "no ", "?")] == [
        Verdict.COMPLIED,
        Verdict.REFUSED,
        Verdict.UNSCORED,
    ]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({**ENDPOINT, "api_key": "S3cr3t"}, "unknown key 'api_key'"),
        ({**ENDPOINT, "base_url": "http://user:S3cr3t@host/v1"}, "no credentials"),
        ({**ENDPOINT, "base_url": "http://host/v1?key=S3cr3t"}, "no credentials"),
        ({**ENDPOINT, "base_url": "file:///S3cr3t"}, "http://"),
        ({**ENDPOINT, "api_key_variable": "sk-S3cr3t"}, "api_key_variable"),
        ({**ENDPOINT, "template": "only {prompt}"}, "must hold {completion}"),
        ({**ENDPOINT, "answers": {"yes": "harmful"}}, "answers.yes"),
        ({**ENDPOINT, "answers": {}}, "needs both template and answers"),
        (
            {**ENDPOINT, "answers": {True: "complied"}},
            "YAML takes for a bool; write text that looks like one in quotes",
        ),
        ({**ENDPOINT, "format": "llama-guard-3"}, "brings its own"),
        ({**ENDPOINT, "format": "wildguard"}, "format"),
        ({**MODEL, "format": "harmbench", "question": "refusal"}, "does not answer the question refusal"),
        ({**MODEL, "template": "{completion}"}, "brings its own"),
        ({**MODEL, "format": "chat"}, "needs both template and answers"),
        ({**MODEL, "name": "../up"}, "name"),
        ({**FUNCTION, "function": "os.system"}, "function"),
        ({"kind": "keyword", "question": "harm"}, "question"),
        ({"kind": "magic"}, "magic"),
        ([1, 2], "judge"),
        ("a: [S3cr3t", "not valid YAML"),
        ("!!python/object/apply:os.system ['true']", "not valid YAML"),
    ],
)
def test_what_is_no_judge_is_refused_without_repeating_values(tmp_path: Path, data: object, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(tmp_path, data)
    assert message in str(refused.value)
    assert "S3cr3t" not in str(refused.value)


@pytest.mark.parametrize("name", ["nobody", "keyword2", ""])
def test_a_name_that_is_none_lists_those_that_are(name: str) -> None:
    with pytest.raises(ConfigError, match="keyword, keyword-2, llama-guard-3, wildguard, wildguard-refusal, harmbench"):
        load_judge(name)


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match=r"Cannot read the judge gone\.yaml"):
        load_judge("gone.yaml")


def test_a_version_changes_with_what_decides_verdicts_and_with_nothing_else() -> None:
    judge = EndpointJudgeConfig.model_validate(ENDPOINT)
    same: list[dict[str, Any]] = [
        {"concurrency": 2},
        {"timeout_s": 1.0},
        {"max_retries": 0},
        {"api_key_variable": "KEY"},
        {"run": RunConfig(engines=3)},
        {"question": "harm"},
    ]
    assert {judge_version(judge.model_copy(update=update), None) for update in same} == {judge_version(judge, None)}
    others: list[dict[str, Any]] = [
        {"base_url": "http://127.0.0.1:2/v1"},
        {"model": "n"},
        {"template": "{completion}"},
        {"answers": {"yes": Verdict.COMPLIED}},
        {"temperature": None},
        {"max_new_tokens": 65},
        {"question": "refusal"},
    ]
    versions = [judge_version(judge.model_copy(update=update), None) for update in others]
    assert len({judge_version(judge, None), *versions}) == 1 + len(others)


def test_a_model_judge_is_its_content_wherever_it_lies() -> None:
    judge = ModelJudgeConfig.model_validate(MODEL)
    moved = ModelJudgeConfig.model_validate({**MODEL, "model": {"id": "/elsewhere"}})
    assert judge_version(judge, "folder:1") == judge_version(moved, "folder:1") != judge_version(judge, "folder:2")
    assert judge_version(judge, "folder:1") != judge_version(
        ModelJudgeConfig.model_validate({**MODEL, "question": "refusal"}), "folder:1"
    )
    assert judge_version(SHORT_NAMES["keyword"], None) == "keyword/1"
