"""The commands about judges, as far as they go without Ray."""

from pathlib import Path

import pytest

from landscape_ray.cli import main


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Run a command line that fails, and return its exit code and its error."""
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    return int(stopped.value.code or 0), capsys.readouterr().err


@pytest.mark.parametrize(
    ("judge", "message"),
    [
        ("nobody", "There is no judge 'nobody'; the judges are: keyword, keyword-2, llama-guard-3"),
        ("gone.yaml", "Cannot read the judge gone.yaml"),
        ("keyword", "holds no sweep"),
    ],
)
def test_what_cannot_be_judged_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], judge: str, message: str
) -> None:
    code, error = said(capsys, "judge", str(tmp_path), "--judge", judge)
    assert code == 2
    assert message in error


def test_a_judge_in_the_results_folder_is_not_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "judge.yaml").write_text("kind: function\nname: f\nfunction: os:system\n")
    for path in (tmp_path / "sub" / "judge.yaml", tmp_path / "sub" / ".." / "sub" / "judge.yaml"):
        code, error = said(capsys, "judge", str(tmp_path), "--judge", str(path))
        assert code == 2
        assert "whose files may be anybody's" in error


def test_agreement_of_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "agreement", str(tmp_path), "--judges", "a,b")[0] == 2
