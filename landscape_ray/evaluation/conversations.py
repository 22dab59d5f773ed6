"""Prompts of several turns: read from a cell and checked, and written as one text that people and judges can read."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from landscape_ray.errors import BenchmarkError
from landscape_ray.evaluation.benchmark import Turn

__all__ = ["as_text", "turns_in"]

ROLES = ("system", "user", "assistant")
INDENT = "    "
SHAPE = 'give a list such as [{"role": "user", "content": "Hello"}], in a CSV file as JSON'


def turns_in(cell: Any, *, has_system: bool = False) -> tuple[Turn, ...]:
    """Return the conversation in a cell.

    Args:
        cell: A list of messages, or JSON text of one.
        has_system: Whether the benchmark gives a system message, so that the conversation can have none of its own.

    Raises:
        BenchmarkError: It is none, or does not end with what a user says, or has a second system message.
    """
    messages = cell
    if isinstance(cell, str):
        try:
            messages = json.loads(cell)
        except json.JSONDecodeError as error:
            msg = f"{cell[:40]!r} is no JSON ({error.msg}), so no conversation; {SHAPE}"
            raise BenchmarkError(msg) from error
    if not isinstance(messages, list) or not messages:
        msg = f"{str(messages)[:40]!r} is no conversation; {SHAPE}"
        raise BenchmarkError(msg)
    turns = tuple(_turn(message, place) for place, message in enumerate(messages, start=1))
    if turns[-1].role != "user":
        msg = (
            f"the conversation ends with the role {turns[-1].role!r}; the last message must be of the role 'user', "
            "which the model answers. The beginning of its answer is given as prefill"
        )
        raise BenchmarkError(msg)
    if has_system and any(turn.role == "system" for turn in turns):
        msg = "the conversation has a system message of its own, and system_prompt gives another; give one of them"
        raise BenchmarkError(msg)
    return turns


def _turn(message: Any, place: int) -> Turn:
    # Parquet gives every message all fields that any has.
    fields = {k: v for k, v in message.items() if v is not None} if isinstance(message, Mapping) else {}
    if fields.keys() != {"role", "content"}:
        msg = f"message {place} is {str(message)[:60]!r}; a message has a role and a content and nothing else"
        raise BenchmarkError(msg)
    role, content = fields["role"], fields["content"]
    if role not in ROLES:
        msg = f"message {place} has the role {str(role)[:40]!r}; roles are {', '.join(ROLES)}"
        raise BenchmarkError(msg)
    if not isinstance(content, str) or not content.strip():
        msg = f"message {place} has the content {str(content)[:40]!r}; give a text that is not empty"
        raise BenchmarkError(msg)
    return Turn(role=role, content=content)


def as_text(turns: Sequence[Turn]) -> str:
    """Return a conversation as `role: content`, turn by turn; further lines of a content are indented.

    So a line that is not indented begins a turn, whatever contents say, and different conversations differ.
    """
    return "\n".join(f"{turn.role}: {turn.content}".replace("\n", f"\n{INDENT}") for turn in turns)
