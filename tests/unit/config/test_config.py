import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from landscape_ray.config import BenchmarkConfig, FilePrompts, SweepConfig, load_config
from landscape_ray.errors import ConfigError

MINIMAL = {"model": {"id": "m"}, "benchmarks": [{"name": "b", "prompts": {"source": "demo"}}]}


@pytest.fixture
def minimal(tmp_path: Path) -> Path:
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump(MINIMAL))
    return path


def load(path: Path, *overrides: str, **environment: str) -> SweepConfig:
    return load_config(path, overrides, environment)


# --- defaults and validation -----------------------------------------------------------------------------------------


def test_defaults_are_the_papers(minimal: Path) -> None:
    config = load(minimal)
    (axis,) = config.landscape.axes
    assert (axis.start, axis.stop, axis.num) == (-0.5, 0.5, 21)
    directions = config.random_directions
    assert directions is not None
    assert directions.draws == 3
    assert directions.normalization == "layer"
    assert directions.excluded == ("norm",)
    assert config.benchmarks[0].decoding.max_new_tokens == 512
    assert config.benchmarks[0].judge == "keyword"


def test_a_configuration_is_frozen(minimal: Path) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load(minimal).model.id = "other"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "benchmark=1",
            r"unknown key 'benchmark' \(did you mean 'benchmarks'\?\); valid keys here: model, engine, dtype",
        ),
        ("model.name=x", "model: unknown key 'name'; valid keys here: id, revision"),
        (
            "benchmarks.0.decoding.temprature=1",
            r"benchmarks.0.decoding: unknown key 'temprature' \(did you mean 'temperature'\?\); valid keys here: max_n",
        ),
        ("benchmarks.0.prompts.nmae=x", r"benchmarks.0.prompts.demo: unknown key 'nmae' \(did you mean 'name'\?\)"),
        ("directions.draws=three", r"directions.draws: cannot be 'three': input should be a valid integer"),
        ("directions.draws=0", "directions.draws: cannot be .*: input should be greater than or equal to 1"),
        ('directions.excluded=["["]', r"directions: excluded has '\[', which is not a regular expression"),
        ("landscape.axes=[]", "landscape.axes: cannot be .*: tuple should have at least 1 item"),
        ("landscape.axes=[{}, {}, {}]", "landscape.axes: cannot be .*: tuple should have at most 2 items"),
        ("landscape.axes=[{num: 0}]", "landscape.axes.0.num: cannot be .*: input should be greater than or equal to 1"),
        ("landscape.axes=[{start: 0.5}]", "landscape.axes.0: axis from 0.5 to 0.5 is empty"),
        ("landscape.axes=[{start: 1}]", "landscape.axes.0: axis from 1.0 to 0.5 is empty"),
        ("landscape.axes=[{stop: .inf}]", "landscape.axes.0: axis from -0.5 to inf is not finite"),
        ("landscape.axes=[{stop: .nan}]", "landscape.axes.0: axis from -0.5 to nan is not finite"),
        ("landscape.axes=[{num: 1}]", "landscape.axes.0: an axis of one point needs start == stop"),
        (
            "landscape.kind=spiral",
            r"landscape: cannot be .*: a landscape is of kind 'random', 'interpolation', 'interpolation-random',",
        ),
        ("landscape={kind: plane}", "landscape.through: is needed, and is not there"),
        ("landscape={kind: plane, through: [{id: a}]}", "landscape.through.1: is needed, and is not there"),
        (
            "landscape={kind: interpolation, to: {id: ''}}",
            "landscape.to.id: cannot be .*: string should have",
        ),
        (
            "landscape={kind: interpolation, to: {id: a}, axes: [{}, {}]}",
            "landscape.axes: cannot be .*: tuple should",
        ),
        (
            "landscape={kind: interpolation-random, to: {id: a}, axes: [{}]}",
            "landscape.axes: cannot be .*: tuple should",
        ),
        ("landscape={to: {id: a}}", "unknown key 'to'; valid keys here: origin_repeats, wall_repeats, kind, axes"),
        ('directions.included=["("]', r"directions: included has '\(', which is not a regular expression"),
        ("directions.displacement=0", "directions.displacement.*: cannot be .*: input should be greater than 0"),
        ("directions.displacement=.inf", "directions.displacement.*: cannot be .*: input should be a finite number"),
        ("engine=tgi", "engine: cannot be .*: input should be 'vllm', 'transformers' or 'synthetic'"),
        ("model=m", "model: cannot be .*: input should be a valid dictionary"),
        ("benchmarks=[]", "benchmarks: cannot be .*: tuple should have at least 1 item"),
        ("benchmarks.0.name=Über", "benchmarks.0.name: cannot be .*: string should match pattern"),
        (
            "benchmarks.0.prompts={name: harmful}",
            "benchmarks.0.prompts: cannot be .*: unable to extract tag using discriminator 'source'",
        ),
        (
            "benchmarks.0.prompts={source: hub, id: a/b, revision: main}",
            "benchmarks.0.prompts.hub.revision: cannot be .*: string should",
        ),
        ("benchmarks.0.limit=0", "benchmarks.0.limit: cannot be .*: input should be greater than or equal to 1"),
    ],
)
def test_a_bad_value_says_where_and_what_is_valid(minimal: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        load(minimal, override)
    assert str(minimal) in str(error.value)


def test_a_bad_item_is_not_also_reported_as_a_missing_one(minimal: Path) -> None:
    with pytest.raises(ConfigError) as error:
        load(minimal, "benchmarks.0.limit=0")
    assert len(str(error.value).splitlines()) == 2


def test_all_problems_are_told_at_once(minimal: Path) -> None:
    with pytest.raises(ConfigError) as error:
        load(minimal, "dtype=int8", "directions.seed=-1")
    assert "dtype: " in str(error.value)
    assert "directions.seed: " in str(error.value)


def test_missing_keys_are_named(tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text("engine: vllm\n")
    with pytest.raises(ConfigError) as error:
        load(path)
    assert "  model: is needed, and is not there" in str(error.value)
    assert "  benchmarks: is needed, and is not there" in str(error.value)


def test_checkpoints_are_listed_in_the_order_in_which_they_are_measured(minimal: Path) -> None:
    landscape = "landscape={kind: interpolation-random, to: {id: a, revision: v2}, marked: [{id: b, name: epoch 1}]}"
    config = load(minimal, landscape, "directions.displacement={id: c}")
    assert [checkpoint.label for checkpoint in config.checkpoints] == ["a@v2", "c", "epoch 1"]
    assert [(axis.start, axis.stop) for axis in config.landscape.axes] == [(-0.5, 1.5), (-0.5, 0.5)]
    assert load(minimal).checkpoints == ()


@pytest.mark.parametrize(
    "landscape", ["{kind: interpolation, to: {id: a}}", "{kind: plane, through: [{id: a}, {id: b}]}"]
)
def test_a_displacement_without_a_random_direction_is_refused(minimal: Path, landscape: str) -> None:
    with pytest.raises(ConfigError, match=r"directions\.displacement rescales random directions, and a landscape"):
        load(minimal, f"landscape={landscape}", "directions.displacement=2")


def test_benchmark_names_must_differ(minimal: Path) -> None:
    benchmark = json.dumps(MINIMAL["benchmarks"][0])  # type: ignore[index]
    with pytest.raises(ConfigError, match="benchmark names must differ; used more than once: b"):
        load(minimal, f"benchmarks=[{benchmark}, {benchmark}]")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"model: [", "is not valid YAML"),
        (b"- model\n", "must hold a YAML mapping .* not list"),
        (b"", "must hold a YAML mapping .* not NoneType"),
        (b"model: !!python/object/apply:os.getcwd []\n", "is not valid YAML"),
        (b"model: {id: \xff}\n", "is not valid YAML"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        load(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Cannot read the configuration .*nowhere\.yaml: No such file"):
        load(tmp_path / "nowhere.yaml")


# --- overrides -------------------------------------------------------------------------------------------------------


def test_overrides_reach_sections_and_list_items(minimal: Path) -> None:
    config = load(
        minimal,
        "landscape.axes=[{num: 3}, {start: -1, stop: 1, num: 5}]",
        "landscape.axes.1.num=7",
        "benchmarks.0.limit=8",
        "benchmarks.0.decoding.max_new_tokens=16",
        "benchmarks.0.system_prompt='be kind: always'",
    )
    assert [(axis.start, axis.stop, axis.num) for axis in config.landscape.axes] == [(-0.5, 0.5, 3), (-1.0, 1.0, 7)]
    assert config.benchmarks[0].limit == 8
    assert config.benchmarks[0].decoding.max_new_tokens == 16
    assert config.benchmarks[0].system_prompt == "be kind: always"


def test_a_later_override_beats_an_earlier_one_and_null_empties(minimal: Path) -> None:
    assert load(minimal, "run.engines=2", "run.engines=3").run.engines == 3
    assert load(minimal, "run.engines=2", "run.engines=null").run.engines is None


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("run.engines", r"--set 'run\.engines' has no '='"),
        (
            "benchmarks.1.limit=8",
            r"--set benchmarks\.1\.limit=8: benchmarks is a list of 1 items; '1' is not one of 0\.\.0",
        ),
        ("benchmarks.first.limit=8", "'first' is not one of"),
        ("landscape.axes.0.num=11", r"landscape\.axes has no items to change; set the whole list"),
        ("model.id.name=x", r"model\.id is 'm', which has no parts"),
        ("run.engines=[", "the value is not valid YAML"),
    ],
)
def test_an_override_that_leads_nowhere_is_explained(minimal: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(minimal, override)


def test_command_line_beats_environment_beats_file_beats_default(minimal: Path) -> None:
    minimal.write_text(yaml.safe_dump({**MINIMAL, "run": {"engines": 2}}))
    variable = {"LANDSCAPE_RAY__RUN__ENGINES": "3"}
    assert load(minimal).run.engines == 2
    assert load(minimal, **variable).run.engines == 3
    assert load(minimal, "run.engines=4", **variable).run.engines == 4
    assert load(minimal, **variable).run.max_attempts == 3  # a default, beside a set one


def test_environment_reaches_list_items_and_other_variables_are_left_alone(minimal: Path) -> None:
    config = load(minimal, LANDSCAPE_RAY__BENCHMARKS__0__LIMIT="8", LANDSCAPE_RAY_CACHE="x", PATH="y")
    assert config.benchmarks[0].limit == 8
    with pytest.raises(ConfigError, match="unknown key 'engine_count'"):
        load(minimal, LANDSCAPE_RAY__RUN__ENGINE_COUNT="8")


def test_the_process_environment_is_read_by_default(minimal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANDSCAPE_RAY__DIRECTIONS__SEED", "17")
    assert load_config(minimal).seed == 17


# --- sweep_id --------------------------------------------------------------------------------------------------------

# One other value for each science field; `test_every_science_field_is_listed` keeps this complete.
SCIENCE = {
    "model.id": "other",
    "model.revision": "v2",
    "engine": "transformers",
    "dtype": "float32",
    "batching": None,  # see test_lines_are_another_sweep
    "landscape": "landscape={kind: interpolation, to: {id: other}}",
    "directions.draws": "4",
    "directions.seed": "1",
    "directions.normalization": "filter",
    "directions.excluded": "[norm, bias]",
    "directions.included": "[mlp]",
    "directions.displacement": "2.5",
    "adaptive": "adaptive={}",
    "certify": "certify={radius: 0.1, share: 0.1}",
    "benchmarks.name": "benchmarks.0.name=c",
    "benchmarks.prompts": "benchmarks.0.prompts={source: demo, name: harmless}",
    "benchmarks.limit": "benchmarks.0.limit=8",
    "benchmarks.template": "benchmarks.0.template='{goal} Now!'",
    "benchmarks.messages_column": "benchmarks.0.messages_column=messages",
    "benchmarks.prefill": "benchmarks.0.prefill='{target}'",
    "benchmarks.context": "benchmarks.0={name: c, metric: perplexity, prompts: {source: demo}, context: before}",
    "benchmarks.system_prompt": "benchmarks.0.system_prompt=be kind",
    "benchmarks.system_prompts": "benchmarks.0.system_prompts={none: '', kind: be kind}",
    "benchmarks.chat_template": "benchmarks.0.chat_template='{{ messages }}'",
    "benchmarks.chat_template_kwargs": "benchmarks.0.chat_template_kwargs={enable_thinking: false}",
    "benchmarks.reasoning": "benchmarks.0.reasoning=null",
    "benchmarks.decoding.max_thinking_tokens": "benchmarks.0.decoding.max_thinking_tokens=9",
    "benchmarks.date": "benchmarks.0.date=2026-11-27",
    "benchmarks.decoding.max_new_tokens": "benchmarks.0.decoding.max_new_tokens=511",
    "benchmarks.decoding.early_verdict": "benchmarks.0.decoding.early_verdict=true",
    "benchmarks.decoding.temperature": "benchmarks.0.decoding.temperature=1",
    "benchmarks.decoding.samples": "benchmarks.0.decoding={temperature: 1, samples: 2}",
    "benchmarks.decoding.seed": "benchmarks.0.decoding={temperature: 1, seed: 2}",
    "benchmarks.metric": "benchmarks.0.metric=over_refusal",
    "benchmarks.judge": None,  # only one value so far
    "benchmarks.primary": None,  # see test_a_primary_benchmark_is_the_same_sweep
    **{
        f"benchmarks.multiple_choice.{key}": "benchmarks.0={name: c, metric: accuracy, prompts: {source: demo}, "
        f"multiple_choice: {{{key}: {value}}}}}"
        for key, value in {
            "answers": "texts",
            "choices_column": "answers",
            "answer_column": "right",
            "labels_column": "labels",
            "first_number": "1",
            "description": "Hard questions.",
            "examples": "{source: file, path: solved.csv}",
            "num_examples": "4",
        }.items()
    },
}


def leaves(schema: dict[str, Any], defs: dict[str, Any]) -> Iterator[str]:
    """Yield the dotted names of all fields that are no sections; list items have no number."""
    for name, field in schema["properties"].items():
        item = field.get("items", field)
        if name == "directions":  # or a list, see test_direction_kinds.py
            item = item["oneOf"][0]
        if "$ref" in item:
            yield from (f"{name}.{rest}" for rest in leaves(defs[item["$ref"].rsplit("/", 1)[1]], defs))
        else:
            yield name


def test_every_science_field_is_listed() -> None:
    schema = SweepConfig.model_json_schema()
    fields = {leaf for leaf in leaves(schema, schema["$defs"]) if not leaf.startswith("run.")}
    assert fields == set(SCIENCE)


@pytest.mark.parametrize(("field", "value"), [item for item in SCIENCE.items() if item[1] is not None])
def test_the_sweep_id_changes_with_each_science_field(minimal: Path, field: str, value: str) -> None:
    override = value if "=" in value else f"{field}={value}"
    assert load(minimal, override).sweep_id != load(minimal).sweep_id


def test_lines_are_another_sweep_and_points_the_one_that_they_were(minimal: Path) -> None:
    points, lines = (load(minimal, "engine=transformers", f"batching={way}") for way in ("point", "line"))
    assert points.sweep_id == load(minimal, "engine=transformers").sweep_id != lines.sweep_id
    assert "batching" not in points.science()
    assert lines.science()["batching"] == "line"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["benchmarks.0.decoding.samples=2"], "samples 2 and seed 0 have no effect at temperature 0"),
        (["benchmarks.0.decoding.seed=3"], "samples 1 and seed 3 have no effect at temperature 0"),
        (["benchmarks.0.decoding={temperature: 0.001}"], r"temperature is 0\.001; vLLM takes none between 0 and 0\.01"),
        (
            ["benchmarks.0.decoding={temperature: 1, early_verdict: true}"],
            "early_verdict and max_thinking_tokens begin",
        ),
        (["benchmarks.0.decoding={temperature: 1, max_thinking_tokens: 9}"], "early_verdict and max_thinking_tokens"),
        (
            ["benchmarks.0.decoding.temperature=1", "engine=transformers", "batching=line"],
            "batching by lines decodes gr",
        ),
    ],
)
def test_draws_that_could_not_be_made_as_asked_are_refused(minimal: Path, overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(minimal, *overrides)


def test_draws_of_each_kind_are_another_sweep(minimal: Path) -> None:
    plain, once, twice, other = (
        load(minimal, f"benchmarks.0.decoding={{{keys}}}").sweep_id
        for keys in ("", "temperature: 1", "temperature: 1, samples: 2", "temperature: 1, seed: 2")
    )
    assert plain == load(minimal).sweep_id == load(minimal, "benchmarks.0.decoding={temperature: 0, seed: 0}").sweep_id
    assert len({plain, once, twice, other}) == 4


def test_a_sweep_that_certifies_nothing_is_the_one_that_it_was(minimal: Path) -> None:
    certified = load(minimal, "certify={radius: 0.1, share: 0.1}")
    assert "certify" not in load(minimal, "certify=null").science()
    assert certified.science()["certify"] == {"radius": 0.1, "share": 0.1, "confidence": 0.95}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["certify={radius: 0.1}"], r"directions\.draws is 3, and a share of 0\.95 at confidence 0\.95 takes 59 draws"),
        (["certify={radius: 0.1, share: 0.1}", "directions=[{kind: random}]"], "give directions as a mapping"),
        (["certify={share: 0.1}"], r"certify\.radius: is needed"),
        (["certify={radius: 0.12, share: 0.1}"], r"between two coordinates of the axis, 0\.1 and 0\.15"),
        (["certify={radius: 0.1, share: 0.1}", "adaptive={}", "landscape.axes=[{num: 41}]"], "give one of them"),
        (["certify={radius: 0.1, share: 0.1}", "benchmarks.0.metric=over_refusal"], "needs a benchmark of metric asr"),
        (["certify={radius: 0.1, share: 0.1}", "landscape={kind: interpolation, to: {id: a}}"], "'interpolation'"),
    ],
)
def test_what_cannot_be_certified_is_refused(minimal: Path, overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(minimal, *overrides)


def test_the_sweep_id_changes_with_every_part_of_a_landscape(minimal: Path) -> None:
    landscapes = [
        "{}",
        "{axes: [{start: -0.6}]}",
        "{axes: [{stop: 0.6}]}",
        "{axes: [{num: 22}]}",
        "{origin_repeats: 3}",
        "{kind: interpolation, to: {id: a}}",
        "{kind: interpolation, to: {id: b}}",
        "{kind: interpolation, to: {id: a, revision: v2}}",
        "{kind: interpolation, to: {id: a}, marked: [{id: b}]}",
        "{kind: interpolation-random, to: {id: a}}",
        "{kind: plane, through: [{id: a}, {id: b}]}",
        "{kind: plane, through: [{id: b}, {id: a}]}",
        "{kind: plane, through: [{id: a}, {id: b}], gram_schmidt: false}",
    ]
    assert len({load(minimal, f"landscape={landscape}").sweep_id for landscape in landscapes}) == len(landscapes)


@pytest.mark.parametrize(
    "prompts",
    [
        "{source: advbench}",
        "{source: advbench, path: a.csv}",
        "{source: file, path: a.csv}",
        "{source: file, path: a.csv, column: goal}",
        "{source: file, path: a.csv, id_column: id}",
        f"{{source: hub, id: a/b, revision: {'a' * 40}}}",
        f"{{source: hub, id: a/b, revision: {'b' * 40}}}",
        f"{{source: hub, id: a/b, revision: {'a' * 40}, split: test}}",
        f"{{source: hub, id: a/b, revision: {'a' * 40}, config: other}}",
    ],
)
def test_the_sweep_id_changes_with_the_prompts_source(minimal: Path, prompts: str) -> None:
    minimal.write_text(yaml.safe_dump(MINIMAL).replace("demo", "file\n    path: b.csv"))
    assert load(minimal, f"benchmarks.0.prompts={prompts}").sweep_id != load(minimal).sweep_id


@pytest.mark.parametrize(
    "override",
    [
        "run.engines=7",
        "run.tensor_parallel=2",
        "run.cpus_per_engine=4",
        "run.max_attempts=1",
        "run.base_location=host",
        "run.kv_cache_gib=2",
        "run.gpu_memory_utilization=0.5",
        "run.max_num_seqs=8",
        "run.enforce_eager=true",
        "run.synthetic.delay_s=1",
    ],
)
def test_the_sweep_id_does_not_depend_on_how_it_is_run(minimal: Path, override: str) -> None:
    assert load(minimal, override).run != load(minimal).run
    assert load(minimal, override).sweep_id == load(minimal).sweep_id


def test_sweep_ids_do_not_change_between_versions() -> None:
    # A key that is added must leave them as they are where it has its default.
    demo = Path(__file__).parents[3] / "jobs" / "configs" / "demo.yaml"
    assert load(demo).sweep_id == "eef066830f24ae5c"


def test_a_primary_benchmark_is_the_same_sweep(minimal: Path) -> None:
    primary = load(minimal, "benchmarks.0.primary=true")
    assert primary.benchmarks[0].primary is True
    assert primary.sweep_id == load(minimal).sweep_id
    assert primary.science() == load(minimal).science()


def test_keys_of_questions_that_came_later_leave_sweep_ids_as_they_were(minimal: Path) -> None:
    # Computed before `labels_column` and `first_number` were there.
    question = load(minimal, "benchmarks.0={name: c, metric: accuracy, prompts: {source: demo}}")
    assert question.sweep_id == "56175f50f8d65889"


def test_the_sweep_id_depends_on_meaning_not_on_writing(minimal: Path, tmp_path: Path) -> None:
    spelled = tmp_path / "spelled.yaml"
    spelled.write_text(json.dumps({"dtype": "bfloat16", "run": {"engines": 2}, "directions": {"draws": 3}, **MINIMAL}))
    assert load(spelled).sweep_id == load(minimal).sweep_id


# --- schema ----------------------------------------------------------------------------------------------------------


def test_the_schema_describes_every_field_and_refuses_unknown_keys() -> None:
    schema = SweepConfig.model_json_schema()
    for section in (schema, *schema["$defs"].values()):
        assert section["additionalProperties"] is False
        assert all(field.get("description") for field in section["properties"].values())


# --- benchmarks ------------------------------------------------------------------------------------------------------


def benchmarks(*items: dict[str, Any]) -> tuple[BenchmarkConfig, ...]:
    return SweepConfig.model_validate({"model": {"id": "m"}, "benchmarks": items}).benchmarks


def test_several_system_prompts_are_several_benchmarks_of_the_same_prompts() -> None:
    common = {"prompts": {"source": "demo"}, "limit": 3, "decoding": {"max_new_tokens": 9}}
    sugar = {"name": "harmful", "system_prompts": {"default": None, "none": "", "kind": "be kind"}, **common}
    by_hand = [
        {"name": "harmful-default", **common},
        {"name": "harmful-none", "system_prompt": "", **common},
        {"name": "harmful-kind", "system_prompt": "be kind", **common},
    ]
    other = {"name": "other", "prompts": {"source": "demo"}}
    assert benchmarks(sugar, other) == benchmarks(*by_hand, other)


def test_what_a_folder_remembers_of_expanded_benchmarks_is_the_same_sweep(minimal: Path) -> None:
    config = load(minimal, "benchmarks.0.system_prompts={none: '', kind: be kind}")
    again = SweepConfig.model_validate(config.model_dump(mode="json"))
    assert again == config
    assert again.sweep_id == config.sweep_id
    assert len(again.benchmarks) == 2


@pytest.mark.parametrize(
    ("item", "problem"),
    [
        ({"system_prompts": {"a": None}, "system_prompt": "b"}, "give either system_prompt or system_prompts"),
        ({"system_prompts": {"A b": None}}, "should match pattern"),
        ({"name": "x" * 47, "system_prompts": {"no": ""}}, "should match pattern"),
        ({"metric": "accuracy", "system_prompt": "a"}, "system_prompt would have no effect with metric accuracy"),
        ({"metric": "perplexity", "decoding": {"max_new_tokens": 1}}, "decoding would have no effect"),
        ({"metric": "first_token_kl", "decoding": {"max_new_tokens": 1}}, "decoding would have no effect"),
        ({"metric": "first_token_kl", "judge": "keyword-2", "reasoning": None}, "judge and reasoning would have no"),
        ({"metric": "perplexity", "chat_template": "a"}, "chat_template would have no effect"),
        ({"metric": "perplexity", "system_prompts": {"a": None}}, "system_prompts would have no effect"),
        ({"metric": "accuracy", "context": "a"}, "context would have no effect with metric accuracy"),
        ({"metric": "over_refusal", "context": "a"}, "context would have no effect"),
        ({"multiple_choice": {"answers": "texts"}}, "multiple_choice would have no effect with metric asr"),
        ({"primary": "kind"}, "primary is 'kind'; give true or false"),
        ({"primary": True, "system_prompts": {"a": None, "b": ""}}, "primary is True; give the name of one .*, a, b"),
        ({"primary": "c", "system_prompts": {"a": None, "b": ""}}, "primary is 'c'; give the name of one"),
        ({"metric": "bleu"}, "'asr', 'over_refusal', 'accuracy', 'perplexity', 'first_token_kl' or 'task_accuracy'"),
    ],
)
def test_benchmarks_that_ask_for_nothing_sensible_are_refused(item: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        benchmarks({"name": "a", "prompts": {"source": "demo"}, **item})


def test_one_benchmark_can_be_primary() -> None:
    plain = {"name": "other", "prompts": {"source": "demo"}}
    sugar = {"name": "harmful", "prompts": {"source": "demo"}, "system_prompts": {"none": None, "base": "be kind"}}
    found = benchmarks(plain, {**sugar, "primary": "base"})
    assert [(each.name, each.primary) for each in found] == [
        ("other", False),
        ("harmful-none", False),
        ("harmful-base", True),
    ]
    with pytest.raises(ValidationError, match="one benchmark can be primary; these are: other, harmful-base"):
        benchmarks({**plain, "primary": True}, {**sugar, "primary": "base"})


@pytest.mark.parametrize("value", ["no", "12345678", "1.0", "2024-01-02"])
def test_text_that_yaml_takes_for_something_else_is_to_be_quoted(minimal: Path, value: str) -> None:
    with pytest.raises(ConfigError, match=r"model\.revision: cannot be .*, which YAML takes for a \w+; .* in quotes"):
        load(minimal, f"model.revision={value}")
    assert load(minimal, f"model.revision='{value}'").model.revision == value


def test_values_of_where_stay_what_yaml_reads(minimal: Path) -> None:
    values = {"a": True, "b": 1, "c": 0.5, "d": "yes", "e": "1"}
    config = load(minimal, f"benchmarks.0.prompts={{source: file, path: a.csv, where: {json.dumps(values)}}}")
    again = SweepConfig.model_validate(json.loads(config.model_dump_json()))  # as a manifest remembers it
    for prompts in (config.benchmarks[0].prompts, again.benchmarks[0].prompts):
        assert isinstance(prompts, FilePrompts)
        assert [(type(value), value) for value in prompts.where.values()] == [
            (bool, True),
            (int, 1),
            (float, 0.5),
            (str, "yes"),
            (str, "1"),
        ]
    assert again.sweep_id == config.sweep_id
    load(minimal, "benchmarks.0.prompts={source: file, path: a.csv}", "benchmarks.0.prompts.where.a=no")


def test_a_name_of_a_system_prompt_that_yaml_takes_for_a_truth_value_is_to_be_quoted(minimal: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be False, which YAML takes for a bool"):
        load(minimal, "benchmarks.0.system_prompts={no: '', kind: be kind}")


def test_names_that_meet_by_expansion_are_refused() -> None:
    sugar = {"name": "a", "prompts": {"source": "demo"}, "system_prompts": {"b": None}}
    with pytest.raises(ValidationError, match="used more than once: a-b"):
        benchmarks(sugar, {"name": "a-b", "prompts": {"source": "demo"}})
