"""Tasks of Inspect as benchmarks, against Inspect itself: what is asked, and what the scorer says."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from inspect_ai import Task
from inspect_ai import eval as run_eval
from inspect_ai.log import EvalLog
from inspect_ai.model import ModelOutput, ModelUsage, get_model
from pydantic import ValidationError

from landscape_ray.config import BenchmarkConfig
from landscape_ray.errors import BenchmarkError, ConfigError, ResourceError
from landscape_ray.evaluation import Completion, FinishReason, Verdict, judge_of, judge_version, load_benchmark
from landscape_ray.evaluation.inspect_task import InspectTask

SOURCE = """
from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ChatMessageAssistant, ChatMessageUser, GenerateConfig
from inspect_ai.scorer import Score, accuracy, choice, includes, model_graded_qa, scorer
from inspect_ai.solver import basic_agent, generate, multiple_choice, solver, system_message, use_tools
from inspect_ai.tool import think

QUESTIONS = [
    Sample(input="Is it raining?", choices=["yes", "no"], target="B", id="rain"),
    Sample(input=[
        ChatMessageUser(content="I like tea."), ChatMessageAssistant(content="Good."), ChatMessageUser(content="Do I?")
    ], choices=["yes", "no", "maybe"], target="A", metadata={"of": "tea"}),
    Sample(input="Two of them", choices=["a", "b", "c"], target=["A", "C"]),
]

@scorer(metrics=[accuracy()])
def halves():
    async def score(state, target):
        return Score(value=0.5 if state.output.completion else 0.0)
    return score

@solver
def alone():
    async def solve(state, generate):
        return state
    return solve

@solver
def counting():
    number = iter(range(10**6))
    async def solve(state, generate):
        state.user_prompt.text = str(next(number))
        return await generate(state)
    return solve

def made(solver, scorer=includes(), samples=None, **settings):
    return Task(dataset=MemoryDataset(samples or [Sample(input="Say so", target="so")]), solver=solver, scorer=scorer,
                **settings)

@task
def questions():
    solvers = [system_message("Think of {of}.", of="it"), multiple_choice(multiple_correct=True)]
    return made(solvers, choice(), QUESTIONS)

@task
def plain():
    return made(generate(), includes(), [Sample(input="Say one", target="one"), Sample(input="Say two", target="two")])

@task
def unlike():
    return made(generate(), includes(), [Sample(input="Say one", target="1"), Sample(input="Say two", target="two")])

tooled = lambda: made([use_tools(think()), generate()])
again = lambda: made([generate(), generate()])
silent = lambda: made(alone())
agent = lambda: made(basic_agent())
dice = lambda: made(counting())
sandboxed = lambda: made(generate(), sandbox="local")
two_scorers = lambda: made(generate(), [includes(), halves()])
graded = lambda: made(generate(), model_graded_qa())
sampling = lambda: made(generate(), config=GenerateConfig(temperature=0.5))
heated = lambda: made(generate(temperature=0.5))
half = lambda: made(generate(), halves())
same_ids = lambda: made(generate(), includes(), [Sample(input="a", id=1), Sample(input="b", id="1")])
no_task = lambda: 3
"""


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tasks") / "tasks.py"
    path.write_text(SOURCE)
    return path


def completion(text: str, reason: FinishReason = FinishReason.STOP) -> Completion:
    return Completion(text=text, token_ids=(1,), finish_reason=reason)


def run_in_inspect(task: Task, answers: list[str], folder: Path) -> EvalLog:
    outputs = [ModelOutput.from_content("mockllm", answer) for answer in answers]
    for output in outputs:
        output.usage = ModelUsage()  # else a tokenizer is fetched to count tokens
    model = get_model("mockllm/model", custom_outputs=outputs)
    (log,) = run_eval(task, model=model, log_dir=str(folder), max_samples=1, max_connections=1, display="none")
    assert log.status == "success", log.error
    return log


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "answers"),
    [
        ("questions", ["ANSWER: B", "ANSWER: A", "ANSWER: A, C"]),
        ("questions", ["ANSWER: A", "I do not know.", "ANSWER: C"]),
        ("plain", ["one", "one"]),
        ("plain", ["", "TWO"]),
    ],
)
def test_a_task_asks_and_scores_as_inspect_does(name: str, answers: list[str], tasks: Path, tmp_path: Path) -> None:
    found = InspectTask(f"{tasks}@{name}", None)
    verdicts = found.verdicts([completion(answer) for answer in answers])
    log = run_in_inspect(found._task, answers, tmp_path)
    samples = sorted(log.samples or (), key=lambda sample: [str(p.id) for p in found.prompts].index(str(sample.id)))
    assert [prompt.id for prompt in found.prompts] == [str(sample.id) for sample in samples]
    asked = [[(t.role, t.content) for t in prompt.turns] or [("user", prompt.text)] for prompt in found.prompts]
    assert asked == [[(m.role, m.text) for m in sample.messages[:-1]] for sample in samples]
    scores = [next(iter((sample.scores or {}).values())).value for sample in samples]
    correct = {"C": Verdict.CORRECT, "I": Verdict.INCORRECT, "N": Verdict.INCORRECT}
    assert list(verdicts) == [correct[str(score)] for score in scores]


def test_what_was_not_answered_is_unscored(tasks: Path) -> None:
    failed = [completion("one", FinishReason.FAILED), completion("", FinishReason.PROMPT_TOO_LONG)]
    assert InspectTask(f"{tasks}@plain", None).verdicts(failed) == (Verdict.UNSCORED,) * 2


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("tooled", "its solver gives the model tools"),
        ("again", "its solver asks more than once"),
        ("silent", "its solver never asks the model"),
        ("agent", "it fails on sample 0: No model specified"),
        ("dice", "its solver does not ask the same twice"),
        ("sandboxed", "it takes a sandbox"),
        ("two_scorers", "it has 2 scorers"),
        ("graded", "it fails on sample 0: No model specified"),
        ("same_ids", "the same id"),
        ("no_task", "no function of that name that makes a Task"),
        ("missing", "no function of that name that makes a Task"),
    ],
)
def test_a_task_that_is_more_than_a_question_is_refused(
    name: str, why: str, tasks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("INSPECT_EVAL_MODEL", raising=False)
    with pytest.raises(BenchmarkError, match=rf"tasks.py@{name} cannot be run in a visit: .*({why}).*inspect eval"):
        InspectTask(f"{tasks}@{name}", None)


def test_settings_and_scores_that_cannot_be_kept_are_refused(tasks: Path) -> None:
    for name in ("sampling", "heated"):
        with pytest.raises(ConfigError, match=r"temperature is 0.5. It may be 0 only"):
            InspectTask(f"{tasks}@{name}", None)
    with pytest.raises(BenchmarkError, match=r"says 0.5 of sample 0, which is neither right nor wrong"):
        InspectTask(f"{tasks}@half", None).verdicts([completion("x")])
    for name in ("nowhere.py@plain", "no.such.module@plain"):
        with pytest.raises(BenchmarkError, match="cannot be imported"):
            InspectTask(name, None)


Configured = Callable[..., BenchmarkConfig]


@pytest.fixture
def configured(tasks: Path) -> Configured:
    def make(name: str = "plain", **keys: object) -> BenchmarkConfig:
        prompts = {"source": "inspect", "task": f"{tasks}@{name}"}
        return BenchmarkConfig.model_validate({"name": "task", "prompts": prompts, "metric": "task_accuracy", **keys})

    return make


def test_a_benchmark_holds_what_decides_its_verdicts(configured: Configured, tmp_path: Path) -> None:
    benchmark = load_benchmark(configured())
    assert benchmark.is_generated
    assert [prompt.text for prompt in benchmark.prompts] == ["Say one", "Say two"]
    assert benchmark == load_benchmark(configured())
    assert judge_version(benchmark) == benchmark.judge
    other_target = load_benchmark(configured("unlike"))
    assert (other_target.digest, other_target.judge == benchmark.judge) == (benchmark.digest, False)
    assert judge_of(benchmark).verdicts([completion("one"), completion("one")]) == (
        Verdict.CORRECT,
        Verdict.INCORRECT,
    )
    edited = tmp_path / "tasks.py"
    edited.write_text(SOURCE + "\n# edited\n")
    with pytest.raises(BenchmarkError, match=r"is inspect/\w+ here and inspect/\w+ where the sweep was begun"):
        judge_of(replace(benchmark, task=f"{edited}@plain"))
    assert len(load_benchmark(configured(limit=1)).prompts) == 1
    with pytest.raises(BenchmarkError, match=r"limit is 3, but its source holds only 2 prompts"):
        load_benchmark(configured(limit=3))


def test_keys_that_a_task_decides_are_refused(configured: Configured) -> None:
    for key, value in (("judge", "keyword-2"), ("system_prompt", "x"), ("template", "{x}"), ("prefill", "Sure")):
        with pytest.raises(ValidationError, match=f"{key} would have no effect with metric task_accuracy"):
            configured(**{key: value})
    with pytest.raises(ValidationError, match="early_verdict looks for refusals"):
        configured(decoding={"early_verdict": True})
    for keys in ({"metric": "asr"}, {"prompts": {"source": "demo"}}):
        with pytest.raises(ValidationError, match="source inspect are of metric task_accuracy, and no other prompts"):
            configured(**keys)


def test_without_inspect_it_is_said_what_to_install(configured: Configured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "inspect_ai.log", None)
    with pytest.raises(ResourceError, match=r"Install landscape-ray\[inspect\]"):
        load_benchmark(configured())
