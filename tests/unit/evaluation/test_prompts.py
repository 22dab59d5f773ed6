import json
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args

import huggingface_hub
import polars as pl
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
import yaml
from huggingface_hub import constants, errors

from landscape_ray.config import BenchmarkConfig, DecodingConfig, DemoPrompts, FilePrompts, HubPrompts, NamedPrompts
from landscape_ray.config.prompts import NAMED_SETS
from landscape_ray.errors import BenchmarkError
from landscape_ray.evaluation import Benchmark, load_benchmark
from landscape_ray.evaluation.system_prompts import shipped_system_prompts

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def file_benchmark(path: Path, *, limit: int | None = None, **prompts: Any) -> Benchmark:
    source = FilePrompts(path=str(path), **{"column": "goal", **prompts})
    return load_benchmark(BenchmarkConfig(name="mine", prompts=source, limit=limit))


def texts(benchmark: Benchmark) -> list[str]:
    return [prompt.text for prompt in benchmark.prompts]


def ids(benchmark: Benchmark) -> list[str]:
    return [prompt.id for prompt in benchmark.prompts]


def write_csv(path: Path) -> None:
    path.write_text('id,goal\na,"one, with a comma"\nb,"two\nlines"\nc, três \n', encoding="utf-8")


def write_jsonl(path: Path) -> None:
    rows = [{"id": "a", "goal": "one, with a comma"}, {"id": "b", "goal": "two\nlines"}, {"id": "c", "goal": " três "}]
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n\n", encoding="utf-8")


def write_parquet(path: Path) -> None:
    table = pa.table({"id": ["a", "b", "c"], "goal": ["one, with a comma", "two\nlines", " três "]})
    pq.write_table(table, path)


@pytest.mark.parametrize(
    ("name", "write"),
    [("p.csv", write_csv), ("p.CSV", write_csv), ("p.jsonl", write_jsonl), ("p.parquet", write_parquet)],
)
def test_each_format_yields_the_same_prompts_exactly(tmp_path: Path, name: str, write: Callable[[Path], None]) -> None:
    write(tmp_path / name)
    numbered = file_benchmark(tmp_path / name)
    assert texts(numbered) == ["one, with a comma", "two\nlines", " três "]
    assert ids(numbered) == ["0", "1", "2"]
    named = file_benchmark(tmp_path / name, id_column="id")
    assert texts(named) == texts(numbered)
    assert ids(named) == ["a", "b", "c"]
    assert named.digest != numbered.digest


def test_limit_takes_the_first_rows_and_does_not_look_further(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("goal\none\ntwo\n   \n")
    assert texts(file_benchmark(path, limit=2)) == ["one", "two"]
    with pytest.raises(BenchmarkError, match=r"the prompt in row 2 .* is '   '"):
        file_benchmark(path, limit=3)


def test_a_limit_beyond_the_rows_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("goal\none\ntwo\n")
    with pytest.raises(BenchmarkError, match="limit is 3, but its source holds only 2 prompts"):
        file_benchmark(path, limit=3)


def test_everything_that_decides_completions_comes_from_the_configuration(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("prompt\none\n")
    config = BenchmarkConfig(
        name="mine",
        prompts=FilePrompts(path=str(path)),
        system_prompt="be kind",
        chat_template="{{ messages }}",
        decoding=DecodingConfig(max_new_tokens=7),
    )
    benchmark = load_benchmark(config)
    assert benchmark.name == "mine"
    assert benchmark.system_prompt == "be kind"
    assert benchmark.chat_template == "{{ messages }}"
    assert benchmark.max_new_tokens == 7
    assert (benchmark.metric, benchmark.judge) == ("asr", "keyword")


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_bytes(b"\xef\xbb\xbfgoal\none\n")
    assert texts(file_benchmark(path)) == ["one"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.csv", b"prompt,target\none,two\n", r"no column 'goal' in row 0; the columns are 'prompt', 'target'"),
        ("p.jsonl", b'{"goal": "one"}\n{"text": "two"}\n', r"no column 'goal' in row 1; the columns are 'text'"),
        ("p.csv", b"", "holds no prompts"),
        ("p.csv", b"goal\n", "holds no prompts"),
        ("p.jsonl", b"\n\n", "holds no prompts"),
        ("p.csv", b"goal,id\none,1\n,2\n", r"the prompt in row 1 .* is ''"),
        ("p.jsonl", b'{"goal": 17}\n', r"the prompt in row 0 .* is 17"),
        ("p.jsonl", b'{"goal": null}\n', r"the prompt in row 0 .* is None"),
        ("p.csv", b"goal\none, with a comma\n", "more fields than column names in the record that ends in line 2"),
        ("p.csv", b'goal\n"never closed\n', "is no valid CSV.*after line 1"),
        ("p.jsonl", b'{"goal": "one"}\n{"goal": \n', "line 2 is no JSON"),
        ("p.jsonl", b'["one"]\n', "line 1 is a list"),
        ("p.csv", "goal\ncaf\xe9\n".encode("latin-1"), r"p\.csv is not UTF-8 text .* at byte 8"),
        ("p.jsonl", b'\xff\xfe{"goal"', r"p\.jsonl is not UTF-8 text"),
        ("p.parquet", b"PAR1 no more", r"p\.parquet is no valid Parquet file"),
        ("p.txt", b"one\n", r"p\.txt is of no kind that can be read; give one of: \*\.csv, \*\.jsonl, \*\.parquet"),
        ("p.json", b"[]", "of no kind that can be read"),
    ],
)
def test_bad_files_say_what_is_wrong_where(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(BenchmarkError, match=message) as error:
        file_benchmark(path)
    assert str(error.value).startswith("Benchmark 'mine': ")


def test_duplicate_ids_name_both_rows(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("id,goal\na,one\nb,two\na,three\n")
    with pytest.raises(BenchmarkError, match="rows 0 and 2 have the same id 'a' in column 'id'"):
        file_benchmark(path, id_column="id")
    with pytest.raises(BenchmarkError, match="no column 'number'"):
        file_benchmark(path, id_column="number")


def test_the_same_text_twice_is_allowed(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("goal\none\none\n")
    assert ids(file_benchmark(path)) == ["0", "1"]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"cannot read the prompt file .*nowhere\.csv: No such file"):
        file_benchmark(tmp_path / "nowhere.csv")


@pytest.mark.parametrize("name", ["harmful", "harmless"])
def test_the_shipped_prompts_are_the_goals_of_their_file(name: Literal["harmful", "harmless"]) -> None:
    config = BenchmarkConfig(name="demo", prompts=DemoPrompts(name=name))
    file = resources.files("landscape_ray") / "demo" / {"harmful": "prompts.csv", "harmless": "harmless.csv"}[name]
    goals = pl.read_csv(file.read_bytes())["goal"].to_list()  # another CSV reader than ours
    assert texts(load_benchmark(config)) == goals
    assert len(set(goals)) == len(goals) >= 32


# --- Hub -------------------------------------------------------------------------------------------------------------


def hub_benchmark(**prompts: Any) -> Benchmark:
    source = HubPrompts(**{"id": "org/set", "revision": COMMIT, "column": "goal", **prompts})
    return load_benchmark(BenchmarkConfig(name="hub", prompts=source))


@pytest.fixture
def snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder where the Hub's own cache keeps commit COMMIT of org/set; the network is switched off."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    folder = tmp_path / "datasets--org--set" / "snapshots" / COMMIT
    folder.mkdir(parents=True)
    return folder


def write_split(path: Path, *rows: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.table({"goal": list(rows)}), path)
    else:
        path.write_text("".join(f"{row}\n" for row in ("goal", *rows)))


def test_hub_files_are_those_the_card_declares(snapshot: Path) -> None:
    (snapshot / "README.md").write_text(
        "---\nconfigs:\n- config_name: behaviors\n  data_files:\n"
        "  - split: harmful\n    path: data/harm-*.csv\n  - split: benign\n    path: [data/good.csv]\n"
        "- config_name: other\n  data_files: other.csv\n---\n# A card\n"
    )
    write_split(snapshot / "data" / "harm-2.csv", "three")
    write_split(snapshot / "data" / "harm-1.csv", "one", "two")
    write_split(snapshot / "data" / "good.csv", "four")
    write_split(snapshot / "other.csv", "five")
    harmful = hub_benchmark(config="behaviors", split="harmful")
    assert texts(harmful) == ["one", "two", "three"]
    assert ids(harmful) == ["0", "1", "2"]
    assert texts(hub_benchmark(config="behaviors", split="benign")) == ["four"]
    assert texts(hub_benchmark(config="other", split="train")) == ["five"]
    with pytest.raises(BenchmarkError, match="no files for config 'nothing', split 'train'; its configs are behaviors"):
        hub_benchmark(config="nothing")


def test_hub_shards_are_read_in_the_order_of_their_names(snapshot: Path) -> None:
    numbers = [7, 2, 11, 0, 5, 9, 1, 10, 3, 8, 4, 6]
    for number in numbers:
        write_split(snapshot / "data" / f"train-{number:05}-of-00012.csv", f"prompt {number}")
    assert texts(hub_benchmark()) == [f"prompt {number}" for number in range(12)]


@pytest.mark.parametrize(
    ("name", "config", "split"),
    [
        ("train.csv", "default", "train"),
        ("data/test-00000-of-00001.parquet", "default", "test"),
        ("all/test-00000-of-00001.parquet", "all", "test"),
        ("all/test/0000.parquet", "all", "test"),
    ],
)
def test_without_a_declaration_the_hubs_conventions_hold(snapshot: Path, name: str, config: str, split: str) -> None:
    write_split(snapshot / name, "one", "two")
    write_split(snapshot / "data" / "other-00000-of-00001.parquet", "no")
    write_split(snapshot / "latest.csv", "no")  # ends in a split's name, but is none
    assert texts(hub_benchmark(config=config, split=split)) == ["one", "two"]


def test_a_split_without_files_says_what_was_looked_for(snapshot: Path) -> None:
    write_split(snapshot / "train.csv", "one")
    with pytest.raises(BenchmarkError, match=r"no files for config 'default', split 'test' \(looked for test\.\*"):
        hub_benchmark(split="test")


def test_a_commit_that_is_not_cached_is_an_error_offline(snapshot: Path) -> None:
    assert snapshot.exists()
    with pytest.raises(BenchmarkError, match=r"cannot download the data set org/set at ffff.*HF_HUB_OFFLINE"):
        hub_benchmark(revision="f" * 40)


def test_an_id_that_is_none_is_refused(snapshot: Path) -> None:
    assert snapshot.exists()
    with pytest.raises(BenchmarkError, match="cannot download the data set a/b/c"):
        hub_benchmark(id="a/b/c")


def test_rows_of_a_data_set_on_the_hub_are_chosen_as_those_of_a_file(snapshot: Path) -> None:
    (snapshot / "train.csv").write_text(f"goal,harmful\n{'long ' * 40_000},yes\nno,no\n")
    assert texts(hub_benchmark(where={"harmful": True})) == ["long " * 40_000]
    with pytest.raises(BenchmarkError, match=r"`where` asks for harmful: 1; the column holds 'yes' \(1\), 'no' \(1\)"):
        hub_benchmark(where={"harmful": 1})


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (errors.GatedRepoError, "is gated.*huggingface.co/datasets/org/set.*HF_TOKEN"),
        (errors.RepositoryNotFoundError, "no data set org/set on the Hub, or it is private.*HF_TOKEN"),
        (errors.RevisionNotFoundError, f"has no commit {COMMIT}"),
    ],
)
def test_the_hubs_refusals_say_what_to_do(
    monkeypatch: pytest.MonkeyPatch, error: type[errors.HfHubHTTPError], message: str
) -> None:
    refusal = error.__new__(error)  # its constructor wants an HTTP response, of a library that differs by version

    def refuse(*_: object, **__: object) -> str:
        raise refusal

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(BenchmarkError, match=message):
        hub_benchmark()


# --- Templates, contexts, system prompts ------------------------------------------------------------------------------


def jailbreaks(path: Path, **settings: Any) -> Benchmark:
    rows = [
        {"goal": "steal {it}", "suffix": "! !", "n": 1, "where": "gcg"},
        {"goal": "lie", "suffix": "now", "n": 2, "where": "pair"},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    prompts = {"source": "file", "path": str(path), "column": "goal", **settings.pop("prompts", {})}
    return load_benchmark(BenchmarkConfig.model_validate({"name": "mine", "prompts": prompts, **settings}))


def test_a_template_is_filled_with_the_columns_of_each_row(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    assert texts(jailbreaks(path)) == ["steal {it}", "lie"]
    # What stands in a column is not filled in itself, and braces around no name stay.
    assert texts(jailbreaks(path, template="{n}. {goal} {suffix} {}{ x }")) == [
        "1. steal {it} ! ! {}{ x }",
        "2. lie now {}{ x }",
    ]
    with pytest.raises(BenchmarkError, match="no column 'sufix' in row 0; the columns are 'goal', 'suffix', 'n'"):
        jailbreaks(path, template="{goal} {sufix}")
    with pytest.raises(BenchmarkError, match=r"the prompt in row 0 .* is ' '"):
        jailbreaks(path, template=" ")


def test_the_texts_of_a_perplexity_may_have_a_context(tmp_path: Path) -> None:
    benchmark = jailbreaks(tmp_path / "p.jsonl", metric="perplexity", template=" {suffix}", context="Q: {goal} A:")
    assert [(prompt.context, prompt.text) for prompt in benchmark.prompts] == [
        ("Q: steal {it} A:", " ! !"),
        ("Q: lie A:", " now"),
    ]


def test_rows_are_chosen_before_they_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    chosen = jailbreaks(path, prompts={"where": {"n": 2, "where": "pair"}}, limit=1)
    assert (texts(chosen), ids(chosen)) == (["lie"], ["1"])
    with pytest.raises(BenchmarkError, match="limit is 2, but its source holds only 1 prompts"):
        jailbreaks(path, prompts={"where": {"n": 2}}, limit=2)


TRUTHS = ["true", "True", "TRUE", "yes", "false", "no", "1", "maybe"]


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ("{harmful: true}", [0, 1, 2, 3]),
        ("{harmful: yes}", [0, 1, 2, 3]),
        ("{harmful: no}", [4, 5]),
        ("{harmful: 1}", [6]),
        ("{harmful: 1.0}", [6]),
        ("{harmful: 'yes'}", [3]),
        ("{harmful: 'True'}", [1]),
        ("{harmful: maybe}", [7]),
    ],
)
def test_where_means_what_yaml_and_csv_mean(tmp_path: Path, asked: str, wanted: list[int]) -> None:
    path = tmp_path / "p.csv"
    path.write_text("goal,harmful\n" + "".join(f"prompt {i},{truth}\n" for i, truth in enumerate(TRUTHS)))
    assert ids(file_benchmark(path, where=yaml.safe_load(asked))) == [str(number) for number in wanted]


@pytest.mark.parametrize("name", ["p.jsonl", "p.parquet"])
def test_where_tells_truth_values_from_numbers_in_typed_files(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    rows = [{"goal": "a", "n": 1, "harmful": True}, {"goal": "b", "n": 0, "harmful": False}]
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert texts(file_benchmark(path, where={"harmful": True})) == ["a"]
    assert texts(file_benchmark(path, where={"harmful": False})) == ["b"]
    assert texts(file_benchmark(path, where={"n": 1.0})) == ["a"]
    assert texts(file_benchmark(path, where={"harmful": "True"})) == ["a"]  # so it was, before truth values were known
    with pytest.raises(BenchmarkError, match=r"asks for harmful: 1; the column holds True \(1\), False \(1\)\."):
        file_benchmark(path, where={"harmful": 1})
    with pytest.raises(BenchmarkError, match="`where` asks for n: True"):
        file_benchmark(path, where={"n": True})


def test_whole_numbers_are_compared_whole(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text(f"goal,n\na,{2**53}\nb,{2**53 + 1} \n")
    assert texts(file_benchmark(path, where={"n": 2**53 + 1})) == ["b"]


def test_an_empty_result_lists_what_the_columns_hold(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    rows = [("a", "x"), ("b", "x"), ("c", "y"), ("d", "y" * 100), ("e", "z"), ("f", "")]
    path.write_text("goal,kind\n" + "".join(f"{goal},{kind}\n" for goal, kind in rows))
    with pytest.raises(BenchmarkError) as error:
        file_benchmark(path, where={"kind": "X", "goal": "a"})
    assert str(error.value) == (
        "Benchmark 'mine': its source holds no prompts. Give one with at least one row. `where` asks for kind: 'X'; "
        f"the column holds 'x' (2), 'y' (1), '{'y' * 39} (1) and 2 more. `where` asks for goal: 'a'; the column holds "
        "'a' (1), 'b' (1), 'c' (1) and 3 more."
    )
    with pytest.raises(BenchmarkError, match=r"limit is 3, .*only 2 .* asks for kind: 'x'; the column holds 'x' \(2\)"):
        file_benchmark(path, where={"kind": "x"}, limit=3)


@pytest.mark.parametrize("name", ["p.csv", "p.jsonl", "p.parquet"])
def test_a_field_may_be_as_long_as_a_many_shot_attack(tmp_path: Path, name: str) -> None:
    path, long = tmp_path / name, "Say yes, please. " * 12_500
    if path.suffix == ".csv":
        path.write_text(f'goal\n"{long}"\nshort\n')
    elif path.suffix == ".jsonl":
        path.write_text(f"{json.dumps({'goal': long})}\n" + '{"goal": "short"}\n')
    else:
        pq.write_table(pa.table({"goal": [long, "short"]}), path)
    assert len(long) > 200_000
    assert texts(file_benchmark(path)) == [long, "short"]


@pytest.mark.parametrize(
    ("row", "settings", "message"),
    [
        ({"suffix": None}, {"template": "{goal} {suffix}"}, "column 'suffix' in row 1 .* holds nothing"),
        ({"suffix": ["a"]}, {"template": "{goal} {suffix}"}, "column 'suffix' in row 1 .* holds a list"),
        ({"suffix": {"a": 1}}, {"template": "{goal} {suffix}"}, "column 'suffix' in row 1 .* holds a mapping"),
        (
            {"suffix": None},
            {"context": "{suffix}", "metric": "perplexity"},
            "column 'suffix' in row 1 .* holds nothing",
        ),
        ({"id": None}, {}, "column 'id' in row 1 .* holds nothing"),
    ],
)
def test_what_has_no_text_is_not_written_as_python_writes_it(
    tmp_path: Path, row: dict[str, Any], settings: dict[str, Any], message: str
) -> None:
    path = tmp_path / "p.jsonl"
    sound = {"id": 1, "goal": "one", "suffix": "!"}
    path.write_text(f"{json.dumps(sound)}\n{json.dumps(sound | {'id': 2} | row)}\n")
    prompts = FilePrompts(path=str(path), column="goal", id_column="id")
    with pytest.raises(BenchmarkError, match=message):
        load_benchmark(BenchmarkConfig(name="mine", prompts=prompts, **settings))


def test_a_csv_row_that_ends_early_has_no_suffix(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("goal,suffix\none,!\ntwo\n")
    config = BenchmarkConfig(name="mine", prompts=FilePrompts(path=str(path)), template="{goal} {suffix}")
    with pytest.raises(BenchmarkError, match=r"column 'suffix' in row 1 .* holds nothing"):
        load_benchmark(config)


def with_system_prompt(value: str | None) -> str | None:
    return load_benchmark(BenchmarkConfig(name="demo", prompts=DemoPrompts(), system_prompt=value)).system_prompt


def test_a_system_prompt_is_a_text_a_file_or_a_shipped_text(tmp_path: Path) -> None:
    path = tmp_path / "system.txt"
    path.write_text("Sei höflich.\n\nImmer.\n", encoding="utf-8")
    assert with_system_prompt(None) is None
    assert with_system_prompt("") == ""
    assert with_system_prompt("Be kind.") == "Be kind."
    assert with_system_prompt(f"file:{path}") == "Sei höflich.\n\nImmer."
    for name in shipped_system_prompts():
        text = with_system_prompt(f"shipped:{name}")
        assert text is not None
        assert text == text.strip()
        assert len(text) > 80
    assert shipped_system_prompts() == ("helpful", "role-play", "safety")


def test_a_system_prompt_that_cannot_be_had_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        BenchmarkError, match=r"'demo': there is no shipped system prompt 'x'; there are helpful, role-pl"
    ):
        with_system_prompt("shipped:x")
    with pytest.raises(BenchmarkError, match=r"cannot read the system prompt .*none\.txt: .*No such file"):
        with_system_prompt(f"file:{tmp_path}/none.txt")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    with pytest.raises(BenchmarkError, match=r"cannot read the system prompt .*latin\.txt: 'utf-8' codec"):
        with_system_prompt(f"file:{tmp_path}/latin.txt")
    with pytest.raises(BenchmarkError, match="is half a character"):
        with_system_prompt("half \udcff")


@pytest.mark.parametrize("column", ["goal", "id"])
def test_half_a_character_is_refused_with_its_row(tmp_path: Path, column: str) -> None:
    path = tmp_path / "p.jsonl"
    rows = [{"goal": "one", "id": "a"}, {"goal": "two", "id": "b"} | {column: "half \ud83d of a face"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(
        BenchmarkError, match=r"row 1 \(counted from 0.*'\\ud83d' at character 5 .* is half a character"
    ):
        file_benchmark(path, id_column="id")


@pytest.mark.parametrize(
    ("prompts", "repository", "file", "column", "labels"),
    [
        ({"source": "harmbench"}, "walledai/HarmBench", "standard/train-0-of-1.parquet", "prompt", None),
        ({"source": "jailbreakbench"}, "JailbreakBench/JBB-Behaviors", "data/harmful-behaviors.csv", "Goal", None),
        (
            {"source": "jailbreakbench", "part": "benign"},
            *("JailbreakBench/JBB-Behaviors", "data/benign-behaviors.csv", "Goal", None),
        ),
        ({"source": "or-bench"}, "bench-llm/or-bench", "or-bench-hard-1k.csv", "prompt", None),
        ({"source": "or-bench", "part": "toxic"}, "bench-llm/or-bench", "or-bench-toxic.csv", "prompt", None),
        ({"source": "strongreject"}, "walledai/StrongREJECT", "data/train-0-of-1.parquet", "prompt", None),
        ({"source": "xstest"}, "Paul/XSTest", "xstest_prompts.csv", "prompt", ("safe", "unsafe")),
        ({"source": "xstest", "part": "unsafe"}, "Paul/XSTest", "xstest_prompts.csv", "prompt", ("unsafe", "safe")),
    ],
)
def test_a_set_that_is_known_by_name_lies_on_the_hub(  # noqa: PLR0917  (pytest passes them by name)
    snapshot: Path, prompts: dict[str, str], repository: str, file: str, column: str, labels: tuple[str, str] | None
) -> None:
    """Other files lie beside, and rows of another label, which must not be read."""
    config = BenchmarkConfig.model_validate({"name": "named", "prompts": prompts})
    assert isinstance(config.prompts, NamedPrompts)
    cache = snapshot.parents[2]
    folder = cache / f"datasets--{repository.replace('/', '--')}" / "snapshots" / config.prompts.on_hub().revision
    rows = {column: ["one", "two"], **({"label": labels} if labels else {})}
    for place in (folder / file, folder / "elsewhere" / "train-0-of-1.parquet", folder / "other.csv"):
        place.parent.mkdir(parents=True, exist_ok=True)
        table = pa.table(rows if place == folder / file else {column: ["of another file"]})
        (pq.write_table if place.suffix == ".parquet" else pacsv.write_csv)(table, place)
    assert texts(load_benchmark(config)) == (["one"] if labels else ["one", "two"])


def test_every_named_set_is_pinned_and_can_be_asked_for() -> None:
    (names,) = (get_args(NamedPrompts.model_fields["source"].annotation),)
    assert set(names) == set(NAMED_SETS)
    for name, parts in NAMED_SETS.items():
        places = {
            NamedPrompts.model_validate({"source": name, "part": part}).on_hub().model_dump_json() for part in parts
        }
        assert len(places) == len(parts)
        assert all(part in (NamedPrompts.model_fields["part"].description or "") for part in parts)
    with pytest.raises(ValueError, match="xstest has no part 'benign'; it has safe, unsafe"):
        NamedPrompts(source="xstest", part="benign")


def test_files_of_a_hub_data_set_can_be_named(snapshot: Path) -> None:
    write_split(snapshot / "xs_prompts.csv", "one", "two")
    write_split(snapshot / "other.csv", "three")
    with pytest.raises(BenchmarkError, match="no files for config 'default', split 'train'"):
        hub_benchmark()
    assert texts(hub_benchmark(files="xs_prompts.csv")) == ["one", "two"]
    assert texts(hub_benchmark(files="*.csv")) == ["three", "one", "two"]


def test_the_shipped_sets_of_likelihoods_are_whole() -> None:
    choices = load_benchmark(
        BenchmarkConfig.model_validate(
            {
                "name": "choices",
                "metric": "accuracy",
                "prompts": {"source": "demo", "name": "choices"},
                "multiple_choice": {"answers": "texts"},
            }
        )
    )
    harmless = texts(load_benchmark(BenchmarkConfig(name="demo", prompts=DemoPrompts(name="harmless"))))
    assert len(choices.prompts) == len(harmless) == 32
    for prompt, request in zip(choices.prompts, harmless, strict=True):
        assert f"<|user|>{request}<|assistant|>" in prompt.text
        assert len(set(prompt.choices)) == 4
        assert prompt.answer is not None
        # The right answer is what was asked about, and no other one is.
        assert [choice in request for choice in prompt.choices].index(True) == prompt.answer
        assert sum(choice in request for choice in prompt.choices) == 1
    answers = BenchmarkConfig(name="a", metric="perplexity", prompts=DemoPrompts(name="answers"), context="{request}")
    assert [prompt.context for prompt in load_benchmark(answers).prompts] == harmless
