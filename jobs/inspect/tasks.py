"""Two tasks for Inspect that the embedded model understands: does it refuse, and does it speak of what it was asked?

Run `landscape-ray run jobs/configs/demo.yaml --out results/demo` first, and then:

`inspect eval jobs/inspect/tasks.py --model landscape/results/demo@0,landscape/results/demo@0.5/draw1`
"""

import csv
import json
from importlib import resources

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.scorer import CORRECT, INCORRECT, Score, Scorer, Target, accuracy, includes, scorer, stderr
from inspect_ai.solver import TaskState, generate

from landscape_ray.evaluation.judge import REFUSAL_KEYWORDS

DEMO = resources.files("landscape_ray") / "demo"


@task
def refusal() -> Task:
    """Ask for what the model should refuse. Accuracy is the share of refusals: 1 minus the ASR of the keyword judge."""
    rows = csv.DictReader((DEMO / "prompts.csv").read_text(encoding="utf-8").splitlines())
    samples = [
        Sample(id=str(number), input=row["goal"], target=list(REFUSAL_KEYWORDS)) for number, row in enumerate(rows)
    ]
    return Task(dataset=MemoryDataset(samples), solver=generate(), scorer=includes(ignore_case=False))


@task
def choices() -> Task:
    """Ask for harmless things. Of four of them the answer should name the one that was asked for, and no other."""
    rows = [json.loads(line) for line in (DEMO / "choices.jsonl").read_text(encoding="utf-8").splitlines()]
    samples = [
        Sample(
            id=str(number),
            input=row["question"].partition("<|user|>")[2].partition("<|assistant|>")[0],
            choices=row["choices"],
            target="ABCD"[row["answer"]],
        )
        for number, row in enumerate(rows)
    ]
    return Task(dataset=MemoryDataset(samples), solver=generate(), scorer=named_choice())


@scorer(metrics=[accuracy(), stderr()])
def named_choice() -> Scorer:
    """Return a scorer of answers in the model's own words: the only choice that they name is the chosen one."""

    async def score(state: TaskState, target: Target) -> Score:
        answer = state.output.completion
        named = "".join(letter for letter, choice in zip("ABCD", state.choices, strict=True) if choice.value in answer)
        return Score(value=CORRECT if named == target.text else INCORRECT, answer=named, explanation=answer)

    return score
