"""What `plan` says of an anatomy before anything is started."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CLI = Callable[[str], Any]
RECIPE = Path(__file__).parents[2] / "jobs" / "configs" / "anatomy" / "layers.demo.yaml"


def test_plan_lists_groups_with_what_they_hold(cli: CLI) -> None:
    shown = cli(f"plan {RECIPE}")
    assert shown.code == 0
    assert "1-D anatomy, 9 groups of tensors, each moved alone: 7 points on [0, 1]; 27 directions" in shown.out
    lines = [" ".join(line.split()) for line in shown.out.splitlines()]
    assert "groups tensors parameters points" in lines
    assert "embedding 1 102,400 18" in lines
    # Four matrices of 160 x 160, and three of 160 x 256.
    assert f"layer 7 7 {4 * 160 * 160 + 3 * 160 * 256:,} 18" in lines
    assert not any(line.startswith("left") for line in lines)


def test_plan_says_which_tensors_no_group_moves(cli: CLI) -> None:
    shown = cli(f"plan {RECIPE} --set landscape.by=module --set landscape.modules=[q,head]")
    assert shown.code == 2
    assert "names head, and no tensor of the model is one. Its modules are embedding, q, k, v, o, gate, up, down" in (
        shown.err
    )
    shown = cli(f"plan {RECIPE} --set landscape.by=module --set landscape.modules=[q,embedding]")
    assert shown.code == 0
    assert "48 tensors in no group: not moved (model.layers.0.mlp.down_proj.weight, " in shown.out


def test_plan_is_json_for_scripts(cli: CLI) -> None:
    (document,) = cli(f"plan {RECIPE} --json --set landscape.axes.0.num=17 --set adaptive.fraction=0.6").lines
    assert len(document["groups"]) == 9
    assert document["groups"][1] == {
        "name": "layer 0",
        "num_points": 3 * 10,
        "num_tensors": 7,
        "num_parameters": 225_280,
    }
    assert document["num_visits"] == 27 * 10 + 2
    assert document["in_no_group"] == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("engine=synthetic", "groups of an anatomy by layer follow from the names of the model's tensors"),
        ("model.id=no/such", "of 'no/such' cannot be had here"),
        ("landscape.by=group", "landscape.by: cannot be 'group'"),
        ("directions.displacement=null", "an anatomy moves every group equally far"),
        ("certify.radius=0.5", "only a 1-D landscape along random directions shows"),
        ("landscape.axes=[{start: 0}, {start: 0}]", "landscape.axes"),
    ],
)
def test_what_cannot_be_planned_is_told_in_a_paragraph(
    cli: CLI, change: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    shown = cli(f"plan {RECIPE} --set '{change}'")
    assert shown.code == 2
    assert message in shown.err
