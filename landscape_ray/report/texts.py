"""Prompts and answers for the page: as many as fit, compressed, evenly chosen where not all do.

A block is deflated JSON in base64, which a browser takes apart without any library when somebody asks for it.
"""

import base64
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from landscape_ray.report.results import Results
from landscape_ray.store import ResultStore

__all__ = ["MAX_TEXT_BYTES", "Texts", "load_texts"]

MAX_TEXT_BYTES = 12 << 20
"""Most that all blocks of a page may take. A browser reads this much base64 in a fraction of a second."""
MIN_PROMPTS = 8
"""Below so many prompts per point, points are left out instead."""
NUM_PROBED = 24
"""Points whose texts are compressed to find out how much is to be expected."""

SHOWN = ("prompt_index", "prompt_id", "prompt", "prefill", "completion", "verdict", "num_tokens", "finish_reason")
COLUMNS = (*SHOWN, "thinking", "num_thinking_tokens")


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """The prompts of one benchmark, and what was answered at points of the plan."""

    prompts: str
    """Block with `[[index, id, text], ...]`, the prompts that are shown.

    One whose answer is begun with a prefill has `[..., prefill]`, too. A prompt stands here once for each answer that
    is drawn to it, and the id says which.
    """
    answers: dict[int, str]
    """Block by place in the plan, with `[[text, verdict, tokens, finish reason], ...]` in the order of the prompts.

    An answer that was thought about before has `[..., thinking, tokens of it]`, too.
    """
    num_prompts: int
    """Prompts of the benchmark; all are shown unless they do not fit."""
    num_prompts_shown: int
    """Prompts whose answers are here."""
    num_points: int
    """Points that were measured."""


def load_texts(store: ResultStore, results: Results, *, max_bytes: int = MAX_TEXT_BYTES) -> dict[str, Texts]:
    """Return prompts and answers by benchmark, in no more than so many bytes together.

    If not all fit, every point shows the same prompts, evenly chosen from all; if these would be too few, only every
    so many points have any. The same results give the same choice.

    Raises:
        OutputError: The results cannot be read.
    """
    share = max_bytes // max(len(results.landscapes), 1)
    return {
        name: _texts(store, results.keys[name], share, num_samples=landscape.num_samples)
        for name, landscape in results.landscapes.items()
    }


def _texts(store: ResultStore, keys: Sequence[str], max_bytes: int, *, num_samples: int) -> Texts:
    done = store.parts()
    places = [place for place, key in enumerate(keys) if key in done]
    if not places:
        return Texts(prompts=_block([]), answers={}, num_prompts=0, num_prompts_shown=0, num_points=0)
    num_prompts = done[keys[places[0]]].num_rows // num_samples
    probed = [len(_answers(rows, None)) for _, rows in _read(store, keys, _evenly(places, NUM_PROBED))]
    bytes_per_answer = sum(probed) / max(len(probed), 1) / num_prompts
    num_answers = int(max_bytes / max(bytes_per_answer, 1.0))
    num_shown = min(num_prompts, max(num_answers // len(places), MIN_PROMPTS))
    shown = set(_evenly(range(num_prompts), num_shown))
    chosen = _evenly(places, max(num_answers // num_shown, 1))

    prompts: list[list[Any]] = []
    answers: dict[int, str] = {}
    num_bytes = 0
    for place, rows in _read(store, keys, chosen):
        if not prompts:
            prompts = [_named(row, number, num_samples) for number, row in enumerate(rows) if row[0] in shown]
        block = _answers(rows, shown)
        num_bytes += len(block)
        if answers and num_bytes > max_bytes:
            break  # the points that were probed had shorter texts
        answers[place] = block
    return Texts(
        prompts=_block(prompts),
        answers=answers,
        num_prompts=num_prompts,
        num_prompts_shown=num_shown,
        num_points=len(places),
    )


def _read(store: ResultStore, keys: Sequence[str], places: list[int]) -> Iterator[tuple[int, list[list[Any]]]]:
    """Yield the rows of points in the order of the prompts, each as a list of `SHOWN`, or `COLUMNS` with thinking."""
    number = {keys[place]: place for place in places}
    for key, columns in store.columns_by_part(list(number), COLUMNS):
        rows = zip(*(columns[name].tolist() for name in COLUMNS), strict=True)
        yield number[key], sorted(map(_with_or_without_thinking, rows), key=lambda row: row[0])


def _named(row: list[Any], number: int, num_samples: int) -> list[Any]:
    """Return the prompt of a row, by its number among all rows of a point."""
    index, prompt_id, prompt, prefill, *_ = row
    which = "" if num_samples == 1 else f", answer {number % num_samples + 1} of {num_samples}"
    return [index, f"{prompt_id}{which}", prompt, *filter(None, [prefill])]


def _with_or_without_thinking(row: tuple[Any, ...]) -> list[Any]:
    *shown, thinking, num_tokens = row
    return shown if thinking is None else [*shown, thinking, int(num_tokens)]


def _answers(rows: list[list[Any]], shown: set[int] | None) -> str:
    return _block([row[4:] for row in rows if shown is None or row[0] in shown])


def _block(content: list[Any]) -> str:
    packed = zlib.compress(json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace"), 9)
    return base64.b64encode(packed).decode()


def _evenly(values: list[int] | range, num: int) -> list[int]:
    """Return so many of the values, evenly spaced, first and last included; all if there are fewer."""
    if num >= len(values):
        return list(values)
    return [values[i] for i in np.linspace(0, len(values) - 1, num).round().astype(int)]
