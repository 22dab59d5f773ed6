"""What is decided of a campaign before Ray starts."""

from pathlib import Path

import pytest
import yaml

from landscape_ray.config import load_campaign
from landscape_ray.sweep.campaign import KEEP_S, PART_S, prepare_campaign, worst


def keeps(folder: Path, models: list[str], *, keep_s: float = 0.0) -> list[float]:
    """Return how long engines wait after each sweep; sweeps of one model differ in their seeds."""
    (folder / "p.csv").write_text("prompt\none\n")
    paths = []
    for number, model in enumerate(models):
        paths.append(folder / f"{number}.yaml")
        paths[-1].write_text(
            yaml.safe_dump(
                {
                    "model": {"id": model},
                    "engine": "synthetic",
                    "directions": {"seed": number},
                    "benchmarks": [{"name": "mine", "prompts": {"source": "file", "path": str(folder / "p.csv")}}],
                    "run": {"keep_engines_s": keep_s},
                }
            )
        )
    return [
        each.sweep.config.run.keep_engines_s for each in prepare_campaign(load_campaign(paths), str(folder / "out"))
    ]


def test_engines_wait_for_the_next_sweep_of_their_model_and_are_ended_for_that_of_another(tmp_path: Path) -> None:
    assert keeps(tmp_path, ["a/x", "b/y", "c/z"]) == [0, 0, 0]
    assert keeps(tmp_path, ["a/x", "b/y", "a/x", "c/z"]) == [KEEP_S, PART_S, PART_S, PART_S]
    assert keeps(tmp_path, ["a/x", "b/y", "a/x"], keep_s=7.0) == [7.0, 7.0, 7.0]


@pytest.mark.parametrize(("codes", "code"), [([0, 0], 0), ([0, 4], 4), ([4, 3, 0], 3), ([3, 1, 4], 1), ([1, 2, 0], 2)])
def test_the_worst_exit_code_is_the_one_that_asks_most(codes: list[int], code: int) -> None:
    assert worst(codes) == code
