"""Marks of several tokens, some of them special, and marks whose last token holds the beginning of the answer."""

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from landscape_ray.engine.tokens.encoding import PromptEncoder
from landscape_ray.engine.tokens.jobs import Job, in_stages
from landscape_ray.evaluation import Completion, FinishReason, Reasoning
from landscape_ray.evaluation.reasoning import CONVENTIONS, named

HARMONY = CONVENTIONS[0]
SPECIAL = ("<|start|>", "<|channel|>", "<|message|>", "<|end|>", "<|return|>", "[THINK]", "[/THINK]")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> PromptEncoder:
    """A tokenizer of single bytes, of special tokens, and of one token for `>Y`."""
    folder = tmp_path_factory.mktemp("marks")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate([*alphabet, ">Y"])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [(">", "Y")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in SPECIAL])
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|return|>").save_pretrained(folder)
    end = len(vocabulary) + SPECIAL.index("<|return|>")
    (folder / "config.json").write_text(
        f'{{"model_type": "llama", "max_position_embeddings": 512, "eos_token_id": {end}}}'
    )
    return PromptEncoder(folder)


def completed(encoder: PromptEncoder, text: str, marks: Reasoning, *, begins_thinking: bool = False) -> Completion:
    job = Job(
        prompt=(1,),
        max_tokens=500,
        stop_token_ids=encoder.stop_token_ids,
        reasoning=marks,
        begins_thinking=begins_thinking,
    )
    return encoder.complete(encoder.spell(text), job)


@pytest.mark.parametrize(
    ("text", "marks", "thinking", "answer"),
    [
        (
            f"{HARMONY.start}I cannot.<|end|><|start|>assistant<|channel|>final<|message|>Sure.<|return|>",
            HARMONY,
            "I cannot.",
            "Sure.",
        ),
        ("<|channel|>final<|message|>Sure.<|return|>", HARMONY, "", "Sure."),
        ("[THINK]a b[/THINK]\n\nc<|return|>", named("[THINK]", "[/THINK]"), "a b", "c"),
        ("<think>\na\n</think>\n\nb", named("<think>", "</think>"), "a", "b"),
        ("a</think>b</think>c", named("<think>", "</think>"), "a", "b</think>c"),
        ("<think>a</think>Yes", named("<think>", "</think>"), "a", "Yes"),  # `>Y` is one token
        ("Sure.", named("<think>", "</think>"), None, "Sure."),
    ],
)
def test_thinking_and_answer(
    encoder: PromptEncoder, text: str, marks: Reasoning, thinking: str | None, answer: str
) -> None:
    found = completed(encoder, text, marks)
    assert (found.thinking, found.text, found.is_unfinished) == (thinking, answer, False)
    if thinking is not None:
        end = encoder.text_in_marks(found.token_ids[: found.num_thinking_tokens])
        assert marks.end in end
        assert marks.end not in encoder.text_in_marks(found.token_ids[: (found.num_thinking_tokens or 0) - 1])


@pytest.mark.parametrize(
    ("text", "begins_thinking", "is_unfinished"),
    [
        ("<think>no", False, True),
        ("a <think> no", False, True),
        ("no", True, True),
        ("no", False, False),
        ("", True, True),
    ],
)
def test_an_answer_that_never_came(
    encoder: PromptEncoder,
    text: str,
    begins_thinking: bool,  # noqa: FBT001
    is_unfinished: bool,  # noqa: FBT001
) -> None:
    found = completed(encoder, text, named("<think>", "</think>"), begins_thinking=begins_thinking)
    assert found.is_unfinished is is_unfinished
    assert found.text == ("" if is_unfinished else text)
    assert found.num_thinking_tokens == (len(found.token_ids) if is_unfinished else None)


def test_a_channel_is_ended_as_the_model_ends_it(encoder: PromptEncoder) -> None:
    """Greedy decoding of a text that never ends: what is forced stands as the model would have said it."""
    job = Job(
        prompt=(1,),
        max_tokens=200,
        stop_token_ids=encoder.stop_token_ids,
        reasoning=HARMONY,
        max_thinking_tokens=3,
    )
    start = encoder.spell(HARMONY.start)

    def decode(jobs: list[Job]) -> list[tuple[list[int], bool]]:
        (asked,) = jobs
        said = start + encoder.spell("x" * 100) if len(asked.prompt) == 1 else encoder.spell("Sure.<|return|>")
        return [(said[: asked.max_tokens], False)]

    ((tokens, _),) = in_stages([job], lambda jobs: decode(list(jobs)), encoder)
    assert encoder.text_in_marks(tokens) == f"{HARMONY.start}xxx<|end|><|start|>assistant{HARMONY.end}Sure.<|return|>"
    found = encoder.complete(tokens, job)
    assert (found.thinking, found.text, found.finish_reason) == ("xxx", "Sure.", FinishReason.STOP)
