import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from landscape_ray.engine.tokens.encoding import PromptEncoder
from landscape_ray.engine.tokens.jobs import Job
from landscape_ray.errors import BenchmarkError, CheckpointError
from landscape_ray.evaluation import Benchmark, Completion, FinishReason, Prompt, ScoredText, Turn

TOKENS = ["<s>", "</s>", "<pad>", "<end>", "<user>", "<model>", "be", "brief", "how", "why", "?", "#", "sorry"]
IDS = {token: i for i, token in enumerate(TOKENS)}
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if m.role == 'system' %}# {{ m.content }} {% else %}<user>{{ m.content | trim }}<end>{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<model>{% endif %}"
)

Edit: TypeAlias = Callable[..., PromptEncoder]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tokenizer of words that, like Llama's, itself begins every text with `<s>`."""
    tokenizer = Tokenizer(models.WordLevel(IDS, unk_token="#"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        additional_special_tokens=["<end>", "<user>", "<model>"],
        chat_template=TEMPLATE,
    ).save_pretrained(tmp_path)
    write(tmp_path / "config.json", model_type="llama", max_position_embeddings=32, eos_token_id=1, pad_token_id=None)
    return tmp_path


def write(file: Path, **content: Any) -> None:
    file.write_text(json.dumps(content))


def edit(file: Path, **changes: Any) -> None:
    write(file, **(json.loads(file.read_text()) | changes))


def ids(*tokens: str) -> list[int]:
    return [IDS[token] for token in tokens]


def asking(*texts: str, system: str | None = None, template: str | None = None) -> Benchmark:
    return Benchmark(
        name="questions",
        prompts=tuple(Prompt(id=str(i), text=text) for i, text in enumerate(texts)),
        system_prompt=system,
        chat_template=template,
        max_new_tokens=4,
        metric="asr",
        judge="keyword",
    )


def test_prompts_become_one_turn_with_one_beginning_of_text(folder: Path) -> None:
    assert PromptEncoder(folder).encode(asking("how ?", "why")) == [
        ids("<s>", "<user>", "how", "?", "<end>", "<model>"),
        ids("<s>", "<user>", "why", "<end>", "<model>"),
    ]


def test_a_system_prompt_comes_first(folder: Path) -> None:
    expected = ids("<s>", "#", "be", "brief", "<user>", "why", "<end>", "<model>")
    assert PromptEncoder(folder).encode(asking("why", system="be brief")) == [expected]


def test_a_template_of_the_benchmark_replaces_the_tokenizers(folder: Path) -> None:
    template = "{{ messages[0].content }} ?"
    assert PromptEncoder(folder).encode(asking("why", template=template)) == [ids("why", "?")]


def test_a_template_may_trim_what_is_said(folder: Path) -> None:
    encoder = PromptEncoder(folder)
    assert encoder.encode(asking("  why \n")) == encoder.encode(asking("why"))


def test_a_model_without_template_needs_one_of_the_benchmark(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()
    encoder = PromptEncoder(folder)
    with pytest.raises(BenchmarkError, match=r"'questions': the model's tokenizer has no chat template"):
        encoder.encode(asking("why"))
    assert encoder.encode(asking("why", template="{{ messages[0].content }}")) == [ids("why")]


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}", "no system role"),
        ("{{ messages[0].content", "unexpected end of template"),
        ("{{ messages[7].content }}", "has no element 7"),
        ("{{ messages + 1 }}", "can only concatenate list"),
    ],
)
def test_a_template_that_cannot_render_is_a_users_error(folder: Path, template: str, reason: str) -> None:
    with pytest.raises(BenchmarkError, match=rf"'questions': the chat template cannot render .*{reason}.*null"):
        PromptEncoder(folder).encode(asking("why", system="be brief", template=template))


@pytest.mark.parametrize(
    ("template", "dropped"),
    [
        ("{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}", "the system message"),
        ("{{ messages[0].content }}", "the user message"),
        ("how", "the system and the user message"),
    ],
)
def test_a_template_that_drops_a_message_is_refused(folder: Path, template: str, dropped: str) -> None:
    with pytest.raises(BenchmarkError, match=f"'questions': the chat template leaves out {dropped}"):
        PromptEncoder(folder).encode(asking("why", system="be brief", template=template))


def test_every_end_of_turn_token_stops(folder: Path) -> None:
    assert PromptEncoder(folder).stop_token_ids == (IDS["</s>"],)
    write(folder / "generation_config.json", eos_token_id=[IDS["</s>"], IDS["<end>"]])
    edit(folder / "config.json", eos_token_id=IDS["#"])
    assert PromptEncoder(folder).stop_token_ids == (IDS["</s>"], IDS["<end>"], IDS["#"])
    edit(folder / "tokenizer_config.json", eos_token="<model>")
    assert PromptEncoder(folder).stop_token_ids == (IDS["</s>"], IDS["<end>"], IDS["<model>"], IDS["#"])


def test_a_model_that_never_ends_is_refused(folder: Path) -> None:
    edit(folder / "config.json", eos_token_id=None)
    edit(folder / "tokenizer_config.json", eos_token=None)
    with pytest.raises(CheckpointError, match="names no end-of-text token"):
        PromptEncoder(folder)


def test_completions_are_text_without_special_tokens_and_stop_or_are_cut(folder: Path) -> None:
    encoder = PromptEncoder(folder)
    stopped = encoder.complete(ids("<model>", "sorry", "?", "</s>"))
    assert stopped == Completion(text="sorry ?", token_ids=(5, 12, 10, 1), finish_reason=FinishReason.STOP)
    cut = encoder.complete(ids("sorry", "<end>"))
    assert cut == Completion(text="sorry", token_ids=(12, 3), finish_reason=FinishReason.LENGTH)


def test_a_token_beyond_the_tokenizer_is_no_failure(folder: Path) -> None:
    # Embeddings are often padded: a model far from its origin may emit tokens that no tokenizer knows.
    completion = PromptEncoder(folder).complete([IDS["sorry"], len(IDS) + 40])
    assert completion.text == "sorry"
    assert completion.token_ids == (12, len(IDS) + 40)


def test_the_context_is_the_configurations(folder: Path) -> None:
    assert PromptEncoder(folder).context_length == 32


def test_code_of_a_checkpoint_is_not_run(folder: Path) -> None:
    edit(folder / "config.json", model_type="own", auto_map={"AutoConfig": "modeling.Own"})
    (folder / "modeling.py").write_text("raise SystemExit('code of the checkpoint ran')")
    with pytest.raises(CheckpointError, match="that transformers can read"):
        PromptEncoder(folder)


def test_a_folder_without_tokenizer_is_refused(folder: Path) -> None:
    for file in folder.glob("*token*"):
        file.unlink()
    with pytest.raises(CheckpointError, match="holds no tokenizer"):
        PromptEncoder(folder)


def test_padding_is_the_tokenizers_or_any_token(folder: Path) -> None:
    assert PromptEncoder(folder).pad_token_id == IDS["</s>"]
    edit(folder / "tokenizer_config.json", pad_token="<pad>")
    assert PromptEncoder(folder).pad_token_id == IDS["<pad>"]


def test_tokens_agree_with_the_template_of_transformers(folder: Path) -> None:
    tokenizer: Any = PreTrainedTokenizerFast.from_pretrained(shutil.copytree(folder, folder / "copy"))
    expected = tokenizer.apply_chat_template(
        [{"role": "user", "content": "how ?"}], add_generation_prompt=True, return_dict=False
    )
    assert PromptEncoder(folder).encode(asking("how ?")) == [expected]


# --- Conversations ----------------------------------------------------------------------------------------------------

DEMO = Path(__file__).parents[4] / "landscape_ray" / "demo" / "aligned"
TALK = [("system", "be brief"), ("user", "how ?"), ("assistant", "why ?"), ("user", "why")]


def conversing(*turns: tuple[str, str], template: str | None = None) -> Benchmark:
    talk = tuple(Turn(role=role, content=content) for role, content in turns)
    return replace(asking(template=template), prompts=(Prompt(id="0", text="any", turns=talk),))


@pytest.mark.parametrize("turns", [TALK, TALK[1:], TALK[1:3] * 2 + TALK[3:]])
@pytest.mark.parametrize("is_demo", [False, True])
def test_conversations_agree_with_the_template_of_transformers(
    folder: Path, turns: list[tuple[str, str]], *, is_demo: bool
) -> None:
    place = DEMO if is_demo else folder
    tokenizer: Any = PreTrainedTokenizerFast.from_pretrained(place)
    messages = [{"role": role, "content": content} for role, content in turns]
    expected = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    assert PromptEncoder(place).encode(conversing(*turns)) == [expected]


@pytest.mark.parametrize(
    ("template", "dropped"),
    [
        ("{{ messages[0].content }}{{ messages[-1].content }}", "the assistant and the user message"),
        # The same is said twice, and once written.
        ("{{ messages[0].content }}{{ messages[1].content }}{{ messages[2].content }}", "the user message"),
        ("{% for m in messages[1:] %}{{ m.content }}{% endfor %}", "the system message"),
    ],
)
def test_a_template_that_drops_a_turn_is_refused(folder: Path, template: str, dropped: str) -> None:
    talk = conversing(*TALK[:3], TALK[1], template=template)
    with pytest.raises(BenchmarkError, match=f"the chat template leaves out {dropped}"):
        PromptEncoder(folder).encode(talk)


def test_a_template_may_write_the_system_message_into_the_last_one(folder: Path) -> None:
    template = "{% for m in messages[1:] %}{% if loop.last %}{{ messages[0].content }} {% endif %}{{ m.content }} "
    found = PromptEncoder(folder).encode(conversing(*TALK, template=template + "{% endfor %}"))
    assert found == [ids("how", "?", "why", "?", "be", "brief", "why")]


# --- Prefills ---------------------------------------------------------------------------------------------------------

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA_2 = (
    "{% for m in messages %}{% if m.role == 'user' %}{{ bos_token }}[INST] {{ m.content | trim }} [/INST]"
    "{% else %} {{ m.content | trim }} {{ eos_token }}{% endif %}{% endfor %}"
)
LLAMA_3 = (
    "{% for m in messages %}{% if loop.first %}{{ bos_token }}{% endif %}<|start|>{{ m.role }}<|end|>\n\n"
    "{{ m.content | trim }}<|eot|>{% endfor %}{% if add_generation_prompt %}<|start|>assistant<|end|>\n\n{% endif %}"
)


@pytest.mark.parametrize("template", [None, CHATML, LLAMA_2, LLAMA_3])
@pytest.mark.parametrize("prefill", ["Sure, here is how", "Sur", "1.\nFirst, I", "I cannot <b>"])
def test_prefills_agree_with_transformers_continuing_the_final_message(template: str | None, prefill: str) -> None:
    tokenizer: Any = PreTrainedTokenizerFast.from_pretrained(DEMO)
    expected = tokenizer.apply_chat_template(
        [{"role": "user", "content": "how ?"}, {"role": "assistant", "content": prefill}],
        chat_template=template,
        continue_final_message=True,
        return_dict=False,
    )
    begun = replace(asking(template=template), prompts=(Prompt(id="0", text="how ?", prefill=prefill),))
    encoder = PromptEncoder(DEMO)
    assert encoder.encode(begun) == [expected]
    (job,) = encoder.jobs([begun])
    assert (job.prompt, job.continues) == (tuple(expected), True)


def test_where_turns_are_written_otherwise_than_begun_a_prefill_follows_what_asks_for_the_answer() -> None:
    template = (
        "{{ messages[0].content }}{% if add_generation_prompt %}:{% else %}>{{ messages[-1].content }}{% endif %}"
    )
    begun = replace(asking(template=template), prompts=(Prompt(id="0", text="how", prefill=" So"),))
    encoder = PromptEncoder(DEMO)
    assert encoder.encode(begun) == [encoder.spell("how: So")]


def test_the_space_between_a_prefill_and_what_follows_is_kept(tmp_path: Path) -> None:
    # As in Llama 2, words bring a space before them, which is left out where a text begins.
    vocabulary = {"<unk>": 0, "</s>": 1, "\u2581is": 2, "\u2581a": 3}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>"))
    tokenizer.decoder = decoders.Metaspace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>").save_pretrained(tmp_path)
    write(tmp_path / "config.json", model_type="llama", max_position_embeddings=32, eos_token_id=1)
    encoder = PromptEncoder(tmp_path)
    job = Job(prompt=(2,), max_tokens=4, stop_token_ids=(1,))
    assert encoder.complete([3, 2, 1], job).text == "a is"
    assert encoder.complete([3, 2, 1], replace(job, continues=True)).text == " a is"


# --- Texts whose likelihood is measured -------------------------------------------------------------------------------


@pytest.fixture
def bytes_folder(tmp_path: Path) -> Path:
    """A tokenizer of single characters with merges: of a space and a letter, of `ab`, and of `: `."""
    characters = [*"abcd:.", "\u0120"]
    merged = ["\u0120a", "\u0120b", "ab", ":\u0120"]
    merges = [("\u0120", "a"), ("\u0120", "b"), ("a", "b"), (":", "\u0120")]
    vocabulary = {token: i for i, token in enumerate(["<s>", "</s>", *characters, *merged])}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>").save_pretrained(tmp_path)
    write(tmp_path / "config.json", model_type="llama", max_position_embeddings=32, eos_token_id=1)
    return tmp_path


def spelled(folder: Path, context: str, text: str) -> tuple[list[str], list[str]]:
    """Return the tokens before the scored ones, and the scored ones, as written in the vocabulary."""
    names = {i: token for token, i in json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"].items()}
    token_ids, first = PromptEncoder(folder).encode_scored(ScoredText(context=context, text=text))
    tokens = [names[i].replace("\u0120", "_") for i in token_ids]
    return tokens[:first], tokens[first:]


@pytest.mark.parametrize(
    ("context", "text", "before", "scored"),
    [
        ("cd:", " a", ["c", "d", ":"], ["_a"]),
        ("cd:", " b", ["c", "d", ":"], ["_b"]),
        # White space at the end of a context moves to the text, so that both ways of writing are one.
        ("cd: ", "a", ["c", "d", ":"], ["_a"]),
        # What then merges with the end of the context falls out, here a space: as in the harness.
        ("cd:  ", "a", ["c", "d", ":"], ["_a"]),
        # Without a context the first token is scored after the beginning of text.
        ("", "ab.", ["<s>"], ["ab", "."]),
        ("", " ab", ["<s>"], ["_a", "b"]),
        ("  ", "a", ["<s>"], ["_", "_a"]),
        # The boundary of the texts is one of tokens: the context keeps its own, and of both together come the rest.
        ("ca", "bb", ["c", "a"], ["b"]),
    ],
)
def test_tokens_are_those_of_the_harness(
    bytes_folder: Path, context: str, text: str, before: list[str], scored: list[str]
) -> None:
    assert spelled(bytes_folder, context, text) == (before, scored)


def test_a_text_that_merges_into_its_context_has_no_likelihood(bytes_folder: Path) -> None:
    with pytest.raises(BenchmarkError, match="the tokenizer merges 'b' into what stands before it"):
        spelled(bytes_folder, "ca", "b")


def test_a_beginning_of_text_stands_first_where_the_tokenizer_puts_one(folder: Path) -> None:
    def encoded(context: str, text: str) -> tuple[tuple[int, ...], int]:
        return PromptEncoder(folder).encode_scored(ScoredText(context=context, text=text))

    assert encoded("how", " why") == (tuple(ids("<s>", "how", "why")), 2)
    assert encoded("", "how why") == (tuple(ids("<s>", "how", "why")), 1)
    assert encoded("<s> how", " why") == (tuple(ids("<s>", "how", "why")), 2)  # it stands there already


def test_without_a_beginning_of_text_the_end_of_text_stands_for_it(bytes_folder: Path) -> None:
    edit(bytes_folder / "tokenizer_config.json", bos_token=None)
    assert PromptEncoder(bytes_folder).encode_scored(ScoredText(context="", text="c"))[0][0] == 1


@pytest.fixture
def byte_fallback(tmp_path: Path) -> PromptEncoder:
    """A tokenizer that, like Llama 2's, spells what it has no piece for by a token for each byte."""
    vocabulary = {"<s>": 0, "</s>": 1, "\u2581illegal": 2, "\u2581is": 3, **{f"<0x{i:02X}>": 4 + i for i in range(256)}}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], byte_fallback=True))
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>").save_pretrained(tmp_path)
    write(tmp_path / "config.json", model_type="llama", max_position_embeddings=32, eos_token_id=1)
    return PromptEncoder(tmp_path)


def test_a_verdict_is_only_settled_by_text_that_cannot_change(byte_fallback: PromptEncoder) -> None:
    spelled = [4 + byte for byte in b"illegal"]
    bad = 4 + 0xFF
    assert byte_fallback.complete(spelled).text == "illegal"
    assert "illegal" not in byte_fallback.complete([*spelled, bad]).text  # the trap
    for token_ids, settled in [
        ([3, 2], True),
        ([3, 2, bad], True),
        ([3, *spelled], False),
        ([3, *spelled, bad], False),
        ([3, *spelled, 3], True),
        ([3], False),
        ([], False),
    ]:
        assert byte_fallback.settles(token_ids, ["unethical", "illegal"]) is settled


def test_a_completion_that_was_cut_says_so(byte_fallback: PromptEncoder) -> None:
    expected = Completion(text="is illegal", token_ids=(3, 2), finish_reason=FinishReason.VERDICT)
    assert byte_fallback.complete([3, 2], is_cut=True) == expected
    assert byte_fallback.until_stop([3, 1, 0, 0], byte_fallback.stop_token_ids) == [3, 1]
    assert byte_fallback.until_stop([3, 2], byte_fallback.stop_token_ids) == [3, 2]
