"""Many sweeps side by side."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from landscape_ray.config import SweepConfig
from landscape_ray.errors import UserError
from landscape_ray.evaluation import Verdict
from landscape_ray.planning import PlannedPoint
from landscape_ray.report.table import COLUMNS, csv_text, read_outcomes, sweeps_table
from landscape_ray.report.table_page import table_page

WIDTHS = {"narrow": 0.1, "middle": 0.3, "wide": 0.6}


@pytest.fixture
def sweeps(
    tmp_path: Path, make_config: Callable[..., SweepConfig], publish: Callable[..., None], visit_facts_of: Any
) -> list[str]:
    """Three models with basins of 1, 3 and 5 of 5 points, vertical walls, and 8 prompts."""

    def timed(point: PlannedPoint) -> Any:
        facts = visit_facts_of(point)
        return type(facts)(**{**{name: getattr(facts, name) for name in facts.__slots__}, "generate_s": 1.5})

    for name, width in WIDTHS.items():

        def verdict(_name: str, point: PlannedPoint, _index: int, width: float = width) -> Verdict:
            return Verdict.COMPLIED if abs(point.coordinates[0]) > width else Verdict.REFUSED

        publish(tmp_path / name, make_config(model=f"=model-{name}"), verdict, num_prompts=8, facts=timed)
    return [str(tmp_path / name) for name in WIDTHS]


def test_a_row_holds_scores_their_intervals_and_what_they_cost(sweeps: list[str]) -> None:
    table = sweeps_table(sweeps)
    assert [row["sweep"] for row in table.rows] == list(WIDTHS)
    assert [row["num_draws"] for row in table.rows] == [2] * 3
    assert [row["origin_pct"] for row in table.rows] == [0.0] * 3
    assert table.rows[0]["origin_pct_high"] == pytest.approx(32.44, abs=0.01)
    # VISAGE does not see how wide a basin is. On 5 points radii are 0.125, 0.375 and the whole 0.5.
    assert [row["visage"] for row in table.rows] == [100.0] * 3
    assert [row["radius"] for row in table.rows] == pytest.approx([0.125, 0.375, 0.5])
    for row in table.rows:
        for name in ("visage", "mean_margin", "radius"):
            assert float(str(row[f"{name}_low"])) < float(str(row[f"{name}_high"]))
        assert row["gpu_seconds"] == 1.5 * (2 + 2 * 4)  # both benchmarks of a point share its visit
    assert table.notes == ()


def test_outcomes_are_correlated_with_each_score(sweeps: list[str], tmp_path: Path) -> None:
    path = tmp_path / "harm.csv"
    path.write_text("sweep,harm,remark\nnarrow,90,x\nwide,10,y\nmiddle,40,z\nunknown,1,\n")
    outcomes = read_outcomes(path)
    assert list(outcomes) == ["harm"]
    found = sweeps_table(sweeps, outcomes).outcomes["harm"]
    assert (found["radius"].value, found["radius"].num_models, found["radius"].low) == (-1.0, 3, None)
    assert found["visage"].value is None  # the same in all


def test_outcomes_may_name_models(sweeps: list[str]) -> None:
    found = sweeps_table(sweeps, {"harm": {"=model-narrow": 2.0, "=model-wide": 1.0}}).outcomes["harm"]
    assert found["mean_margin"].value == pytest.approx(-1)
    assert found["mean_margin"].num_models == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "needs a header"),
        ("name,harm\nnarrow,1\n", "Its columns are: name, harm"),
        ("sweep,harm\nnarrow,much\n", "at least one column of numbers"),
        ("sweep,harm\nnarrow,1\nnarrow,2\n", "several rows of 'narrow'"),
    ],
)
def test_a_file_without_outcomes_is_refused(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "harm.csv"
    path.write_text(content)
    with pytest.raises(UserError, match=said):
        read_outcomes(path)


def test_outcomes_of_other_models_are_refused(sweeps: list[str]) -> None:
    with pytest.raises(UserError, match="'harm' names none of the sweeps"):
        sweeps_table(sweeps, {"harm": {"other": 1.0}})


def test_csv_and_page_hold_the_same_rows_and_run_nothing(sweeps: list[str]) -> None:
    table = sweeps_table(sweeps, {"<b>harm": {"narrow": 1.0, "wide": 2.0}})
    rows = list(csv.DictReader(io.StringIO(csv_text(table))))
    assert list(rows[0]) == list(COLUMNS)
    assert rows[1]["model"] == "'=model-middle"  # no formula
    assert float(rows[1]["radius"]) == table.rows[1]["radius"]
    page = table_page(table)
    assert "&lt;b&gt;harm" in page
    assert "<b>harm" not in page
    assert "script-src &#39;sha256-" in page
    assert page.count("<tr>") == 1 + 3 + 1 + 5
    assert "http" not in page.replace("http-equiv", "")
    json.dumps(table.document(), allow_nan=False)


def test_one_draw_and_unlike_settings_are_said(
    tmp_path: Path, make_config: Callable[..., SweepConfig], publish: Callable[..., None]
) -> None:
    for name, nums in (("a", (5,)), ("b", (3,))):
        publish(tmp_path / name, make_config(*nums, draws=1), lambda *_: Verdict.REFUSED, num_prompts=8)
    notes = sweeps_table([str(tmp_path / "a"), str(tmp_path / "b")]).notes
    assert len(notes) == 2
    assert notes[0].startswith("One draw (a, b)")
    assert "differ in their axes or directions" in notes[1]


def test_the_command_prints_text_json_and_csv(sweeps: list[str], tmp_path: Path, cli: Callable[[str], Any]) -> None:
    (tmp_path / "harm.csv").write_text("sweep,harm\nnarrow,9\nwide,1\n")
    said = cli(f"table {' '.join(sweeps)} --outcome harm.csv --html table.html")
    assert said.code == 0
    assert "Basin radius: -1.00 (too few models for an interval), 2 models" in said.out
    assert (tmp_path / "table.html").read_text().startswith("<!DOCTYPE html>")
    assert len(cli(f"table {' '.join(sweeps)} --json").lines[0]["sweeps"]) == 3
    assert cli(f"table {sweeps[0]} --csv").out.startswith("sweep,model,")
    assert cli(f"table {sweeps[0]} --csv --json").code == 2
