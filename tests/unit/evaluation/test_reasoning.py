import pytest

from landscape_ray.evaluation.reasoning import CONVENTIONS, Reasoning, convention_of, named, without_thinking

THINK = Reasoning(start="<think>", end="</think>")


@pytest.mark.parametrize(
    ("template", "marks"),
    [
        # As they stand in the templates of these models.
        ("{{- '<|im_start|>assistant\\n<think>\\n' }}", ("<think>", "</think>")),  # QwQ, OLMo 3: the start alone
        ("{% set content = content.split('</think>')[-1] %}", ("<think>", "</think>")),  # DeepSeek-R1: the end alone
        ("{{ '[THINK]' + block + '[/THINK]' }}", ("[THINK]", "[/THINK]")),
        (
            "{{- '<|start|>assistant<|channel|>analysis<|message|>' + message.thinking + '<|end|>' }}",
            ("<|channel|>analysis<|message|>", "<|channel|>final<|message|>"),
        ),
        ("<seed:think>", ("<seed:think>", "</seed:think>")),
        ("{% for m in messages %}{{ m.content }}{% endfor %}", None),
        ("<|im_start|>assistant", None),
        ("<|channel|>commentary", None),
    ],
)
def test_marks_are_known_from_a_template(template: str, marks: tuple[str, str] | None) -> None:
    found = convention_of(template)
    assert (found and found.both) == marks


def test_the_first_template_that_knows_any_decides() -> None:
    assert convention_of("no marks", "[THINK]", "<think>") == named("[THINK]", "[/THINK]")
    assert convention_of() is None


def test_no_convention_is_taken_for_another() -> None:
    for marks in CONVENTIONS:
        assert convention_of(marks.start) == convention_of(marks.end) == marks


def test_marks_of_ones_own_close_with_nothing_and_known_ones_as_known() -> None:
    assert named("<a>", "</a>") == Reasoning(start="<a>", end="</a>", closing="")
    assert named(*CONVENTIONS[0].both).closing == "<|end|><|start|>assistant"


@pytest.mark.parametrize(
    ("answer", "rest"),
    [
        ("<think>Yes or no?</think>\nYes.", "Yes."),
        ("no start</think>No", "No"),
        ("<think>never ends", "<think>never ends"),
        ("[THINK]a[/THINK]b", "b"),
        ("<think>a</think>b</think>c", "b</think>c"),  # the first end counts
        (" Yes ", " Yes "),
    ],
)
def test_a_text_without_what_was_thought_before(answer: str, rest: str) -> None:
    assert without_thinking(answer) == rest
