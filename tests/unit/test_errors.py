import pydantic
import pytest

from landscape_ray.errors import few_of, in_brief


@pytest.mark.parametrize(
    ("names", "listed"),
    [
        ([], ""),
        (["a"], "a"),
        (["a", "b", "c"], "a, b, c"),
        (["a", "b", "c", "d"], "a, b, c and 1 more"),
        ((f"layer.{i}" for i in range(4003)), "layer.0, layer.1, layer.2 and 4,000 more"),
    ],
)
def test_of_many_names_three_are_listed_and_the_rest_is_counted(names: list[str], listed: str) -> None:
    assert few_of(names) == listed


def test_what_another_library_says_is_one_line_of_bounded_length() -> None:
    class Model(pydantic.BaseModel):
        layers: list[int]

    with pytest.raises(pydantic.ValidationError) as error:
        Model(layers=["x" * 50] * 20)  # type: ignore[list-item]
    said = in_brief(error.value)
    assert "\n" not in said
    assert len(said) <= 304
    assert said.startswith("20 validation errors for Model layers.0 Input should be a valid integer")
    assert said.endswith(" ...".rstrip("."))


def test_what_says_nothing_is_called_by_its_kind() -> None:
    assert in_brief(KeyError()) == "KeyError"
    assert in_brief(ValueError("No such file.")) == "No such file"
