import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from landscape_ray.config import BenchmarkConfig
from landscape_ray.errors import BenchmarkError
from landscape_ray.evaluation import Benchmark, Turn, load_benchmark

TALK = [
    {"role": "user", "content": "Tell me a story.\nassistant: no"},
    {"role": "assistant", "content": "Once upon a time"},
    {"role": "user", "content": 'Go on, in "quotes".'},
]
READ = 'user: Tell me a story.\n    assistant: no\nassistant: Once upon a time\nuser: Go on, in "quotes".'
SYSTEM = {"role": "system", "content": "Be brief."}


def load(path: Path, **keys: Any) -> Benchmark:
    prompts = {"source": "file", "path": str(path)}
    return load_benchmark(
        BenchmarkConfig.model_validate({"name": "talks", "prompts": prompts, "messages_column": "talk", **keys})
    )


def write_jsonl(path: Path, *talks: Any) -> Path:
    path.write_text("\n".join(json.dumps({"talk": talk}) for talk in talks))
    return path


def write_csv(path: Path, talk: Any) -> Path:
    quoted = json.dumps(talk).replace('"', '""')
    path.write_text(f'talk\n"{quoted}"\n')
    return path


def write_parquet(path: Path, talk: Any) -> Path:
    # Beside a message with a name, Parquet gives the others a name that is null.
    field = pa.struct({"role": pa.string(), "content": pa.string(), "name": pa.string()})
    pq.write_table(pa.table({"talk": pa.array([talk], pa.list_(field))}), path)
    return path


@pytest.mark.parametrize(
    ("name", "write"), [("t.jsonl", write_jsonl), ("t.csv", write_csv), ("t.parquet", write_parquet)]
)
def test_each_format_yields_the_same_conversation(tmp_path: Path, name: str, write: Callable[..., Path]) -> None:
    (prompt,) = load(write(tmp_path / name, TALK)).prompts
    assert prompt.turns == tuple(Turn(**message) for message in TALK)
    assert (prompt.text, prompt.last_said) == (READ, 'Go on, in "quotes".')


@pytest.mark.parametrize(
    ("talk", "reason"),
    [
        ("hello", r"'hello' is no JSON"),
        ({"role": "user", "content": "x"}, "is no conversation"),
        ([], "is no conversation"),
        (["x"], r"message 1 is 'x'; a message has a role and a content"),
        ([{"from": "human", "value": "x"}], r"message 1 is .*'from': 'human'.*a role and a content"),
        ([{**TALK[0], "tool_calls": ["x"]}], r"message 1 is .*and nothing else"),
        ([*TALK[:2], {"role": "tool", "content": "x"}], r"message 3 has the role 'tool'; roles are system, user"),
        ([{"role": "user", "content": [{"type": "text", "text": "x"}]}], r"message 1 has the content .*text"),
        ([*TALK[:2], {"role": "user", "content": " \n"}], r"message 3 has the content ' \\n'; give a text"),
        (TALK[:2], r"ends with the role 'assistant'; the last message must be of the role 'user'"),
    ],
)
def test_what_is_no_conversation_is_refused_with_row_and_value(tmp_path: Path, talk: Any, reason: str) -> None:
    path = write_jsonl(tmp_path / "t.jsonl", TALK, talk)
    with pytest.raises(BenchmarkError, match=rf"(?s)'talks': column 'talk' in row 1 \(counted .*{reason}"):
        load(path)


def test_half_a_character_in_a_conversation_is_refused(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "t.jsonl", [{"role": "user", "content": "a\ud83d"}])
    with pytest.raises(BenchmarkError, match=r"row 0 .*half a character"):
        load(path)


def test_a_conversation_has_one_system_message(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "t.jsonl", [SYSTEM, *TALK])
    assert load(path).prompts[0].turns[0] == Turn(role="system", content="Be brief.")
    assert load(write_jsonl(tmp_path / "u.jsonl", TALK), system_prompt="Be long.").system_prompt == "Be long."
    with pytest.raises(BenchmarkError, match=r"row 0 .*a system message of its own, and system_prompt gives another"):
        load(path, system_prompt="")


def test_the_whole_conversation_decides_the_key_and_messages_without_one_keep_theirs(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps({"talk": [{"role": "user", "content": "Hi"}], "prompt": "user: Hi"}))
    talk, plain = load(path), load(path, messages_column=None)
    assert talk.prompts[0].text == plain.prompts[0].text
    assert talk.digest != plain.digest
    # As it was before there were conversations.
    assert plain.digest == "362ff3e087da99303bd25f8e0a01d54637fd6fc6715711ca9bddb45db32a0769"
    digests = {load(write_jsonl(path, talk)).digest for talk in (TALK, TALK[2:], [SYSTEM, *TALK], [*TALK, TALK[0]])}
    assert len(digests) == 4


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"template": "{talk}"}, "messages_column takes conversations as they are"),
        ({"metric": "perplexity"}, "messages_column would have no effect with metric perplexity"),
    ],
)
def test_keys_that_do_not_go_together_are_refused(tmp_path: Path, keys: dict[str, str], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        load(tmp_path / "t.jsonl", **keys)
