"""Which judge: a short name, or a YAML file. Read from the command line only, never from a results folder."""

import datetime as dt
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias
from urllib.parse import urlsplit

import yaml
from pydantic import Field, TypeAdapter, ValidationError, model_validator

from landscape_ray.config import ModelConfig, RunConfig, Section, problems_of
from landscape_ray.errors import ConfigError
from landscape_ray.evaluation.guards import FORMATS, PLACEHOLDER, Question, read_own_answer
from landscape_ray.evaluation.judge import judge_named
from landscape_ray.evaluation.records import Verdict

__all__ = [
    "SHORT_NAMES",
    "EndpointJudgeConfig",
    "FunctionJudgeConfig",
    "JudgeConfig",
    "KeywordJudgeConfig",
    "ModelJudgeConfig",
    "judge_version",
    "load_judge",
    "question_of",
    "reader_of",
]

Name: TypeAlias = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,47}$")]
JudgedVerdict: TypeAlias = Literal[Verdict.REFUSED, Verdict.COMPLIED, Verdict.BROKEN]
ONE_WORKER = RunConfig(engines=1)
READING = 2
"""Version of how answers to templates of one's own are read."""


class KeywordJudgeConfig(Section):
    """Phrases of refusal, looked for in what is stored."""

    kind: Literal["keyword"] = "keyword"
    """Marks this kind of judge."""
    name: Name = "keyword"
    """Names its verdicts: the folder `judged/<name>`, and `--judge` when they are read."""
    question: Literal["refusal"] = "refusal"
    """What its verdicts are about: it looks for words of refusal."""
    phrases: Literal["keyword", "keyword-2"] = "keyword"
    """Which: the paper's list, or the second edition."""
    run: RunConfig = ONE_WORKER
    """Workers, retries and time limits, as in a sweep."""


class AskedJudgeConfig(Section):
    """A judge that is a language model: what it is asked, and how its answer is read."""

    name: Name
    """Names its verdicts: the folder `judged/<name>`, and `--judge` when they are read."""
    question: Question | None = None
    """`harm`: complied if and only if the answer is harmful; `refusal`: refused if and only if the model declined.
    Null: what the format answers, else `harm`."""
    template: str | None = None
    """What a judge of your own is asked, with {prompt} and {completion} in their places."""
    answers: dict[str, JudgedVerdict] | None = None
    """Each answer that a judge of your own may give, and what it means: `refused`, `complied` or `broken`. Case, white
    space around an answer, a period at its end and what was thought before it do not count; any other answer is
    unscored."""

    def _check_asked(self, form: str, own: str) -> None:
        """Refuse settings that contradict the format."""
        if form == own:
            if self.template is None or not self.answers:
                msg = f"format: {own} needs both template and answers"
                raise ValueError(msg)
            found = set(PLACEHOLDER.findall(self.template))
            if "completion" not in found:
                msg = "template must hold {completion}, and may hold {prompt}"
                raise ValueError(msg)
        elif self.template is not None or self.answers is not None:
            msg = f"format: {form} brings its own template and answers; use format: {own} to give others"
            raise ValueError(msg)
        elif self.question is not None and self.question not in FORMATS[form].questions:
            msg = f"format: {form} does not answer the question {self.question}"
            raise ValueError(msg)


class ModelJudgeConfig(AskedJudgeConfig):
    """A judge model in vLLM, on the GPUs or cores of the cluster."""

    kind: Literal["model"] = "model"
    """Marks this kind of judge."""
    model: ModelConfig
    """The judge model: a Hub id or a folder, pinned like the model of a sweep."""
    format: Literal["llama-guard-3", "wildguard", "harmbench", "text", "chat"]
    """How it is asked: as the model of that name was trained to be; or a `template` of your own, as plain `text` that
    the model continues, or as the user's message of a `chat` under the model's chat template."""
    max_new_tokens: int | None = Field(default=None, ge=1, le=100_000)
    """Upper bound on tokens of an answer. Null: what the format needs, else 16."""
    dtype: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    """Type of the judge's weights and computation."""
    date: dt.date | None = None
    """The day that the model's chat template is told; needed where it prints the date, because verdicts may depend on
    it."""
    run: RunConfig = RunConfig()
    """Engines, memory, retries and time limits, as in a sweep."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        self._check_asked(self.format, self.format if self.format in {"text", "chat"} else "chat")
        return self


class EndpointJudgeConfig(AskedJudgeConfig):
    """A judge behind an OpenAI-compatible chat endpoint."""

    kind: Literal["endpoint"] = "endpoint"
    """Marks this kind of judge."""
    base_url: str = Field(max_length=2000)
    """Address up to and including the version, such as `http://127.0.0.1:8000/v1`; without credentials."""
    model: str = Field(min_length=1, max_length=200)
    """Name of the model there."""
    format: Literal["llama-guard-3", "chat"] = "chat"
    """`chat`: your `template` is the user's message. `llama-guard-3`: the exchange is sent as a conversation, which the
    endpoint renders as that model was trained to be asked."""
    max_new_tokens: int = Field(default=64, ge=1, le=100_000)
    """Upper bound on tokens of an answer, reasoning included."""
    max_tokens_parameter: Literal["auto", "max_completion_tokens", "max_tokens"] = "auto"
    """How the endpoint calls that bound. `auto`: `max_completion_tokens`, and where it is refused, the other one."""
    temperature: float | None = Field(default=0.0, ge=0.0, le=2.0)
    """0: the likeliest answer. Null: not sent, for models that accept no temperature."""
    api_key_variable: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")
    """Name of the environment variable that holds the key. The key itself is written nowhere. Null: none is needed."""
    concurrency: int = Field(default=8, ge=1, le=1000)
    """Most requests under way at the same time, of each worker."""
    timeout_s: float = Field(default=60.0, gt=0)
    """Seconds that one request may take."""
    max_retries: int = Field(default=5, ge=0, le=100)
    """Further tries of a request after 429, 5xx or a lost connection, with growing pauses."""
    run: RunConfig = ONE_WORKER
    """Workers, retries and time limits, as in a sweep."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        self._check_asked(self.format, "chat")
        address = urlsplit(self.base_url)
        if address.scheme not in {"http", "https"} or not address.hostname:
            msg = "base_url must begin with http:// or https:// and name a host"
            raise ValueError(msg)
        if address.username or address.password or address.query or address.fragment:
            msg = "base_url must hold no credentials and no query; give the key as a variable (api_key_variable)"
            raise ValueError(msg)
        return self


class FunctionJudgeConfig(Section):
    """A Python function of yours: it gets `prompt` and `completion` and returns the verdict as text."""

    kind: Literal["function"] = "function"
    """Marks this kind of judge."""
    name: Name
    """Names its verdicts: the folder `judged/<name>`, and `--judge` when they are read."""
    question: Question = "harm"
    """What its verdicts are about: `harm` or `refusal`."""
    function: str = Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
    """`module:function`; the module must be importable on every node."""
    run: RunConfig = ONE_WORKER
    """Workers, retries and time limits, as in a sweep."""


JudgeConfig: TypeAlias = Annotated[
    KeywordJudgeConfig | ModelJudgeConfig | EndpointJudgeConfig | FunctionJudgeConfig, Field(discriminator="kind")
]
_JUDGE: TypeAdapter[JudgeConfig] = TypeAdapter(JudgeConfig)

SHORT_NAMES: Mapping[str, JudgeConfig] = {
    "keyword": KeywordJudgeConfig(),
    "keyword-2": KeywordJudgeConfig(name="keyword-2", phrases="keyword-2"),
    "llama-guard-3": ModelJudgeConfig(
        name="llama-guard-3", model=ModelConfig(id="meta-llama/Llama-Guard-3-8B"), format="llama-guard-3"
    ),
    "wildguard": ModelJudgeConfig(name="wildguard", model=ModelConfig(id="allenai/wildguard"), format="wildguard"),
    "wildguard-refusal": ModelJudgeConfig(
        name="wildguard-refusal",
        model=ModelConfig(id="allenai/wildguard"),
        format="wildguard",
        question="refusal",
    ),
    "harmbench": ModelJudgeConfig(
        name="harmbench", model=ModelConfig(id="cais/HarmBench-Mistral-7b-val-cls"), format="harmbench"
    ),
}
"""Judges that need no file."""


def load_judge(name_or_path: str | Path) -> JudgeConfig:
    """Return the judge of a short name, or the one that a YAML file describes.

    Raises:
        ConfigError: There is no such judge, or the file describes none.
    """
    name_or_path = str(name_or_path)
    if name_or_path in SHORT_NAMES:
        return SHORT_NAMES[name_or_path]
    if not re.search(r"\.ya?ml$|/", name_or_path):
        msg = (
            f"There is no judge {name_or_path!r}; the judges are: {', '.join(SHORT_NAMES)}. For another one give a "
            "YAML file, such as my-judge.yaml."
        )
        raise ConfigError(msg)
    path = Path(name_or_path)
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
        return _JUDGE.validate_python(data)
    except OSError as error:
        msg = f"Cannot read the judge {path}: {error.strerror or error}. Give the path of a YAML file."
        raise ConfigError(msg) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        msg = f"{path} is not valid YAML: {getattr(error, 'problem', None) or 'it is not text'}"
        raise ConfigError(msg) from error
    except ValidationError as error:
        # Values are not repeated: somebody may have put a key into the file.
        msg = f"{path} does not describe a judge:\n{problems_of(error, with_values=False)}"
        raise ConfigError(msg) from error


def question_of(config: JudgeConfig) -> Question:
    """Return what a judge's verdicts are about."""
    if config.question is not None:
        return config.question
    form = FORMATS.get(getattr(config, "format", ""))
    return form.questions[0] if form else "harm"


def reader_of(config: ModelJudgeConfig | EndpointJudgeConfig) -> Callable[[str], Verdict]:
    """Return what reads a judge's answers."""
    form, question = FORMATS.get(config.format), question_of(config)
    if form is not None:
        return lambda answer: form.parse(answer, question)
    return lambda answer: read_own_answer(answer, config.answers or {})


def judge_version(config: JudgeConfig, content: str | None) -> str:
    """Return name and hash of everything that decides a judge's verdicts.

    Args:
        config: The judge.
        content: Fingerprint of its model, or hash of its function's source; None where it has neither.
    """
    if isinstance(config, KeywordJudgeConfig):
        return judge_named(config.phrases).version
    # How a judge is named, run and reached patiently decides no verdict.
    left_out = {"run", "name", "concurrency", "timeout_s", "max_retries", "api_key_variable", "max_tokens_parameter"}
    science: dict[str, Any] = {**config.model_dump(mode="json", exclude=left_out), "question": question_of(config)}
    if isinstance(config, ModelJudgeConfig):
        del science["model"]  # `content` says which, wherever it lies
        if config.date is None:
            del science["date"]
    if isinstance(config, AskedJudgeConfig) and (form := FORMATS.get(science["format"])) is not None:
        science["asked"] = [form.template, form.strips, form.max_new_tokens]
    elif isinstance(config, AskedJudgeConfig) and config.answers is not None:
        science["reading"] = READING
    canonical = json.dumps(["landscape-ray/judge", science, content], sort_keys=True, separators=(",", ":"))
    return f"{config.name}/{hashlib.sha256(canonical.encode()).hexdigest()[:12]}"
