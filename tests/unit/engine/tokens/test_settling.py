from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from landscape_ray.config import BenchmarkConfig
from landscape_ray.engine.checkpoints.resolution import ResolvedModel
from landscape_ray.engine.tokens.encoding import PromptEncoder
from landscape_ray.engine.tokens.settling import settled
from landscape_ray.errors import BenchmarkError
from landscape_ray.evaluation import Benchmark, load_benchmark

DEMO = Path(__file__).parents[4] / "landscape_ray" / "demo" / "aligned"
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }} {{ m.content }}<|im_end|> {% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant {% endif %}"
)
DATED = "{{ bos_token }}{{ strftime_now('%d %b %Y, %H:%M') }} {{ messages[0].content }}"
WORDS = ["<s>", "</s>", "#", "<|im_start|>", "<|im_end|>", "user", "assistant", "[INST]", "[/INST]", "how", "<eot>"]


def settle(folder: Path, *, today: str = "2026-11-27", **keys: Any) -> Benchmark:
    config = BenchmarkConfig.model_validate({"name": "asked", "prompts": {"source": "demo"}, "limit": 2, **keys})
    model = ResolvedModel(location=str(folder), revision=None, fingerprint="any")
    (found,) = settled([config], [load_benchmark(config)], model, today=today)
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tokenizer that begins every text with `<s>`; its only listed end is `</s>`."""
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="#"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        additional_special_tokens=["<|im_start|>", "<|im_end|>", "<eot>"],
    ).save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "llama", "max_position_embeddings": 512, "eos_token_id": 1}')
    return tmp_path


# --- The clock --------------------------------------------------------------------------------------------------------


def test_a_template_with_a_clock_is_told_one_day_which_decides_the_key() -> None:
    first, again, later = (
        settle(DEMO, today=day, chat_template=DATED) for day in ("2026-11-27",) * 2 + ("2026-11-28",)
    )
    assert first.settled.date == "2026-11-27"
    assert first == again
    assert later.digest != first.digest
    # Whatever the clock of the process that renders says.
    encoder = PromptEncoder(DEMO)
    written = encoder.tokenizer.decode(encoder.encode(first)[0])
    assert written == f"<|begin|>27 Nov 2026, 00:00 {first.prompts[0].text}"


def test_a_date_of_the_benchmark_counts_whatever_the_day() -> None:
    keys = {
        settle(DEMO, today=day, chat_template=DATED, date="2024-07-26").digest for day in ("2026-11-27", "2026-11-28")
    }
    assert keys == {settle(DEMO, today="2024-07-26", chat_template=DATED).digest}


def test_templates_without_a_clock_have_the_key_they_always_had() -> None:
    config = BenchmarkConfig.model_validate({"name": "asked", "prompts": {"source": "demo"}, "limit": 2})
    assert settle(DEMO, today="2026-11-28").digest == load_benchmark(config).digest


def test_what_is_rendered_decides_the_key_of_a_template_with_a_clock() -> None:
    monthly = DATED.replace("%d %b %Y, %H:%M", "%b")
    plain, argued = (
        settle(DEMO, chat_template=f"{monthly}{{% if loud %}}!{{% endif %}}", chat_template_kwargs=arguments)
        for arguments in ({}, {"loud": True})
    )
    assert plain.settled.rendered != argued.settled.rendered


def test_a_date_for_a_template_that_asks_for_none_is_refused() -> None:
    with pytest.raises(BenchmarkError, match="asks for no date, so date has no effect"):
        settle(DEMO, date="2026-11-27")


def test_an_engine_never_looks_at_its_own_clock() -> None:
    config = BenchmarkConfig.model_validate(
        {"name": "asked", "prompts": {"source": "demo"}, "limit": 2, "chat_template": DATED}
    )
    with pytest.raises(BenchmarkError, match="asks for the date, and the benchmark has none"):
        PromptEncoder(DEMO).encode(load_benchmark(config))


@pytest.mark.parametrize("dice", ["{{ ['a', 'b'] | random }}", "{{ lipsum(1) }}"])
def test_a_template_that_throws_dice_is_refused(dice: str) -> None:
    with pytest.raises(BenchmarkError, match="throws dice"):
        settle(DEMO, chat_template=f"{{{{ bos_token }}}}{{{{ messages[0].content }}}}{dice}")


# --- Arguments of templates -------------------------------------------------------------------------------------------

SWITCHED = "{{ bos_token }}{{ messages[0].content }}{% if not enable_thinking | default(true) %}<quiet>{% endif %}"


def test_arguments_reach_the_template_and_the_key() -> None:
    on, off = (
        settle(DEMO, chat_template=SWITCHED),
        settle(DEMO, chat_template=SWITCHED, chat_template_kwargs={"enable_thinking": False}),
    )
    assert on.digest != off.digest
    encoder = PromptEncoder(DEMO)
    assert encoder.tokenizer.decode(encoder.encode(off)[0]).endswith("<quiet>")
    assert not encoder.tokenizer.decode(encoder.encode(on)[0]).endswith("<quiet>")


def test_an_argument_that_the_template_never_looks_at_is_refused() -> None:
    with pytest.raises(
        BenchmarkError, match=r"never looks at 'enable_thinkin' .* bos_token, enable_thinking, messages"
    ):
        settle(DEMO, chat_template=SWITCHED, chat_template_kwargs={"enable_thinkin": False})


# --- The end of a turn ------------------------------------------------------------------------------------------------


def test_the_token_that_closes_the_models_turn_ends_an_answer_though_nothing_lists_it(folder: Path) -> None:
    benchmark = settle(folder, chat_template=f"<s> {CHATML}")
    encoder = PromptEncoder(folder)
    assert benchmark.settled.turn_end == "<|im_end|>"
    assert encoder.stops(benchmark) == (WORDS.index("</s>"), WORDS.index("<|im_end|>"))
    listed = settle(folder, chat_template=f"<s> {CHATML.replace('<|im_end|>', '</s>')}")
    assert listed.settled.turn_end is None
    assert encoder.stops(listed) == (WORDS.index("</s>"),)


def test_a_template_that_writes_no_answers_is_closed_as_the_models_own(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text(f"<s> {CHATML}")
    assert settle(folder, chat_template="<s> {{ messages[0].content }}").settled.turn_end == "<|im_end|>"


@pytest.mark.parametrize(
    "closing",
    ["", " \n", "<eot> </s>", "</s>"],  # nothing, white space, a token before one that is listed, one that is listed
)
def test_turns_that_end_as_listed_or_with_nothing_change_nothing(folder: Path, closing: str) -> None:
    template = f"<s> {{% for m in messages %}}{{{{ m.content }}}}{closing}{{% endfor %}}"
    assert settle(folder, chat_template=template).settled.turn_end is None


def test_a_turn_that_ends_in_words_is_refused_with_the_words(folder: Path) -> None:
    turns = "<s> {% for m in messages %}{{ m.content }} [END] {% endfor %}"
    with pytest.raises(BenchmarkError, match=r"ends the model's turn with '\[END\]', which is no token"):
        settle(folder, chat_template=f"{turns}{{% if add_generation_prompt %}}>{{% endif %}}")
    # Where the beginning of an answer is always written, it may be that.
    assert settle(folder, chat_template=turns).settled.turn_end is None


# --- The beginning of a text ------------------------------------------------------------------------------------------


def test_a_template_of_ones_own_without_the_beginning_token_is_refused(folder: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"does not begin with '<s>'.*\{\{ bos_token \}\}"):
        settle(folder, chat_template="[INST] {{ messages[0].content }} [/INST]")
    settle(folder, chat_template="{{ bos_token }} [INST] {{ messages[0].content }} [/INST]")


def test_a_beginning_token_is_left_out_where_the_models_own_template_leaves_it_out(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text("{{ messages[0].content }}")
    settle(folder, chat_template="[INST] {{ messages[0].content }} [/INST]")
    (folder / "chat_template.jinja").write_text("<s> {{ messages[0].content }}")
    with pytest.raises(BenchmarkError, match="does not begin with '<s>'"):
        settle(folder, chat_template="[INST] {{ messages[0].content }} [/INST]")


def test_a_tokenizer_that_puts_no_beginning_token_asks_for_none() -> None:
    settle(DEMO, chat_template="[INST] {{ messages[0].content }} [/INST]")


# --- Thinking ---------------------------------------------------------------------------------------------------------


def test_marks_of_thinking_are_known_asked_for_or_left_alone(thinker: Path) -> None:
    known = settle(thinker)
    assert known.settled.reasoning is not None
    assert known.settled.reasoning.both == ("<think>", "</think>")
    asked = settle(thinker, reasoning={"start": "<think>", "end": "</think>"})
    assert asked.digest == known.digest
    assert settle(thinker, reasoning=None).settled.reasoning is None
    assert settle(DEMO).settled.reasoning is None


def test_marks_that_never_occur_are_refused(thinker: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"the mark '<thonk>' of reasoning occurs neither in the chat template"):
        settle(thinker, reasoning={"start": "<thonk>", "end": "</think>"})
    with pytest.raises(BenchmarkError, match=r"the mark '<think>' of reasoning"):
        settle(DEMO, reasoning={"start": "<think>", "end": "</think>"})


def test_a_prefill_in_the_place_of_thinking_is_refused_unless_all_that_is_said_is_the_answer(thinker: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"thinks between '<think>' and '</think>' .*Set reasoning to null"):
        settle(thinker, prefill="{target}")
    assert settle(thinker, prefill="{target}", reasoning=None).prompts[0].prefill.startswith("Sure, here is")


def test_ending_the_thinking_of_a_model_that_does_not_think_is_refused() -> None:
    with pytest.raises(BenchmarkError, match="max_thinking_tokens has no effect"):
        settle(DEMO, decoding={"max_thinking_tokens": 8})
